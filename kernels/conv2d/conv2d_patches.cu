// conv2d of few channels: patches of the image in shared memory, read by threads that keep eight by
// eight sums in registers.
#include <algorithm>

#include "kernels/common/divisor.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/outer_product.h"
#include "kernels/common/read_ahead.h"
#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/sources.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using conv2d_kernels::WeightGradient;

// A band of result rows of one image, and the patch of the image under its windows.
struct Band {
  int rows;           // of the result, at most
  int patch_rows;     // of the image
  int patch_columns;  // likewise
  int channels;       // per element of the patch, zeros beyond c
  Divisor by_columns{0}, by_channels{0};

  __device__ int pitch() const { return patch_columns * channels; }
  __device__ int patch_elements() const { return patch_rows * pitch(); }
};

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr std::int64_t kSharedElements = 12 * 1024;  // 48 KiB in f32

// The tallest band of at most `most_pixels` whose patch, `fixed` more elements and `per_pixel` for
// each pixel fit shared memory; no rows when bands would be too small to be worth it.
Band plan_band(const Correlation& g, int channels, std::int64_t most_pixels, std::int64_t fixed,
               std::int64_t per_pixel) {
  constexpr std::int64_t kFewestPixels = 96;
  const std::int64_t p = g.rows.most_results(), q = g.columns.most_results();
  if (p < 1 || q < 1) return {};
  const auto spanned = [](const Side& side, std::int64_t results) {
    const std::int64_t stride = side.backward ? 1 : side.stride;
    return (results - 1) * stride + std::int64_t{side.most_taps() - 1} * side.step() + 1;
  };
  const std::int64_t columns = spanned(g.columns, q);
  std::int64_t rows = std::clamp<std::int64_t>(most_pixels / q, 1, p);
  const auto elements = [&] {
    return spanned(g.rows, rows) * columns * channels + fixed + per_pixel * rows * q;
  };
  while (rows > 0 && elements() > kSharedElements) --rows;
  if (rows == 0 || (rows < p && rows * q < kFewestPixels)) return {};
  const std::int64_t bands = divide_up(p, rows);
  rows = divide_up(p, bands);  // all bands about as tall
  return {.rows = static_cast<int>(rows),
          .patch_rows = static_cast<int>(spanned(g.rows, rows)),
          .patch_columns = static_cast<int>(columns),
          .channels = channels,
          .by_columns = Divisor(columns),
          .by_channels = Divisor(channels)};
}

std::int64_t bands_of(const Correlation& g, const Band& band) {
  return divide_up(g.rows.most_results(), band.rows);
}

std::int64_t patch_elements(const Band& band) {
  return divide_up(std::int64_t{band.patch_rows} * band.patch_columns * band.channels, 4) * 4;
}

unsigned whole_warps(std::int64_t threads) {
  return static_cast<unsigned>(divide_up(threads, 32) * 32);
}

// Fills the patch under the band of image `n` that begins at result row `row`.
template <typename Source>
__device__ void load_patch(const Part& part, const Band& band, const Source& source, int n, int row,
                           Compute<typename Source::Element>* patch) {
  using Real = Compute<typename Source::Element>;
  fill_by_block(patch, band.patch_elements(), [&](int i) {
    const int position = static_cast<int>(band.by_channels.quotient(i));
    const int c = i - position * band.channels;
    const int patch_row = static_cast<int>(band.by_columns.quotient(position));
    const int y = row * part.rows.stride + patch_row + part.rows.first;
    const int x = position - patch_row * band.patch_columns + part.columns.first;
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(part.height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(part.width);
    if (!inside || c >= part.c) return Real(0);
    return source(((static_cast<std::int64_t>(n) * part.height + y) * part.width + x) * part.c + c,
                  c);
  });
}

// One block: one band of one image and phase, 8 output channels. One thread: kPixels of them.
template <typename Source, int kPixels>
__global__ void __launch_bounds__(kPixels == kOuter ? 64 : 256)
    patch_kernel(const Correlation g, const Band band, const Source source,
                 const typename Source::Element* windows,
                 const Result<typename Source::Element> result) {
  using T = typename Source::Element;
  using Real = Compute<T>;
  Real* const patch = simt::dynamic_shared<Real>();
  Real* const weights = patch + (band.patch_elements() + 3) / 4 * 4;  // [r][s][channels][8]
  const auto groups = static_cast<unsigned>((g.k + kOuter - 1) / kOuter);
  const int first_channel = static_cast<int>(blockIdx.x % groups) * kOuter;
  const int item = static_cast<int>(blockIdx.x / groups);
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), 0);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int bands = (g.rows.most_results() + band.rows - 1) / band.rows;
  const int n = item / bands, row = item % bands * band.rows;
  const int r_taps = part.rows.taps, s_taps = part.columns.taps;
  const int q = part.columns.results;
  const int pixels = min(band.rows, part.rows.results - row) * q;
  if (pixels <= 0) return;  // phases differ in size

  load_patch(part, band, source, n, row, patch);
  fill_by_block(weights, r_taps * s_taps * band.channels * kOuter, [&](int i) {
    const int place = i / kOuter, k = first_channel + i % kOuter;
    const int tap = place / band.channels, c = place % band.channels;
    if (c >= g.c || k >= g.k) return Real(0);
    return static_cast<Real>(
        windows[part.weight(g, {tap / s_taps, tap % s_taps, c}) + k * g.window_out]);
  });
  __syncthreads();

  // Taps that lie together in patch and weights: a row of them unless they are spread out.
  const bool together = part.columns.step == 1;
  const int runs = together ? 1 : s_taps, run = together ? s_taps * band.channels : band.channels;
  for (int begin = 0; begin < pixels; begin += threads * kPixels) {
    // The thread's pixels are `active` apart, so that neighbours read neighbouring banks.
    const int active = min(threads, (pixels - begin + kPixels - 1) / kPixels);
    if (thread >= active) continue;
    const Real* at[kPixels];
    for (int i = 0; i < kPixels; ++i) {
      const int pixel = min(begin + thread + i * active, pixels - 1);
      at[i] = patch + pixel / q * part.rows.stride * band.pitch() +
              pixel % q * part.columns.stride * band.channels;
    }
    OuterProduct<Real, kPixels> sum;
    const Real* weight = weights;
    for (int r = 0; r < r_taps; ++r) {
      for (int s = 0; s < runs; ++s) {
        const int first = r * part.rows.step * band.pitch() + s * part.columns.step * band.channels;
        for (int tap = first; tap < first + run; ++tap) {
          sum.add([&](int i) { return at[i][tap]; }, weight);
          weight += kOuter;
        }
      }
    }
    sum.for_each_row([&](int i, const Real* sums) {
      const int pixel = begin + thread + i * active;
      if (pixel >= pixels) return;
      const std::int64_t to =
          part.output(g, {static_cast<unsigned>(n), static_cast<unsigned>(row + pixel / q),
                          static_cast<unsigned>(pixel % q)});
      for (int j = 0; j < kOuter && first_channel + j < g.k; ++j) {
        result.put(to + first_channel + j, first_channel + j, sums[j]);
      }
    });
  }
}

// Beyond, a matrix product has tiles full enough; unless there are few channels in, when its reads
// of single elements would take longer than its sums.
constexpr int kFewChannels = 32, kFewIn = 4;

Band plan_patches(const Correlation& g) {
  if (g.groups > 1 || (g.k > kFewChannels && g.c > kFewIn)) return {};
  // A multiple of 8 would send neighbouring pixels to the same banks.
  const int channels = g.c % 8 == 0 ? g.c + 1 : g.c;
  return plan_band(g, channels, 512, g.most_taps() * channels * kOuter + 3, 0);
}

// --- backward_weight: every block sums its share of the pixels --------------------------------

// One block: 8 output channels, and every gridDim.x-th band of all images. One thread: 8 taps of
// them, summed over every row_groups-th row of a band.
template <typename Source>
__global__ void __launch_bounds__(256)
    patch_weight_kernel(const Correlation g, const Band band, int tap_threads, int row_groups,
                        const Source source, const typename Source::Element* dy,
                        Compute<typename Source::Element>* partial) {
  using Real = Compute<typename Source::Element>;
  Real* const patch = simt::dynamic_shared<Real>();
  Real* const gradients = patch + (band.patch_elements() + 3) / 4 * 4;  // [band pixel][8]
  const Part part(g, 0, 0, 0);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int group = thread / tap_threads;  // row_groups and beyond: a thread that only loads
  const int taps = static_cast<int>(part.taps);
  const int p = part.rows.results, q = part.columns.results;
  const int bands = (p + band.rows - 1) / band.rows;
  const int first_channel = static_cast<int>(blockIdx.y) * kOuter;

  // The thread's taps are tap_threads apart, so that neighbours read neighbouring banks.
  int offset[kOuter];
  for (int i = 0; i < kOuter; ++i) {
    const Tap tap = part.tap(part.tap_place(min(thread % tap_threads + i * tap_threads, taps - 1)));
    offset[i] = tap.y * band.pitch() + tap.x * g.c + tap.c;
  }
  OuterProduct<Real> sum;
  for (int item = static_cast<int>(blockIdx.x); item < g.n * bands;
       item += static_cast<int>(gridDim.x)) {
    const int n = item / bands, row = item % bands * band.rows;
    const int rows = min(band.rows, p - row);
    const std::int64_t first_pixel = (static_cast<std::int64_t>(n) * p + row) * q;
    __syncthreads();  // patch and gradients of the item before are still being read
    load_patch(part, band, source, n, row, patch);
    fill_by_block(gradients, rows * q * kOuter, [&](int i) {
      const int k = first_channel + i % kOuter;
      return k < g.k ? static_cast<Real>(dy[(first_pixel + i / kOuter) * g.k + k]) : Real(0);
    });
    __syncthreads();
    if (group >= row_groups) continue;
    for (int y = group; y < rows; y += row_groups) {
      const Real* at = patch + y * part.rows.stride * band.pitch();
      const Real* gradient = gradients + y * q * kOuter;
      for (int x = 0; x < q; ++x) {
        sum.add([&](int i) { return at[offset[i]]; }, gradient);
        at += part.columns.stride * g.c;
        gradient += kOuter;
      }
    }
  }

  // The block's sums: those of its groups, one after another. [group][tap][8]
  Real* const all = patch;
  const int padded_taps = tap_threads * kOuter;
  __syncthreads();  // the last patch is still being read
  if (group < row_groups) {
    sum.for_each_row([&](int i, const Real* sums) {
      const int tap = thread % tap_threads + i * tap_threads;
      for (int j = 0; j < kOuter; ++j) all[(group * padded_taps + tap) * kOuter + j] = sums[j];
    });
  }
  __syncthreads();
  Real* const to = partial + static_cast<std::int64_t>(blockIdx.x) * g.k * taps;
  for (int i = thread; i < taps * kOuter; i += threads) {
    const int tap = i / kOuter, k = first_channel + i % kOuter;
    if (k >= g.k) continue;
    Real total = all[i];
    for (int other = 1; other < row_groups; ++other) total += all[other * padded_taps * kOuter + i];
    to[static_cast<std::int64_t>(k) * taps + tap] = total;
  }
}

// How backward_weight is spread over blocks. It depends on sizes only, so the order of summation
// does too.
struct WeightPlan {
  Band band = {};  // no rows: not by patches
  int tap_threads = 0;
  int row_groups = 1;
  std::int64_t blocks = 1;
};

WeightPlan plan_weight(const Correlation& g) {
  constexpr std::int64_t kEnoughBlocks = 256;
  const std::int64_t taps = g.most_taps() * g.c;
  WeightPlan plan;
  if (g.groups > 1 || (g.k > kFewChannels && g.c > kFewIn) || taps > 256 * kOuter) return plan;
  plan.band = plan_band(g, g.c, 1024, 3, kOuter);
  if (plan.band.rows == 0) return plan;
  plan.tap_threads = static_cast<int>(divide_up(taps, kOuter));
  plan.row_groups = std::clamp(64 / plan.tap_threads, 1, plan.band.rows);
  plan.blocks = std::min<std::int64_t>(g.n * bands_of(g, plan.band), kEnoughBlocks);
  return plan;
}

// Of shared memory, when a block adds up its groups' sums.
std::int64_t group_sums(const WeightPlan& plan) {
  return std::int64_t{plan.row_groups} * plan.tap_threads * kOuter * kOuter;
}

}  // namespace

namespace conv2d_kernels {

template <typename Target>
bool patches_fit(const Correlation& g) {
  return plan_patches(g).rows > 0;
}
template bool patches_fit<simt::Target>(const Correlation& g);

template <typename Target>
bool weight_patches_fit(const Correlation& g) {
  return plan_weight(g).band.rows > 0;
}
template bool weight_patches_fit<simt::Target>(const Correlation& g);

template <typename Target>
std::int64_t weight_patch_splits(const Correlation& g) {
  return plan_weight(g).blocks;
}
template std::int64_t weight_patch_splits<simt::Target>(const Correlation& g);

template <typename Target>
void correlate_patches(const Correlate& call) {
  const Correlation& g = call.g;
  const Band band = plan_patches(g);
  const std::int64_t elements = patch_elements(band) + g.most_taps() * band.channels * kOuter;
  const std::int64_t blocks = g.n * bands_of(g, band) * divide_up(g.k, kOuter);
  const std::int64_t pixels = std::int64_t{band.rows} * g.columns.most_results();
  with_source(call.images, call.prologue, [&]<typename Source>(const Source& source) {
    using T = typename Source::Element;
    const auto launch = [&]<int kPixels>() {
      simt::launch(call.name, patch_kernel<Source, kPixels>,
                   {.grid = {static_cast<unsigned>(blocks), static_cast<unsigned>(g.rows.phases()),
                             static_cast<unsigned>(g.columns.phases())},
                    .block = {std::min(kPixels == kOuter ? 64u : 256u,
                                       whole_warps(divide_up(pixels, kPixels)))},
                    .shared_bytes = static_cast<std::size_t>(elements) * sizeof(Compute<T>),
                    .stream = call.result.stream()},
                   g, band, source, call.windows.data<T>(),
                   Result<T>{call.bias.defined() ? call.bias.data<T>() : nullptr,
                             call.result.data<T>(), call.accumulate, call.relu});
    };
    // The sums are the same. Threads of few pixels read more for each product, but there are more
    // of them, which a GPU needs in order not to wait; a host does not.
    constexpr std::int64_t kManyThreads = 132 * 512;
    if constexpr (kOnGpu) {
      const std::int64_t threads =
          blocks * g.rows.phases() * g.columns.phases() * divide_up(pixels, kOuter);
      if (threads < kManyThreads) return launch.template operator()<2>();
    }
    launch.template operator()<kOuter>();
  });
}
template void correlate_patches<simt::Target>(const Correlate& call);

template <typename Target>
void weight_gradient_patches(const WeightGradient& call) {
  const Correlation& g = call.g;
  const WeightPlan plan = plan_weight(g);
  const std::int64_t elements = std::max(
      patch_elements(plan.band) + std::int64_t{plan.band.rows} * g.columns.most_results() * kOuter,
      group_sums(plan));
  with_source(call.images, call.prologue, [&]<typename Source>(const Source& source) {
    using T = typename Source::Element;
    simt::launch("conv2d.backward_weight", patch_weight_kernel<Source>,
                 {.grid = {static_cast<unsigned>(plan.blocks),
                           static_cast<unsigned>(divide_up(g.k, kOuter))},
                  // More than have sums help to load, where waiting for memory is what takes time.
                  .block = {kOnGpu ? 256 : whole_warps(plan.tap_threads * plan.row_groups)},
                  .shared_bytes = static_cast<std::size_t>(elements) * sizeof(Compute<T>),
                  .stream = call.dy.stream()},
                 g, plan.band, plan.tap_threads, plan.row_groups, source, call.dy.data<T>(),
                 call.partial.data<Compute<T>>());
  });
}
template void weight_gradient_patches<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
