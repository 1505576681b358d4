// reduce's hand-written kernels: folds over one group of axes after the other, the innermost first;
// backward is a map.
#include <limits>

#include "kernels/common/elementwise.h"
#include "kernels/common/sums.h"
#include "kernels/reduce/reduce.h"
#include "kernels/simt/fold.h"

namespace cucina {
namespace {

// One group of axes as the middle one of (outer, length, inner), those further in being reduced.
struct Stage {
  std::int64_t outer, length, inner;
  std::int64_t positions;  // of the axes reduced further in, for each of this one
  std::int64_t results() const { return outer * inner; }
};

struct Stages {
  int count = 0;
  Stage at[3];

  explicit Stages(const ReduceGeometry& g) {
    std::int64_t inner = 1, positions = 1;
    for (int group = 2; group >= 0; --group) {
      inner *= g.kept[static_cast<std::size_t>(group) + 1];
      const std::int64_t length = g.reduced[static_cast<std::size_t>(group)];
      std::int64_t outer = g.kept[0];
      for (int i = 0; i < group; ++i) {
        outer *= g.reduced[static_cast<std::size_t>(i)];
        outer *= g.kept[static_cast<std::size_t>(i) + 1];
      }
      if (length == 1 && (group > 0 || count > 0)) continue;
      at[count++] = {outer, length, inner, positions};
      positions *= length;
    }
  }
};

std::int64_t scratch_of(const ReduceGeometry& geometry) {
  const Stages stages(geometry);
  std::int64_t elements = 0;
  for (int i = 0; i < stages.count; ++i) {
    const Stage& stage = stages.at[i];
    elements += sum_over_scratch(stage.outer, stage.length, stage.inner);
    if (i + 1 < stages.count) elements += stage.results();
  }
  return elements;
}

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

void run_sum_forward(const Tensor& x, const ReduceGeometry& geometry, bool average,
                     const Tensor& scratch, const Tensor& y) {
  for_floating("reduce", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const Stages stages(geometry);
    const DeliverSum<T> deliver{y.data<T>(),
                                average ? static_cast<Real>(geometry.length()) : Real(1), false};
    Real* free = data_or_null<Real>(scratch);
    const Real* sums = nullptr;  // of the stage before
    for (int i = 0; i < stages.count; ++i) {
      const auto [outer, length, inner, positions] = stages.at[i];
      Real* results = free;
      if (i + 1 < stages.count) free += outer * inner;
      Real* partials = free;
      free += sum_over_scratch(outer, length, inner);
      const auto sum = [&](const auto& values, const auto& finish) {
        sum_over<Real>("reduce.sum_forward", x.stream(), outer, length, inner, values, finish,
                       partials);
      };
      const auto sum_to = [&](const auto& values) {
        if (i + 1 < stages.count) {
          sum(values, KeepSum<Real>{results});
        } else {
          sum(values, deliver);
        }
      };
      if (i == 0) {
        sum_to(SummedElements<T>{x.data<T>()});
      } else {
        sum_to(SummedElements<Real>{sums});
      }
      sums = results;
    }
  });
}

// --- max ---

// NaN is larger than every number; of two alike the one in front is. & and |, not && and ||: so
// that plain loops are vectorised.
template <typename Real>
__device__ __forceinline__ bool beats(Real value, std::int32_t position, Real best,
                                      std::int32_t best_position) {
  const bool nan = value != value, best_nan = best != best;
  const bool alike = (value == best) | (nan & best_nan);
  return (value > best) | (nan & !best_nan) | (alike & (position < best_position));
}

// A lane's position is an offset into its outer index, or, of what an earlier fold found, an index.
template <typename T, bool kFound, typename Out>
struct MaxFold {
  using Real = Compute<T>;
  static constexpr std::int32_t kNowhere = std::numeric_limits<std::int32_t>::max();
  const T* x;
  const std::int32_t* found;  // unless kFound, x holds elements
  std::int32_t inner;
  std::int32_t positions;  // of an element of x; 0: x holds partial results of the whole length
  Out* y;
  std::int32_t* index;

  template <int kLanes>
  struct Lanes {
    Real value[kLanes];
    std::int32_t position[kLanes];
    template <typename Other>
    __device__ __forceinline__ void put(int at, const Other& other, int other_at) {
      value[at] = other.value[other_at];
      position[at] = other.position[other_at];
    }
  };

  static __device__ __forceinline__ auto& shared() {
    __shared__ Lanes<simt::kFoldLanes> lanes;
    return lanes;
  }
  template <typename Lanes>
  __device__ __forceinline__ void clear(Lanes& lanes, int at) const {
    lanes.value[at] = -std::numeric_limits<Real>::infinity();
    lanes.position[at] = kNowhere;
  }
  template <int kWidth, typename Lanes>
  __device__ __forceinline__ void add(Lanes& lanes, int at, std::int64_t i,
                                      std::int64_t offset) const {
    const Pack<Real, kWidth> pack = load_wide<kWidth>(x + i);
    for (int j = 0; j < kWidth; ++j) {
      const auto position = static_cast<std::int32_t>(offset + j);
      if constexpr (kFound) {
        const std::int32_t before = positions == 0 ? 0 : position / inner * positions;
        take(lanes, at + j, pack.at[j], before + found[i + j]);
      } else {
        // A lane's positions grow, so of two alike the one in front is there already.
        const Real best = lanes.value[at + j];
        const bool wins = !(pack.at[j] <= best) & (best == best);
        lanes.value[at + j] = wins ? pack.at[j] : best;
        lanes.position[at + j] = wins ? position : lanes.position[at + j];
      }
    }
  }
  template <typename Lanes>
  __device__ __forceinline__ void join(Lanes& lanes, int at, int other) const {
    take(lanes, at, lanes.value[other], lanes.position[other]);
  }
  template <typename Lanes>
  __device__ __forceinline__ void take(Lanes& lanes, int at, Real value,
                                       std::int32_t position) const {
    const bool wins = beats(value, position, lanes.value[at], lanes.position[at]);
    lanes.value[at] = wins ? value : lanes.value[at];
    lanes.position[at] = wins ? position : lanes.position[at];
  }
  template <typename Lanes>
  __device__ __forceinline__ void write(const Lanes& lanes, int at, std::int64_t result) const {
    y[result] = Out(lanes.value[at]);
    const std::int32_t position = lanes.position[at];
    // Where nothing was larger than -Inf, all are, and the first of all is the one.
    const std::int32_t first = position == kNowhere ? 0 : position / inner;
    index[result] = kFound ? position : first;
  }
};

// Values and where they are.
template <typename T>
struct Found {
  T* value;
  std::int32_t* index;
};

template <bool kFound, typename T, typename Out>
void max_fold(const Stream& stream, const simt::FoldPlan& plan, const T* x,
              const std::int32_t* found, std::int64_t positions, const Found<Out>& to) {
  // The front door refuses what does not fit 32 bits.
  const MaxFold<T, kFound, Out> fold{x,
                                     found,
                                     static_cast<std::int32_t>(plan.inner),
                                     static_cast<std::int32_t>(positions),
                                     to.value,
                                     to.index};
  constexpr int kWidth = 16 / sizeof(T);
  if (aligned_for(x, 16) && fold_packs_fit(plan, kWidth)) {
    simt::fold<kWidth>("reduce.max_forward", stream, plan, fold);
  } else {
    simt::fold<1>("reduce.max_forward", stream, plan, fold);
  }
}

void run_max_forward(const Tensor& x, const ReduceGeometry& geometry, const Tensor& scratch,
                     const Tensor& index_scratch, const Tensor& y, const Tensor& index) {
  if (geometry.results() == 0) return;
  for_floating("reduce", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const Stages stages(geometry);
    Found<Real> free{data_or_null<Real>(scratch), data_or_null<std::int32_t>(index_scratch)};
    const auto take = [&](std::int64_t elements) {
      const Found<Real> taken = free;
      free = {free.value + elements, free.index + elements};
      return taken;
    };
    const Found<T> last{y.data<T>(), index.data<std::int32_t>()};
    Found<Real> before{};
    for (int i = 0; i < stages.count; ++i) {
      const auto [outer, length, inner, positions] = stages.at[i];
      const bool ends = i + 1 == stages.count;
      const Found<Real> results = ends ? Found<Real>{} : take(outer * inner);
      const simt::FoldPlan plan = simt::fold_plan(outer, length, inner);
      const auto fold_from = [&]<bool kFound, typename From>(const From* from,
                                                             const std::int32_t* found) {
        const auto fold = [&]<typename Out>(const Found<Out>& to) {
          if (plan.chunks == 1) {
            max_fold<kFound>(x.stream(), plan, from, found, positions, to);
            return;
          }
          const Found<Real> partials = take(outer * plan.chunks * inner);
          max_fold<kFound>(x.stream(), plan, from, found, positions, partials);
          max_fold<true>(x.stream(), simt::fold_plan(outer, plan.chunks, inner, true),
                         static_cast<const Real*>(partials.value), partials.index, 0, to);
        };
        if (ends) {
          fold(last);
        } else {
          fold(results);
        }
      };
      if (i == 0) {
        fold_from.template operator()<false, T>(x.data<T>(), nullptr);
      } else {
        fold_from.template operator()<true, Real>(before.value, before.index);
      }
      before = results;
    }
  });
}

// --- backward ---

// One row of the innermost group of axes: the gradient of each element is that of its result, for
// max only where the element won.
template <typename T, bool kMax, bool kColumnsReduced, bool kAccumulate>
struct GradientRow {
  using Real = Compute<T>;
  const T* dy;
  const std::int32_t* index;
  Real share;  // of dy: 1, or of a mean 1 / length
  Destination<T, kAccumulate> dx;
  std::int64_t result = 0, position = 0;  // of column 0
  Real value = 0;                         // of the one result where columns are reduced
  std::int64_t won = 0;                   // its column

  template <int kWidth>
  __device__ __forceinline__ void at(std::int64_t i, std::int64_t column) const {
    Pack<Real, kWidth> gradient;
    if constexpr (kColumnsReduced) {
      for (int j = 0; j < kWidth; ++j) {
        gradient.at[j] = !kMax || won == column + j ? value : Real(0);
      }
    } else {
      gradient = load_wide<kWidth>(dy + result + column);
      for (int j = 0; j < kWidth; ++j) {
        const bool takes_part = !kMax || index[result + column + j] == position;
        gradient.at[j] = takes_part ? gradient.at[j] * share : Real(0);
      }
    }
    dx.put(gradient, i);
  }
};

template <typename T, bool kMax, bool kColumnsReduced, bool kAccumulate>
struct SpreadGradient {
  using Row = GradientRow<T, kMax, kColumnsReduced, kAccumulate>;
  Row first;
  std::int64_t columns;
  int groups;  // of axes further out, the outermost first
  std::int64_t sizes[6];
  bool reduced[6];

  __device__ __forceinline__ Row row(std::int64_t row) const {
    Row at = first;
    std::int64_t result_step = kColumnsReduced ? 1 : columns;
    std::int64_t position_step = kColumnsReduced ? columns : 1;
    for (int group = groups - 1; group >= 0; --group) {
      const std::int64_t size = sizes[group];
      const std::int64_t outer = group == 0 ? 0 : quotient(row, size);
      const std::int64_t index = row - outer * size;
      if (reduced[group]) {
        at.position += index * position_step;
        position_step *= size;
      } else {
        at.result += index * result_step;
        result_step *= size;
      }
      row = outer;
    }
    if constexpr (kColumnsReduced) {
      at.value = static_cast<Compute<T>>(at.dy[at.result]) * at.share;
      if constexpr (kMax) at.won = at.index[at.result] - at.position;
    }
    return at;
  }

  // A division of 64 bits takes four times as long as one of 32.
  static __device__ __forceinline__ std::int64_t quotient(std::int64_t n, std::int64_t d) {
    if ((n | d) > 0xffffffff) return n / d;
    return static_cast<std::int64_t>(static_cast<unsigned>(n) / static_cast<unsigned>(d));
  }
};

// The groups of axes that have more than one index, outermost first.
struct Groups {
  int count = 0;
  std::int64_t sizes[7];
  bool reduced[7];

  explicit Groups(const ReduceGeometry& geometry) {
    for (std::size_t i = 0; i < 7; ++i) {
      const std::int64_t size = i % 2 == 1 ? geometry.reduced[i / 2] : geometry.kept[i / 2];
      if (size == 1) continue;
      sizes[count] = size;
      reduced[count++] = i % 2 == 1;
    }
    if (count > 0) return;
    sizes[count] = 1;
    reduced[count++] = false;
  }
};

template <typename T, bool kMax, bool kColumnsReduced>
void spread_over(const char* name, const Groups& groups, const Tensor& dy, const Tensor& index,
                 double share, Write write, const Tensor& dx) {
  const auto* positions = kMax ? index.data<std::int32_t>() : nullptr;
  with_destination<T>(dx, write, [&]<bool kAccumulate>(const Destination<T, kAccumulate>& to) {
    SpreadGradient<T, kMax, kColumnsReduced, kAccumulate> functor{};
    functor.first.dy = dy.data<T>();
    functor.first.index = positions;
    functor.first.share = static_cast<Compute<T>>(share);
    functor.first.dx = to;
    functor.groups = groups.count - 1;
    functor.columns = groups.sizes[groups.count - 1];
    for (int i = 0; i < functor.groups; ++i) {
      functor.sizes[i] = groups.sizes[i];
      functor.reduced[i] = groups.reduced[i];
    }
    const MapShape shape{dx.elements() / functor.columns, functor.columns};
    map_packs<kPackWidth<T>>(name, dx.stream(), shape, {dy, dx}, functor);
  });
}

template <bool kMax>
void spread(const char* name, const Tensor& dy, const Tensor& index, const ReduceGeometry& geometry,
            double share, Write write, const Tensor& dx) {
  if (dx.elements() == 0) return;
  const Groups groups(geometry);
  for_floating("reduce", dy.dtype(), [&]<typename T>() {
    if (groups.reduced[groups.count - 1]) {
      spread_over<T, kMax, true>(name, groups, dy, index, share, write, dx);
    } else {
      spread_over<T, kMax, false>(name, groups, dy, index, share, write, dx);
    }
  });
}

void run_sum_backward(const Tensor& dy, const ReduceGeometry& geometry, bool average, Write write,
                      const Tensor& dx) {
  spread<false>("reduce.sum_backward", dy, {}, geometry,
                average ? 1.0 / static_cast<double>(geometry.length()) : 1, write, dx);
}

void run_max_backward(const Tensor& dy, const Tensor& index, const ReduceGeometry& geometry,
                      Write write, const Tensor& dx) {
  spread<true>("reduce.max_backward", dy, index, geometry, 1, write, dx);
}

}  // namespace

template <typename Target>
ReduceOp ReduceOp::hand() {
  return {.dtypes = kFloating,
          .scratch = scratch_of,
          .sum_forward = run_sum_forward,
          .sum_backward = run_sum_backward,
          .max_scratch = scratch_of,
          .max_forward = run_max_forward,
          .max_backward = run_max_backward};
}
template ReduceOp ReduceOp::hand<simt::Target>();

}  // namespace cucina
