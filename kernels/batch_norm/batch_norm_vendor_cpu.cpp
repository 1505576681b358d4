// batch_norm by oneDNN.
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/vendor_cpu.h"

namespace cucina {
namespace {

using dnnl::batch_normalization_backward;
using dnnl::batch_normalization_forward;
using dnnl::normalization_flags;
using dnnl::prop_kind;

const auto kAffine = normalization_flags::use_scale | normalization_flags::use_shift;
const auto kAffineGiven = kAffine | normalization_flags::use_global_stats;
constexpr std::int64_t kWorthThreads = 1 << 16;  // elements; below, waking threads costs more

dnnl::memory::desc layout_of(const Tensor& x) {
  const Shape& s = x.shape();
  const bool image = s.rank() == 4;
  return onednn::describe({s[0], s[-1], image ? s[1] : 1, image ? s[2] : 1},
                          dnnl::memory::format_tag::nhwc);
}

// A vector over the channels.
dnnl::memory wrap_vector(const Tensor& vector) {
  return onednn::wrap(onednn::describe({vector.elements()}, dnnl::memory::format_tag::a), vector);
}

batch_normalization_forward::primitive_desc forward_primitive(prop_kind kind,
                                                              const dnnl::memory::desc& md,
                                                              double eps,
                                                              normalization_flags flags) {
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<batch_normalization_forward>(kind, md, md, static_cast<float>(eps),
                                                        flags);
#else
  return onednn::primitive<batch_normalization_forward>(kind, md, static_cast<float>(eps), flags);
#endif
}

batch_normalization_backward::primitive_desc backward_primitive(const dnnl::memory::desc& md,
                                                                double eps,
                                                                normalization_flags flags) {
  constexpr auto kind = prop_kind::backward;
  const auto hint = forward_primitive(prop_kind::forward_training, md, eps, flags);
#if DNNL_VERSION_MAJOR >= 3
  return onednn::backward_primitive<batch_normalization_backward>(hint, kind, md, md, md,
                                                                  static_cast<float>(eps), flags);
#else
  return onednn::backward_primitive<batch_normalization_backward>(hint, kind, md, md,
                                                                  static_cast<float>(eps), flags);
#endif
}

void update(const Tensor& running, float momentum, const float* statistic, float factor) {
  float* to = running.data<float>();
  for (std::int64_t i = 0; i < running.elements(); ++i) {
    to[i] = (1 - momentum) * to[i] + momentum * (statistic[i] * factor);
  }
}

// y = act(y + residual), which oneDNN 2 does not fuse.
void finish(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  if (!in.residual.defined()) return;
  const float* residual = in.residual.data<float>();
  float* to = y.data<float>();
  const bool relu = params.relu;
  const std::int64_t n = y.elements();
#pragma omp parallel for simd if (n > kWorthThreads)
  for (std::int64_t i = 0; i < n; ++i) {
    const float sum = to[i] + residual[i];
    to[i] = relu && sum <= 0 ? 0 : sum;
  }
}

void forward(const char* name, prop_kind kind, normalization_flags flags, const BatchNormInputs& in,
             const BatchNormParams& params, const Tensor& mean, const Tensor& var,
             const Tensor& y) {
  const auto md = layout_of(in.x);
  if (params.relu && !in.residual.defined()) flags |= normalization_flags::fuse_norm_relu;
  const auto description = forward_primitive(kind, md, params.eps, flags);
  // What relu let through, for oneDNN's backward; ours reads y.
  const dnnl::memory workspace(description.workspace_desc(), onednn::engine());
  onednn::execute(name, batch_normalization_forward(description),
                  {{DNNL_ARG_SRC, onednn::wrap(md, in.x)},
                   {DNNL_ARG_SCALE, wrap_vector(in.gamma)},
                   {DNNL_ARG_SHIFT, wrap_vector(in.beta)},
                   {DNNL_ARG_MEAN, wrap_vector(mean)},
                   {DNNL_ARG_VARIANCE, wrap_vector(var)},
                   {DNNL_ARG_WORKSPACE, workspace},
                   {DNNL_ARG_DST, onednn::wrap(md, y)}});
  finish(in, params, y);
}

void run_forward_train(const BatchNormInputs& in, const BatchNormParams& params, const Tensor&,
                       const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  if (in.x.elements() == 0) {
    mean.zero();
    inv_std.fill(1 / std::sqrt(params.eps));
    return;
  }
  const Tensor& var = inv_std;  // until it is turned into what its name says
  forward("batch_norm.forward_train", prop_kind::forward_training, kAffine, in, params, mean, var,
          y);
  const float m = static_cast<float>(in.x.elements() / in.gamma.elements());
  update(in.running_mean, params.momentum, mean.data<float>(), 1);
  update(in.running_var, params.momentum, var.data<float>(), m / (m - 1));
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    float& value = var.data<float>()[i];
    value = 1 / std::sqrt(value + static_cast<float>(params.eps));
  }
}

void run_forward_eval(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  if (in.x.elements() == 0) return;
  forward("batch_norm.forward_eval", prop_kind::forward_inference, kAffineGiven, in, params,
          in.running_mean, in.running_var, y);
}

// The place of a gradient; one of our own for a gradient that oneDNN insists on computing.
Tensor place(const Tensor& wanted, const Tensor& like) {
  return wanted.defined() ? wanted : Tensor::empty(like.shape(), like.dtype());
}

void clear(const Tensor& gradient, Write write) {
  if (gradient.defined() && write == Write::overwrite) gradient.zero();
}

// dy as it comes out of relu, which is the residual's gradient.
Tensor passed_gradient(const Tensor& dy, const BatchNormSaved& saved,
                       const BatchNormGradients& to) {
  if (!saved.y.defined() && !to.dresidual.defined()) return dy;
  const bool direct = to.dresidual.defined() && to.dresidual_write == Write::overwrite;
  const Tensor passed = direct ? to.dresidual : Tensor::empty(dy.shape(), dy.dtype());
  passed.copy_from(dy);
  if (saved.y.defined()) {
    const float* y = saved.y.data<float>();
    float* gradient = passed.data<float>();
    const std::int64_t n = dy.elements();
#pragma omp parallel for simd if (n > kWorthThreads)
    for (std::int64_t i = 0; i < n; ++i) gradient[i] = y[i] > 0 ? gradient[i] : 0;
  }
  if (to.dresidual.defined() && !direct) onednn::add_into(passed, to.dresidual);
  return passed;
}

void run_backward(const char* name, const Tensor& dy, const BatchNormSaved& saved,
                  const Tensor& var, double eps, normalization_flags flags,
                  const BatchNormGradients& to) {
  const Tensor &x = saved.x, &gamma = saved.gamma;
  if (x.elements() == 0) {
    clear(to.dgamma, to.dgamma_write);
    clear(to.dbeta, to.dbeta_write);
    return;
  }
  const auto md = layout_of(x);
  const Tensor passed = passed_gradient(dy, saved, to);
  // prop_kind::backward_data, which would leave out dgamma and dbeta, oneDNN refuses with a scale.
  const batch_normalization_backward primitive(backward_primitive(md, eps, flags));
  onednn::deliver(place(to.dx, x), to.dx_write, [&](const Tensor& dx) {
    onednn::deliver(place(to.dgamma, gamma), to.dgamma_write, [&](const Tensor& dgamma) {
      onednn::deliver(place(to.dbeta, gamma), to.dbeta_write, [&](const Tensor& dbeta) {
        onednn::execute(name, primitive,
                        {{DNNL_ARG_SRC, onednn::wrap(md, x)},
                         {DNNL_ARG_DIFF_DST, onednn::wrap(md, passed)},
                         {DNNL_ARG_SCALE, wrap_vector(gamma)},
                         {DNNL_ARG_SHIFT, wrap_vector(gamma)},
                         {DNNL_ARG_MEAN, wrap_vector(saved.mean)},
                         {DNNL_ARG_VARIANCE, wrap_vector(var)},
                         {DNNL_ARG_DIFF_SRC, onednn::wrap(md, dx)},
                         {DNNL_ARG_DIFF_SCALE, wrap_vector(dgamma)},
                         {DNNL_ARG_DIFF_SHIFT, wrap_vector(dbeta)}});
      });
    });
  });
}

void run_backward_train(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams&,
                        const Tensor&, const BatchNormGradients& to) {
  // oneDNN wants a variance to add its eps to: 1 / inv_std^2 is both together.
  const Tensor var = Tensor::empty(saved.spread.shape());
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    const float value = saved.spread.data<float>()[i];
    var.data<float>()[i] = 1 / (value * value);
  }
  run_backward("batch_norm.backward_train", dy, saved, var, 0, kAffine, to);
}

void run_backward_eval(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams& params,
                       const Tensor&, const BatchNormGradients& to) {
  run_backward("batch_norm.backward_eval", dy, saved, saved.spread, params.eps, kAffineGiven, to);
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::vendor() {
  return {.dtypes = kF32,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          .backward_eval = run_backward_eval};
}
template BatchNormOp BatchNormOp::vendor<Host>();

}  // namespace cucina
