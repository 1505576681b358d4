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

// Calls use.operator()<From, To>() for two tensors' types.
template <typename Use>
void for_both(const Tensor& from, const Tensor& to, const Use& use) {
  for_floating("cast", from.dtype(), [&]<typename From>() {
    for_floating("cast", to.dtype(), [&]<typename To>() { use.template operator()<From, To>(); });
  });
}

void run_forward(const Tensor& x, const Tensor& y) {
  for_both(x, y, [&]<typename From, typename To>() {
    map_to<From, To>("cast.forward", ConvertTo<Compute<To>>{}, x, y);
  });
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  for_both(dy, dx, [&]<typename From, typename To>() {
    map_into<From, To>("cast.backward", ConvertTo<Compute<To>>{}, dy, write, dx);
  });
}

}  // namespace

template <typename Target>
CastOp CastOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template CastOp CastOp::hand<simt::Target>();

}  // namespace cucina
