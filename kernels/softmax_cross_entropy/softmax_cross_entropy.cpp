// softmax_cross_entropy's front door: checks, outputs, choice of backend, the recorded gradient;
// and its cases.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {
namespace {

constexpr std::string_view kName = SoftmaxCrossEntropyOp::kName;

// Only where looking costs no wait for the device.
void check_labels_on_cpu(const Tensor& labels, std::int64_t classes) {
  const std::int32_t* label = labels.data<std::int32_t>();
  for (std::int64_t row = 0; row < labels.elements(); ++row) {
    if (label[row] < 0 || label[row] >= classes) {
      fail(ExitCode::bad_file, "{}: row {} has label {} but logits has {} classes: 0 to {}", kName,
           row, label[row], classes, classes - 1);
    }
  }
}

void check(const Tensor& logits, const Tensor& labels) {
  if (logits.shape().rank() != 2) {
    fail("{}: logits is {} but must be of rank 2: (n, classes)", kName, describe(logits));
  }
  if (labels.dtype() != DType::i32 || labels.shape().rank() != 1) {
    fail("{}: labels is {} but must be i32 of rank 1: (n)", kName, describe(labels));
  }
  if (labels.size(0) != logits.size(0)) {
    fail("{}: labels has {} rows but logits has {}", kName, labels.size(0), logits.size(0));
  }
  if (labels.device() != logits.device()) {
    fail("{}: labels is on {} but logits is on {}", kName, name(labels.device()),
         name(logits.device()));
  }
  if (logits.elements() == 0) {
    fail("{}: logits is {}; there is no mean over 0 rows and no label among 0 classes", kName,
         describe(logits));
  }
  if (labels.device() == Device::cpu) check_labels_on_cpu(labels, logits.size(1));
}

}  // namespace

SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& labels) {
  check(logits, labels);
  const Shape rows{logits.size(0)};
  const SoftmaxCrossEntropy result{.loss = Tensor::empty({}, logits.dtype(), logits.device()),
                                   .losses = Tensor::empty(rows, logits.dtype(), logits.device()),
                                   .correct = Tensor::empty(rows, DType::i32, logits.device())};
  Tensor dlogits;
  if (recording({logits})) {
    dlogits = Tensor::empty(logits.shape(), logits.dtype(), logits.device());
  }
  choose(&SoftmaxCrossEntropyOp::forward, logits)(logits, labels, result, dlogits);
  record(kName, result.loss, {logits}, {{"dlogits", dlogits}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&SoftmaxCrossEntropyOp::backward, dy)(dy, saved[0].tensor, write, dx);
         });
  return result;
}

std::vector<Case> SoftmaxCrossEntropyOp::cases() {
  std::vector<Case> cases;
  for (const auto& [name, n, classes] :
       std::vector<std::tuple<std::string, int, int>>{{"one", 1, 1},
                                                      {"two_classes", 3, 2},
                                                      {"prime", 7, 13},
                                                      {"rows_wider_than_block", 521, 3},
                                                      {"classes_as_a_warp", 5, 32},
                                                      {"classes_wider_than_warp", 5, 33},
                                                      {"classes_not_multiple_of_warp", 3, 1031},
                                                      {"digits", 64, 10},
                                                      {"imagenet", 64, 1000}}) {
    const Operand logits{"logits", {n, classes}};
    const Operand labels{"labels", {n}, Fill::labels, DType::i32, classes};
    const Operand losses{"losses", {n}}, correct{"correct", {n}, Fill::uniform, DType::i32};
    const double elements = static_cast<double>(n) * classes;
    const auto forward = [](auto forward, const Tensors& in, const Tensors& out, Write) {
      forward(in[0], in[1], {.loss = out[0], .losses = out[1], .correct = out[2]},
              out.size() > 3 ? out[3] : Tensor());
    };
    cases.push_back(
        {.name = name,
         .calls = {{.entry = "forward",
                    .inputs = {logits, labels},
                    .outputs = {{"loss", {}}, losses, correct, {"dlogits", {n, classes}}},
                    .run = run_entry(&SoftmaxCrossEntropyOp::forward, forward),
                    .flops = 8 * elements},
                   {.entry = "forward_without_gradient",
                    .inputs = {logits, labels},
                    .outputs = {{"loss", {}}, losses, correct},
                    .run = run_entry(&SoftmaxCrossEntropyOp::forward, forward),
                    .flops = 5 * elements},
                   {.entry = "backward",
                    .inputs = {{"dy", {}}, {"dlogits", {n, classes}}},
                    .outputs = {{"dx", {n, classes}}},
                    .accumulates = true,
                    .run = run_entry(&SoftmaxCrossEntropyOp::backward,
                                     [](auto backward, const Tensors& in, const Tensors& out,
                                        Write write) { backward(in[0], in[1], write, out[0]); }),
                    .flops = elements}},
         .inputs = {logits},
         .function = [n = n, classes = classes](const Tensors& in) {
           std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
           for (int row = 0; row < n; ++row) labels[static_cast<std::size_t>(row)] = row % classes;
           return softmax_cross_entropy(in[0], Tensor::from(labels, {n}, in[0].device())).loss;
         }});
  }
  return cases;
}

}  // namespace cucina
