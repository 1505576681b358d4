// conv2d by cuDNN.
#include <array>

#include "core/error.h"
#include "kernels/common/plan_cache.h"
#include "kernels/common/precision.h"
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
using ActivationDescriptor = std::unique_ptr<
    cudnnActivationDescriptor_t,
    vendor_cuda::Destroyer<cudnnActivationDescriptor_t, cudnnDestroyActivationDescriptor>>;

FilterDescriptor describe_filter(const Tensor& w) {
  cudnnFilterDescriptor_t created = nullptr;
  check(cudnnCreateFilterDescriptor(&created), "cudnnCreateFilterDescriptor");
  FilterDescriptor filter(created);
  const auto type = w.dtype() == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  check(cudnnSetFilter4dDescriptor(created, type, CUDNN_TENSOR_NHWC, to_int(w.size(0), "conv2d"),
                                   to_int(w.size(3), "conv2d"), to_int(w.size(1), "conv2d"),
                                   to_int(w.size(2), "conv2d")),
        "cudnnSetFilter4dDescriptor");
  return filter;
}

// May inputs be rounded to what tensor cores multiply?
bool may_round(DType dtype) {
  return dtype == DType::bf16 || float32_precision() == Precision::tf32;
}

ConvolutionDescriptor describe_convolution(const Conv2dParams& params, DType dtype) {
  cudnnConvolutionDescriptor_t created = nullptr;
  check(cudnnCreateConvolutionDescriptor(&created), "cudnnCreateConvolutionDescriptor");
  ConvolutionDescriptor convolution(created);
  check(cudnnSetConvolution2dDescriptor(created, params.pad, params.pad, params.stride,
                                        params.stride, params.dilation, params.dilation,
                                        CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
        "cudnnSetConvolution2dDescriptor");
  check(cudnnSetConvolutionGroupCount(created, params.groups), "cudnnSetConvolutionGroupCount");
  check(cudnnSetConvolutionMathType(created,
                                    may_round(dtype) ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH),
        "cudnnSetConvolutionMathType");
  return convolution;
}

ActivationDescriptor describe_relu() {
  cudnnActivationDescriptor_t created = nullptr;
  check(cudnnCreateActivationDescriptor(&created), "cudnnCreateActivationDescriptor");
  ActivationDescriptor relu(created);
  check(cudnnSetActivationDescriptor(created, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0),
        "cudnnSetActivationDescriptor");
  return relu;
}

// A convolution of cuDNN's: its tensors, and the algorithm that was chosen for them.
template <typename Performance>
struct Plan {
  vendor_cuda::TensorDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor convolution;
  Performance chosen;
};

// cuDNN's first choice that gives the same bits every time and does not round inputs more than
// allowed. Made once per shape: asking takes longer than a launch.
//   ask(plan, count, &found, results)   one of cudnnGetConvolution...Algorithm_v7
template <typename Performance, typename Ask>
auto plan_for(const char* what, const Tensor& x, const Tensor& w, const Tensor& y,
              const Conv2dParams& params, Ask ask) {
  const DType dtype = x.dtype();
  const bool rounds = may_round(dtype);
  const PlanKey key(what, x.shape(), w.shape(), dtype, params.stride, params.pad, params.dilation,
                    params.groups, rounds);
  return cached(key, [&] {
    Plan<Performance> plan{vendor_cuda::describe(x),
                           vendor_cuda::describe(y),
                           describe_filter(w),
                           describe_convolution(params, dtype),
                           {}};
    std::array<Performance, 8> results{};
    int found = 0;
    check(ask(plan, static_cast<int>(results.size()), &found, results.data()), what);
    for (int i = 0; i < found; ++i) {
      const Performance& result = results[static_cast<std::size_t>(i)];
      const bool exact =
          rounds || result.mathType == CUDNN_FMA_MATH || result.mathType == CUDNN_DEFAULT_MATH;
      if (result.status == CUDNN_STATUS_SUCCESS && exact &&
          result.determinism == CUDNN_DETERMINISTIC) {
        plan.chosen = result;
        check(cudnnSetConvolutionMathType(plan.convolution.get(),
                                          rounds ? result.mathType : CUDNN_FMA_MATH),
              what);
        return plan;
      }
    }
    fail(ExitCode::run_failed,
         "{}: cuDNN has no deterministic {} algorithm for this shape; use --backend hand", what,
         name(dtype));
  });
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  if (y.elements() == 0) return;
  constexpr auto kName = "conv2d.forward";
  const cudnnHandle_t handle = cudnn(x.stream());
  const auto plan = plan_for<cudnnConvolutionFwdAlgoPerf_t>(
      kName, x, w, y, params,
      [&](const auto& made, int count, int* found, cudnnConvolutionFwdAlgoPerf_t* results) {
        return cudnnGetConvolutionForwardAlgorithm_v7(handle, made.x.get(), made.w.get(),
                                                      made.convolution.get(), made.y.get(), count,
                                                      found, results);
      });
  const auto workspace = Storage::allocate(plan->chosen.memory, x.device());
  const Blend blend(x.dtype(), Write::overwrite), sum(x.dtype(), Write::accumulate);
  if (b.defined() && params.relu) {
    const auto b_shape = vendor_cuda::describe(b.dtype(), 1, 1, 1, to_int(b.size(0), "conv2d"));
    const auto relu = describe_relu();
    // z, which it would add, counts for nothing: its factor is 0.
    check(cudnnConvolutionBiasActivationForward(
              handle, blend.alpha(), plan->x.get(), x.raw(), plan->w.get(), w.raw(),
              plan->convolution.get(), plan->chosen.algo, workspace->data(), plan->chosen.memory,
              blend.beta(), plan->y.get(), y.raw(), b_shape.get(), b.raw(), relu.get(),
              plan->y.get(), y.raw()),
          kName);
    return;
  }
  check(
      cudnnConvolutionForward(handle, blend.alpha(), plan->x.get(), x.raw(), plan->w.get(), w.raw(),
                              plan->convolution.get(), plan->chosen.algo, workspace->data(),
                              plan->chosen.memory, blend.beta(), plan->y.get(), y.raw()),
      kName);
  if (b.defined()) {
    const auto b_shape = vendor_cuda::describe(b.dtype(), 1, 1, 1, to_int(b.size(0), "conv2d"));
    check(cudnnAddTensor(handle, sum.alpha(), b_shape.get(), b.raw(), sum.beta(), plan->y.get(),
                         y.raw()),
          kName);
  }
  if (params.relu) {
    const auto relu = describe_relu();
    check(cudnnActivationForward(handle, relu.get(), blend.alpha(), plan->y.get(), y.raw(),
                                 blend.beta(), plan->y.get(), y.raw()),
          kName);
  }
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
  const auto plan = plan_for<cudnnConvolutionBwdDataAlgoPerf_t>(
      kName, dx, w, dy, params,
      [&](const auto& made, int count, int* found, cudnnConvolutionBwdDataAlgoPerf_t* results) {
        return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, made.w.get(), made.y.get(),
                                                           made.convolution.get(), made.x.get(),
                                                           count, found, results);
      });
  const auto workspace = Storage::allocate(plan->chosen.memory, dy.device());
  const Blend blend(dy.dtype(), write);
  check(cudnnConvolutionBackwardData(handle, blend.alpha(), plan->w.get(), w.raw(), plan->y.get(),
                                     dy.raw(), plan->convolution.get(), plan->chosen.algo,
                                     workspace->data(), plan->chosen.memory, blend.beta(),
                                     plan->x.get(), dx.raw()),
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
  const auto plan = plan_for<cudnnConvolutionBwdFilterAlgoPerf_t>(
      kName, x, dw, dy, params,
      [&](const auto& made, int count, int* found, cudnnConvolutionBwdFilterAlgoPerf_t* results) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, made.x.get(), made.y.get(),
                                                             made.convolution.get(), made.w.get(),
                                                             count, found, results);
      });
  const auto workspace = Storage::allocate(plan->chosen.memory, dy.device());
  const Blend blend(dy.dtype(), write);
  check(cudnnConvolutionBackwardFilter(handle, blend.alpha(), plan->x.get(), x.raw(), plan->y.get(),
                                       dy.raw(), plan->convolution.get(), plan->chosen.algo,
                                       workspace->data(), plan->chosen.memory, blend.beta(),
                                       plan->w.get(), dw.raw()),
        kName);
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  vendor_cuda::column_sums("conv2d.backward_bias", dy, write, db);
}

}  // namespace

// A null entry is one that `hand` fills in.
template <typename Target>
Conv2dOp Conv2dOp::vendor() {
  return {// cuDNN's backward passes take (n, h, w, c) in f32 and bf16 but not in f64.
          .dtypes = {kF32.bits | 1u << static_cast<unsigned>(DType::bf16)},
          .forward = run_forward,
          .forward_prologue = nullptr,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_weight_prologue = nullptr,
          .backward_weight_prologue_scratch = nullptr,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch,
          .backward_relu = nullptr,
          .backward_prologue = nullptr,
          .backward_prologue_scratch = nullptr};
}
template Conv2dOp Conv2dOp::vendor<Gpu>();

}  // namespace cucina
