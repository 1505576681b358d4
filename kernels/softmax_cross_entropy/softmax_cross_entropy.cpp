// softmax_cross_entropy's front door: checks, outputs, choice of backend, the recorded gradient;
// and its cases.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/label_checks.h"

namespace cucina {
namespace {

constexpr std::string_view kName = SoftmaxCrossEntropyOp::kName;

void check_targets(const Tensor& targets, const Tensor& logits) {
  if (targets.dtype() == DType::i32) {
    check_labels(kName, targets, "logits", logits);
    return;
  }
  const DType wanted = compute_dtype(logits.dtype());
  if (targets.dtype() != wanted || targets.shape() != logits.shape() ||
      targets.device() != logits.device()) {
    fail("{}: targets is {} but must be labels, i32 (n), or {} {} on {} beside logits", kName,
         describe(targets), name(wanted), to_string(logits.shape()), name(logits.device()));
  }
}

void check_arguments(const SoftmaxCrossEntropyInputs& in, const SoftmaxCrossEntropyParams& params) {
  const Tensor& logits = in.logits;
  if (logits.shape().rank() != 2) {
    fail("{}: logits is {} but must be of rank 2: (n, classes)", kName, describe(logits));
  }
  if (logits.elements() == 0) {
    fail("{}: logits is {}; there is no mean over 0 rows and no label among 0 classes", kName,
         describe(logits));
  }
  check_targets(in.targets, logits);
  if (in.class_weights.defined()) check_class_weights(kName, in.class_weights, "logits", logits);
  if (!(params.label_smoothing >= 0 && params.label_smoothing <= 1)) {
    fail("{}: label_smoothing is {} but must be in [0, 1]", kName, params.label_smoothing);
  }
  check_no_gradient(kName, "targets", in.targets);
}

}  // namespace

SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& targets,
                                          const SoftmaxCrossEntropyParams& params,
                                          const Tensor& class_weights) {
  const SoftmaxCrossEntropyInputs in{logits, targets, class_weights};
  check_arguments(in, params);
  const Shape rows{logits.size(0)};
  const DType wide = compute_dtype(logits.dtype());
  const SoftmaxCrossEntropy result{.loss = Tensor::empty({}, wide, logits.device()),
                                   .losses = Tensor::empty(rows, wide, logits.device()),
                                   .correct = Tensor::empty(rows, DType::i32, logits.device())};
  Tensor dlogits;
  if (recording({logits})) {
    dlogits = Tensor::empty(logits.shape(), logits.dtype(), logits.device());
  }
  choose(&SoftmaxCrossEntropyOp::forward, logits)(
      in, params, Tensor::empty({1}, wide, logits.device()), result, dlogits);
  record(kName, result.loss, {logits}, {{"dlogits", dlogits}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&SoftmaxCrossEntropyOp::backward, dx)(dy, saved[0].tensor, write, dx);
         });
  return result;
}

namespace {

// One set of shapes and options.
struct Setting {
  std::string name;
  std::int64_t n, classes;
  bool soft = false;  // targets, not labels
  bool weights = false;
  double smoothing = 0;
  Reduction reduction = Reduction::mean;
};

Case make_case(const Setting& s) {
  const Shape shape{s.n, s.classes};
  const Operand logits{"logits", shape};
  const Operand labels{"labels", {s.n}, Fill::labels, DType::i32, static_cast<int>(s.classes)};
  const Operand soft{.name = "targets", .shape = shape, .fill = Fill::positive, .wide = true};
  const Operand weights{.name = "class_weights",
                        .shape = {s.weights ? s.classes : 0},
                        .fill = Fill::positive,
                        .wide = true,
                        .spreads = true};
  const std::vector<Operand> inputs{logits, s.soft ? soft : labels, weights};
  const std::vector<Operand> results{{.name = "loss", .shape = {}, .wide = true},
                                     {.name = "losses", .shape = {s.n}, .wide = true},
                                     {"correct", {s.n}, Fill::uniform, DType::i32}};
  std::vector<Operand> with_gradient = results;
  with_gradient.push_back({"dlogits", shape});
  const SoftmaxCrossEntropyParams params{.label_smoothing = s.smoothing, .reduction = s.reduction};
  const auto forward = [params, has_weights = s.weights](auto forward, const Tensors& in,
                                                         const Tensors& out, Write) {
    const Tensor scratch = Tensor::empty({1}, out[0].dtype(), out[0].device());
    forward({in[0], in[1], has_weights ? in[2] : Tensor()}, params, scratch,
            {.loss = out[0], .losses = out[1], .correct = out[2]},
            out.size() > 3 ? out[3] : Tensor());
  };
  const double elements = static_cast<double>(s.n * s.classes);
  Case c{.name = s.name,
         .calls = {{.entry = "forward",
                    .inputs = inputs,
                    .outputs = with_gradient,
                    .run = run_entry(&SoftmaxCrossEntropyOp::forward, forward),
                    .flops = 8 * elements},
                   {.entry = "forward_without_gradient",
                    .inputs = inputs,
                    .outputs = results,
                    .run = run_entry(&SoftmaxCrossEntropyOp::forward, forward),
                    .flops = 5 * elements},
                   {.entry = "backward",
                    .inputs = {{.name = "dy", .shape = {}, .wide = true}, {"dlogits", shape}},
                    .outputs = {{"dx", shape}},
                    .accumulates = true,
                    .run = run_entry(&SoftmaxCrossEntropyOp::backward,
                                     [](auto backward, const Tensors& in, const Tensors& out,
                                        Write write) { backward(in[0], in[1], write, out[0]); }),
                    .flops = elements}},
         .inputs = {logits}};
  c.function = [s, params, shape](const Tensors& in) {
    // Numbers of no pattern, and none of them 0.
    const auto filled = [&](const Shape& of, std::size_t step, double size) {
      std::vector<double> values(static_cast<std::size_t>(of.elements()));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = size * static_cast<double>(1 + i * step % 11);
      }
      return Tensor::from(values, of).to(in[0].device());
    };
    std::vector<std::int32_t> labels(static_cast<std::size_t>(s.n));
    for (std::size_t row = 0; row < labels.size(); ++row) {
      labels[row] = static_cast<std::int32_t>(static_cast<std::int64_t>(row) % s.classes);
    }
    const Tensor targets = s.soft ? filled(shape, 7, 0.125 / static_cast<double>(s.classes))
                                  : Tensor::from(labels, {s.n}).to(in[0].device());
    return softmax_cross_entropy(in[0], targets, params,
                                 s.weights ? filled({s.classes}, 5, 0.125) : Tensor())
        .loss;
  };
  return c;
}

}  // namespace

std::vector<Case> SoftmaxCrossEntropyOp::cases() {
  constexpr Reduction kSum = Reduction::sum;
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{
           {"one", 1, 1},
           {"two_classes", 3, 2},
           {"prime", 7, 13},
           {"rows_wider_than_block", 521, 3},
           {"classes_as_a_lane", 5, 32},
           {"classes_wider_than_lane", 5, 33},
           {"classes_not_multiple_of_warp", 3, 1031},
           {"classes_wider_than_block", 2, 2056},
           {"classes_wider_than_block_prime", 2, 2467},
           {"digits", 64, 10},
           {"cifar100", 64, 100},
           {"sum", 5, 33, false, false, 0, kSum},
           {"weights", 7, 13, false, true},
           {"weights_many", 131, 36, false, true},
           {"weights_sum", 7, 13, false, true, 0, kSum},
           {"smooth", 7, 13, false, false, 0.2},
           {"smooth_many", 9, 100, false, false, 0.1, kSum},
           {"smooth_weights", 5, 37, false, true, 0.2},
           {"smooth_wide", 2, 2467, false, true, 0.2},
           {"soft", 7, 13, true},
           {"soft_many", 9, 100, true, false, 0, kSum},
           {"soft_wide", 2, 2056, true},
           {"soft_weights", 5, 37, true, true},
           {"soft_smooth_weights", 5, 37, true, true, 0.3},
       }) {
    cases.push_back(make_case(s));
  }
  for (const Setting& s :
       std::vector<Setting>{{"imagenet", 64, 1000}, {"cifar10_soft", 128, 10, true}}) {
    cases.push_back(make_case(s));
    cases.back().timed = Timed::everywhere;
  }
  for (const Setting& s :
       std::vector<Setting>{{"8192x1000", 8192, 1000}, {"4096x50257", 4096, 50257}}) {
    cases.push_back(make_case(s));
    cases.back().timed = Timed::gpu;
    cases.back().checked = false;
  }
  return cases;
}

}  // namespace cucina
