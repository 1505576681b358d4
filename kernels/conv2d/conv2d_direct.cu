// conv2d of groups with few channels: sums in the threads that write them, without matrix products,
// whose tiles would be mostly empty.
#include "kernels/common/divisor.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/pack.h"
#include "kernels/conv2d/kernels.h"
#include "kernels/conv2d/sources.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using conv2d_kernels::WeightGradient;

// Calls f with T and the source of `images`, after the prologue where there is one.
template <typename T>
Result<T> result_of(const Correlate& call) {
  return {call.bias.defined() ? call.bias.data<T>() : nullptr, call.result.data<T>(),
          call.accumulate, call.relu};
}

// --- depthwise --------------------------------------------------------------------------------

constexpr int kDepthwiseThreads = 128;
constexpr int kDepthwisePixels = 8;  // per thread

// One block: some pixels of one phase, blockDim.x packs of channels. Its weights, turned round to
// [tap][channel], are in shared memory.
template <typename Source, int kWidth>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise_kernel(const Correlation g, const Source source,
                     const typename Source::Element* windows,
                     const Result<typename Source::Element> result) {
  using T = typename Source::Element;
  using Real = Compute<T>;
  Real* const weights = simt::dynamic_shared<Real>();
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), 0);
  const int across = static_cast<int>(blockDim.x) * kWidth;  // channels of the block
  const auto chunks = static_cast<unsigned>((g.groups + across - 1) / across);
  const std::int64_t pixels = std::int64_t{blockDim.y} * kDepthwisePixels;
  const std::int64_t first = blockIdx.x / chunks * pixels;
  if (first >= part.pixels) return;
  const int first_channel = static_cast<int>(blockIdx.x % chunks) * across;
  const int taps = part.rows.taps * part.columns.taps;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int i = thread; i < taps * across; i += static_cast<int>(blockDim.x * blockDim.y)) {
    const int tap = i / across, channel = first_channel + i % across;
    weights[i] = channel < g.groups
                     ? static_cast<Real>(
                           windows[channel * g.window_group + part.weight(g, part.tap_place(tap))])
                     : Real(0);
  }
  __syncthreads();

  const int own = static_cast<int>(threadIdx.x) * kWidth;  // of the block's channels
  const int channel = first_channel + own;
  if (channel >= g.groups) return;
  for (int turn = 0; turn < kDepthwisePixels; ++turn) {
    const std::int64_t number = first + turn * static_cast<std::int64_t>(blockDim.y) + threadIdx.y;
    if (number >= part.pixels) return;
    const auto place = part.place(number);
    const Pixel pixel = part.pixel(place);
    Pack<Real, kWidth> sum = {};
    const Real* weight = weights + own;
    // Unrolled, these loops would want more registers than they gain.
    for (int r = 0; r < part.rows.taps; ++r) {
      simt::rolled(0, part.columns.taps, 1, [&](int s) {
        const Real* const own_weight = weight;
        weight += across;
        const Tap tap = part.tap({r, s, 0});
        if (!part.inside(pixel, tap)) return;
        const auto x = load_wide<kWidth>(source.data + pixel.offset + tap.offset + channel);
        for (int j = 0; j < kWidth; ++j) {
          sum.at[j] = fma(source.apply(x.at[j], channel + j), own_weight[j], sum.at[j]);
        }
      });
    }
    const std::int64_t to = part.output(g, place) + channel;
    Pack<T, kWidth> out;
    for (int j = 0; j < kWidth; ++j) {
      out.at[j] = result.finished(sum.at[j], channel + j, result.y + to + j);
    }
    store_pack(out, result.y + to);
  }
}

// --- groups of few channels -------------------------------------------------------------------

constexpr int kDirectThreads = 128;

// One thread: kOuts output channels of one group at one pixel; a group has `chunks` of so many.
template <typename Source, int kOuts>
__global__ void __launch_bounds__(kDirectThreads, 4)
    direct_kernel(const Correlation g, const Source source, const typename Source::Element* windows,
                  const Result<typename Source::Element> result, int chunks) {
  using Real = Compute<typename Source::Element>;
  const auto across = (static_cast<unsigned>(chunks * g.groups) + blockDim.x - 1) / blockDim.x;
  const unsigned down = blockIdx.x / across;
  const int chunk = static_cast<int>((blockIdx.x - down * across) * blockDim.x + threadIdx.x);
  if (chunk >= chunks * g.groups) return;
  const int group = chunk / chunks;
  const int first = (chunk - group * chunks) * kOuts;
  const std::int64_t number = static_cast<std::int64_t>(down) * blockDim.y + threadIdx.y;
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), group);
  if (number >= part.pixels) return;
  const auto place = part.place(number);
  const Pixel pixel = part.pixel(place);
  windows += part.group * g.window_group;
  Real sum[kOuts] = {};
  for (int r = 0; r < part.rows.taps; ++r) {
    for (int s = 0; s < part.columns.taps; ++s) {
      const Tap tap = part.tap({r, s, 0});
      if (!part.inside(pixel, tap)) continue;
      const std::int64_t weight = part.weight(g, {r, s, 0});
      simt::rolled(0, g.c, 1, [&](int c) {  // unrolled, it would want too many registers
        const Real x = source(pixel.offset + tap.offset + c, part.group * g.c + c);
        for (int j = 0; j < kOuts; ++j) {
          const int k = min(first + j, g.k - 1);
          sum[j] = fma(x, static_cast<Real>(windows[k * g.window_out + weight + c * g.window_in]),
                       sum[j]);
        }
      });
    }
  }
  const std::int64_t to = part.output(g, place);
  for (int j = 0; j < kOuts && first + j < g.k; ++j) {
    result.put(to + first + j, part.group * g.k + first + j, sum[j]);
  }
}

// --- backward_weight --------------------------------------------------------------------------

constexpr int kChannelsAcross = 32, kPixelLanes = 8;
constexpr int kTapsPerThread = 9;

// One block: 32 output channels, 9 taps of a group's channels, one split of the pixels. One thread:
// one channel, every eighth pixel.
template <typename Source>
__global__ void __launch_bounds__(kChannelsAcross* kPixelLanes)
    direct_weight_kernel(const Correlation g, const Source source,
                         const typename Source::Element* dy,
                         Compute<typename Source::Element>* partial, const Divisor rows,
                         const Divisor columns, std::int64_t per_split) {
  using Real = Compute<typename Source::Element>;
  __shared__ Real sums[kTapsPerThread][kPixelLanes][kChannelsAcross];
  const int channels = g.k * g.groups;
  const int channel =
      static_cast<int>(blockIdx.x) * kChannelsAcross + static_cast<int>(threadIdx.x);
  const int first_tap = static_cast<int>(blockIdx.z) * kTapsPerThread;
  const int lane = static_cast<int>(threadIdx.y);
  const Part part(g, 0, 0, min(channel, channels - 1) / g.k);
  Tap taps[kTapsPerThread];
  Real sum[kTapsPerThread] = {};
  for (int j = 0; j < kTapsPerThread; ++j) {
    taps[j] = part.tap(part.tap_place(first_tap + j < part.taps ? first_tap + j
                                                                : static_cast<int>(part.taps) - 1));
  }
  if (channel < channels) {
    const std::int64_t begin = blockIdx.y * per_split;
    const std::int64_t end = begin + per_split < part.pixels ? begin + per_split : part.pixels;
    for (std::int64_t l = begin + lane; l < end; l += kPixelLanes) {
      const std::int64_t row = columns.quotient(l), n = rows.quotient(row);
      const Pixel pixel =
          part.pixel({static_cast<unsigned>(n), static_cast<unsigned>(row - n * rows.value()),
                      static_cast<unsigned>(l - row * columns.value())});
      const Real gradient = static_cast<Real>(dy[l * channels + channel]);
      for (int j = 0; j < kTapsPerThread; ++j) {
        if (part.inside(pixel, taps[j])) {
          sum[j] = fma(gradient, part.element<true>(source, pixel, taps[j]), sum[j]);
        }
      }
    }
  }
  for (int j = 0; j < kTapsPerThread; ++j) sums[j][lane][threadIdx.x] = sum[j];
  __syncthreads();
  if (channel >= channels) return;
  Real* const to =
      partial + (static_cast<std::int64_t>(blockIdx.y) * channels + channel) * part.taps;
  for (int j = lane; j < kTapsPerThread && first_tap + j < part.taps; j += kPixelLanes) {
    Real total = 0;
    for (int other = 0; other < kPixelLanes; ++other) total += sums[j][other][threadIdx.x];
    to[first_tap + j] = total;
  }
}

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void correlate_depthwise(const Correlate& call) {
  const Correlation& g = call.g;
  with_source(call.images, call.prologue, [&]<typename Source>(const Source& source) {
    using T = typename Source::Element;
    const auto launch = [&]<int kWidth>() {
      const auto packs =
          static_cast<unsigned>(std::min<std::int64_t>(divide_up(g.groups, kWidth), 16));
      const unsigned lanes = kDepthwiseThreads / packs;
      const std::int64_t across = std::int64_t{packs} * kWidth;
      simt::launch(
          call.name, depthwise_kernel<Source, kWidth>,
          {.grid = {static_cast<unsigned>(
                        divide_up(g.most_pixels(), std::int64_t{lanes} * kDepthwisePixels) *
                        divide_up(g.groups, across)),
                    static_cast<unsigned>(g.rows.phases()),
                    static_cast<unsigned>(g.columns.phases())},
           .block = {packs, lanes},
           .shared_bytes = static_cast<std::size_t>(g.most_taps() * across) * sizeof(Compute<T>),
           .stream = call.result.stream()},
          g, source, call.windows.data<T>(), result_of<T>(call));
    };
    constexpr int kWidest = 16 / static_cast<int>(sizeof(T));
    for_pack_width(g.groups, {call.images, call.result}, [&]<int kWidth>() {
      if constexpr (kWidth >= kWidest) {
        launch.template operator()<kWidest>();
      } else {
        launch.template operator()<1>();
      }
    });
  });
}
template void correlate_depthwise<simt::Target>(const Correlate& call);

template <typename Target>
void correlate_directly(const Correlate& call) {
  const Correlation& g = call.g;
  with_source(call.images, call.prologue, [&]<typename Source>(const Source& source) {
    using T = typename Source::Element;
    const auto launch = [&]<int kOuts>() {
      const std::int64_t chunks = divide_up(g.k, kOuts);
      const auto across = static_cast<unsigned>(std::min<std::int64_t>(chunks * g.groups, 32));
      const unsigned down = kDirectThreads / across;
      simt::launch(call.name, direct_kernel<Source, kOuts>,
                   {.grid = {static_cast<unsigned>(divide_up(g.most_pixels(), down) *
                                                   divide_up(chunks * g.groups, across)),
                             static_cast<unsigned>(g.rows.phases()),
                             static_cast<unsigned>(g.columns.phases())},
                    .block = {across, down},
                    .stream = call.result.stream()},
                   g, source, call.windows.data<T>(), result_of<T>(call), static_cast<int>(chunks));
    };
    if (g.k == 1) return launch.template operator()<1>();
    if (g.k <= 4) return launch.template operator()<4>();
    launch.template operator()<8>();
  });
}
template void correlate_directly<simt::Target>(const Correlate& call);

template <typename Target>
void weight_gradient_directly(const WeightGradient& call) {
  const Correlation& g = call.g;
  with_source(call.images, call.prologue, [&]<typename Source>(const Source& source) {
    using T = typename Source::Element;
    simt::launch(
        "conv2d.backward_weight", direct_weight_kernel<Source>,
        {.grid = {static_cast<unsigned>(divide_up(std::int64_t{g.k} * g.groups, kChannelsAcross)),
                  static_cast<unsigned>(call.splits),
                  static_cast<unsigned>(divide_up(g.most_taps() * g.c, kTapsPerThread))},
         .block = {kChannelsAcross, kPixelLanes},
         .stream = call.dy.stream()},
        g, source, call.dy.data<T>(), call.partial.data<Compute<T>>(), Divisor(g.rows.output),
        Divisor(g.columns.output), divide_up(g.most_pixels(), call.splits));
  });
}
template void weight_gradient_directly<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
