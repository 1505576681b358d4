// pool2d in plain loops: the definition of right. The backward passes scatter, as the formulas do.
#include <cmath>

#include "kernels/pool2d/pool2d.h"

namespace cucina {
namespace {

// Calls visit(window element, pixel element, position in the window) for every pixel of every
// window, in order; elements are offsets into (n, p, q, c) and (n, h, w, c).
template <typename Visit>
void for_each_pixel(const Shape& image, const Shape& windows, const Pool2dParams& params,
                    Visit visit) {
  const std::int64_t h = image[1], w = image[2], c = image[3];
  std::int64_t window = 0;
  for (std::int64_t n = 0; n < windows[0]; ++n) {
    for (std::int64_t p = 0; p < windows[1]; ++p) {
      for (std::int64_t q = 0; q < windows[2]; ++q) {
        for (std::int64_t channel = 0; channel < c; ++channel, ++window) {
          for (int r = 0; r < params.window; ++r) {
            for (int s = 0; s < params.window; ++s) {
              const std::int64_t row = p * params.stride + r - params.pad;
              const std::int64_t column = q * params.stride + s - params.pad;
              if (row < 0 || row >= h || column < 0 || column >= w) continue;
              visit(window, ((n * h + row) * w + column) * c + channel, r * params.window + s);
            }
          }
        }
      }
    }
  }
}

template <typename Real>
void clear_unless(Write write, const Tensor& dx) {
  if (write == Write::accumulate) return;
  for (std::int64_t i = 0; i < dx.elements(); ++i) dx.data<Real>()[i] = 0;
}

void run_max_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                     const Tensor& index) {
  for_real("pool2d", x.dtype(), [&]<typename Real>() {
    std::int64_t seen = -1;  // the last window whose first pixel has been met
    for_each_pixel(x.shape(), y.shape(), params,
                   [&](std::int64_t window, std::int64_t pixel, int position) {
                     Real& best = y.data<Real>()[window];
                     const Real value = x.data<Real>()[pixel];
                     const bool wins =
                         window != seen || value > best || (std::isnan(value) && !std::isnan(best));
                     seen = window;
                     if (!wins) return;
                     best = value;
                     if (index.defined()) {
                       index.data<std::uint8_t>()[window] = static_cast<std::uint8_t>(position);
                     }
                   });
    if (!params.relu) return;
    for (std::int64_t window = 0; window < y.elements(); ++window) {
      Real& best = y.data<Real>()[window];
      if (index.defined() && !(best > 0)) {
        index.data<std::uint8_t>()[window] = Pool2dOp::kNoPixel;
      }
      if (best < 0) best = 0;
    }
  });
}

void run_max_backward(const Tensor& dy, const Tensor& index, const Pool2dParams& params,
                      Write write, const Tensor& dx) {
  for_real("pool2d", dy.dtype(), [&]<typename Real>() {
    clear_unless<Real>(write, dx);
    for_each_pixel(dx.shape(), dy.shape(), params,
                   [&](std::int64_t window, std::int64_t pixel, int position) {
                     if (index.data<std::uint8_t>()[window] != position) return;
                     dx.data<Real>()[pixel] += dy.data<Real>()[window];
                   });
  });
}

void run_average_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  for_real("pool2d", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < y.elements(); ++i) y.data<Real>()[i] = 0;
    const Real count = static_cast<Real>(params.window * params.window);
    for_each_pixel(x.shape(), y.shape(), params, [&](std::int64_t window, std::int64_t pixel, int) {
      y.data<Real>()[window] += x.data<Real>()[pixel] / count;
    });
  });
}

void run_average_backward(const Tensor& dy, const Pool2dParams& params, Write write,
                          const Tensor& dx) {
  for_real("pool2d", dy.dtype(), [&]<typename Real>() {
    clear_unless<Real>(write, dx);
    const Real count = static_cast<Real>(params.window * params.window);
    for_each_pixel(dx.shape(), dy.shape(), params,
                   [&](std::int64_t window, std::int64_t pixel, int) {
                     dx.data<Real>()[pixel] += dy.data<Real>()[window] / count;
                   });
  });
}

void run_global_average_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t pixels = x.size(1) * x.size(2), c = x.size(3);
  for_real("pool2d", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < y.elements(); ++i) {
      Real sum = 0;
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        sum += x.data<Real>()[(i / c * pixels + pixel) * c + i % c];
      }
      y.data<Real>()[i] = sum / static_cast<Real>(pixels);
    }
  });
}

void run_global_average_backward(const Tensor& dy, Write write, const Tensor& dx) {
  const std::int64_t pixels = dx.size(1) * dx.size(2), c = dx.size(3);
  for_real("pool2d", dy.dtype(), [&]<typename Real>() {
    clear_unless<Real>(write, dx);
    for (std::int64_t i = 0; i < dx.elements(); ++i) {
      const Real gradient = dy.data<Real>()[i / (pixels * c) * c + i % c];
      dx.data<Real>()[i] += gradient / static_cast<Real>(pixels);
    }
  });
}

}  // namespace

Pool2dOp Pool2dOp::reference() {
  return {.dtypes = kReal,
          .max_forward = run_max_forward,
          .max_backward = run_max_backward,
          .average_forward = run_average_forward,
          .average_backward = run_average_backward,
          .global_average_forward = run_global_average_forward,
          .global_average_backward = run_global_average_backward};
}

}  // namespace cucina
