// cast's hand-written kernels: elementwise, so each is one map.
#include "kernels/cast/cast.h"
#include "kernels/common/elementwise.h"

namespace cucina {
namespace {

template <typename Real>
struct ConvertTo {
  template <typename From>
  __device__ __forceinline__ Real operator()(From x) const {
    return static_cast<Real>(x);
  }
};

void convert(const char* name, const Tensor& from, Write write, const Tensor& to) {
  for_floating("cast", from.dtype(), [&]<typename From>() {
    for_floating("cast", to.dtype(), [&]<typename To>() {
      map_to<From, To>(name, ConvertTo<Compute<To>>{}, from, write, to);
    });
  });
}

void run_forward(const Tensor& x, const Tensor& y) {
  convert("cast.forward", x, Write::overwrite, y);
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  convert("cast.backward", dy, write, dx);
}

}  // namespace

template <typename Target>
CastOp CastOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template CastOp CastOp::hand<simt::Target>();

}  // namespace cucina
