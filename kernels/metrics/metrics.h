// metrics: what a classifier answers, and how often it is right. Integers, so the same whatever the
// order of threads. None is differentiable.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// The class with the largest logit of every row, the first among equals; a NaN is larger than any
// number, as in PyTorch.
//   logits   (n, classes) f32, f64 or bf16, classes > 0; n may be 0
//   returns  (n) i32
//   throws   Error when logits is not of rank 2 or classes is 0
Tensor argmax(const Tensor& logits);

// How many classes come before the label when they are sorted by their logits, equal ones in their
// own order: 0 where the label is the answer. A row with a NaN logit has no order: there it is
// `classes`.
//   labels   (n) i32, in [0, classes), same device
//   returns  (n) i32
//   throws   Error when a shape or dtype is wrong or, on the cpu, a label is not a class (exit code
//            3); on cuda, where nobody waits to look, its rank is `classes`
Tensor label_ranks(const Tensor& logits, const Tensor& labels);

// How many of the labels are among the k largest logits of their rows, ties and NaN as in
// label_ranks.
//   returns  () i32
//   throws   Error as label_ranks, or when k is not in [1, classes]
Tensor top_k_correct(const Tensor& logits, const Tensor& labels, std::int64_t k);

// counts[labels[i], predicted[i]] += 1 for every i.
//   labels, predicted  (n) i32, in [0, classes), same device
//   counts   (classes, classes) i32, changed in place: rows are true classes, columns predicted
//            ones
//   throws   Error when a shape or dtype is wrong or, on the cpu, a number is not a class (exit
//   code
//            3); on cuda, where nobody waits to look, such an example is counted nowhere
void count_confusion(const Tensor& labels, const Tensor& predicted, const Tensor& counts);

// What a backend provides.
struct MetricsOp {
  static constexpr std::string_view kName = "metrics";
  DTypes dtypes;  // of logits; and i32, of counts
  void (*argmax)(const Tensor& logits, const Tensor& answers);
  void (*label_ranks)(const Tensor& logits, const Tensor& labels, const Tensor& ranks);
  // *count = the number of ranks below k
  void (*count_below)(const Tensor& ranks, std::int64_t k, const Tensor& count);
  void (*count_confusion)(const Tensor& labels, const Tensor& predicted, const Tensor& counts);

  static constexpr DTypes kI32{1u << static_cast<unsigned>(DType::i32)};
  static MetricsOp reference();
  template <typename Target>
  static MetricsOp hand();
  // The libraries have none of them.
  template <typename Target>
  static MetricsOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
