// conv2d in plain loops: the definition of right.
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

// Calls body(x index, w index, y index) for every product of the sum that defines y.
template <typename Body>
void for_each_product(const Shape& x, const Shape& w, const Shape& y, const Conv2dParams& params,
                      Body body) {
  const std::int64_t height = x[1], width = x[2], channels = x[3];
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t p = 0; p < y[1]; ++p) {
      for (std::int64_t q = 0; q < y[2]; ++q) {
        for (std::int64_t k = 0; k < y[3]; ++k) {
          for (std::int64_t r = 0; r < w[1]; ++r) {
            for (std::int64_t s = 0; s < w[2]; ++s) {
              const std::int64_t row = p * params.stride + r - params.pad;
              const std::int64_t column = q * params.stride + s - params.pad;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (std::int64_t c = 0; c < channels; ++c) {
                body(((n * height + row) * width + column) * channels + c,
                     ((k * w[1] + r) * w[2] + s) * channels + c,
                     ((n * y[1] + p) * y[2] + q) * y[3] + k);
              }
            }
          }
        }
      }
    }
  }
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  for_real("conv2d", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < y.elements(); ++i) {
      y.data<Real>()[i] = b.defined() ? b.data<Real>()[i % b.elements()] : Real(0);
    }
    for_each_product(x.shape(), w.shape(), y.shape(), params,
                     [x = x.data<Real>(), w = w.data<Real>(), y = y.data<Real>()](
                         auto xi, auto wi, auto yi) { y[yi] += x[xi] * w[wi]; });
  });
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (write == Write::overwrite) dx.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for_each_product(dx.shape(), w.shape(), dy.shape(), params,
                     [dx = dx.data<Real>(), w = w.data<Real>(), dy = dy.data<Real>()](
                         auto xi, auto wi, auto yi) { dx[xi] += dy[yi] * w[wi]; });
  });
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor&) {
  if (write == Write::overwrite) dw.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for_each_product(x.shape(), dw.shape(), dy.shape(), params,
                     [x = x.data<Real>(), dw = dw.data<Real>(), dy = dy.data<Real>()](
                         auto xi, auto wi, auto yi) { dw[wi] += dy[yi] * x[xi]; });
  });
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  if (write == Write::overwrite) db.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      db.data<Real>()[i % db.elements()] += dy.data<Real>()[i];
    }
  });
}

}  // namespace

Conv2dOp Conv2dOp::reference() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch};
}

}  // namespace cucina
