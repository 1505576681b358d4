// The metrics' front doors: checks and choice of backend; and their cases.
#include "kernels/metrics/metrics.h"

#include <limits>

#include "core/error.h"
#include "kernels/common/label_checks.h"

namespace cucina {
namespace {

void check_logits(std::string_view op, const Tensor& logits) {
  if (logits.shape().rank() != 2 || logits.size(1) < 1) {
    fail("{}: logits is {} but must be (n, classes), with classes at least 1", op,
         describe(logits));
  }
  if (logits.size(1) > std::numeric_limits<std::int32_t>::max()) {
    fail("{}: logits has {} classes; answers are 32-bit", op, logits.size(1));
  }
}

// Numbers of classes, looked at where that costs no wait for the device.
void check_classes(std::string_view op, std::string_view name, const Tensor& numbers,
                   std::int64_t classes) {
  if (numbers.device() != Device::cpu) return;
  for (std::int64_t i = 0; i < numbers.elements(); ++i) {
    const std::int32_t number = numbers.data<std::int32_t>()[i];
    if (number < 0 || number >= classes) {
      fail(ExitCode::bad_file, "{}: {}[{}] is {} but counts has {} classes: 0 to {}", op, name, i,
           number, classes, classes - 1);
    }
  }
}

}  // namespace

Tensor argmax(const Tensor& logits) {
  check_logits("argmax", logits);
  const Tensor answers = Tensor::empty({logits.size(0)}, DType::i32, logits.device());
  choose(&MetricsOp::argmax, logits)(logits, answers);
  return answers;
}

Tensor label_ranks(const Tensor& logits, const Tensor& labels) {
  check_logits("label_ranks", logits);
  check_labels("label_ranks", labels, "logits", logits);
  const Tensor ranks = Tensor::empty({logits.size(0)}, DType::i32, logits.device());
  choose(&MetricsOp::label_ranks, logits)(logits, labels, ranks);
  return ranks;
}

Tensor top_k_correct(const Tensor& logits, const Tensor& labels, std::int64_t k) {
  check_logits("top_k_correct", logits);
  check_labels("top_k_correct", labels, "logits", logits);
  if (k < 1 || k > logits.size(1)) {
    fail("top_k_correct: k is {} but must be in [1, {}], the classes of logits", k, logits.size(1));
  }
  const Tensor ranks = label_ranks(logits, labels);
  const Tensor count = Tensor::empty({}, DType::i32, logits.device());
  choose(&MetricsOp::count_below, logits)(ranks, k, count);
  return count;
}

void count_confusion(const Tensor& labels, const Tensor& predicted, const Tensor& counts) {
  constexpr std::string_view kOp = "count_confusion";
  const Shape& shape = counts.shape();
  if (counts.dtype() != DType::i32 || shape.rank() != 2 || shape[0] != shape[1]) {
    fail("{}: counts is {} but must be i32 (classes, classes)", kOp, describe(counts));
  }
  for (const auto& [name, tensor] : {std::pair("labels", labels), {"predicted", predicted}}) {
    if (tensor.dtype() != DType::i32 || tensor.shape().rank() != 1 ||
        tensor.device() != counts.device()) {
      fail("{}: {} is {} but must be i32 (n) on {}, as counts", kOp, name, describe(tensor),
           cucina::name(counts.device()));
    }
  }
  if (labels.elements() != predicted.elements()) {
    fail("{}: labels has {} elements but predicted has {}", kOp, labels.elements(),
         predicted.elements());
  }
  check_classes(kOp, "labels", labels, shape[0]);
  check_classes(kOp, "predicted", predicted, shape[0]);
  choose(&MetricsOp::count_confusion, counts)(labels, predicted, counts);
}

namespace {

// One set of shapes.
struct Setting {
  std::string name;
  std::int64_t n, classes, k = 1;
};

Case make_case(const Setting& s) {
  const int classes = static_cast<int>(s.classes);
  const Operand logits{"logits", {s.n, s.classes}};
  const auto numbers = [&](const char* name, const Shape& shape) {
    return Operand{name, shape, Fill::labels, DType::i32, classes};
  };
  const Operand counts = numbers("counts", {s.classes, s.classes});
  const double n = static_cast<double>(s.n);
  Case c{
      .name = s.name,
      .calls = {{.entry = "argmax",
                 .inputs = {logits},
                 .outputs = {numbers("answers", {s.n})},
                 .run = run_entry(&MetricsOp::argmax,
                                  [](auto argmax, const Tensors& in, const Tensors& out, Write) {
                                    argmax(in[0], out[0]);
                                  }),
                 .flops = n * classes},
                {.entry = "label_ranks",
                 .inputs = {logits, numbers("labels", {s.n})},
                 .outputs = {numbers("ranks", {s.n})},
                 .run = run_entry(&MetricsOp::label_ranks,
                                  [](auto label_ranks, const Tensors& in, const Tensors& out,
                                     Write) { label_ranks(in[0], in[1], out[0]); }),
                 .flops = n * classes},
                {.entry = "count_below",
                 .inputs = {numbers("ranks", {s.n})},
                 .outputs = {numbers("count", {})},
                 .run = run_entry(&MetricsOp::count_below,
                                  [k = s.k](auto count_below, const Tensors& in, const Tensors& out,
                                            Write) { count_below(in[0], k, out[0]); }),
                 .flops = n}}};
  // Matrices of more classes nobody reads.
  if (s.classes <= 100) {
    c.calls.push_back(
        {.entry = "count_confusion",
         .inputs = {numbers("labels", {s.n}), numbers("predicted", {s.n}), counts},
         .outputs = {counts},
         // Counts are changed in place: here the output starts as a copy of the input.
         .run = run_entry(&MetricsOp::count_confusion,
                          [](auto count_confusion, const Tensors& in, const Tensors& out, Write) {
                            out[0].copy_from(in[2]);
                            count_confusion(in[0], in[1], out[0]);
                          }),
         .flops = n});
  }
  return c;
}

}  // namespace

std::vector<Case> MetricsOp::cases() {
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{{"one", 1, 1},
                                               {"prime", 13, 7, 3},
                                               {"digits", 131, 10, 5},
                                               {"rows_wider_than_block", 521, 3, 2},
                                               {"many_rows", 2503, 2},
                                               {"classes_wider_than_lane", 9, 33, 5},
                                               {"whole_parts", 5, 100, 5},
                                               {"wider_than_warp", 3, 1031, 500},
                                               {"empty", 0, 4}}) {
    cases.push_back(make_case(s));
  }
  cases.push_back(make_case({"imagenet", 64, 1000, 5}));
  cases.back().timed = Timed::everywhere;
  cases.push_back(make_case({"8192x1000", 8192, 1000, 5}));
  cases.back().timed = Timed::gpu;
  cases.back().checked = false;
  return cases;
}

}  // namespace cucina
