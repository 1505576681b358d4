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

void run_forward_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                       const BatchNormParams& params, const Tensor& running_mean,
                       const Tensor& running_var, const Tensor&, const Tensor& y,
                       const Tensor& mean, const Tensor& inv_std) {
  if (x.elements() == 0) {
    mean.zero();
    inv_std.fill(1 / std::sqrt(params.eps));
    return;
  }
  const auto shape = describe_rows(x), channels = describe_channels(gamma);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnBatchNormalizationForwardTraining(
            vendor_cuda::cudnn(x.stream()), kPerChannel, blend.alpha(), blend.beta(), shape.get(),
            x.raw(), shape.get(), y.raw(), channels.get(), gamma.raw(), beta.raw(),
            static_cast<double>(params.momentum), running_mean.raw(), running_var.raw(), params.eps,
            mean.raw(), inv_std.raw()),
        "batch_norm.forward_train");
}

void run_forward_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const Tensor& running_mean, const Tensor& running_var,
                      const BatchNormParams& params, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto shape = describe_rows(x), channels = describe_channels(gamma);
  const Blend blend(x.dtype(), Write::overwrite);
  check(cudnnBatchNormalizationForwardInference(
            vendor_cuda::cudnn(x.stream()), kPerChannel, blend.alpha(), blend.beta(), shape.get(),
            x.raw(), shape.get(), y.raw(), channels.get(), gamma.raw(), beta.raw(),
            running_mean.raw(), running_var.raw(), params.eps),
        "batch_norm.forward_eval");
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
    const auto shape = describe_channels(to);
    const Blend blend(to.dtype(), Write::accumulate);
    check(cudnnAddTensor(vendor_cuda::cudnn(to.stream()), blend.alpha(), shape.get(), to.raw(),
                         blend.beta(), shape.get(), target_.raw()),
          "batch_norm.backward_train");
  }

  Tensor to;

 private:
  Tensor target_;
  Write write_;
};

void clear(const Tensor& gradient, Write write) {
  if (gradient.defined() && write == Write::overwrite) gradient.zero();
}

void run_backward_train(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                        const Tensor& inv_std, const Tensor&, const BatchNormGradients& to) {
  if (x.elements() == 0) {
    clear(to.dgamma, to.dgamma_write);
    clear(to.dbeta, to.dbeta_write);
    return;
  }
  const auto shape = describe_rows(x), channels = describe_channels(gamma);
  const Tensor dx = to.dx.defined() ? to.dx : Tensor::empty(x.shape(), x.dtype(), x.device());
  const ChannelGradient dgamma(to.dgamma, to.dgamma_write, gamma);
  const ChannelGradient dbeta(to.dbeta, to.dbeta_write, gamma);
  const Blend dx_blend(x.dtype(), to.dx.defined() ? to.dx_write : Write::overwrite);
  const Blend channel_blend(x.dtype(), Write::overwrite);
  constexpr double kEpsInStd = 1e-5;  // must be given, but is not used: inv_std holds the true one
  check(cudnnBatchNormalizationBackward(
            vendor_cuda::cudnn(x.stream()), kPerChannel, dx_blend.alpha(), dx_blend.beta(),
            channel_blend.alpha(), channel_blend.beta(), shape.get(), x.raw(), shape.get(),
            dy.raw(), shape.get(), dx.raw(), channels.get(), gamma.raw(), dgamma.to.raw(),
            dbeta.to.raw(), kEpsInStd, mean.raw(), inv_std.raw()),
        "batch_norm.backward_train");
  dgamma.deliver();
  dbeta.deliver();
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::vendor() {
  return {.dtypes = kReal,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          // cuDNN has no backward with given statistics.
          .backward_eval = nullptr};
}
template BatchNormOp BatchNormOp::vendor<Gpu>();

}  // namespace cucina
