// conv2d by cuDNN.
#include <array>

#include "core/error.h"
#include "kernels/common/vendor_cuda.h"
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::cudnn;
using vendor_cuda::to_int;

using FilterDescriptor =
    std::unique_ptr<cudnnFilterDescriptor_t,
                    vendor_cuda::Destroyer<cudnnFilterDescriptor_t, cudnnDestroyFilterDescriptor>>;
using ConvolutionDescriptor = std::unique_ptr<
    cudnnConvolutionDescriptor_t,
    vendor_cuda::Destroyer<cudnnConvolutionDescriptor_t, cudnnDestroyConvolutionDescriptor>>;

FilterDescriptor describe_filter(const Tensor& w) {
  cudnnFilterDescriptor_t created = nullptr;
  check(cudnnCreateFilterDescriptor(&created), "cudnnCreateFilterDescriptor");
  FilterDescriptor filter(created);
  check(cudnnSetFilter4dDescriptor(created, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC,
                                   to_int(w.size(0), "conv2d"), to_int(w.size(3), "conv2d"),
                                   to_int(w.size(1), "conv2d"), to_int(w.size(2), "conv2d")),
        "cudnnSetFilter4dDescriptor");
  return filter;
}

// Full f32: no TF32.
ConvolutionDescriptor describe_convolution(const Conv2dParams& params) {
  cudnnConvolutionDescriptor_t created = nullptr;
  check(cudnnCreateConvolutionDescriptor(&created), "cudnnCreateConvolutionDescriptor");
  ConvolutionDescriptor convolution(created);
  check(
      cudnnSetConvolution2dDescriptor(created, params.pad, params.pad, params.stride, params.stride,
                                      1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
      "cudnnSetConvolution2dDescriptor");
  check(cudnnSetConvolutionMathType(created, CUDNN_FMA_MATH), "cudnnSetConvolutionMathType");
  return convolution;
}

// cuDNN's first choice that gives the same bits every time and does not round inputs to TF32.
//   ask(count, &found, results)   one of cudnnGetConvolution...Algorithm_v7
template <typename Performance, typename Ask>
Performance choose_algorithm(const char* what, Ask ask) {
  std::array<Performance, 8> results{};
  int found = 0;
  check(ask(static_cast<int>(results.size()), &found, results.data()), what);
  for (int i = 0; i < found; ++i) {
    const Performance& result = results[static_cast<std::size_t>(i)];
    const bool full_precision =
        result.mathType == CUDNN_FMA_MATH || result.mathType == CUDNN_DEFAULT_MATH;
    if (result.status == CUDNN_STATUS_SUCCESS && full_precision &&
        result.determinism == CUDNN_DETERMINISTIC) {
      return result;
    }
  }
  fail(ExitCode::run_failed,
       "{}: cuDNN has no deterministic f32 algorithm for this shape; use --backend hand", what);
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  if (y.elements() == 0) return;
  constexpr auto kName = "conv2d.forward";
  const cudnnHandle_t handle = cudnn(x.stream());
  const auto x_shape = vendor_cuda::describe(x), y_shape = vendor_cuda::describe(y);
  const auto w_shape = describe_filter(w);
  const auto convolution = describe_convolution(params);
  const auto chosen = choose_algorithm<cudnnConvolutionFwdAlgoPerf_t>(
      kName, [&](int count, int* found, cudnnConvolutionFwdAlgoPerf_t* results) {
        return cudnnGetConvolutionForwardAlgorithm_v7(handle, x_shape.get(), w_shape.get(),
                                                      convolution.get(), y_shape.get(), count,
                                                      found, results);
      });
  const auto workspace = Storage::allocate(chosen.memory, x.device());
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnConvolutionForward(handle, blend.alpha(), x_shape.get(), x.raw(), w_shape.get(),
                                w.raw(), convolution.get(), chosen.algo, workspace->data(),
                                chosen.memory, blend.beta(), y_shape.get(), y.raw()),
        kName);
  if (!b.defined()) return;
  const Blend sum(x.dtype(), Write::accumulate);
  const auto b_shape = vendor_cuda::describe(b.dtype(), 1, 1, 1, to_int(b.size(0), "conv2d"));
  check(cudnnAddTensor(handle, sum.alpha(), b_shape.get(), b.raw(), sum.beta(), y_shape.get(),
                       y.raw()),
        kName);
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (dx.elements() == 0) return;
  if (dy.elements() == 0) {  // no output channels
    if (write == Write::overwrite) dx.zero();
    return;
  }
  constexpr auto kName = "conv2d.backward_input";
  const cudnnHandle_t handle = cudnn(dy.stream());
  const auto dx_shape = vendor_cuda::describe(dx), dy_shape = vendor_cuda::describe(dy);
  const auto w_shape = describe_filter(w);
  const auto convolution = describe_convolution(params);
  const auto chosen = choose_algorithm<cudnnConvolutionBwdDataAlgoPerf_t>(
      kName, [&](int count, int* found, cudnnConvolutionBwdDataAlgoPerf_t* results) {
        return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, w_shape.get(), dy_shape.get(),
                                                           convolution.get(), dx_shape.get(), count,
                                                           found, results);
      });
  const auto workspace = Storage::allocate(chosen.memory, dy.device());
  const Blend blend(dy.dtype(), write);
  check(cudnnConvolutionBackwardData(handle, blend.alpha(), w_shape.get(), w.raw(), dy_shape.get(),
                                     dy.raw(), convolution.get(), chosen.algo, workspace->data(),
                                     chosen.memory, blend.beta(), dx_shape.get(), dx.raw()),
        kName);
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor&) {
  if (dw.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) dw.zero();
    return;
  }
  constexpr auto kName = "conv2d.backward_weight";
  const cudnnHandle_t handle = cudnn(dy.stream());
  const auto x_shape = vendor_cuda::describe(x), dy_shape = vendor_cuda::describe(dy);
  const auto dw_shape = describe_filter(dw);
  const auto convolution = describe_convolution(params);
  const auto chosen = choose_algorithm<cudnnConvolutionBwdFilterAlgoPerf_t>(
      kName, [&](int count, int* found, cudnnConvolutionBwdFilterAlgoPerf_t* results) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, x_shape.get(), dy_shape.get(),
                                                             convolution.get(), dw_shape.get(),
                                                             count, found, results);
      });
  const auto workspace = Storage::allocate(chosen.memory, dy.device());
  const Blend blend(dy.dtype(), write);
  check(
      cudnnConvolutionBackwardFilter(handle, blend.alpha(), x_shape.get(), x.raw(), dy_shape.get(),
                                     dy.raw(), convolution.get(), chosen.algo, workspace->data(),
                                     chosen.memory, blend.beta(), dw_shape.get(), dw.raw()),
      kName);
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  if (db.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) db.zero();
    return;
  }
  const auto dy_shape = vendor_cuda::describe(dy);
  const auto db_shape = vendor_cuda::describe(db.dtype(), 1, 1, 1, to_int(db.size(0), "conv2d"));
  const Blend blend(dy.dtype(), write);
  check(cudnnConvolutionBackwardBias(cudnn(dy.stream()), blend.alpha(), dy_shape.get(), dy.raw(),
                                     blend.beta(), db_shape.get(), db.raw()),
        "conv2d.backward_bias");
}

}  // namespace

template <typename Target>
Conv2dOp Conv2dOp::vendor() {
  return {.dtypes = kF32,  // cuDNN's backward passes take (n, h, w, c) in f32 but not in f64
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch};
}
template Conv2dOp Conv2dOp::vendor<Gpu>();

}  // namespace cucina
