// nll_loss's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/nll_loss/nll_loss.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/label_checks.h"

namespace cucina {
namespace {

constexpr std::string_view kName = NllLossOp::kName;

void check_arguments(const Tensor& log_probs, const NllLossInputs& in) {
  if (log_probs.shape().rank() != 2 || log_probs.elements() == 0) {
    fail("{}: log_probs is {} but must be (n, classes), neither of them 0", kName,
         describe(log_probs));
  }
  check_labels(kName, in.labels, "log_probs", log_probs);
  if (in.class_weights.defined()) {
    check_class_weights(kName, in.class_weights, "log_probs", log_probs);
  }
}

}  // namespace

Tensor nll_loss(const Tensor& log_probs, const Tensor& labels, Reduction reduction,
                const Tensor& class_weights) {
  const NllLossInputs in{labels, class_weights};
  check_arguments(log_probs, in);
  const DType wide = compute_dtype(log_probs.dtype());
  const Tensor loss = Tensor::empty({}, wide, log_probs.device());
  const Tensor divisor = Tensor::empty({1}, wide, log_probs.device());
  choose(&NllLossOp::forward, log_probs)(log_probs, in, reduction, divisor, loss);
  record(kName, loss, {log_probs},
         {{"labels", labels}, {"class_weights", class_weights}, {"divisor", divisor}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&NllLossOp::backward, dx)(dy, {saved[0].tensor, saved[1].tensor}, saved[2].tensor,
                                            write, dx);
         });
  return loss;
}

namespace {

// One set of shapes and options.
struct Setting {
  std::string name;
  std::int64_t n, classes;
  bool weights = false;
  Reduction reduction = Reduction::mean;
};

Case make_case(const Setting& s) {
  const Shape shape{s.n, s.classes};
  const Operand labels{"labels", {s.n}, Fill::labels, DType::i32, static_cast<int>(s.classes)};
  const Operand weights{.name = "class_weights",
                        .shape = {s.weights ? s.classes : 0},
                        .fill = Fill::positive,
                        .wide = true};
  const Operand divisor{.name = "divisor", .shape = {1}, .fill = Fill::positive, .wide = true};
  const auto inputs = [has_weights = s.weights](const Tensors& in) {
    return NllLossInputs{in[1], has_weights ? in[2] : Tensor()};
  };
  Case c{
      .name = s.name,
      .calls = {{.entry = "forward",
                 .inputs = {{"log_probs", shape}, labels, weights},
                 .outputs = {divisor, {.name = "loss", .shape = {}, .wide = true}},
                 .run = run_entry(&NllLossOp::forward,
                                  [=](auto forward, const Tensors& in, const Tensors& out, Write) {
                                    forward(in[0], inputs(in), s.reduction, out[0], out[1]);
                                  }),
                 .flops = 2.0 * static_cast<double>(s.n),
                 .bytes =
                     [n = s.n](DType dtype) {
                       return static_cast<double>(n) * static_cast<double>(size_of(dtype) + 4);
                     }},
                {.entry = "backward",
                 .inputs = {{.name = "dy", .shape = {}, .wide = true}, labels, weights, divisor},
                 .outputs = {{"dx", shape}},
                 .accumulates = true,
                 .run = run_entry(
                     &NllLossOp::backward,
                     [=](auto backward, const Tensors& in, const Tensors& out, Write write) {
                       backward(in[0], inputs(in), in[3], write, out[0]);
                     }),
                 .flops = static_cast<double>(s.n)}},
      .inputs = {{"log_probs", shape}}};
  c.function = [s](const Tensors& in) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(s.n));
    std::vector<double> weights(static_cast<std::size_t>(s.classes));
    for (std::size_t row = 0; row < labels.size(); ++row) {
      labels[row] = static_cast<std::int32_t>(static_cast<std::int64_t>(row) * 5 % s.classes);
    }
    for (std::size_t k = 0; k < weights.size(); ++k) {
      weights[k] = static_cast<double>(1 + k * 7 % 11) / 8;
    }
    return nll_loss(in[0], Tensor::from(labels, {s.n}), s.reduction,
                    s.weights ? Tensor::from(weights, {s.classes}) : Tensor());
  };
  return c;
}

}  // namespace

std::vector<Case> NllLossOp::cases() {
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{{"one", 1, 1},
                                               {"prime", 7, 13},
                                               {"rows_wider_than_block", 521, 3},
                                               {"many_rows", 2503, 10},
                                               {"wide", 3, 1031},
                                               {"sum", 37, 10, false, Reduction::sum},
                                               {"weights", 37, 10, true},
                                               {"weights_sum", 7, 13, true, Reduction::sum}}) {
    cases.push_back(make_case(s));
  }
  cases.push_back(make_case({"digits", 256, 10}));
  cases.back().timed = Timed::everywhere;
  cases.push_back(make_case({"8192x1000", 8192, 1000}));
  cases.back().timed = Timed::gpu;
  cases.back().checked = false;
  return cases;
}

}  // namespace cucina
