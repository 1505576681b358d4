// unary's hand-written kernels: elementwise, so each is one map.
#include "kernels/common/activation.h"
#include "kernels/common/elementwise.h"
#include "kernels/unary/unary.h"

namespace cucina {
namespace {

// The functions: value(x), and gradient(dy, kept) with what unary_keeps() says.

template <Activation kActivation>
struct Activate {
  template <typename Real>
  __device__ __forceinline__ Real value(Real x) const {
    return activation::value<kActivation>(x);
  }
  template <typename Real>
  __device__ __forceinline__ Real gradient(Real dy, Real kept) const {
    if constexpr (kActivation == Activation::relu) {
      // By masks: g++ would load dy under the condition, and then not vectorise.
      return math::detail::select(kept > Real(0), dy, Real(0));
    } else {
      return dy * activation::derivative<kActivation>(kept, kept);
    }
  }
};

template <typename Real>
struct Clamp {
  Real low, high;
  __device__ __forceinline__ Real value(Real x) const {
    const Real above = x < low ? low : x;  // this way round NaN passes through
    return above > high ? high : above;
  }
  __device__ __forceinline__ Real gradient(Real dy, Real x) const {
    return x >= low && x <= high ? dy : Real(0);
  }
};

template <typename Real>
struct Scale {
  Real a, b;
  __device__ __forceinline__ Real value(Real x) const { return fma(a, x, b); }
  __device__ __forceinline__ Real gradient(Real dy, Real) const { return a * dy; }
};

template <typename F>
struct ValueOf {
  F f;
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real x) const {
    return f.value(x);
  }
};

template <typename F>
struct GradientOf {
  F f;
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real dy, Real kept) const {
    return f.gradient(dy, kept);
  }
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real dy) const {
    return f.gradient(dy, Real(0));
  }
};

// Calls use(f) with the function that `params` means.
template <typename Real, typename Use>
void with_function(const UnaryParams& params, const Use& use) {
  const Real a = static_cast<Real>(params.a), b = static_cast<Real>(params.b);
  switch (params.kind) {
    case UnaryKind::activation:
      activation::dispatch(params.activation,
                           [&]<Activation kActivation>() { use(Activate<kActivation>{}); });
      return;
    case UnaryKind::clamp:
      use(Clamp<Real>{a, b});
      return;
    case UnaryKind::scale:
      use(Scale<Real>{a, b});
      return;
  }
}

void run_forward(const Tensor& x, const UnaryParams& params, const Tensor& y) {
  for_floating("unary", x.dtype(), [&]<typename T>() {
    with_function<Compute<T>>(params, [&](const auto& f) {
      map_to<T, T>("unary.forward", ValueOf<std::remove_cvref_t<decltype(f)>>{f}, x, y);
    });
  });
}

void run_backward(const Tensor& dy, const Tensor& kept, const UnaryParams& params, Write write,
                  const Tensor& dx) {
  for_floating("unary", dy.dtype(), [&]<typename T>() {
    with_function<Compute<T>>(params, [&](const auto& f) {
      const GradientOf<std::remove_cvref_t<decltype(f)>> gradient{f};
      if (kept.defined()) {
        map_into<T>("unary.backward", gradient, dy, kept, write, dx);
      } else {
        map_into<T, T>("unary.backward", gradient, dy, write, dx);
      }
    });
  });
}

}  // namespace

template <typename Target>
UnaryOp UnaryOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template UnaryOp UnaryOp::hand<simt::Target>();

}  // namespace cucina
