// batch_norm's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/batch_norm/batch_norm.h"

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/row_chunks.h"

namespace cucina {
namespace {

void check_channel_vector(std::string_view name, const Tensor& vector, const Tensor& x) {
  check_alike("batch_norm", name, vector, "x", x);
  const std::int64_t c = x.size(-1);
  if (vector.shape() != Shape{c}) {
    fail("batch_norm: {} is {} but x {} has {} channels; it must be ({})", name,
         to_string(vector.shape()), to_string(x.shape()), c, c);
  }
}

void check_arguments(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                     const Tensor& running_mean, const Tensor& running_var,
                     const BatchNormParams& params) {
  const Shape& shape = x.shape();
  if (shape.rank() != 2 && shape.rank() != 4) {
    fail("batch_norm: x is {} but must be (n, h, w, c) or (n, c)", to_string(shape));
  }
  if (shape[-1] == 0) fail("batch_norm: x is {}: it has no channels", to_string(shape));
  check_channel_vector("gamma", gamma, x);
  check_channel_vector("beta", beta, x);
  check_channel_vector("running_mean", running_mean, x);
  check_channel_vector("running_var", running_var, x);
  if (!(params.momentum >= 0 && params.momentum <= 1)) {
    fail("batch_norm: momentum is {} but must be in [0, 1]", params.momentum);
  }
  if (!(params.eps >= 0 && std::isfinite(params.eps))) {
    fail("batch_norm: eps is {} but must be finite and not negative", params.eps);
  }
  if (params.training && x.elements() == shape[-1]) {
    fail(
        "batch_norm: one value per channel (n*h*w = 1) has no variance; train with a batch of 2 or "
        "more, or evaluate with training = false (x is {})",
        to_string(shape));
  }
}

BatchNormGradients wanted(Gradients& gradients) {
  BatchNormGradients to;
  const auto take = [&](int input, Tensor& tensor, Write& write) {
    if (!gradients.wants(input)) return;
    const auto slot = gradients.slot(input);
    tensor = slot.dx;
    write = slot.write;
  };
  take(0, to.dx, to.dx_write);
  take(1, to.dgamma, to.dgamma_write);
  take(2, to.dbeta, to.dbeta_write);
  return to;
}

Tensor train(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
             const Tensor& running_var, const BatchNormParams& params) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const Tensor mean = Tensor::empty(gamma.shape(), x.dtype(), x.device());
  const Tensor inv_std = Tensor::empty(gamma.shape(), x.dtype(), x.device());
  choose(&BatchNormOp::forward_train, x)(x, gamma, beta, params, running_mean, running_var,
                                         BatchNormOp::scratch(x), y, mean, inv_std);
  record("batch_norm", y, {x, gamma, beta},
         {{"x", x}, {"gamma", gamma}, {"mean", mean}, {"inv_std", inv_std}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const Tensor& x = saved[0].tensor;
           choose(&BatchNormOp::backward_train, dy)(dy, x, saved[1].tensor, saved[2].tensor,
                                                    saved[3].tensor, BatchNormOp::scratch(x),
                                                    wanted(gradients));
         });
  return y;
}

Tensor evaluate(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                const Tensor& running_mean, const Tensor& running_var,
                const BatchNormParams& params) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(&BatchNormOp::forward_eval, x)(x, gamma, beta, running_mean, running_var, params, y);
  if (!recording({x, gamma, beta})) return y;
  // Copies: a training batch may change the running statistics before backward comes.
  record("batch_norm", y, {x, gamma, beta},
         {{"x", x}, {"gamma", gamma}, {"mean", running_mean.clone()}, {"var", running_var.clone()}},
         [params](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const Tensor& x = saved[0].tensor;
           choose(&BatchNormOp::backward_eval, dy)(dy, x, saved[1].tensor, saved[2].tensor,
                                                   saved[3].tensor, params, BatchNormOp::scratch(x),
                                                   wanted(gradients));
         });
  return y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormParams& params) {
  check_arguments(x, gamma, beta, running_mean, running_var, params);
  return params.training ? train(x, gamma, beta, running_mean, running_var, params)
                         : evaluate(x, gamma, beta, running_mean, running_var, params);
}

// Two partial sums per channel and chunk, then two totals per channel.
Tensor BatchNormOp::scratch(const Tensor& x) {
  const std::int64_t c = x.size(-1);
  return Tensor::empty({2 * row_chunks(x.elements() / c).count + 2, c}, x.dtype(), x.device());
}

namespace {

constexpr BatchNormParams kTrain{.momentum = 0.25f};
constexpr BatchNormParams kEval{.training = false};

// Which gradients a case asks for, in the order of its outputs.
struct Wanted {
  bool dx, dgamma, dbeta;
};

std::vector<Operand> outputs_for(const Wanted& wanted, const Shape& shape, const Shape& channels) {
  std::vector<Operand> outputs;
  if (wanted.dx) outputs.push_back({"dx", shape});
  if (wanted.dgamma) outputs.push_back({"dgamma", channels});
  if (wanted.dbeta) outputs.push_back({"dbeta", channels});
  return outputs;
}

BatchNormGradients deliver_to(const Wanted& wanted, const Tensors& out, Write write) {
  BatchNormGradients to;
  to.dx_write = to.dgamma_write = to.dbeta_write = write;
  std::size_t next = 0;
  if (wanted.dx) to.dx = out[next++];
  if (wanted.dgamma) to.dgamma = out[next++];
  if (wanted.dbeta) to.dbeta = out[next];
  return to;
}

// in: dy, x, gamma, mean, inv_std; the last two are made from x.
void find_statistics(Tensors& in) {
  const Tensor& gamma = in[2];
  const auto like_gamma = [&] { return Tensor::zeros(gamma.shape(), gamma.dtype()); };
  in[3] = like_gamma();
  in[4] = like_gamma();
  BatchNormOp::reference().forward_train(in[1], gamma, gamma, kTrain, like_gamma(), like_gamma(),
                                         Tensor(), Tensor::empty(in[1].shape(), gamma.dtype()),
                                         in[3], in[4]);
}

Case train_case(const std::string& name, const Shape& shape, const Wanted& wanted) {
  const Shape channels{shape[-1]};
  const double n = static_cast<double>(shape.elements());
  const Operand x{"x", shape}, gamma{"gamma", channels, Fill::positive}, beta{"beta", channels};
  const Operand running_mean{"running_mean", channels};
  const Operand running_var{"running_var", channels, Fill::positive};
  const auto forward = [](auto entry, const Tensors& in, const Tensors& out, Write) {
    // The running statistics are changed in place: here the outputs start as copies of the inputs.
    out[3].copy_from(in[3]);
    out[4].copy_from(in[4]);
    entry(in[0], in[1], in[2], kTrain, out[3], out[4], BatchNormOp::scratch(in[0]), out[0], out[1],
          out[2]);
  };
  const auto backward = [wanted](auto entry, const Tensors& in, const Tensors& out, Write write) {
    entry(in[0], in[1], in[2], in[3], in[4], BatchNormOp::scratch(in[1]),
          deliver_to(wanted, out, write));
  };
  return {.name = "train_" + name,
          .calls = {{.entry = "forward_train",
                     .inputs = {x, gamma, beta, running_mean, running_var},
                     .outputs = {{"y", shape},
                                 {"mean", channels},
                                 {"inv_std", channels},
                                 running_mean,
                                 running_var},
                     .run = run_entry(&BatchNormOp::forward_train, forward),
                     .flops = 7 * n},
                    {.entry = "backward_train",
                     .inputs = {{"dy", shape}, x, gamma, {"mean", channels}, {"inv_std", channels}},
                     .outputs = outputs_for(wanted, shape, channels),
                     .accumulates = true,
                     .run = run_entry(&BatchNormOp::backward_train, backward),
                     .prepare = find_statistics,
                     .flops = 9 * n}},
          .inputs = {x, gamma, beta},
          .function = [channels](const Tensors& in) {
            return batch_norm(in[0], in[1], in[2], Tensor::zeros(channels, in[0].dtype()),
                              Tensor::full(channels, 1, in[0].dtype()), kTrain);
          }};
}

Case eval_case(const std::string& name, const Shape& shape, const Wanted& wanted) {
  const Shape channels{shape[-1]};
  const double n = static_cast<double>(shape.elements());
  const Operand x{"x", shape}, gamma{"gamma", channels, Fill::positive}, beta{"beta", channels};
  const Operand running_mean{"running_mean", channels};
  const Operand running_var{"running_var", channels, Fill::positive};
  const auto forward = [](auto entry, const Tensors& in, const Tensors& out, Write) {
    entry(in[0], in[1], in[2], in[3], in[4], kEval, out[0]);
  };
  const auto backward = [wanted](auto entry, const Tensors& in, const Tensors& out, Write write) {
    entry(in[0], in[1], in[2], in[3], in[4], kEval, BatchNormOp::scratch(in[1]),
          deliver_to(wanted, out, write));
  };
  return {.name = "eval_" + name,
          .calls = {{.entry = "forward_eval",
                     .inputs = {x, gamma, beta, running_mean, running_var},
                     .outputs = {{"y", shape}},
                     .run = run_entry(&BatchNormOp::forward_eval, forward),
                     .flops = 3 * n},
                    {.entry = "backward_eval",
                     .inputs = {{"dy", shape}, x, gamma, running_mean, running_var},
                     .outputs = outputs_for(wanted, shape, channels),
                     .accumulates = true,
                     .run = run_entry(&BatchNormOp::backward_eval, backward),
                     .flops = 5 * n}},
          .inputs = {x, gamma, beta},
          .function = [channels](const Tensors& in) {
            return batch_norm(in[0], in[1], in[2], Tensor::full(channels, 0.25, in[0].dtype()),
                              Tensor::full(channels, 2, in[0].dtype()), kEval);
          }};
}

}  // namespace

std::vector<Case> BatchNormOp::cases() {
  struct Sizes {
    std::string name;
    Shape shape;
    Wanted wanted = {true, true, true};
  };
  std::vector<Case> cases{eval_case("one", {1, 1}, {true, true, true})};
  for (const auto& [name, shape, wanted] :
       std::vector<Sizes>{{"few", {3, 1}},
                          {"rows", {37, 10}},
                          {"prime", {3, 7, 11, 5}},
                          {"many_channels", {19, 1031}},
                          {"wider_than_block", {2, 3, 4, 2056}},
                          {"many_rows", {3, 149, 151, 2}},
                          {"only_dx", {5, 6, 7, 12}, {true, false, false}},
                          {"no_dx", {5, 6, 7, 12}, {false, true, true}},
                          {"only_dgamma", {5, 6, 7, 12}, {false, true, false}},
                          {"dx_and_dbeta", {5, 6, 7, 12}, {true, false, true}},
                          {"empty", {0, 4, 4, 3}},
                          {"large", {64, 28, 28, 16}}}) {
    cases.push_back(train_case(name, shape, wanted));
    cases.push_back(eval_case(name, shape, wanted));
  }
  return cases;
}

}  // namespace cucina
