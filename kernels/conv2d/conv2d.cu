// conv2d's hand-written kernels: one correlation serves forward and backward_input, by image
// patches in shared memory where channels are few and by implicit matrix products where they are
// many; and the same two ways for backward_weight, whose blocks' sums are added in a second pass.
#include "kernels/common/column_sum.h"
#include "kernels/common/correlation.h"
#include "kernels/common/outer_product.h"
#include "kernels/common/product_tile.h"
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

// The windows: element (k, r, s, c) is at first[k out + r row + s column + c in].
template <typename Real>
struct Windows {
  const Real* first;
  std::int64_t out, row, column, in;
};

template <typename Real>
struct Result {
  const Real* bias;  // null where there is none
  Real* y;           // (n, p, q, k)
  bool accumulate;

  __device__ void put(std::int64_t pixel, int channel, int channels, Real sum) const {
    if (bias != nullptr) sum += bias[channel];
    Real& to = y[pixel * channels + channel];
    to = accumulate ? to + sum : sum;
  }
};

// --- few channels: patches of the image in shared memory -------------------------------------

// One block: one band of one image, 8 output channels. One thread: 8 pixels of them.
template <typename Real>
__global__ void __launch_bounds__(64)
    patch_kernel(const Correlation g, const Band band, const Real* images,
                 const Windows<Real> windows, const Result<Real> result) {
  Real* const patch = simt::dynamic_shared<Real>();
  Real* const weights = patch + (band.patch_elements() + 3) / 4 * 4;  // [r][s][channels][8]
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int bands = (g.p + band.rows - 1) / band.rows;
  const int n = static_cast<int>(blockIdx.x) / bands;
  const int row = static_cast<int>(blockIdx.x) % bands * band.rows;
  const int first_channel = static_cast<int>(blockIdx.y) * kOuter;

  load_patch(g, band, images + static_cast<std::int64_t>(n) * g.h * g.w * g.c, row, patch);
  for (int i = thread; i < g.r * g.s * band.channels; i += threads) {
    const int tap = i / band.channels, c = i % band.channels;
    const Real* const from =
        windows.first + tap / g.s * windows.row + tap % g.s * windows.column + c * windows.in;
    for (int j = 0; j < kOuter; ++j) {
      const int k = first_channel + j;
      weights[i * kOuter + j] = c < g.c && k < g.k ? from[k * windows.out] : Real(0);
    }
  }
  __syncthreads();

  const int pixels = min(band.rows, g.p - row) * g.q;
  const std::int64_t first_pixel = (static_cast<std::int64_t>(n) * g.p + row) * g.q;
  const int window_row = g.s * band.channels;  // a row of taps lies together in patch and weights
  for (int begin = 0; begin < pixels; begin += threads * kOuter) {
    // The thread's pixels are `active` apart, so that neighbours read neighbouring banks.
    const int active = min(threads, (pixels - begin + kOuter - 1) / kOuter);
    if (thread >= active) continue;
    const Real* at[kOuter];
    for (int i = 0; i < kOuter; ++i) {
      const int pixel = min(begin + thread + i * active, pixels - 1);
      at[i] =
          patch + pixel / g.q * g.stride * band.pitch() + pixel % g.q * g.stride * band.channels;
    }
    Real sum[kOuter][kOuter] = {};
    const Real* weight = weights;
    for (int r = 0; r < g.r; ++r) {
      for (int tap = 0; tap < window_row; ++tap) {
        add_outer_product([&](int i) { return at[i][tap]; }, weight, sum);
        weight += kOuter;
      }
      for (int i = 0; i < kOuter; ++i) at[i] += band.pitch();
    }
    for (int i = 0; i < kOuter; ++i) {
      const int pixel = begin + thread + i * active;
      for (int j = 0; j < kOuter; ++j) {
        if (pixel < pixels && first_channel + j < g.k) {
          result.put(first_pixel + pixel, first_channel + j, g.k, sum[i][j]);
        }
      }
    }
  }
}

// Where the tiles of an implicit matrix product, 64 channels wide, would be mostly empty.
constexpr int kFewChannels = 32;

// An even number of channels a multiple of 8 would send neighbouring pixels to the same banks.
int padded_channels(int c) { return c % 8 == 0 ? c + 1 : c; }

Band plan_patches(const Correlation& g) {
  if (g.k > kFewChannels) return {};
  const int channels = padded_channels(g.c);
  return plan_band(g, channels, 512, std::int64_t{g.r} * g.s * channels * kOuter + 3, 0);
}

// --- many channels: implicit matrix products --------------------------------------------------

constexpr int kTile = 64;

// Factors of the products, as ProductTile reads them.
template <typename Real>
struct TapsOfPixels {  // outer: pixels of a table, inner: taps
  static constexpr Along kAlong = Along::inner;
  const Correlation& g;
  const Real* images;
  const Pixel* pixels;
  __device__ Tap inner(std::int64_t l) const { return tap_at(g, l); }
  __device__ Real operator()(int outer, const Tap& tap) const {
    return element(g, images, pixels[outer], tap);
  }
};

template <typename Real>
struct PixelsOfTaps {  // outer: taps of a table, inner: pixels
  static constexpr Along kAlong = Along::inner;
  const Correlation& g;
  const Real* images;
  const Tap* taps;  // c negative: no such tap
  __device__ Pixel inner(std::int64_t l) const { return pixel_at(g, l); }
  __device__ Real operator()(int outer, const Pixel& pixel) const {
    return taps[outer].c < 0 ? Real(0) : element(g, images, pixel, taps[outer]);
  }
};

template <typename Real>
struct TapsOfWindows {  // outer: output channels, inner: taps
  static constexpr Along kAlong = Along::inner;
  const Correlation& g;
  const Windows<Real>& windows;
  int first_channel;
  __device__ std::int64_t inner(std::int64_t l) const {
    const Tap tap = tap_at(g, l);
    return tap.r * windows.row + tap.s * windows.column + tap.c * windows.in;
  }
  __device__ Real operator()(int outer, std::int64_t offset) const {
    const int k = first_channel + outer;
    return k < g.k ? windows.first[k * windows.out + offset] : Real(0);
  }
};

template <typename Real>
struct ChannelsOfPixels {  // outer: output channels, inner: pixels, of dy
  static constexpr Along kAlong = Along::outer;
  const Correlation& g;
  const Real* dy;
  int first_channel;
  __device__ const Real* inner(std::int64_t l) const { return dy + l * g.k; }
  __device__ Real operator()(int outer, const Real* pixel) const {
    const int k = first_channel + outer;
    return k < g.k ? pixel[k] : Real(0);
  }
};

// One block: 64 pixels, 64 output channels.
template <typename Real>
__global__ void __launch_bounds__(64)
    tiled_kernel(const Correlation g, const Real* images, const Windows<Real> windows,
                 const Result<Real> result, std::int64_t pixels) {
  using Tile = ProductTile<Real, kTile, kTile>;
  __shared__ typename Tile::Shared shared;
  __shared__ Pixel table[kTile];
  static_assert(Tile::kThreads == kTile);  // one thread fills one entry of the table
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int first_channel = static_cast<int>(blockIdx.y) * kTile;
  const std::int64_t own = first + threadIdx.x;
  table[threadIdx.x] = own < pixels ? pixel_at(g, own) : Pixel{-1, 0, 0};
  __syncthreads();

  Tile tile;
  tile.accumulate(shared, TapsOfPixels<Real>{g, images, table},
                  TapsOfWindows<Real>{g, windows, first_channel}, 0,
                  static_cast<std::int64_t>(g.r) * g.s * g.c);
  tile.for_each([&](int i, int j, Real sum) {
    if (first + i < pixels && first_channel + j < g.k) {
      result.put(first + i, first_channel + j, g.k, sum);
    }
  });
}

template <typename Real>
void correlate(const char* name, const Stream& stream, const Correlation& g, const Real* images,
               const Windows<Real>& windows, const Result<Real>& result) {
  const Band band = plan_patches(g);
  if (band.rows > 0) {
    const std::int64_t elements =
        (std::int64_t{band.patch_rows} * band.patch_columns * band.channels + 3) / 4 * 4 +
        std::int64_t{g.r} * g.s * band.channels * kOuter;
    simt::launch(name, patch_kernel<Real>,
                 {.grid = {static_cast<unsigned>(g.n * bands_of(g, band)),
                           static_cast<unsigned>((g.k + kOuter - 1) / kOuter)},
                  .block = {std::min(64u, whole_warps((band.rows * g.q + kOuter - 1) / kOuter))},
                  .shared_bytes = static_cast<std::size_t>(elements) * sizeof(Real),
                  .stream = stream},
                 g, band, images, windows, result);
  } else {
    simt::launch(name, tiled_kernel<Real>,
                 {.grid = {static_cast<unsigned>((g.pixels() + kTile - 1) / kTile),
                           static_cast<unsigned>((g.k + kTile - 1) / kTile)},
                  .block = {kTile},
                  .stream = stream},
                 g, images, windows, result, g.pixels());
  }
}

// --- backward_weight: every block sums its share of the pixels --------------------------------

// One block: 8 output channels, and every gridDim.x-th band of all images. One thread: 8 taps of
// them, summed over every row_groups-th row of a band.
template <typename Real>
__global__ void __launch_bounds__(256)
    patch_weight_kernel(const Correlation g, const Band band, int tap_threads, int row_groups,
                        const Real* images, const Real* dy, Real* partial) {
  Real* const patch = simt::dynamic_shared<Real>();
  Real* const gradients = patch + (band.patch_elements() + 3) / 4 * 4;  // [band pixel][8]
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int group = thread / tap_threads;  // row_groups and beyond: a thread that only loads
  const int taps = g.r * g.s * g.c;
  const int bands = (g.p + band.rows - 1) / band.rows;
  const int first_channel = static_cast<int>(blockIdx.y) * kOuter;

  // The thread's taps are tap_threads apart, so that neighbours read neighbouring banks.
  int offset[kOuter];
  for (int i = 0; i < kOuter; ++i) {
    const Tap tap = tap_at(g, min(thread % tap_threads + i * tap_threads, taps - 1));
    offset[i] = tap.r * band.pitch() + tap.s * g.c + tap.c;
  }
  Real sum[kOuter][kOuter] = {};
  for (int item = static_cast<int>(blockIdx.x); item < g.n * bands;
       item += static_cast<int>(gridDim.x)) {
    const int n = item / bands, row = item % bands * band.rows;
    const int rows = min(band.rows, g.p - row);
    const std::int64_t first_pixel = (static_cast<std::int64_t>(n) * g.p + row) * g.q;
    __syncthreads();  // patch and gradients of the item before are still being read
    load_patch(g, band, images + static_cast<std::int64_t>(n) * g.h * g.w * g.c, row, patch);
    for (int i = thread; i < rows * g.q * kOuter; i += threads) {
      const int k = first_channel + i % kOuter;
      gradients[i] = k < g.k ? dy[(first_pixel + i / kOuter) * g.k + k] : Real(0);
    }
    __syncthreads();
    if (group >= row_groups) continue;
    for (int y = group; y < rows; y += row_groups) {
      const Real* at = patch + y * g.stride * band.pitch();
      const Real* gradient = gradients + y * g.q * kOuter;
      for (int x = 0; x < g.q; ++x) {
        add_outer_product([&](int i) { return at[offset[i]]; }, gradient, sum);
        at += g.stride * g.c;
        gradient += kOuter;
      }
    }
  }

  if (group >= row_groups) return;
  Real* const to =
      partial + static_cast<std::int64_t>(blockIdx.x * row_groups + group) * g.k * taps;
  for (int i = 0; i < kOuter; ++i) {
    const int tap = thread % tap_threads + i * tap_threads;
    for (int j = 0; j < kOuter; ++j) {
      const int k = first_channel + j;
      if (tap < taps && k < g.k) to[static_cast<std::int64_t>(k) * taps + tap] = sum[i][j];
    }
  }
}

// One block: 64 output channels, 64 taps, and one split of the pixels.
template <typename Real>
__global__ void __launch_bounds__(64)
    tiled_weight_kernel(const Correlation g, const Real* images, const Real* dy, Real* partial,
                        std::int64_t pixels, std::int64_t pixels_per_split) {
  using Tile = ProductTile<Real, kTile, kTile>;
  __shared__ typename Tile::Shared shared;
  __shared__ Tap table[kTile];
  const int first_channel = static_cast<int>(blockIdx.x) * kTile;
  const int first_tap = static_cast<int>(blockIdx.y) * kTile;
  const int taps = g.r * g.s * g.c;
  const int own = first_tap + static_cast<int>(threadIdx.x);
  table[threadIdx.x] = own < taps ? tap_at(g, own) : Tap{0, 0, -1};
  __syncthreads();

  const std::int64_t begin = blockIdx.z * pixels_per_split;
  Tile tile;
  tile.accumulate(shared, ChannelsOfPixels<Real>{g, dy, first_channel},
                  PixelsOfTaps<Real>{g, images, table}, begin,
                  begin + pixels_per_split < pixels ? begin + pixels_per_split : pixels);
  Real* const to = partial + static_cast<std::int64_t>(blockIdx.z) * g.k * taps;
  tile.for_each([&](int i, int j, Real sum) {
    if (first_channel + i < g.k && first_tap + j < taps) {
      to[static_cast<std::int64_t>(first_channel + i) * taps + first_tap + j] = sum;
    }
  });
}

// How backward_weight is spread over blocks. It depends on sizes only, so the order of summation
// does too.
struct WeightPlan {
  Band band = {};  // no rows: tiles
  int tap_threads = 0;
  int row_groups = 1;
  std::int64_t splits = 1;

  // Sums that the second pass adds for each element of dw; at most kSummedRows, which is what
  // column_sum does in one pass.
  std::int64_t sums() const { return splits * row_groups; }
};

WeightPlan plan_weight(const Correlation& g) {
  constexpr std::int64_t kEnoughBlocks = 64;
  const std::int64_t taps = std::int64_t{g.r} * g.s * g.c;
  WeightPlan plan;
  if (g.k <= kFewChannels && taps <= 256 * kOuter) {
    plan.band = plan_band(g, g.c, 1024, 3, kOuter);
  }
  if (plan.band.rows > 0) {
    plan.tap_threads = static_cast<int>((taps + kOuter - 1) / kOuter);
    plan.row_groups = std::clamp(64 / plan.tap_threads, 1, plan.band.rows);
    plan.splits = std::min<std::int64_t>(
        {std::int64_t{g.n} * bands_of(g, plan.band), kEnoughBlocks, kSummedRows / plan.row_groups});
  } else {
    constexpr std::int64_t kWorthBlock = 256;  // pixels; fewer do not pay for the second pass
    const std::int64_t tiles = ((g.k + kTile - 1) / kTile) * ((taps + kTile - 1) / kTile);
    plan.splits = std::clamp<std::int64_t>(kEnoughBlocks / std::max<std::int64_t>(tiles, 1), 1,
                                           std::max<std::int64_t>(g.pixels() / kWorthBlock, 1));
  }
  return plan;
}

template <typename Real>
void launch_weight(const Stream& stream, const Correlation& g, const WeightPlan& plan,
                   const Real* x, const Real* dy, Real* partial) {
  constexpr auto kName = "conv2d.backward_weight";
  const std::int64_t taps = std::int64_t{g.r} * g.s * g.c;
  if (plan.band.rows > 0) {
    const Band& band = plan.band;
    const std::int64_t elements =
        (std::int64_t{band.patch_rows} * band.patch_columns * band.channels + 3) / 4 * 4 +
        std::int64_t{band.rows} * g.q * kOuter;
    simt::launch(kName, patch_weight_kernel<Real>,
                 {.grid = {static_cast<unsigned>(plan.splits),
                           static_cast<unsigned>((g.k + kOuter - 1) / kOuter)},
                  .block = {whole_warps(plan.tap_threads * plan.row_groups)},
                  .shared_bytes = static_cast<std::size_t>(elements) * sizeof(Real),
                  .stream = stream},
                 g, band, plan.tap_threads, plan.row_groups, x, dy, partial);
  } else {
    simt::launch(kName, tiled_weight_kernel<Real>,
                 {.grid = {static_cast<unsigned>((g.k + kTile - 1) / kTile),
                           static_cast<unsigned>((taps + kTile - 1) / kTile),
                           static_cast<unsigned>(plan.splits)},
                  .block = {kTile},
                  .stream = stream},
                 g, x, dy, partial, g.pixels(), (g.pixels() + plan.splits - 1) / plan.splits);
  }
}

// --- the entries ------------------------------------------------------------------------------

int size(const Shape& shape, int i) { return static_cast<int>(shape[i]); }

Correlation forward_geometry(const Shape& x, const Shape& w, const Shape& y,
                             const Conv2dParams& params) {
  return {.n = size(x, 0),
          .h = size(x, 1),
          .w = size(x, 2),
          .c = size(x, 3),
          .p = size(y, 1),
          .q = size(y, 2),
          .k = size(y, 3),
          .r = size(w, 1),
          .s = size(w, 2),
          .stride = params.stride,
          .dilate = 1,
          .first_row = -params.pad,
          .first_column = -params.pad};
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  if (y.elements() == 0) return;
  for_real("conv2d", x.dtype(), [&]<typename Real>() {
    const std::int64_t c = w.size(3), s = w.size(2);
    const Windows<Real> windows{w.data<Real>(), w.size(1) * s * c, s * c, c, 1};
    correlate("conv2d.forward", x.stream(),
              forward_geometry(x.shape(), w.shape(), y.shape(), params), x.data<Real>(), windows,
              Result<Real>{b.defined() ? b.data<Real>() : nullptr, y.data<Real>(), false});
  });
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (dx.elements() == 0) return;
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    const std::int64_t c = w.size(3), s = w.size(2), r = w.size(1);
    // Element (c, r, s, k) of the turned windows is element (k, R-1-r, S-1-s, c) of w.
    const Windows<Real> turned{w.data<Real>() + (r * s - 1) * c, 1, -s * c, -c, r * s * c};
    Correlation g = forward_geometry(dy.shape(), w.shape(), dx.shape(), params);
    g.stride = 1;
    g.dilate = params.stride;
    g.first_row = params.pad - (g.r - 1);
    g.first_column = params.pad - (g.s - 1);
    correlate("conv2d.backward_input", dy.stream(), g, dy.data<Real>(), turned,
              Result<Real>{nullptr, dx.data<Real>(), write == Write::accumulate});
  });
}

std::int64_t weight_scratch(const Shape& dy, const Shape& x, const Conv2dParams& params,
                            const Shape& dw) {
  if (dy.elements() == 0) return 0;
  return plan_weight(forward_geometry(x, dw, dy, params)).sums() * dw.elements();
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor& scratch) {
  if (dw.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) dw.zero();
    return;
  }
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    const Correlation g = forward_geometry(x.shape(), dw.shape(), dy.shape(), params);
    const WeightPlan plan = plan_weight(g);
    launch_weight(dy.stream(), g, plan, x.data<Real>(), dy.data<Real>(), scratch.data<Real>());
    column_sum<Real>("conv2d.backward_weight_sum", dy.stream(), scratch.data<Real>(), plan.sums(),
                     dw.elements(), write == Write::accumulate, dw.data<Real>(), nullptr);
  });
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch) {
  if (db.elements() == 0) return;
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    column_sum<Real>("conv2d.backward_bias", dy.stream(), dy.data<Real>(),
                     dy.elements() / db.elements(), db.elements(), write == Write::accumulate,
                     db.data<Real>(), scratch.defined() ? scratch.data<Real>() : nullptr);
  });
}

std::int64_t bias_scratch(const Shape& dy) {
  return column_sum_scratch(dy[0] * dy[1] * dy[2], dy[3]);
}

}  // namespace

template <typename Target>
Conv2dOp Conv2dOp::hand() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = bias_scratch};
}
template Conv2dOp Conv2dOp::hand<simt::Target>();

}  // namespace cucina
