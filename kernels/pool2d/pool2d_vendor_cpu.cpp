// pool2d by oneDNN, but the maximum by loops of our own.
#include <algorithm>
#include <vector>

#include "kernels/common/channel_rows.h"
#include "kernels/common/vendor_cpu.h"
#include "kernels/pool2d/pool2d.h"

namespace cucina {
namespace {

using dnnl::pooling_backward;
using dnnl::pooling_forward;

constexpr auto kAverage = dnnl::algorithm::pooling_avg_include_padding;

// Windows as oneDNN wants them, which need not be square.
struct Geometry {
  dnnl::memory::desc image, windows;
  dnnl::memory::dims stride, window, pad;
};

dnnl::memory::desc describe_image(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                                  DType dtype) {
  return onednn::describe({n, c, h, w}, dnnl::memory::format_tag::nhwc, dtype);
}

Geometry geometry_of(const Tensor& image, const Tensor& windows, const Pool2dParams& params) {
  const Shape& x = image.shape();
  const Shape& y = windows.shape();
  return {.image = describe_image(x[0], x[1], x[2], x[3], image.dtype()),
          .windows = describe_image(y[0], y[1], y[2], y[3], image.dtype()),
          .stride = {params.stride, params.stride},
          .window = {params.window, params.window},
          .pad = {params.pad, params.pad}};
}

// One window over the whole image.
Geometry global_geometry(const Tensor& image) {
  const Shape& x = image.shape();
  return {.image = describe_image(x[0], x[1], x[2], x[3], image.dtype()),
          .windows = describe_image(x[0], 1, 1, x[3], image.dtype()),
          .stride = {1, 1},
          .window = {x[1], x[2]},
          .pad = {0, 0}};
}

pooling_forward::primitive_desc forward_primitive(const Geometry& g) {
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<pooling_forward>(dnnl::prop_kind::forward_training, kAverage, g.image,
                                            g.windows, g.stride, g.window, dnnl::memory::dims{0, 0},
                                            g.pad, g.pad);
#else
  return onednn::primitive<pooling_forward>(dnnl::prop_kind::forward_training, kAverage, g.image,
                                            g.windows, g.stride, g.window, g.pad, g.pad);
#endif
}

pooling_backward::primitive_desc backward_primitive(const Geometry& g) {
  const auto hint = forward_primitive(g);
#if DNNL_VERSION_MAJOR >= 3
  return onednn::backward_primitive<pooling_backward>(hint, kAverage, g.image, g.windows, g.stride,
                                                      g.window, dnnl::memory::dims{0, 0}, g.pad,
                                                      g.pad);
#else
  return onednn::backward_primitive<pooling_backward>(hint, kAverage, g.image, g.windows, g.stride,
                                                      g.window, g.pad, g.pad);
#endif
}

PlanKey key(std::string_view entry, const Geometry& g, const Tensor& image, const Tensor& windows) {
  return PlanKey(entry, image.dtype(), image.shape(), windows.shape(), g.window[0], g.window[1],
                 g.stride[0], g.pad[0]);
}

void average(const char* name, const Geometry& g, const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto plan = onednn::cached(key(name, g, x, y), [&] {
    return onednn::Prepared(pooling_forward(forward_primitive(g)),
                            {{DNNL_ARG_SRC, g.image}, {DNNL_ARG_DST, g.windows}});
  });
  plan->run(name, {x.raw(), y.raw()});
}

void spread(const char* name, const Geometry& g, const Tensor& dy, Write write, const Tensor& dx) {
  if (dx.elements() == 0) return;
  const auto plan = onednn::cached(key(name, g, dx, dy), [&] {
    return onednn::Prepared(pooling_backward(backward_primitive(g)),
                            {{DNNL_ARG_DIFF_DST, g.windows}, {DNNL_ARG_DIFF_SRC, g.image}});
  });
  onednn::deliver(dx, write, [&](const Tensor& to) { plan->run(name, {dy.raw(), to.raw()}); });
}

void run_average_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  average("pool2d.average_forward", geometry_of(x, y, params), x, y);
}

void run_average_backward(const Tensor& dy, const Pool2dParams& params, Write write,
                          const Tensor& dx) {
  spread("pool2d.average_backward", geometry_of(dx, dy, params), dy, write, dx);
}

void run_global_average_forward(const Tensor& x, const Tensor& y) {
  average("pool2d.global_average_forward", global_geometry(x), x, y);
}

void run_global_average_backward(const Tensor& dy, Write write, const Tensor& dx) {
  spread("pool2d.global_average_backward", global_geometry(dx), dy, write, dx);
}

// --- the maximum -------------------------------------------------------------------------------
// oneDNN keeps the same index, but its maximum skips NaN, and of a window full of -Inf it makes
// -FLT_MAX (seen in 2.6.3): diverged weights would look healthy.

// Channels are taken kLanes at a time, which fills a vector register. Where fewer are left, the
// lanes beyond them belong to the next pixel of the row: they are computed for nothing, and written
// over when that pixel's turn comes. Near the end of a row, where there is no next pixel, and of
// the tensor, single channels are taken.
constexpr int kLanes = 16;

template <typename Lanes>
void for_lanes(std::int64_t channels, std::int64_t room, const Lanes& lanes) {
  std::int64_t c = 0;
  for (; c < channels && c + kLanes <= room; c += kLanes) lanes.template operator()<kLanes>(c);
  for (; c < channels; ++c) lanes.template operator()<1>(c);
}

struct Windows {
  std::int64_t n, h, w, p, q, c;
  Pool2dParams params;

  Windows(const Tensor& image, const Tensor& windows, const Pool2dParams& of)
      : n(image.size(0)),
        h(image.size(1)),
        w(image.size(2)),
        p(windows.size(1)),
        q(windows.size(2)),
        c(image.size(3)),
        params(of) {}

  // The first and the last but one pixel along a side of `size` that window number `i` covers.
  std::int64_t begin(std::int64_t i) const {
    return std::max<std::int64_t>(i * params.stride - params.pad, 0);
  }
  std::int64_t end(std::int64_t i, std::int64_t size) const {
    return std::min(i * params.stride - params.pad + params.window, size);
  }
  // Of a pixel in the window (row, column).
  int position(std::int64_t row, std::int64_t y, std::int64_t column, std::int64_t x) const {
    return static_cast<int>((y - row * params.stride + params.pad) * params.window + x -
                            column * params.stride + params.pad);
  }
};

// The largest so far of kCount channels, and where it was. One loop over the lanes for each thing
// that is done: these the compiler turns into single vector instructions.
template <int kCount>
struct Largest {
  float best[kCount];
  int won[kCount];

  template <typename T>
  void start(const T* from, int position) {
#pragma omp simd
    for (int i = 0; i < kCount; ++i) best[i] = static_cast<float>(from[i]);
#pragma omp simd
    for (int i = 0; i < kCount; ++i) won[i] = position;
  }

  // start() at position 0 and take() at 1, without a way through memory.
  template <typename T>
  void start(const T* first, const T* second) {
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const auto a = static_cast<float>(first[i]), b = static_cast<float>(second[i]);
      const bool wins = !(b <= a) & (a == a);
      best[i] = wins ? b : a;
      won[i] = wins ? 1 : 0;
    }
  }

  template <typename T>
  void take(const T* from, int position) {
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const auto value = static_cast<float>(from[i]);
      // This way round NaN wins over numbers, and the first NaN stays.
      const bool wins = !(value <= best[i]) & (best[i] == best[i]);
      best[i] = wins ? value : best[i];
      won[i] = wins ? position : won[i];
    }
  }

  void relu() {
#pragma omp simd
    for (int i = 0; i < kCount; ++i) won[i] = best[i] > 0 ? won[i] : int{Pool2dOp::kNoPixel};
#pragma omp simd
    for (int i = 0; i < kCount; ++i) best[i] = best[i] < 0 ? 0 : best[i];
  }

  template <typename T>
  void put(T* y, std::uint8_t* index) const {
#pragma omp simd
    for (int i = 0; i < kCount; ++i) y[i] = T(best[i]);
    if (index == nullptr) return;
#pragma omp simd
    for (int i = 0; i < kCount; ++i) index[i] = static_cast<std::uint8_t>(won[i]);
  }
};

template <typename T>
void max_of_row(const Windows& of, std::int64_t image, std::int64_t row, const T* x, T* y,
                std::uint8_t* index) {
  const std::int64_t top = of.begin(row), bottom = of.end(row, of.h);
  const T* const end = x + of.n * of.h * of.w * of.c;
  const T* const rows = x + image * of.h * of.w * of.c;
  for (std::int64_t column = 0; column < of.q; ++column) {
    const std::int64_t left = of.begin(column), right = of.end(column, of.w);
    const T* const first = rows + (top * of.w + left) * of.c;
    const T* const last = rows + ((bottom - 1) * of.w + right - 1) * of.c;
    const bool usual = of.params.window == 2 && bottom - top == 2 && right - left == 2;
    const auto lanes = [&]<int kCount>(std::int64_t c) {
      Largest<kCount> largest;
      if (usual) {
        largest.start(first + c, first + of.c + c);
        largest.take(first + of.w * of.c + c, 2);
        largest.take(first + (of.w + 1) * of.c + c, 3);
      } else {
        largest.start(first + c, of.position(row, top, column, left));
        for (std::int64_t at_y = top; at_y < bottom; ++at_y)
          for (std::int64_t at_x = left; at_x < right; ++at_x)
            largest.take(rows + (at_y * of.w + at_x) * of.c + c,
                         of.position(row, at_y, column, at_x));
      }
      if (of.params.relu) largest.relu();
      const std::int64_t at = column * of.c + c;
      largest.put(y + at, index == nullptr ? nullptr : index + at);
    };
    for_lanes(of.c, std::min((of.q - column) * of.c, end - last), lanes);
  }
}

void run_max_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                     const Tensor& index) {
  const Windows of(x, y, params);
  onednn::for_its_type(x.dtype(), [&]<typename T>() {
#pragma omp parallel for if (x.elements() > onednn::kWorthThreads)
    for (std::int64_t line = 0; line < of.n * of.p; ++line) {
      const std::int64_t at = line * of.q * of.c;
      max_of_row<T>(of, line / of.p, line % of.p, x.data<T>(), y.data<T>() + at,
                    index.defined() ? index.data<std::uint8_t>() + at : nullptr);
    }
  });
}

// Windows side by side, none overlapping: every pixel they cover is written once. kWindow is 2, or
// 0 for others.
template <int kWindow, typename T>
void spread_row(const Windows& of, const T* dy, const int* winners, T* dx) {
  const std::int64_t window = kWindow > 0 ? kWindow : of.params.window, row_length = of.w * of.c;
  for (std::int64_t r = 0; r < window; ++r) {
    T* const to_row = dx + r * row_length;
    for (std::int64_t column = 0; column < of.q; ++column) {
      const std::int64_t at = column * of.c, left = of.q * of.c - at;
      for (std::int64_t s = 0; s < window; ++s) {
        const int position = static_cast<int>(r * window + s);
        T* const to = to_row + (column * window + s) * of.c;
        const auto lanes = [=]<int kCount>(std::int64_t c) {
#pragma omp simd
          for (int i = 0; i < kCount; ++i)
            to[c + i] = winners[at + c + i] == position ? dy[at + c + i] : T(0.f);
        };
        for_lanes(of.c, std::min<std::int64_t>(left, to_row + row_length - to), lanes);
      }
    }
    std::fill(to_row + of.q * window * of.c, to_row + row_length, T(0.f));
  }
}

// Image by image, so that no pixel is added to by two threads; `sum` has an image's elements.
template <typename T>
void scatter_image(const Windows& of, const T* dy, const std::uint8_t* index, float* sum) {
  for (std::int64_t row = 0; row < of.p; ++row) {
    for (std::int64_t column = 0; column < of.q; ++column) {
      for (std::int64_t c = 0; c < of.c; ++c, ++dy, ++index) {
        if (*index == Pool2dOp::kNoPixel) continue;
        const std::int64_t y = row * of.params.stride - of.params.pad + *index / of.params.window;
        const std::int64_t x =
            column * of.params.stride - of.params.pad + *index % of.params.window;
        sum[(y * of.w + x) * of.c + c] += static_cast<float>(*dy);
      }
    }
  }
}

void run_max_backward(const Tensor& dy, const Tensor& index, const Pool2dParams& params,
                      Write write, const Tensor& dx) {
  const Windows of(dx, dy, params);
  const bool tiles = params.stride == params.window && params.pad == 0;
  const bool side_by_side = tiles && write == Write::overwrite;
  const std::int64_t image = of.h * of.w * of.c, windows = of.p * of.q * of.c;
  onednn::for_its_type(dy.dtype(), [&]<typename T>() {
    const T* from = dy.data<T>();
    const std::uint8_t* winner = index.data<std::uint8_t>();
#pragma omp parallel for if (dx.elements() > onednn::kWorthThreads)
    for (std::int64_t i = 0; i < of.n; ++i) {
      T* to = dx.data<T>() + i * image;
      if (!side_by_side) {
        std::vector<float> sum(static_cast<std::size_t>(image));
        for (std::int64_t j = 0; j < image && write == Write::accumulate; ++j)
          sum[static_cast<std::size_t>(j)] = static_cast<float>(to[j]);
        scatter_image<T>(of, from + i * windows, winner + i * windows, sum.data());
        for (const float each : sum) *to++ = T(each);
        continue;
      }
      const std::int64_t row_length = of.q * of.c;
      std::vector<int> winners(
          static_cast<std::size_t>(row_length));  // as wide as what they choose
      for (std::int64_t row = 0; row < of.p; ++row) {
        const std::int64_t at = i * windows + row * row_length;
        std::copy(winner + at, winner + at + row_length, winners.begin());
        T* const row_of_windows = to + row * params.window * of.w * of.c;
        params.window == 2 ? spread_row<2>(of, from + at, winners.data(), row_of_windows)
                           : spread_row<0>(of, from + at, winners.data(), row_of_windows);
      }
      std::fill(to + of.p * params.window * of.w * of.c, to + image, T(0.f));
    }
  });
}

}  // namespace

template <typename Target>
Pool2dOp Pool2dOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .max_forward = run_max_forward,
          .max_backward = run_max_backward,
          .average_forward = run_average_forward,
          .average_backward = run_average_backward,
          .global_average_forward = run_global_average_forward,
          .global_average_backward = run_global_average_backward};
}
template Pool2dOp Pool2dOp::vendor<Host>();

}  // namespace cucina
