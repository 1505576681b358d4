// batch_norm by cuDNN.
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/vendor_cuda.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::TensorDescriptor;
using vendor_cuda::to_int;

// The persistent kind loses digits of the mean over many rows.
constexpr auto kPerChannel = CUDNN_BATCHNORM_SPATIAL;

TensorDescriptor describe_rows(const Tensor& x) {
  const Shape& s = x.shape();
  if (s.rank() == 4) return vendor_cuda::describe(x);
  return vendor_cuda::describe(x.dtype(), to_int(s[0], "batch_norm"), 1, 1,
                               to_int(s[1], "batch_norm"));
}

TensorDescriptor describe_channels(const Tensor& vector) {
  return vendor_cuda::describe(vector.dtype(), 1, 1, 1, to_int(vector.elements(), "batch_norm"));
}

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

// to += from, both of x's shape.
void add_into(const Tensor& from, const TensorDescriptor& shape, const Tensor& to) {
  const Blend blend(from.dtype(), Write::accumulate);
  check(cudnnAddTensor(vendor_cuda::cudnn(to.stream()), blend.alpha(), shape.get(), from.raw(),
                       blend.beta(), shape.get(), to.raw()),
        "batch_norm.add");
}

// y = act(y + residual), in steps: cuDNN fuses them for f16 alone.
void finish(const BatchNormInputs& in, const BatchNormParams& params, const TensorDescriptor& shape,
            const Tensor& y) {
  if (in.residual.defined()) add_into(in.residual, shape, y);
  if (!params.relu) return;
  const Blend blend(y.dtype(), Write::overwrite);
  check(cudnnActivationForward(vendor_cuda::cudnn(y.stream()), relu_descriptor(), blend.alpha(),
                               shape.get(), y.raw(), blend.beta(), shape.get(), y.raw()),
        "batch_norm.relu");
}

void run_forward_train(const BatchNormInputs& in, const BatchNormParams& params, const Tensor&,
                       const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  const Tensor& x = in.x;
  if (x.elements() == 0) {
    mean.zero();
    inv_std.fill(1 / std::sqrt(params.eps));
    return;
  }
  const auto shape = describe_rows(x), channels = describe_channels(in.gamma);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnBatchNormalizationForwardTraining(
            vendor_cuda::cudnn(x.stream()), kPerChannel, blend.alpha(), blend.beta(), shape.get(),
            x.raw(), shape.get(), y.raw(), channels.get(), in.gamma.raw(), in.beta.raw(),
            static_cast<double>(params.momentum), in.running_mean.raw(), in.running_var.raw(),
            params.eps, mean.raw(), inv_std.raw()),
        "batch_norm.forward_train");
  finish(in, params, shape, y);
}

void run_forward_eval(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  const Tensor& x = in.x;
  if (x.elements() == 0) return;
  const auto shape = describe_rows(x), channels = describe_channels(in.gamma);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnBatchNormalizationForwardInference(
            vendor_cuda::cudnn(x.stream()), kPerChannel, blend.alpha(), blend.beta(), shape.get(),
            x.raw(), shape.get(), y.raw(), channels.get(), in.gamma.raw(), in.beta.raw(),
            in.running_mean.raw(), in.running_var.raw(), params.eps),
        "batch_norm.forward_eval");
  finish(in, params, shape, y);
}

// A place to write one gradient of gamma or beta to, and from there to where it is wanted: cuDNN
// insists on both, and blends them in one way.
class ChannelGradient {
 public:
  ChannelGradient(const Tensor& target, Write write, const Tensor& like)
      : target_(target), write_(write) {
    const bool direct = target.defined() && write == Write::overwrite;
    to = direct ? target : Tensor::empty(like.shape(), like.dtype(), like.device());
  }
  void deliver() const {
    if (!target_.defined() || write_ == Write::overwrite) return;
    add_into(to, describe_channels(to), target_);
  }

  Tensor to;

 private:
  Tensor target_;
  Write write_;
};

void clear(const Tensor& gradient, Write write) {
  if (gradient.defined() && write == Write::overwrite) gradient.zero();
}

// dy as it comes out of relu, which is the residual's gradient.
Tensor passed_gradient(const Tensor& dy, const BatchNormSaved& saved, const TensorDescriptor& shape,
                       const BatchNormGradients& to) {
  if (!saved.y.defined() && !to.dresidual.defined()) return dy;
  const bool direct = to.dresidual.defined() && to.dresidual_write == Write::overwrite;
  const Tensor passed = direct ? to.dresidual : Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  if (saved.y.defined()) {
    const Blend blend(dy.dtype(), Write::overwrite);
    // cuDNN masks by x > 0; y > 0 says the same, so y stands in for x.
    check(cudnnActivationBackward(vendor_cuda::cudnn(dy.stream()), relu_descriptor(), blend.alpha(),
                                  shape.get(), saved.y.raw(), shape.get(), dy.raw(), shape.get(),
                                  saved.y.raw(), blend.beta(), shape.get(), passed.raw()),
          "batch_norm.relu_backward");
  } else {
    passed.copy_from(dy);
  }
  if (to.dresidual.defined() && !direct) add_into(passed, shape, to.dresidual);
  return passed;
}

void run_backward_train(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams&,
                        const Tensor&, const BatchNormGradients& to) {
  const Tensor &x = saved.x, &gamma = saved.gamma;
  if (x.elements() == 0) {
    clear(to.dgamma, to.dgamma_write);
    clear(to.dbeta, to.dbeta_write);
    return;
  }
  const auto shape = describe_rows(x), channels = describe_channels(gamma);
  const Tensor passed = passed_gradient(dy, saved, shape, to);
  const Tensor dx = to.dx.defined() ? to.dx : Tensor::empty(x.shape(), x.dtype(), x.device());
  const ChannelGradient dgamma(to.dgamma, to.dgamma_write, gamma);
  const ChannelGradient dbeta(to.dbeta, to.dbeta_write, gamma);
  const Blend dx_blend(x.dtype(), to.dx.defined() ? to.dx_write : Write::overwrite);
  const Blend channel_blend(x.dtype(), Write::overwrite);
  constexpr double kEpsInStd = 1e-5;  // must be given, but is not used: inv_std holds the true one
  check(cudnnBatchNormalizationBackward(
            vendor_cuda::cudnn(x.stream()), kPerChannel, dx_blend.alpha(), dx_blend.beta(),
            channel_blend.alpha(), channel_blend.beta(), shape.get(), x.raw(), shape.get(),
            passed.raw(), shape.get(), dx.raw(), channels.get(), gamma.raw(), dgamma.to.raw(),
            dbeta.to.raw(), kEpsInStd, saved.mean.raw(), saved.spread.raw()),
        "batch_norm.backward_train");
  dgamma.deliver();
  dbeta.deliver();
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::vendor() {
  return {.dtypes = kFloating,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          // cuDNN has no backward with given statistics.
          .backward_eval = nullptr};
}
template BatchNormOp BatchNormOp::vendor<Gpu>();

}  // namespace cucina
