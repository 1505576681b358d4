// softmax by cuDNN.
#include "kernels/common/vendor_cuda.h"
#include "kernels/softmax/softmax.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::TensorDescriptor;
using vendor_cuda::to_int;

// One pixel per row, whose channels are the classes.
TensorDescriptor describe_rows(const Tensor& x) {
  return vendor_cuda::describe(x.dtype(), to_int(x.size(0), "softmax"), 1, 1,
                               to_int(x.size(1), "softmax"));
}

void forward(const char* name, cudnnSoftmaxAlgorithm_t algorithm, const Tensor& x,
             const Tensor& y) {
  if (x.elements() == 0) return;
  const auto shape = describe_rows(x);
  const Blend blend(x.dtype(), Write::overwrite);
  check(
      cudnnSoftmaxForward(vendor_cuda::cudnn(x.stream()), algorithm, CUDNN_SOFTMAX_MODE_CHANNEL,
                          blend.alpha(), shape.get(), x.raw(), blend.beta(), shape.get(), y.raw()),
      name);
}

void backward(const char* name, cudnnSoftmaxAlgorithm_t algorithm, const Tensor& dy,
              const Tensor& y, Write write, const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto shape = describe_rows(dy);
  const Blend blend(dy.dtype(), write);
  check(cudnnSoftmaxBackward(vendor_cuda::cudnn(dy.stream()), algorithm, CUDNN_SOFTMAX_MODE_CHANNEL,
                             blend.alpha(), shape.get(), y.raw(), shape.get(), dy.raw(),
                             blend.beta(), shape.get(), dx.raw()),
        name);
}

void run_forward(const Tensor& x, const Tensor& y) {
  forward("softmax.forward", CUDNN_SOFTMAX_ACCURATE, x, y);
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  backward("softmax.backward", CUDNN_SOFTMAX_ACCURATE, dy, y, write, dx);
}

void run_log_forward(const Tensor& x, const Tensor& y) {
  forward("softmax.log_forward", CUDNN_SOFTMAX_LOG, x, y);
}

void run_log_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  backward("softmax.log_backward", CUDNN_SOFTMAX_LOG, dy, y, write, dx);
}

}  // namespace

template <typename Target>
SoftmaxOp SoftmaxOp::vendor() {
  return {.dtypes = kFloating,
          .forward = run_forward,
          .backward = run_backward,
          .log_forward = run_log_forward,
          .log_backward = run_log_backward};
}
template SoftmaxOp SoftmaxOp::vendor<Gpu>();

}  // namespace cucina
