// batch_norm's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/batch_norm/batch_norm.h"

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/column_chunks.h"
#include "kernels/common/norm_checks.h"

namespace cucina {
namespace {

void check_arguments(const BatchNormInputs& in, const BatchNormParams& params) {
  const Shape& shape = in.x.shape();
  if (shape.rank() != 2 && shape.rank() != 4) {
    fail("batch_norm: x is {} but must be (n, h, w, c) or (n, c)", to_string(shape));
  }
  if (shape[-1] == 0) fail("batch_norm: x is {}: it has no channels", to_string(shape));
  check_channel_vector("batch_norm", "gamma", in.gamma, in.x);
  check_channel_vector("batch_norm", "beta", in.beta, in.x);
  check_channel_vector("batch_norm", "running_mean", in.running_mean, in.x);
  check_channel_vector("batch_norm", "running_var", in.running_var, in.x);
  if (in.residual.defined()) {
    check_alike("batch_norm", "residual", in.residual, "x", in.x);
    if (in.residual.shape() != shape) {
      fail("batch_norm: residual is {} but x is {}; shapes must be equal",
           to_string(in.residual.shape()), to_string(shape));
    }
  }
  if (!(params.momentum >= 0 && params.momentum <= 1)) {
    fail("batch_norm: momentum is {} but must be in [0, 1]", params.momentum);
  }
  check_eps("batch_norm", params.eps);
  if (params.training && in.x.elements() == shape[-1]) {
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
  take(3, to.dresidual, to.dresidual_write);
  return to;
}

// Records y with what backward needs of it.
void record_batch_norm(const Tensor& y, const BatchNormInputs& in, const BatchNormParams& params,
                       const Tensor& mean, const Tensor& spread) {
  record("batch_norm", y, {in.x, in.gamma, in.beta, in.residual},
         {{"x", in.x},
          {"gamma", in.gamma},
          {"beta", in.beta},
          {"mean", mean},
          {"spread", spread},
          {"y", params.relu ? y : Tensor()}},
         [params, residual = in.residual.defined()](const Tensor& dy, const Saved& saved,
                                                    Gradients& gradients) {
           const BatchNormSaved state{.x = saved[0].tensor,
                                      .gamma = saved[1].tensor,
                                      .beta = saved[2].tensor,
                                      .mean = saved[3].tensor,
                                      .spread = saved[4].tensor,
                                      .y = saved[5].tensor,
                                      .residual = residual};
           const auto entry =
               params.training ? &BatchNormOp::backward_train : &BatchNormOp::backward_eval;
           choose(entry, dy)(dy, state, params, BatchNormOp::scratch(state.x), wanted(gradients));
         });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormParams& params, const Tensor& residual) {
  const BatchNormInputs in{x, gamma, beta, running_mean, running_var, residual};
  check_arguments(in, params);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (params.training) {
    const Tensor mean = Tensor::empty(gamma.shape(), gamma.dtype(), x.device());
    const Tensor inv_std = Tensor::empty(gamma.shape(), gamma.dtype(), x.device());
    choose(&BatchNormOp::forward_train, x)(in, params, BatchNormOp::scratch(x), y, mean, inv_std);
    record_batch_norm(y, in, params, mean, inv_std);
  } else {
    choose(&BatchNormOp::forward_eval, x)(in, params, y);
    if (!recording({x, gamma, beta, residual})) return y;
    // Copies: a training batch may change the running statistics before backward comes.
    record_batch_norm(y, in, params, running_mean.clone(), running_var.clone());
  }
  return y;
}

Tensor BatchNormOp::scratch(const Tensor& x) {
  const std::int64_t c = x.size(-1);
  return Tensor::empty({column_chunks(1, x.elements() / c, c).scratch()}, compute_dtype(x.dtype()),
                       x.device());
}

namespace {

// Which gradients a case asks for, in the order of its outputs.
struct Wanted {
  bool dx = true, dgamma = true, dbeta = true, dresidual = true;
};

// One set of shapes and options.
struct Setting {
  std::string name;
  Shape shape;
  bool training = true;
  bool relu = false;
  bool residual = false;
  Wanted wanted = {};
  float eps = 1e-5f;
  Fill fill = Fill::uniform;  // of x
};

BatchNormParams params_of(const Setting& s) {
  return {.momentum = 0.25f, .eps = s.eps, .training = s.training, .relu = s.relu};
}

std::vector<Operand> gradients_of(const Setting& s) {
  const Shape channels{s.shape[-1]};
  std::vector<Operand> outputs;
  if (s.wanted.dx) outputs.push_back({"dx", s.shape});
  if (s.wanted.dgamma) outputs.push_back({.name = "dgamma", .shape = channels, .wide = true});
  if (s.wanted.dbeta) outputs.push_back({.name = "dbeta", .shape = channels, .wide = true});
  if (s.residual && s.wanted.dresidual) outputs.push_back({"dresidual", s.shape});
  return outputs;
}

BatchNormGradients deliver_to(const Setting& s, const Tensors& out, Write write) {
  BatchNormGradients to;
  to.dx_write = to.dgamma_write = to.dbeta_write = to.dresidual_write = write;
  std::size_t next = 0;
  if (s.wanted.dx) to.dx = out[next++];
  if (s.wanted.dgamma) to.dgamma = out[next++];
  if (s.wanted.dbeta) to.dbeta = out[next++];
  if (s.residual && s.wanted.dresidual) to.dresidual = out[next];
  return to;
}

// in: dy, x, gamma, beta, mean, spread, residual, y. From x and gamma to beta and residual it makes
// y, while training mean and spread too; and leaves out gradients so near relu's kink that
// rounding decides whether they pass.
void prepare_backward(const Setting& s, Tensors& in) {
  const auto wide = [](const Tensor& x) { return x.to(DType::f64); };
  const Tensor mean = wide(in[4]), spread = wide(in[5]);
  const Tensor before = Tensor::empty(s.shape, DType::f64);
  const BatchNormInputs inputs{wide(in[1]),  wide(in[2]),    wide(in[3]),
                               mean.clone(), spread.clone(), s.residual ? wide(in[6]) : Tensor()};
  BatchNormParams params = params_of(s);
  params.relu = false;
  if (s.training) {
    BatchNormOp::reference().forward_train(inputs, params, Tensor(), before, mean, spread);
    in[4] = mean.to(in[4].dtype());
    in[5] = spread.to(in[5].dtype());
  } else {
    BatchNormOp::reference().forward_eval(inputs, params, before);
  }
  if (!s.relu) return;
  constexpr double kNear = 1e-2;
  const Tensor dy = wide(in[0]);
  for (std::int64_t i = 0; i < before.elements(); ++i) {
    double& value = before.data<double>()[i];
    if (std::fabs(value) < kNear) dy.data<double>()[i] = 0;
    if (value < 0) value = 0;
  }
  in[0] = dy.to(in[0].dtype());
  in[7] = before.to(in[7].dtype());
}

Call forward_call(const Setting& s) {
  const Shape channels{s.shape[-1]};
  const Operand running_mean{.name = "running_mean", .shape = channels, .wide = true};
  const Operand running_var{
      .name = "running_var", .shape = channels, .fill = Fill::positive, .wide = true};
  Call call{.entry = s.training ? "forward_train" : "forward_eval",
            .inputs = {{"x", s.shape, s.fill},
                       {.name = "gamma", .shape = channels, .fill = Fill::positive, .wide = true},
                       {.name = "beta", .shape = channels, .wide = true},
                       running_mean,
                       running_var},
            .outputs = {{"y", s.shape}},
            .run = {},
            .flops = 7.0 * static_cast<double>(s.shape.elements())};
  if (s.residual) call.inputs.push_back({"residual", s.shape});
  const auto inputs = [residual = s.residual](const Tensors& in) {
    return BatchNormInputs{in[0], in[1], in[2], in[3], in[4], residual ? in[5] : Tensor()};
  };
  const BatchNormParams params = params_of(s);
  if (!s.training) {
    call.run =
        run_entry(&BatchNormOp::forward_eval, [=](auto entry, const Tensors& in, const Tensors& out,
                                                  Write) { entry(inputs(in), params, out[0]); });
    return call;
  }
  for (const char* name : {"mean", "inv_std"}) {
    call.outputs.push_back({.name = name, .shape = channels, .wide = true});
  }
  call.outputs.push_back(running_mean);
  call.outputs.push_back(running_var);
  call.run = run_entry(
      &BatchNormOp::forward_train, [=](auto entry, const Tensors& in, const Tensors& out, Write) {
        // The running statistics are changed in place: here the outputs start as
        // copies of the inputs.
        out[3].copy_from(in[3]);
        out[4].copy_from(in[4]);
        BatchNormInputs changed = inputs(in);
        changed.running_mean = out[3];
        changed.running_var = out[4];
        entry(changed, params, BatchNormOp::scratch(in[0]), out[0], out[1], out[2]);
      });
  // x is read twice: its statistics come first.
  call.bytes = [n = static_cast<double>(s.shape.elements()), s](DType dtype) {
    return n * (s.residual ? 4 : 3) * static_cast<double>(size_of(dtype));
  };
  return call;
}

Call backward_call(const Setting& s) {
  const Shape channels{s.shape[-1]};
  const BatchNormParams params = params_of(s);
  Call call{.entry = s.training ? "backward_train" : "backward_eval",
            .inputs = {{"dy", s.shape},
                       {"x", s.shape, s.fill},
                       {.name = "gamma", .shape = channels, .fill = Fill::positive, .wide = true},
                       {.name = "beta", .shape = channels, .wide = true},
                       {.name = "mean", .shape = channels, .wide = true},
                       {.name = "spread", .shape = channels, .fill = Fill::positive, .wide = true},
                       {"residual", s.residual ? s.shape : Shape{0}},
                       {"y", s.relu ? s.shape : Shape{0}}},
            .outputs = gradients_of(s),
            .accumulates = true,
            .run = {},
            .prepare = [s](Tensors& in) { prepare_backward(s, in); },
            .flops = 9.0 * static_cast<double>(s.shape.elements())};
  const auto run = [s, params](auto entry, const Tensors& in, const Tensors& out, Write write) {
    const BatchNormSaved saved{.x = in[1],
                               .gamma = in[2],
                               .beta = in[3],
                               .mean = in[4],
                               .spread = in[5],
                               .y = s.relu ? in[7] : Tensor(),
                               .residual = s.residual};
    entry(in[0], saved, params, BatchNormOp::scratch(in[1]), deliver_to(s, out, write));
  };
  call.run = s.training ? run_entry(&BatchNormOp::backward_train, run)
                        : run_entry(&BatchNormOp::backward_eval, run);
  // While training dy and x are read twice, or where a residual is, dy, x and y, then dresidual
  // and x.
  call.bytes = [n = static_cast<double>(s.shape.elements()), s](DType dtype) {
    const double passes = !s.training ? 3 : s.residual && s.relu ? 7 : s.residual ? 6 : 5;
    return n * passes * static_cast<double>(size_of(dtype));
  };
  return call;
}

Case make_case(const Setting& s) {
  const Shape channels{s.shape[-1]};
  Case c{
      .name = s.name,
      .calls = {forward_call(s), backward_call(s)},
      .inputs = {{"x", s.shape, s.fill}, {"gamma", channels, Fill::positive}, {"beta", channels}},
      .function = [params = params_of(s), channels, s](const Tensors& in) {
        const DType dtype = in[0].dtype();
        return batch_norm(in[0], in[1], in[2], Tensor::full(channels, 0.25, dtype),
                          Tensor::full(channels, 2, dtype), params, s.residual ? in[3] : Tensor());
      }};
  if (s.residual) c.inputs.push_back({"residual", s.shape});
  return c;
}

}  // namespace

std::vector<Case> BatchNormOp::cases() {
  std::vector<Setting> settings{{.name = "eval_one", .shape = {1, 1}, .training = false}};
  const auto both = [&](Setting s) {
    for (const bool training : {true, false}) {
      Setting each = s;
      each.name = (training ? "train_" : "eval_") + s.name;
      each.training = training;
      settings.push_back(each);
    }
  };
  const Shape small{5, 6, 7, 12};
  both({.name = "few", .shape = {3, 1}});
  both({.name = "rows", .shape = {37, 10}});
  both({.name = "prime", .shape = {3, 7, 11, 5}});
  both({.name = "many_channels", .shape = {19, 1031}});
  both({.name = "wider_than_block", .shape = {2, 3, 4, 2056}});
  both({.name = "many_rows", .shape = {3, 149, 151, 2}});
  both({.name = "only_dx", .shape = small, .wanted = {true, false, false}});
  both({.name = "no_dx", .shape = small, .wanted = {false, true, true}});
  both({.name = "only_dgamma", .shape = small, .wanted = {false, true, false}});
  both({.name = "dx_and_dbeta", .shape = small, .wanted = {true, false, true}});
  both({.name = "empty", .shape = {0, 4, 4, 3}});
  both({.name = "relu", .shape = {3, 5, 7, 24}, .relu = true});
  both({.name = "relu_prime", .shape = {3, 7, 11, 5}, .relu = true});
  both({.name = "residual", .shape = small, .residual = true});
  both({.name = "residual_relu", .shape = small, .relu = true, .residual = true});
  both({.name = "residual_relu_prime", .shape = {3, 7, 11, 5}, .relu = true, .residual = true});
  both({.name = "residual_relu_many", .shape = {601, 8}, .relu = true, .residual = true});
  both({.name = "only_dresidual",
        .shape = small,
        .relu = true,
        .residual = true,
        .wanted = {false, false, false, true}});
  both({.name = "no_dresidual",
        .shape = small,
        .relu = true,
        .residual = true,
        .wanted = {true, true, true, false}});
  both({.name = "residual_relu_empty", .shape = {0, 4, 4, 3}, .relu = true, .residual = true});
  std::vector<Case> cases;
  for (const Setting& s : settings) cases.push_back(make_case(s));

  const Shape block{32, 16, 16, 16};
  for (const Setting& s : std::vector<Setting>{
           {.name = "train_block", .shape = block},
           {.name = "eval_block", .shape = block, .training = false},
           {.name = "train_relu_block", .shape = block, .relu = true},
           {.name = "train_residual_relu_block", .shape = block, .relu = true, .residual = true}}) {
    cases.push_back(make_case(s));
    cases.back().timed = Timed::everywhere;
  }
  for (const Setting& s : std::vector<Setting>{
           {.name = "train_2000x15x15x256", .shape = {2000, 15, 15, 256}},
           {.name = "train_relu_2000x15x15x256", .shape = {2000, 15, 15, 256}, .relu = true},
           {.name = "train_128x32x32x16", .shape = {128, 32, 32, 16}}}) {
    cases.push_back(make_case(s));
    cases.back().timed = Timed::gpu;
    cases.back().checked = false;
  }
  return cases;
}

CaseSpace BatchNormOp::space() {
  return {.axes = {{"n", 0, 40},
                   {"h", 1, 12},
                   {"w", 1, 12},
                   {"c", 1, 80},
                   {"training", 0, 1},
                   {"relu", 0, 1},
                   {"residual", 0, 1}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const Shape shape{point[0], point[1], point[2], point[3]};
            const bool training = point[4] == 1;
            if (training && shape.elements() == shape[3]) return std::nullopt;
            // With few values per channel and a tiny eps, dx is a difference of nearly equal
            // numbers; so is a mean near 0 of values near 1: rounding, whoever computes them.
            return make_case({.name = "random",
                              .shape = shape,
                              .training = training,
                              .relu = point[5] == 1,
                              .residual = point[6] == 1,
                              .eps = 0.1f,
                              .fill = Fill::positive});
          }};
}

}  // namespace cucina
