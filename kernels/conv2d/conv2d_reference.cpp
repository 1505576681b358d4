// conv2d in plain loops: the definition of right.
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

// Calls body(x index, w index, y index, input channel) for every product of the sum that defines y.
template <typename Body>
void for_each_product(const Shape& x, const Shape& w, const Shape& y, const Conv2dParams& params,
                      Body body) {
  const std::int64_t height = x[1], width = x[2], channels = x[3];
  const std::int64_t in = channels / params.groups, out = y[3] / params.groups;  // per group
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t p = 0; p < y[1]; ++p) {
      for (std::int64_t q = 0; q < y[2]; ++q) {
        for (std::int64_t k = 0; k < y[3]; ++k) {
          for (std::int64_t r = 0; r < w[1]; ++r) {
            for (std::int64_t s = 0; s < w[2]; ++s) {
              const std::int64_t row = p * params.stride + r * params.dilation - params.pad;
              const std::int64_t column = q * params.stride + s * params.dilation - params.pad;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (std::int64_t i = 0; i < in; ++i) {
                const std::int64_t c = k / out * in + i;
                body(((n * height + row) * width + column) * channels + c,
                     ((k * w[1] + r) * w[2] + s) * in + i, ((n * y[1] + p) * y[2] + q) * y[3] + k,
                     c);
              }
            }
          }
        }
      }
    }
  }
}

template <typename Real>
Real relu(Real x) {
  return x <= Real(0) ? Real(0) : x;  // this way round NaN passes through
}

// What the prologue makes of x, channel c.
template <typename Real>
struct Prologue {
  const Real* scale = nullptr;  // null: nothing
  const Real* shift = nullptr;
  bool with_relu = false;

  explicit Prologue(const Conv2dPrologue& prologue) {
    if (!prologue.defined()) return;
    scale = prologue.scale.data<Real>();
    shift = prologue.shift.data<Real>();
    with_relu = prologue.relu;
  }
  Real affine(Real x, std::int64_t c) const {
    return scale == nullptr ? x : scale[c] * x + shift[c];
  }
  Real operator()(Real x, std::int64_t c) const {
    return with_relu ? relu(affine(x, c)) : affine(x, c);
  }
};

void run_forward_prologue(const Tensor& x, const Conv2dPrologue& prologue, const Tensor& w,
                          const Tensor& b, const Conv2dParams& params, const Tensor& y) {
  for_real("conv2d", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < y.elements(); ++i) {
      y.data<Real>()[i] = b.defined() ? b.data<Real>()[i % b.elements()] : Real(0);
    }
    for_each_product(
        x.shape(), w.shape(), y.shape(), params,
        [of = Prologue<Real>(prologue), x = x.data<Real>(), w = w.data<Real>(), y = y.data<Real>()](
            auto xi, auto wi, auto yi, auto c) { y[yi] += of(x[xi], c) * w[wi]; });
    if (!params.relu) return;
    for (std::int64_t i = 0; i < y.elements(); ++i) y.data<Real>()[i] = relu(y.data<Real>()[i]);
  });
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  run_forward_prologue(x, {}, w, b, params, y);
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (write == Write::overwrite) dx.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for_each_product(dx.shape(), w.shape(), dy.shape(), params,
                     [dx = dx.data<Real>(), w = w.data<Real>(), dy = dy.data<Real>()](
                         auto xi, auto wi, auto yi, auto) { dx[xi] += dy[yi] * w[wi]; });
  });
}

void run_backward_weight_prologue(const Tensor& dy, const Tensor& x, const Conv2dPrologue& prologue,
                                  const Conv2dParams& params, Write write, const Tensor& dw,
                                  const Tensor&) {
  if (write == Write::overwrite) dw.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for_each_product(x.shape(), dw.shape(), dy.shape(), params,
                     [of = Prologue<Real>(prologue), x = x.data<Real>(), dw = dw.data<Real>(),
                      dy = dy.data<Real>()](auto xi, auto wi, auto yi, auto c) {
                       dw[wi] += dy[yi] * of(x[xi], c);
                     });
  });
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor& scratch) {
  run_backward_weight_prologue(dy, x, {}, params, write, dw, scratch);
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  if (write == Write::overwrite) db.zero();
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      db.data<Real>()[i % db.elements()] += dy.data<Real>()[i];
    }
  });
}

void run_backward_relu(const Tensor& dy, const Tensor& y, const Tensor& dz) {
  for_real("conv2d", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      dz.data<Real>()[i] = y.data<Real>()[i] > Real(0) ? dy.data<Real>()[i] : Real(0);
    }
  });
}

void run_backward_prologue(const Tensor& da, const Tensor& x, const Conv2dPrologue& prologue,
                           const Conv2dPrologueGradients& to, const Tensor&) {
  const auto clear = [](const Tensor& gradient, Write write) {
    if (gradient.defined() && write == Write::overwrite) gradient.zero();
  };
  clear(to.dx, to.dx_write);
  clear(to.dscale, to.dscale_write);
  clear(to.dshift, to.dshift_write);
  for_real("conv2d", da.dtype(), [&]<typename Real>() {
    const Prologue<Real> of(prologue);
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      const std::int64_t c = i % x.size(3);
      const Real value = x.data<Real>()[i];
      if (prologue.relu && !(of.affine(value, c) > Real(0))) continue;
      const Real gradient = da.data<Real>()[i];
      if (to.dx.defined()) to.dx.data<Real>()[i] += gradient * of.scale[c];
      if (to.dscale.defined()) to.dscale.data<Real>()[c] += gradient * value;
      if (to.dshift.defined()) to.dshift.data<Real>()[c] += gradient;
    }
  });
}

}  // namespace

Conv2dOp Conv2dOp::reference() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .forward_prologue = run_forward_prologue,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_weight_prologue = run_backward_weight_prologue,
          .backward_weight_prologue_scratch = no_backward_weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch,
          .backward_relu = run_backward_relu,
          .backward_prologue = run_backward_prologue,
          .backward_prologue_scratch = no_backward_bias_scratch};
}

}  // namespace cucina
