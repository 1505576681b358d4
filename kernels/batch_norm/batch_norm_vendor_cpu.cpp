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

void run_forward_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                       const BatchNormParams& params, const Tensor& running_mean,
                       const Tensor& running_var, const Tensor&, const Tensor& y,
                       const Tensor& mean, const Tensor& inv_std) {
  if (x.elements() == 0) {
    mean.zero();
    inv_std.fill(1 / std::sqrt(params.eps));
    return;
  }
  const auto md = layout_of(x);
  const Tensor& var = inv_std;  // until it is turned into what its name says
  onednn::execute("batch_norm.forward_train",
                  batch_normalization_forward(
                      forward_primitive(prop_kind::forward_training, md, params.eps, kAffine)),
                  {{DNNL_ARG_SRC, onednn::wrap(md, x)},
                   {DNNL_ARG_SCALE, wrap_vector(gamma)},
                   {DNNL_ARG_SHIFT, wrap_vector(beta)},
                   {DNNL_ARG_MEAN, wrap_vector(mean)},
                   {DNNL_ARG_VARIANCE, wrap_vector(var)},
                   {DNNL_ARG_DST, onednn::wrap(md, y)}});
  const float m = static_cast<float>(x.elements() / gamma.elements());
  update(running_mean, params.momentum, mean.data<float>(), 1);
  update(running_var, params.momentum, var.data<float>(), m / (m - 1));
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    float& value = var.data<float>()[i];
    value = 1 / std::sqrt(value + static_cast<float>(params.eps));
  }
}

void run_forward_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const Tensor& running_mean, const Tensor& running_var,
                      const BatchNormParams& params, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto md = layout_of(x);
  onednn::execute("batch_norm.forward_eval",
                  batch_normalization_forward(forward_primitive(prop_kind::forward_inference, md,
                                                                params.eps, kAffineGiven)),
                  {{DNNL_ARG_SRC, onednn::wrap(md, x)},
                   {DNNL_ARG_SCALE, wrap_vector(gamma)},
                   {DNNL_ARG_SHIFT, wrap_vector(beta)},
                   {DNNL_ARG_MEAN, wrap_vector(running_mean)},
                   {DNNL_ARG_VARIANCE, wrap_vector(running_var)},
                   {DNNL_ARG_DST, onednn::wrap(md, y)}});
}

// The place of a gradient; one of our own for a gradient that oneDNN insists on computing.
Tensor place(const Tensor& wanted, const Tensor& like) {
  return wanted.defined() ? wanted : Tensor::empty(like.shape(), like.dtype());
}

void clear(const Tensor& gradient, Write write) {
  if (gradient.defined() && write == Write::overwrite) gradient.zero();
}

void run_backward(const char* name, const Tensor& dy, const Tensor& x, const Tensor& gamma,
                  const Tensor& mean, const Tensor& var, double eps, normalization_flags flags,
                  const BatchNormGradients& to) {
  if (x.elements() == 0) {
    clear(to.dgamma, to.dgamma_write);
    clear(to.dbeta, to.dbeta_write);
    return;
  }
  const auto md = layout_of(x);
  // prop_kind::backward_data, which would leave out dgamma and dbeta, oneDNN refuses with a scale.
  const batch_normalization_backward primitive(backward_primitive(md, eps, flags));
  onednn::deliver(place(to.dx, x), to.dx_write, [&](const Tensor& dx) {
    onednn::deliver(place(to.dgamma, gamma), to.dgamma_write, [&](const Tensor& dgamma) {
      onednn::deliver(place(to.dbeta, gamma), to.dbeta_write, [&](const Tensor& dbeta) {
        onednn::execute(name, primitive,
                        {{DNNL_ARG_SRC, onednn::wrap(md, x)},
                         {DNNL_ARG_DIFF_DST, onednn::wrap(md, dy)},
                         {DNNL_ARG_SCALE, wrap_vector(gamma)},
                         {DNNL_ARG_SHIFT, wrap_vector(gamma)},
                         {DNNL_ARG_MEAN, wrap_vector(mean)},
                         {DNNL_ARG_VARIANCE, wrap_vector(var)},
                         {DNNL_ARG_DIFF_SRC, onednn::wrap(md, dx)},
                         {DNNL_ARG_DIFF_SCALE, wrap_vector(dgamma)},
                         {DNNL_ARG_DIFF_SHIFT, wrap_vector(dbeta)}});
      });
    });
  });
}

void run_backward_train(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                        const Tensor& inv_std, const Tensor&, const BatchNormGradients& to) {
  // oneDNN wants a variance to add its eps to: 1 / inv_std^2 is both together.
  const Tensor var = Tensor::empty(inv_std.shape());
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    const float value = inv_std.data<float>()[i];
    var.data<float>()[i] = 1 / (value * value);
  }
  run_backward("batch_norm.backward_train", dy, x, gamma, mean, var, 0, kAffine, to);
}

void run_backward_eval(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                       const Tensor& running_mean, const Tensor& running_var,
                       const BatchNormParams& params, const Tensor&, const BatchNormGradients& to) {
  run_backward("batch_norm.backward_eval", dy, x, gamma, running_mean, running_var, params.eps,
               kAffineGiven, to);
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
