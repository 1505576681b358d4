// relu by cuDNN.
#include "kernels/common/vendor_cuda.h"
#include "kernels/relu/relu.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;

cudnnActivationDescriptor_t relu_descriptor() {
  static const cudnnActivationDescriptor_t descriptor = [] {
    cudnnActivationDescriptor_t created = nullptr;
    check(cudnnCreateActivationDescriptor(&created), "cudnnCreateActivationDescriptor");
    check(cudnnSetActivationDescriptor(created, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0),
          "cudnnSetActivationDescriptor");
    return created;
  }();
  return descriptor;
}

void run_forward(const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto shape = vendor_cuda::describe(x);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnActivationForward(vendor_cuda::cudnn(x.stream()), relu_descriptor(), blend.alpha(),
                               shape.get(), x.raw(), blend.beta(), shape.get(), y.raw()),
        "relu.forward");
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto shape = vendor_cuda::describe(dy);
  const Blend blend(dy.dtype(), write);
  // cuDNN masks by x > 0; y > 0 says the same, so y stands in for x.
  check(cudnnActivationBackward(vendor_cuda::cudnn(dy.stream()), relu_descriptor(), blend.alpha(),
                                shape.get(), y.raw(), shape.get(), dy.raw(), shape.get(), y.raw(),
                                blend.beta(), shape.get(), dx.raw()),
        "relu.backward");
}

}  // namespace

template <typename Target>
ReluOp ReluOp::vendor() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template ReluOp ReluOp::vendor<Gpu>();

}  // namespace cucina
