// The metrics' hand-written kernels: a team of threads per row; counts by integer atomics, whose
// order changes nothing.
#include "kernels/common/first_largest.h"
#include "kernels/common/row_team.h"
#include "kernels/metrics/metrics.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

struct Size {
  std::int64_t rows, classes;
  bool whole;  // parts may be loaded at once
};

template <typename T, typename Team>
__global__ void __launch_bounds__(256)
    argmax_kernel(const T* logits, Size size, std::int32_t* answers) {
  const std::int64_t row = Team::row();
  if (row >= size.rows) return;
  const T* x = logits + row * size.classes;
  FirstLargest<Compute<T>, Team> places;
  std::int32_t nans[Team::kSlots];
  for (int slot = 0; slot < Team::kSlots; ++slot) nans[slot] = kNowhere;
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      places.add(slot + j, values[j], k + j);
      const auto here = values[j] != values[j] ? static_cast<std::int32_t>(k + j) : kNowhere;
      nans[slot + j] = earlier(nans[slot + j], here);
    }
  });
  const std::int32_t nan = Team::template join<0>([&](int slot) { return nans[slot]; }, earlier);
  const std::int32_t largest = places.template first<2>(places.template value<1>());
  if (Team::lane() != 0) return;
  answers[row] = nan != kNowhere ? nan : largest != kNowhere ? largest : 0;  // 0: all are -Inf
}

template <typename T, typename Team>
__global__ void __launch_bounds__(256)
    ranks_kernel(const T* logits, const std::int32_t* labels, Size size, std::int32_t* ranks) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row();
  if (row >= size.rows) return;
  const T* x = logits + row * size.classes;
  const std::int32_t label = labels[row];
  const bool valid = label >= 0 && label < size.classes;
  const Real of_label = valid ? static_cast<Real>(x[label]) : Real(0);
  std::int32_t before[Team::kSlots] = {}, nans[Team::kSlots] = {};
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      const bool earlier_equal = values[j] == of_label && k + j < label;
      before[slot + j] += values[j] > of_label || earlier_equal ? 1 : 0;
      nans[slot + j] += values[j] != values[j] ? 1 : 0;
    }
  });
  const std::int32_t rank = Team::template sum<0>(before),
                     without_order = Team::template sum<1>(nans);
  if (Team::lane() != 0) return;
  ranks[row] = valid && without_order == 0 ? rank : static_cast<std::int32_t>(size.classes);
}

template <typename Team>
__global__ void __launch_bounds__(256) count_below_kernel(const std::int32_t* ranks, std::int64_t n,
                                                          std::int64_t limit, std::int32_t* count) {
  if (Team::row() > 0) return;
  std::int32_t below[Team::kSlots] = {};
  Team::for_parts(n, false, [&]<int kWidth>(std::int64_t k, int slot) {
    for (int j = 0; j < kWidth; ++j) below[slot + j] += ranks[k + j] < limit ? 1 : 0;
  });
  const std::int32_t sum = Team::template sum<0>(below);
  if (Team::lane() == 0) *count = sum;
}

constexpr unsigned kThreads = 256;

__global__ void confusion_kernel(const std::int32_t* labels, const std::int32_t* predicted,
                                 std::int64_t n, std::int64_t classes, std::int32_t* counts) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const std::int64_t row = labels[i], column = predicted[i];
  if (row < 0 || row >= classes || column < 0 || column >= classes) return;
  atomicAdd(counts + row * classes + column, 1);
}

void run_argmax(const Tensor& logits, const Tensor& answers) {
  for_floating("metrics", logits.dtype(), [&]<typename T>() {
    const Size size{logits.size(0), logits.size(1), whole_parts(logits.size(1), {logits})};
    for_row_team(size.classes, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("metrics.argmax", argmax_kernel<T, Team>, logits.stream(), size.rows,
                        logits.data<T>(), size, answers.data<std::int32_t>());
    });
  });
}

void run_label_ranks(const Tensor& logits, const Tensor& labels, const Tensor& ranks) {
  for_floating("metrics", logits.dtype(), [&]<typename T>() {
    const Size size{logits.size(0), logits.size(1), whole_parts(logits.size(1), {logits})};
    for_row_team(size.classes, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("metrics.label_ranks", ranks_kernel<T, Team>, logits.stream(), size.rows,
                        logits.data<T>(), labels.data<std::int32_t>(), size,
                        ranks.data<std::int32_t>());
    });
  });
}

void run_count_below(const Tensor& ranks, std::int64_t k, const Tensor& count) {
  for_row_team(ranks.elements(), [&](auto team) {
    using Team = decltype(team);
    launch_rows<Team>("metrics.count_below", count_below_kernel<Team>, ranks.stream(), 1,
                      ranks.data<std::int32_t>(), ranks.elements(), k, count.data<std::int32_t>());
  });
}

void run_count_confusion(const Tensor& labels, const Tensor& predicted, const Tensor& counts) {
  const std::int64_t n = labels.elements();
  if (n == 0) return;
  simt::launch("metrics.count_confusion", confusion_kernel,
               {.grid = {static_cast<unsigned>((n + kThreads - 1) / kThreads)},
                .block = {kThreads},
                .stream = labels.stream()},
               labels.data<std::int32_t>(), predicted.data<std::int32_t>(), n, counts.size(0),
               counts.data<std::int32_t>());
}

}  // namespace

template <typename Target>
MetricsOp MetricsOp::hand() {
  return {.dtypes = {kFloating.bits | kI32.bits},
          .argmax = run_argmax,
          .label_ranks = run_label_ranks,
          .count_below = run_count_below,
          .count_confusion = run_count_confusion};
}
template MetricsOp MetricsOp::hand<simt::Target>();

}  // namespace cucina
