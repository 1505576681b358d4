// Sums over the middle axis of (outer, length, inner), in one or two folds.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "kernels/common/pack.h"
#include "kernels/simt/fold.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// May a fold's threads take packs of `width` elements?
inline bool fold_packs_fit(const simt::FoldPlan& plan, int width) {
  return plan.lanes % width == 0 && plan.length * plan.inner % width == 0 &&
         (plan.tiles == 1 || plan.inner % width == 0);
}

inline bool aligned_for(const void* address, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % (bytes < 16 ? bytes : 16) == 0;
}

// `values` is a struct with
//   kWidth                 the elements in 16 bytes
//   fits()                 do addresses allow packs of them?
//   load<width>(i)         a Pack<Real, width> of elements [i, i + width)
// and `finish(result, sum)` delivers.
template <typename Real, typename Values, typename Finish>
struct SumFold {
  Values values;
  Finish finish;

  template <int kLanes>
  struct Lanes {
    Real sum[kLanes];
    template <typename Other>
    __device__ __forceinline__ void put(int at, const Other& other, int other_at) {
      sum[at] = other.sum[other_at];
    }
  };

  static __device__ __forceinline__ auto& shared() {
    __shared__ Lanes<simt::kFoldLanes> lanes;
    return lanes;
  }
  template <typename Lanes>
  __device__ __forceinline__ void clear(Lanes& lanes, int at) const {
    lanes.sum[at] = Real(0);
  }
  template <int kWidth, typename Lanes>
  __device__ __forceinline__ void add(Lanes& lanes, int at, std::int64_t i, std::int64_t) const {
    const Pack<Real, kWidth> pack = values.template load<kWidth>(i);
    for (int j = 0; j < kWidth; ++j) lanes.sum[at + j] += pack.at[j];
  }
  template <typename Lanes>
  __device__ __forceinline__ void join(Lanes& lanes, int at, int other) const {
    lanes.sum[at] += lanes.sum[other];
  }
  template <typename Lanes>
  __device__ __forceinline__ void write(const Lanes& lanes, int at, std::int64_t result) const {
    finish(result, lanes.sum[at]);
  }
};

// The elements of a tensor.
template <typename T>
struct SummedElements {
  static constexpr int kWidth = 16 / sizeof(T);
  const T* x;
  bool fits() const { return aligned_for(x, 16); }
  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> load(std::int64_t i) const {
    return load_wide<kWidth>(x + i);
  }
};

template <typename Real>
struct KeepSum {
  Real* sums;
  __device__ __forceinline__ void operator()(std::int64_t result, Real sum) const {
    sums[result] = sum;
  }
};

// to[result] (+)= sum / divisor
template <typename T>
struct DeliverSum {
  T* to;
  Compute<T> divisor;
  bool accumulate;
  __device__ __forceinline__ void operator()(std::int64_t result, Compute<T> sum) const {
    const Compute<T> value = sum / divisor;
    to[result] = T(accumulate ? static_cast<Compute<T>>(to[result]) + value : value);
  }
};

template <typename Real, typename Values, typename Finish>
void sum_fold(const char* name, const Stream& stream, const simt::FoldPlan& plan,
              const Values& values, const Finish& finish) {
  const SumFold<Real, Values, Finish> fold{values, finish};
  if (values.fits() && fold_packs_fit(plan, Values::kWidth)) {
    simt::fold<Values::kWidth>(name, stream, plan, fold);
  } else {
    simt::fold<1>(name, stream, plan, fold);
  }
}

// The sums over length of (outer, length, inner); `scratch` holds as many elements as
// sum_over_scratch() says.
template <typename Real, typename Values, typename Finish>
void sum_over(const char* name, const Stream& stream, std::int64_t outer, std::int64_t length,
              std::int64_t inner, const Values& values, const Finish& finish, Real* scratch) {
  if (outer == 0 || inner == 0) return;
  const simt::FoldPlan plan = simt::fold_plan(outer, length, inner);
  if (plan.chunks == 1) {
    sum_fold<Real>(name, stream, plan, values, finish);
    return;
  }
  sum_fold<Real>(name, stream, plan, values, KeepSum<Real>{scratch});
  sum_fold<Real>(name, stream, simt::fold_plan(outer, plan.chunks, inner, true),
                 SummedElements<Real>{scratch}, finish);
}

inline std::int64_t sum_over_scratch(std::int64_t outer, std::int64_t length, std::int64_t inner) {
  if (outer == 0 || inner == 0) return 0;
  const simt::FoldPlan plan = simt::fold_plan(outer, length, inner);
  return plan.chunks == 1 ? 0 : outer * plan.chunks * inner;
}

}  // namespace
}  // namespace cucina
