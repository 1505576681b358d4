// conv2d's entries of `hand`: which kernels serve which shapes, sums over splits, and the passes
// over single elements.
#include <algorithm>

#include "kernels/common/column_sum.h"
#include "kernels/common/divisor.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/pack.h"
#include "kernels/common/precision.h"
#include "kernels/conv2d/kernels.h"
#include "kernels/simt/map.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using conv2d_kernels::WeightGradient;

using Target = simt::Target;

// --- geometry ---------------------------------------------------------------------------------

Side forward_side(const Shape& x, const Shape& w, const Shape& y, int i,
                  const Conv2dParams& params) {
  return Side::forward_of(x[i], y[i], w[i], params.stride, params.pad, params.dilation);
}

Correlation forward_geometry(const Shape& x, const Shape& w, const Shape& y,
                             const Conv2dParams& params) {
  return {.n = static_cast<int>(x[0]),
          .groups = params.groups,
          .c = static_cast<int>(w[3]),
          .k = static_cast<int>(w[0] / params.groups),
          .rows = forward_side(x, w, y, 1, params),
          .columns = forward_side(x, w, y, 2, params),
          .window_out = w[1] * w[2] * w[3],
          .window_row = w[2] * w[3],
          .window_column = w[3],
          .window_in = 1,
          .window_group = w[0] / params.groups * w[1] * w[2] * w[3]};
}

// Images are dy, results dx: channels in and out change places.
Correlation backward_geometry(const Shape& dx, const Shape& w, const Shape& dy,
                              const Conv2dParams& params) {
  Correlation g = forward_geometry(dx, w, dy, params);
  std::swap(g.c, g.k);
  std::swap(g.window_out, g.window_in);
  const auto side = [&](int i) {
    return Side::backward_of(dy[i], dx[i], w[i], params.stride, params.pad, params.dilation);
  };
  g.rows = side(1);
  g.columns = side(2);
  return g;
}

// --- which kernels ----------------------------------------------------------------------------

enum class Way { patches, depthwise, direct, products, tensor_cores };

bool on_tensor_cores(DType dtype) {
  return dtype == DType::bf16 || (dtype == DType::f32 && float32_precision() == Precision::tf32);
}

// Groups of fewer channels than this leave most of a product's tile empty.
constexpr int kFewPerGroup = 8;
bool small_groups(const Correlation& g) {
  return g.groups > 1 && (g.c < kFewPerGroup || g.k < kFewPerGroup);
}
// Tensor cores multiply 16 x 16 at once.
bool fills_tensor_cores(const Correlation& g) { return g.c >= 16 && g.k >= 16; }

Way way_of(const Correlation& g, DType dtype) {
  constexpr std::int64_t kMostDepthwiseTaps = 121;  // 11 x 11: their weights are in shared memory
  constexpr int kFewOut = 4;
  const bool cores = on_tensor_cores(dtype);
  if (g.groups > 1 && g.c == 1 && g.k == 1 && g.most_taps() <= kMostDepthwiseTaps)
    return Way::depthwise;
  if (small_groups(g)) return Way::direct;
  if (!(cores && fills_tensor_cores(g)) && conv2d_kernels::patches_fit<simt::Target>(g))
    return Way::patches;
  if (g.k <= kFewOut) return Way::direct;
  return cores ? Way::tensor_cores : Way::products;
}

void correlate(const Correlate& call) {
  switch (way_of(call.g, call.result.dtype())) {
    case Way::patches:
      return conv2d_kernels::correlate_patches<Target>(call);
    case Way::depthwise:
      return conv2d_kernels::correlate_depthwise<Target>(call);
    case Way::direct:
      return conv2d_kernels::correlate_directly<Target>(call);
    case Way::products:
      return conv2d_kernels::correlate_by_products<Target>(call);
    case Way::tensor_cores:
      return conv2d_kernels::correlate_by_tensor_cores<Target>(call);
  }
}

// How backward_weight is spread over blocks. It depends on sizes only, so the order of summation
// does too.
struct WeightPlan {
  Way way;
  std::int64_t splits;  // sums that the second pass adds for each element of dw
};

WeightPlan plan_weight(const Correlation& g, DType dtype) {
  constexpr std::int64_t kEnoughBlocks = 256;
  constexpr std::int64_t kWorthBlock = 256;  // pixels; fewer do not pay for the second pass
  const bool cores = on_tensor_cores(dtype);
  const std::int64_t taps = g.most_taps() * g.c;
  const auto splits = [&](std::int64_t tiles) {
    return std::clamp<std::int64_t>(
        kEnoughBlocks / std::max<std::int64_t>(tiles, 1), 1,
        std::clamp<std::int64_t>(g.most_pixels() / kWorthBlock, 1, kSummedRows));
  };
  if (small_groups(g))
    return {Way::direct, splits(divide_up(std::int64_t{g.k} * g.groups, 32) * divide_up(taps, 9))};
  if (!(cores && fills_tensor_cores(g)) && conv2d_kernels::weight_patches_fit<simt::Target>(g))
    return {Way::patches, conv2d_kernels::weight_patch_splits<simt::Target>(g)};
  const std::int64_t tile = g.k > 64 ? 128 : 64;
  return {cores ? Way::tensor_cores : Way::products,
          splits(divide_up(g.k, tile) * divide_up(taps, tile) * g.groups)};
}

void weight_gradient(Way way, const WeightGradient& call) {
  switch (way) {
    case Way::patches:
      return conv2d_kernels::weight_gradient_patches<Target>(call);
    case Way::depthwise:
    case Way::direct:
      return conv2d_kernels::weight_gradient_directly<Target>(call);
    case Way::products:
      return conv2d_kernels::weight_gradient_by_products<Target>(call);
    case Way::tensor_cores:
      return conv2d_kernels::weight_gradient_by_tensor_cores<Target>(call);
  }
}

// --- the entries ------------------------------------------------------------------------------

void run_forward_prologue(const Tensor& x, const Conv2dPrologue& prologue, const Tensor& w,
                          const Tensor& b, const Conv2dParams& params, const Tensor& y) {
  if (y.elements() == 0) return;
  correlate({.name = "conv2d.forward",
             .g = forward_geometry(x.shape(), w.shape(), y.shape(), params),
             .images = x,
             .prologue = prologue,
             .windows = w,
             .bias = b,
             .result = y,
             .relu = params.relu});
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  run_forward_prologue(x, {}, w, b, params, y);
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (dx.elements() == 0) return;
  correlate({.name = "conv2d.backward_input",
             .g = backward_geometry(dx.shape(), w.shape(), dy.shape(), params),
             .images = dy,
             .prologue = {},
             .windows = w,
             .bias = {},
             .result = dx,
             .accumulate = write == Write::accumulate});
}

std::int64_t weight_scratch(const Tensor& dy, const Tensor& x, const Conv2dParams& params,
                            const Shape& dw) {
  if (dy.elements() == 0) return 0;
  const Correlation g = forward_geometry(x.shape(), dw, dy.shape(), params);
  return plan_weight(g, dy.dtype()).splits * dw.elements();
}

void run_backward_weight_prologue(const Tensor& dy, const Tensor& x, const Conv2dPrologue& prologue,
                                  const Conv2dParams& params, Write write, const Tensor& dw,
                                  const Tensor& scratch) {
  if (dw.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) dw.zero();
    return;
  }
  const Correlation g = forward_geometry(x.shape(), dw.shape(), dy.shape(), params);
  const WeightPlan plan = plan_weight(g, dy.dtype());
  weight_gradient(plan.way, {.g = g,
                             .images = x,
                             .prologue = prologue,
                             .dy = dy,
                             .partial = scratch,
                             .splits = plan.splits});
  for_floating("conv2d", dy.dtype(), [&]<typename T>() {
    column_sum("conv2d.backward_weight_sum", dy.stream(),
               static_cast<const Compute<T>*>(scratch.data<Compute<T>>()), plan.splits,
               dw.elements(), write == Write::accumulate, dw.data<T>(),
               static_cast<Compute<T>*>(nullptr));
  });
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor& scratch) {
  run_backward_weight_prologue(dy, x, {}, params, write, dw, scratch);
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch) {
  if (db.elements() == 0) return;
  for_floating("conv2d", dy.dtype(), [&]<typename T>() {
    column_sum("conv2d.backward_bias", dy.stream(), static_cast<const T*>(dy.data<T>()),
               dy.elements() / db.elements(), db.elements(), write == Write::accumulate,
               db.data<T>(), scratch.defined() ? scratch.data<Compute<T>>() : nullptr);
  });
}

std::int64_t bias_scratch(const Shape& dy) {
  return column_sum_scratch(dy[0] * dy[1] * dy[2], dy[3]);
}

// --- passes over single elements --------------------------------------------------------------

template <typename T, int kWidth>
struct ReluBackward {
  const T* dy;
  const T* y;
  T* dz;
  __device__ void operator()(std::int64_t i) const {
    const auto value = load_wide<kWidth>(y + i * kWidth);
    auto gradient = load_wide<kWidth>(dy + i * kWidth);
    for (int j = 0; j < kWidth; ++j) {
      gradient.at[j] = value.at[j] > Compute<T>(0) ? gradient.at[j] : Compute<T>(0);
    }
    store_rounded(gradient, dz + i * kWidth);
  }
};

void run_backward_relu(const Tensor& dy, const Tensor& y, const Tensor& dz) {
  for_floating("conv2d", dy.dtype(), [&]<typename T>() {
    for_pack_width(dy.elements(), {dy, y, dz}, [&]<int kWidth>() {
      simt::map("conv2d.backward_relu", dy.stream(), dy.elements() / kWidth,
                ReluBackward<T, kWidth>{dy.data<T>(), y.data<T>(), dz.data<T>()});
    });
  });
}

// The gradient da at row `row` and column `c` of x as (pixels, c), as far as the prologue's relu
// passes it; times scale it is x's, times x it is scale's.
template <typename T>
struct Passed {
  const T* da;
  PrologueSource<T> prologue;
  std::int64_t columns;

  template <typename Factor>
  __device__ Compute<T> times(std::int64_t row, std::int64_t c, Factor factor) const {
    const std::int64_t i = row * columns + c;
    const auto x = static_cast<Compute<T>>(prologue.data[i]);
    if (prologue.relu && !(fma(prologue.scale[c], x, prologue.shift[c]) > Compute<T>(0))) {
      return Compute<T>(0);
    }
    return static_cast<Compute<T>>(da[i]) * factor(x);
  }
};

template <typename T>
struct OfScale {
  Passed<T> passed;
  __device__ Compute<T> operator()(std::int64_t row, std::int64_t c) const {
    return passed.times(row, c, [](Compute<T> x) { return x; });
  }
};

template <typename T>
struct OfShift {
  Passed<T> passed;
  __device__ Compute<T> operator()(std::int64_t row, std::int64_t c) const {
    return passed.times(row, c, [](Compute<T>) { return Compute<T>(1); });
  }
};

template <typename T>
struct OfInput {
  Passed<T> passed;
  Divisor columns;
  T* dx;
  bool accumulate;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = columns.quotient(i), c = i - row * columns.value();
    const Compute<T> gradient =
        passed.times(row, c, [&](Compute<T>) { return passed.prologue.scale[c]; });
    dx[i] = T(accumulate ? static_cast<Compute<T>>(dx[i]) + gradient : gradient);
  }
};

void run_backward_prologue(const Tensor& da, const Tensor& x, const Conv2dPrologue& prologue,
                           const Conv2dPrologueGradients& to, const Tensor& scratch) {
  const std::int64_t columns = x.size(3), rows = columns == 0 ? 0 : x.elements() / columns;
  for_floating("conv2d", da.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const Passed<T> passed{
        da.data<T>(),
        {x.data<T>(), prologue.scale.data<Real>(), prologue.shift.data<Real>(), prologue.relu},
        columns};
    if (to.dx.defined()) {
      simt::map(
          "conv2d.backward_prologue", da.stream(), x.elements(),
          OfInput<T>{passed, Divisor(columns), to.dx.data<T>(), to.dx_write == Write::accumulate});
    }
    const auto sum = [&](const auto& value, const Tensor& out, Write write) {
      if (!out.defined()) return;
      column_sum_of("conv2d.backward_prologue_sum", da.stream(), value, rows, columns,
                    write == Write::accumulate, out.data<Real>(),
                    scratch.defined() ? scratch.data<Real>() : nullptr);
    };
    sum(OfScale<T>{passed}, to.dscale, to.dscale_write);
    sum(OfShift<T>{passed}, to.dshift, to.dshift_write);
  });
}

}  // namespace

template <typename Target>
Conv2dOp Conv2dOp::hand() {
  return {.dtypes = kFloating,
          .forward = run_forward,
          .forward_prologue = run_forward_prologue,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = weight_scratch,
          .backward_weight_prologue = run_backward_weight_prologue,
          .backward_weight_prologue_scratch = weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = bias_scratch,
          .backward_relu = run_backward_relu,
          .backward_prologue = run_backward_prologue,
          .backward_prologue_scratch = bias_scratch};
}
template Conv2dOp Conv2dOp::hand<simt::Target>();

}  // namespace cucina
