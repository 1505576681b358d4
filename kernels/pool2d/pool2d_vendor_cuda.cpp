// pool2d by cuDNN.
#include "kernels/common/vendor_cuda.h"
#include "kernels/pool2d/pool2d.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::to_int;
using PoolingDescriptor = std::unique_ptr<
    cudnnPoolingDescriptor_t,
    vendor_cuda::Destroyer<cudnnPoolingDescriptor_t, cudnnDestroyPoolingDescriptor>>;

PoolingDescriptor average_descriptor(int window_h, int window_w, int pad, int stride) {
  cudnnPoolingDescriptor_t created = nullptr;
  check(cudnnCreatePoolingDescriptor(&created), "cudnnCreatePoolingDescriptor");
  PoolingDescriptor owned(created);
  check(cudnnSetPooling2dDescriptor(created, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
                                    CUDNN_PROPAGATE_NAN, window_h, window_w, pad, pad, stride,
                                    stride),
        "cudnnSetPooling2dDescriptor");
  return owned;
}

PoolingDescriptor windows_of(const Pool2dParams& params) {
  return average_descriptor(params.window, params.window, params.pad, params.stride);
}

PoolingDescriptor window_over(const Tensor& image) {
  return average_descriptor(to_int(image.size(1), "pool2d"), to_int(image.size(2), "pool2d"), 0, 1);
}

// (n, c) as an image of one pixel.
vendor_cuda::TensorDescriptor describe_means(const Tensor& means) {
  return vendor_cuda::describe(means.dtype(), to_int(means.size(0), "pool2d"), 1, 1,
                               to_int(means.size(1), "pool2d"));
}

void average(const char* name, const PoolingDescriptor& windows, const Tensor& x,
             const vendor_cuda::TensorDescriptor& y_shape, const Tensor& y) {
  const auto x_shape = vendor_cuda::describe(x);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnPoolingForward(vendor_cuda::cudnn(x.stream()), windows.get(), blend.alpha(),
                            x_shape.get(), x.raw(), blend.beta(), y_shape.get(), y.raw()),
        name);
}

void spread(const char* name, const PoolingDescriptor& windows,
            const vendor_cuda::TensorDescriptor& dy_shape, const Tensor& dy, Write write,
            const Tensor& dx) {
  const auto dx_shape = vendor_cuda::describe(dx);
  const Blend blend(dy.dtype(), write);
  // y and x matter to the gradient of a maximum only; dy and dx stand in for them here.
  check(cudnnPoolingBackward(vendor_cuda::cudnn(dy.stream()), windows.get(), blend.alpha(),
                             dy_shape.get(), dy.raw(), dy_shape.get(), dy.raw(), dx_shape.get(),
                             dx.raw(), blend.beta(), dx_shape.get(), dx.raw()),
        name);
}

void run_average_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  if (x.elements() == 0) return;
  average("pool2d.average_forward", windows_of(params), x, vendor_cuda::describe(y), y);
}

void run_average_backward(const Tensor& dy, const Pool2dParams& params, Write write,
                          const Tensor& dx) {
  if (dx.elements() == 0) return;
  spread("pool2d.average_backward", windows_of(params), vendor_cuda::describe(dy), dy, write, dx);
}

void run_global_average_forward(const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  average("pool2d.global_average_forward", window_over(x), x, describe_means(y), y);
}

void run_global_average_backward(const Tensor& dy, Write write, const Tensor& dx) {
  if (dx.elements() == 0) return;
  spread("pool2d.global_average_backward", window_over(dx), describe_means(dy), dy, write, dx);
}

}  // namespace

template <typename Target>
Pool2dOp Pool2dOp::vendor() {
  return {.dtypes = kFloating,
          // cuDNN's pooling keeps no index: its backward compares x with y anew, so our contract,
          // which saves one byte per window instead of both, has no use for it.
          .max_forward = nullptr,
          .max_backward = nullptr,
          .average_forward = run_average_forward,
          .average_backward = run_average_backward,
          .global_average_forward = run_global_average_forward,
          .global_average_backward = run_global_average_backward};
}
template Pool2dOp Pool2dOp::vendor<Gpu>();

}  // namespace cucina
