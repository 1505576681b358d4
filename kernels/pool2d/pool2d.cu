// pool2d's hand-written kernels: each thread makes a few adjacent channels of one pixel, in the
// backward passes by gathering from the windows that cover it, so nothing is added atomically.
#include "kernels/common/divisor.h"
#include "kernels/common/pack.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

// An image (n, h, w, c) and the windows (n, p, q, c) over it.
struct Windows {
  std::int64_t h, w, p, q, c;
  std::int64_t window, pad;
  Divisor stride;
};

Windows windows_of(const Tensor& image, const Tensor& windows, const Pool2dParams& params) {
  return {.h = image.size(1),
          .w = image.size(2),
          .p = windows.size(1),
          .q = windows.size(2),
          .c = windows.size(3),
          .window = params.window,
          .pad = params.pad,
          .stride = Divisor(params.stride)};
}

// Where in (n, rows, columns, packs) a thread is.
struct Place {
  std::int64_t image, row, column, pack;
};

class Places {
 public:
  // Of `tensor` (n, rows, columns, c) in packs of `width` channels.
  Places(const Tensor& tensor, int width)
      : rows_(tensor.size(1)), columns_(tensor.size(2)), packs_(tensor.size(3) / width) {}
  __device__ __forceinline__ Place operator[](std::int64_t i) const {
    const std::int64_t pixel = packs_.quotient(i);
    const std::int64_t line = columns_.quotient(pixel);
    const std::int64_t image = rows_.quotient(line);
    return {image, line - image * rows_.value(), pixel - line * columns_.value(),
            i - pixel * packs_.value()};
  }

 private:
  Divisor rows_, columns_, packs_;
};

// A range along one side, end excluded.
struct Range {
  std::int64_t begin, end;
};

// The offsets in the window number `p` that lie in an image `size` pixels long.
__device__ Range pixels_of_window(const Windows& windows, std::int64_t p, std::int64_t size) {
  const std::int64_t first = p * windows.stride.value() - windows.pad;
  return {first < 0 ? -first : 0, first + windows.window > size ? size - first : windows.window};
}

// Those of `count` windows that cover pixel number `h`.
__device__ Range windows_of_pixel(const Windows& windows, std::int64_t h, std::int64_t count) {
  const std::int64_t last = windows.stride.quotient(h + windows.pad);
  const std::int64_t before = h + windows.pad - windows.window;  // the last start too early
  return {before < 0 ? 0 : windows.stride.quotient(before) + 1, last < count ? last + 1 : count};
}

// Offset of position (0, 0) of window (n, p, q) in the image; in the padding it may be negative.
__device__ std::int64_t corner_of(const Windows& windows, const Place& window) {
  const std::int64_t row = window.row * windows.stride.value() - windows.pad;
  const std::int64_t column = window.column * windows.stride.value() - windows.pad;
  return ((window.image * windows.h + row) * windows.w + column) * windows.c;
}

template <typename T, int kWidth>
struct MaxForward {
  Windows windows;
  Places places;
  bool relu;
  const T* x;
  T* y;
  std::uint8_t* index;  // may be null

  __device__ void operator()(std::int64_t i) const {
    const Place place = places[i];
    const Range rows = pixels_of_window(windows, place.row, windows.h);
    const Range columns = pixels_of_window(windows, place.column, windows.w);
    const T* corner = x + corner_of(windows, place) + place.pack * kWidth;
    auto best = load_wide<kWidth>(corner + (rows.begin * windows.w + columns.begin) * windows.c);
    const int first = static_cast<int>(rows.begin * windows.window + columns.begin);
    int won[kWidth];
    for (int j = 0; j < kWidth; ++j) won[j] = first;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t s = columns.begin; s < columns.end; ++s) {
        const auto value = load_wide<kWidth>(corner + (r * windows.w + s) * windows.c);
        const int position = static_cast<int>(r * windows.window + s);
        for (int j = 0; j < kWidth; ++j) {
          // This way round NaN wins over numbers, and the first NaN stays; & does not branch.
          const bool wins = !(value.at[j] <= best.at[j]) & (best.at[j] == best.at[j]);
          best.at[j] = wins ? value.at[j] : best.at[j];
          won[j] = wins ? position : won[j];
        }
      }
    }
    for (int j = 0; j < kWidth && relu; ++j) {
      won[j] = best.at[j] > 0 ? won[j] : Pool2dOp::kNoPixel;
      best.at[j] = best.at[j] < 0 ? Compute<T>(0) : best.at[j];
    }
    store_rounded(best, y + i * kWidth);
    if (index == nullptr) return;
    Pack<std::uint8_t, kWidth> narrow;
    for (int j = 0; j < kWidth; ++j) narrow.at[j] = static_cast<std::uint8_t>(won[j]);
    store_pack(narrow, index + i * kWidth);
  }
};

template <typename T, int kWidth>
struct AverageForward {
  Windows windows;
  Places places;
  Compute<T> share;  // 1 / window^2
  const T* x;
  T* y;

  __device__ void operator()(std::int64_t i) const {
    const Place place = places[i];
    const Range rows = pixels_of_window(windows, place.row, windows.h);
    const Range columns = pixels_of_window(windows, place.column, windows.w);
    const T* corner = x + corner_of(windows, place) + place.pack * kWidth;
    Pack<Compute<T>, kWidth> sum = {};
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t s = columns.begin; s < columns.end; ++s) {
        const auto value = load_wide<kWidth>(corner + (r * windows.w + s) * windows.c);
        for (int j = 0; j < kWidth; ++j) sum.at[j] += value.at[j];
      }
    }
    for (int j = 0; j < kWidth; ++j) sum.at[j] *= share;
    store_rounded(sum, y + i * kWidth);
  }
};

// What a maximum's gradient gives to a pixel of its window: all of it or nothing.
template <typename Real>
struct OfMaximum {
  const std::uint8_t* index;

  template <int kWidth>
  __device__ __forceinline__ void add(const Pack<Real, kWidth>& gradient, std::int64_t at,
                                      int position, Pack<Real, kWidth>& sum) const {
    const auto winner = load_pack<kWidth>(index + at);
    for (int j = 0; j < kWidth; ++j) {
      sum.at[j] += winner.at[j] == position ? gradient.at[j] : Real(0);
    }
  }
  __device__ __forceinline__ Real finish(Real sum) const { return sum; }
};

// What an average's gives: the same share to each.
template <typename Real>
struct OfAverage {
  Real share;  // 1 / window^2

  template <int kWidth>
  __device__ __forceinline__ void add(const Pack<Real, kWidth>& gradient, std::int64_t, int,
                                      Pack<Real, kWidth>& sum) const {
    for (int j = 0; j < kWidth; ++j) sum.at[j] += gradient.at[j];
  }
  __device__ __forceinline__ Real finish(Real sum) const { return sum * share; }
};

// Gathers a pixel's gradient from the windows that cover it.
template <typename T, int kWidth, typename Gift>
struct Backward {
  Windows windows;
  Places places;
  Gift gift;
  const T* dy;
  T* dx;
  bool accumulate;

  __device__ void operator()(std::int64_t i) const {
    const auto [n, h, w, pack] = places[i];
    const Range rows = windows_of_pixel(windows, h, windows.p);
    const Range columns = windows_of_pixel(windows, w, windows.q);
    Pack<Compute<T>, kWidth> sum = {};
    for (std::int64_t p = rows.begin; p < rows.end; ++p) {
      for (std::int64_t q = columns.begin; q < columns.end; ++q) {
        const std::int64_t at = ((n * windows.p + p) * windows.q + q) * windows.c + pack * kWidth;
        const std::int64_t r = h + windows.pad - p * windows.stride.value();
        const std::int64_t s = w + windows.pad - q * windows.stride.value();
        gift.add(load_wide<kWidth>(dy + at), at, static_cast<int>(r * windows.window + s), sum);
      }
    }
    for (int j = 0; j < kWidth; ++j) sum.at[j] = gift.finish(sum.at[j]);
    store_rounded(sum, dx + i * kWidth, accumulate);
  }
};

template <typename T, int kWidth>
struct GlobalAverageForward {
  std::int64_t h, w, c;
  Divisor packs;
  Compute<T> share;  // 1 / (h w)
  const T* x;
  T* y;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t n = packs.quotient(i);
    const T* image = x + n * h * w * c + (i - n * packs.value()) * kWidth;
    Pack<Compute<T>, kWidth> sum = {};
    // Row by row: each sum then has few terms, so it rounds less.
    for (std::int64_t row = 0; row < h; ++row) {
      Pack<Compute<T>, kWidth> row_sum = {};
      for (std::int64_t column = 0; column < w; ++column) {
        const auto value = load_wide<kWidth>(image + (row * w + column) * c);
        for (int j = 0; j < kWidth; ++j) row_sum.at[j] += value.at[j];
      }
      for (int j = 0; j < kWidth; ++j) sum.at[j] += row_sum.at[j];
    }
    for (int j = 0; j < kWidth; ++j) sum.at[j] *= share;
    store_rounded(sum, y + i * kWidth);
  }
};

template <typename T, int kWidth>
struct GlobalAverageBackward {
  std::int64_t c;
  Places places;
  Compute<T> share;
  const T* dy;
  T* dx;
  bool accumulate;

  __device__ void operator()(std::int64_t i) const {
    const Place place = places[i];
    auto gradient = load_wide<kWidth>(dy + place.image * c + place.pack * kWidth);
    for (int j = 0; j < kWidth; ++j) gradient.at[j] *= share;
    store_rounded(gradient, dx + i * kWidth, accumulate);
  }
};

// The share of one of `count` equal parts.
template <typename Real>
Real share_of(std::int64_t count) {
  return Real(1) / static_cast<Real>(count);
}

void run_max_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                     const Tensor& index) {
  const Windows windows = windows_of(x, y, params);
  for_floating("pool2d", x.dtype(), [&]<typename T>() {
    for_pack_width(windows.c, {x, y, index}, [&]<int kWidth>() {
      simt::map(
          "pool2d.max_forward", x.stream(), y.elements() / kWidth,
          MaxForward<T, kWidth>{windows, Places(y, kWidth), params.relu, x.data<T>(), y.data<T>(),
                                index.defined() ? index.data<std::uint8_t>() : nullptr});
    });
  });
}

template <typename Gift, typename T>
void gather(const char* name, const Tensor& dy, const Pool2dParams& params, Write write,
            const Tensor& dx, const Gift& gift, const Tensor& index) {
  const Windows windows = windows_of(dx, dy, params);
  for_pack_width(windows.c, {dy, index, dx}, [&]<int kWidth>() {
    simt::map(name, dy.stream(), dx.elements() / kWidth,
              Backward<T, kWidth, Gift>{windows, Places(dx, kWidth), gift, dy.data<T>(),
                                        dx.data<T>(), write == Write::accumulate});
  });
}

void run_max_backward(const Tensor& dy, const Tensor& index, const Pool2dParams& params,
                      Write write, const Tensor& dx) {
  for_floating("pool2d", dy.dtype(), [&]<typename T>() {
    using Gift = OfMaximum<Compute<T>>;
    gather<Gift, T>("pool2d.max_backward", dy, params, write, dx, {index.data<std::uint8_t>()},
                    index);
  });
}

void run_average_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  const Windows windows = windows_of(x, y, params);
  for_floating("pool2d", x.dtype(), [&]<typename T>() {
    for_pack_width(windows.c, {x, y}, [&]<int kWidth>() {
      simt::map("pool2d.average_forward", x.stream(), y.elements() / kWidth,
                AverageForward<T, kWidth>{windows, Places(y, kWidth),
                                          share_of<Compute<T>>(windows.window * windows.window),
                                          x.data<T>(), y.data<T>()});
    });
  });
}

void run_average_backward(const Tensor& dy, const Pool2dParams& params, Write write,
                          const Tensor& dx) {
  for_floating("pool2d", dy.dtype(), [&]<typename T>() {
    using Gift = OfAverage<Compute<T>>;
    gather<Gift, T>("pool2d.average_backward", dy, params, write, dx,
                    {share_of<Compute<T>>(std::int64_t{params.window} * params.window)}, Tensor());
  });
}

void run_global_average_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t h = x.size(1), w = x.size(2), c = x.size(3);
  for_floating("pool2d", x.dtype(), [&]<typename T>() {
    for_pack_width(c, {x, y}, [&]<int kWidth>() {
      simt::map(
          "pool2d.global_average_forward", x.stream(), y.elements() / kWidth,
          GlobalAverageForward<T, kWidth>{h, w, c, Divisor(c / kWidth), share_of<Compute<T>>(h * w),
                                          x.data<T>(), y.data<T>()});
    });
  });
}

void run_global_average_backward(const Tensor& dy, Write write, const Tensor& dx) {
  const std::int64_t pixels = dx.size(1) * dx.size(2), c = dx.size(3);
  for_floating("pool2d", dy.dtype(), [&]<typename T>() {
    for_pack_width(c, {dy, dx}, [&]<int kWidth>() {
      simt::map(
          "pool2d.global_average_backward", dy.stream(), dx.elements() / kWidth,
          GlobalAverageBackward<T, kWidth>{c, Places(dx, kWidth), share_of<Compute<T>>(pixels),
                                           dy.data<T>(), dx.data<T>(), write == Write::accumulate});
    });
  });
}

}  // namespace

template <typename Target>
Pool2dOp Pool2dOp::hand() {
  return {.dtypes = kFloating,
          .max_forward = run_max_forward,
          .max_backward = run_max_backward,
          .average_forward = run_average_forward,
          .average_backward = run_average_backward,
          .global_average_forward = run_global_average_forward,
          .global_average_backward = run_global_average_backward};
}
template Pool2dOp Pool2dOp::hand<simt::Target>();

}  // namespace cucina
