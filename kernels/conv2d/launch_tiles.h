// How conv2d's implicit products are launched: which variant of a kernel a call may use, and grids.
#pragma once

#include <cstdint>

#include "kernels/common/conv_tile.h"
#include "kernels/conv2d/kernels.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline std::int64_t tiles_of(const Correlation& g, int rows, int columns) {
  return divide_up(g.most_pixels(), rows) * divide_up(g.k, columns) * g.groups * g.rows.phases() *
         g.columns.phases();
}

// Are packs of 16 bytes of channels aligned, from each group's first channel on?
template <typename T>
bool packs(int channels, std::initializer_list<Tensor> tensors) {
  if (channels % (16 / static_cast<int>(sizeof(T))) != 0) return false;
  for (const Tensor& tensor : tensors) {
    if (tensor.defined() && reinterpret_cast<std::uintptr_t>(tensor.raw()) % 16 != 0) return false;
  }
  return true;
}

template <typename Tile, bool kInside, bool kWhole, bool kBackward, typename Source>
void launch_convolve(const conv2d_kernels::Correlate& call, const Source& source) {
  using T = typename Source::Element;
  const Correlation& g = call.g;
  simt::launch(
      call.name, convolve_kernel<Tile, Source, kInside, kWhole, kBackward>,
      {.grid = {static_cast<unsigned>(divide_up(g.most_pixels(), Tile::kTileRows) *
                                      divide_up(g.k, Tile::kTileColumns) * g.groups),
                static_cast<unsigned>(g.rows.phases()), static_cast<unsigned>(g.columns.phases())},
       .block = {Tile::kThreads},
       .shared_bytes = sizeof(ConvolveMemory<Tile>),
       .stream = call.result.stream()},
      g, source, call.windows.data<T>(),
      Result<T>{call.bias.defined() ? call.bias.data<T>() : nullptr, call.result.data<T>(),
                call.accumulate, call.relu},
      packs<T>(g.k, {call.result, call.bias}));
}

template <typename Tile, bool kInside, bool kWhole, typename Source>
void launch_weight(const conv2d_kernels::WeightGradient& call, const Source& source) {
  using T = typename Source::Element;
  const Correlation& g = call.g;
  simt::launch("conv2d.backward_weight", weight_kernel<Tile, Source, kInside, kWhole>,
               {.grid = {static_cast<unsigned>(divide_up(g.k, Tile::kTileRows) * g.groups),
                         static_cast<unsigned>(divide_up(g.most_taps() * g.c, Tile::kTileColumns)),
                         static_cast<unsigned>(call.splits)},
                .block = {Tile::kThreads},
                .shared_bytes = sizeof(WeightMemory<Tile>),
                .stream = call.dy.stream()},
               g, source, call.dy.data<T>(), call.partial.data<typename Tile::Sum>(),
               Divisor(g.rows.output), Divisor(g.columns.output),
               divide_up(g.most_pixels(), call.splits));
}

// f64 is there for checks: one variant of its kernels does.
template <typename T>
inline constexpr bool kFast = sizeof(T) < 8;

template <typename T>
PrologueSource<T> prologue_source(const Tensor& images, const Conv2dPrologue& prologue) {
  return {images.data<T>(), prologue.scale.data<Compute<T>>(), prologue.shift.data<Compute<T>>(),
          prologue.relu};
}

// Calls Tiles::convolve<kInside, kWhole, kBackward>(call, source) for the variant the call may use.
template <typename Tiles, typename T>
void convolve_with(const conv2d_kernels::Correlate& call) {
  const Correlation& g = call.g;
  const PlainSource<T> plain{call.images.data<T>()};
  if (g.rows.backward) {
    if constexpr (kFast<T>) {
      if (packs<T>(g.c, {call.images}) && packs<T>(g.k, {call.windows})) {
        if (g.inside()) return Tiles::template convolve<true, true, true>(call, plain);
        return Tiles::template convolve<false, true, true>(call, plain);
      }
    }
    return Tiles::template convolve<false, false, true>(call, plain);
  }
  const bool whole = packs<T>(g.c, {call.images, call.windows});
  if (call.prologue.defined()) {
    const auto source = prologue_source<T>(call.images, call.prologue);
    if constexpr (kFast<T>) {
      if (whole) return Tiles::template convolve<false, true, false>(call, source);
    }
    return Tiles::template convolve<false, false, false>(call, source);
  }
  if constexpr (kFast<T>) {
    if (whole && g.inside()) return Tiles::template convolve<true, true, false>(call, plain);
    if (whole) return Tiles::template convolve<false, true, false>(call, plain);
  }
  Tiles::template convolve<false, false, false>(call, plain);
}

// Calls Tiles::weight<kInside, kWhole>(call, source) likewise.
template <typename Tiles, typename T>
void weight_with(const conv2d_kernels::WeightGradient& call) {
  const Correlation& g = call.g;
  const bool whole = packs<T>(g.c, {call.images}) && packs<T>(g.k, {call.dy});
  if (call.prologue.defined()) {
    const auto source = prologue_source<T>(call.images, call.prologue);
    if constexpr (kFast<T>) {
      if (whole) return Tiles::template weight<false, true>(call, source);
    }
    return Tiles::template weight<false, false>(call, source);
  }
  const PlainSource<T> plain{call.images.data<T>()};
  if constexpr (kFast<T>) {
    if (whole && g.inside()) return Tiles::template weight<true, true>(call, plain);
    if (whole) return Tiles::template weight<false, true>(call, plain);
  }
  Tiles::template weight<false, false>(call, plain);
}

}  // namespace
}  // namespace cucina
