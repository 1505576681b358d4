// layer_norm by oneDNN.
#include <bit>
#include <cmath>
#include <unordered_map>

#include "kernels/common/vendor_cpu.h"
#include "kernels/layer_norm/layer_norm.h"

namespace cucina {
namespace {

using dnnl::layer_normalization_backward;
using dnnl::layer_normalization_forward;
using dnnl::normalization_flags;
using dnnl::prop_kind;

// A primitive and its tensors' layouts.
template <typename Primitive>
struct Plan {
  dnnl::memory::desc matrix, rows, columns;
  Primitive primitive;
};

normalization_flags flags_of(bool gamma, bool beta) {
  auto flags = normalization_flags::none;
  if (gamma) flags |= normalization_flags::use_scale;
  if (beta) flags |= normalization_flags::use_shift;
  return flags;
}

layer_normalization_forward::primitive_desc forward_description(const dnnl::memory::desc& matrix,
                                                                const dnnl::memory::desc& rows,
                                                                float eps,
                                                                normalization_flags flags) {
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<layer_normalization_forward>(prop_kind::forward_training, matrix, matrix,
                                                        rows, eps, flags);
#else
  return onednn::primitive<layer_normalization_forward>(prop_kind::forward_training, matrix, rows,
                                                        eps, flags);
#endif
}

// For dx alone; but oneDNN refuses prop_kind::backward_data with a scale. dgamma and dbeta it
// cannot compute alone: they are left to `hand`.
layer_normalization_backward::primitive_desc backward_description(const dnnl::memory::desc& matrix,
                                                                  const dnnl::memory::desc& rows,
                                                                  normalization_flags flags) {
  const auto hint = forward_description(matrix, rows, 0, flags);
  const auto kind =
      flags == normalization_flags::none ? prop_kind::backward_data : prop_kind::backward;
#if DNNL_VERSION_MAJOR >= 3
  return onednn::backward_primitive<layer_normalization_backward>(hint, kind, matrix, matrix,
                                                                  matrix, rows, 0.f, flags);
#else
  return onednn::backward_primitive<layer_normalization_backward>(hint, kind, matrix, matrix, rows,
                                                                  0.f, flags);
#endif
}

template <typename Primitive, typename Describe>
auto plan_for(const char* entry, const Tensor& x, float eps, normalization_flags flags,
              const Describe& describe) {
  using Tag = dnnl::memory::format_tag;
  return onednn::cached(
      PlanKey(entry, x.shape(), x.dtype(), std::bit_cast<std::uint32_t>(eps), flags), [&] {
        const auto matrix = onednn::describe({x.size(0), x.size(1)}, Tag::ab, x.dtype());
        const auto rows = onednn::describe({x.size(0)}, Tag::a);
        return Plan<Primitive>{matrix, rows, onednn::describe({x.size(1)}, Tag::a),
                               Primitive(describe(matrix, rows))};
      });
}

void run_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                 const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  if (x.elements() == 0) return;
  const auto flags = flags_of(gamma.defined(), beta.defined());
  const auto plan = plan_for<layer_normalization_forward>(
      "layer_norm.forward", x, static_cast<float>(eps), flags,
      [&](const auto& matrix, const auto& rows) {
        return forward_description(matrix, rows, static_cast<float>(eps), flags);
      });
  const Tensor& var = inv_std;  // until it is turned into what its name says
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, onednn::wrap(plan->matrix, x)},
      {DNNL_ARG_MEAN, onednn::wrap(plan->rows, mean)},
      {DNNL_ARG_VARIANCE, onednn::wrap(plan->rows, var)},
      {DNNL_ARG_DST, onednn::wrap(plan->matrix, y)}};
  if (gamma.defined()) arguments.emplace(DNNL_ARG_SCALE, onednn::wrap(plan->columns, gamma));
  if (beta.defined()) arguments.emplace(DNNL_ARG_SHIFT, onednn::wrap(plan->columns, beta));
  onednn::execute("layer_norm.forward", plan->primitive, arguments);
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    float& value = var.data<float>()[i];
    value = 1 / std::sqrt(value + static_cast<float>(eps));
  }
}

void run_backward_input(const Tensor& dy, const LayerNormSaved& saved, Write write,
                        const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto flags = flags_of(saved.gamma.defined(), false);
  const auto plan = plan_for<layer_normalization_backward>(
      "layer_norm.backward_input", dy, 0, flags, [&](const auto& matrix, const auto& rows) {
        return backward_description(matrix, rows, flags);
      });
  // oneDNN wants a variance to add its eps to: 1 / inv_std^2 is both together.
  const Tensor var = Tensor::empty(saved.inv_std.shape());
  for (std::int64_t i = 0; i < var.elements(); ++i) {
    const float value = saved.inv_std.data<float>()[i];
    var.data<float>()[i] = 1 / (value * value);
  }
  const Tensor unwanted = Tensor::empty({dy.size(1)});
  onednn::deliver(dx, write, [&](const Tensor& to) {
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, onednn::wrap(plan->matrix, saved.x)},
        {DNNL_ARG_DIFF_DST, onednn::wrap(plan->matrix, dy)},
        {DNNL_ARG_MEAN, onednn::wrap(plan->rows, saved.mean)},
        {DNNL_ARG_VARIANCE, onednn::wrap(plan->rows, var)},
        {DNNL_ARG_DIFF_SRC, onednn::wrap(plan->matrix, to)}};
    if (saved.gamma.defined()) {
      arguments.emplace(DNNL_ARG_SCALE, onednn::wrap(plan->columns, saved.gamma));
      arguments.emplace(DNNL_ARG_DIFF_SCALE, onednn::wrap(plan->columns, unwanted));
    }
    onednn::execute("layer_norm.backward_input", plan->primitive, arguments);
  });
}

}  // namespace

template <typename Target>
LayerNormOp LayerNormOp::vendor() {
  return {.dtypes = kF32,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_affine = nullptr};
}
template LayerNormOp LayerNormOp::vendor<Host>();

}  // namespace cucina
