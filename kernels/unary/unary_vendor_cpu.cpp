// unary by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/unary/unary.h"

namespace cucina {
namespace {

using dnnl::algorithm;
using dnnl::eltwise_backward;
using dnnl::eltwise_forward;

struct Function {
  algorithm forward, backward;
  float alpha = 0, beta = 0;
};

// backward's algorithm reads what unary_keeps() says.
Function function_of(const UnaryParams& params) {
  const auto a = static_cast<float>(params.a), b = static_cast<float>(params.b);
  if (params.kind == UnaryKind::clamp) {
    return {algorithm::eltwise_clip_v2, algorithm::eltwise_clip_v2, a, b};
  }
  if (params.kind == UnaryKind::scale) {
    return {algorithm::eltwise_linear, algorithm::eltwise_linear, a, b};
  }
  switch (params.activation) {
    case Activation::relu:
      return {algorithm::eltwise_relu, algorithm::eltwise_relu_use_dst_for_bwd};
    case Activation::gelu:
      return {algorithm::eltwise_gelu_erf, algorithm::eltwise_gelu_erf};
    case Activation::gelu_tanh:
      return {algorithm::eltwise_gelu_tanh, algorithm::eltwise_gelu_tanh};
    case Activation::silu:
      return {algorithm::eltwise_swish, algorithm::eltwise_swish, 1};
    case Activation::sigmoid:
      return {algorithm::eltwise_logistic, algorithm::eltwise_logistic_use_dst_for_bwd};
    case Activation::tanh:
      return {algorithm::eltwise_tanh, algorithm::eltwise_tanh_use_dst_for_bwd};
    case Activation::none:
      break;
  }
  return {algorithm::eltwise_linear, algorithm::eltwise_linear, 1};
}

dnnl::memory::desc flat(const Tensor& x) {
  return onednn::describe({x.elements()}, dnnl::memory::format_tag::a, x.dtype());
}

eltwise_forward::primitive_desc forward_primitive(const dnnl::memory::desc& md,
                                                  const Function& function, algorithm algorithm) {
  constexpr auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<eltwise_forward>(kind, algorithm, md, md, function.alpha, function.beta);
#else
  return onednn::primitive<eltwise_forward>(kind, algorithm, md, function.alpha, function.beta);
#endif
}

eltwise_backward::primitive_desc backward_primitive(const dnnl::memory::desc& md,
                                                    const Function& function) {
  const auto hint = forward_primitive(md, function, function.backward);
#if DNNL_VERSION_MAJOR >= 3
  return onednn::backward_primitive<eltwise_backward>(hint, function.backward, md, md, md,
                                                      function.alpha, function.beta);
#else
  return onednn::backward_primitive<eltwise_backward>(hint, function.backward, md, md,
                                                      function.alpha, function.beta);
#endif
}

// In the time of so many multiply-adds an element is loaded, changed and stored.
double flops_of(const Tensor& x) { return 16.0 * static_cast<double>(x.elements()); }

PlanKey key(std::string_view entry, const Tensor& x, const UnaryParams& params) {
  return PlanKey(entry, x.elements(), x.dtype(), params.kind, params.activation,
                 std::bit_cast<std::int64_t>(params.a), std::bit_cast<std::int64_t>(params.b));
}

void run_forward(const Tensor& x, const UnaryParams& params, const Tensor& y) {
  if (x.elements() == 0) return;
  const onednn::Threads threads(flops_of(x));
  const auto plan = onednn::cached(key("unary.forward", x, params), [&] {
    const Function function = function_of(params);
    return onednn::Prepared(eltwise_forward(forward_primitive(flat(x), function, function.forward)),
                            {{DNNL_ARG_SRC, flat(x)}, {DNNL_ARG_DST, flat(x)}});
  });
  plan->run("unary.forward", {x.raw(), y.raw()});
}

void run_backward(const Tensor& dy, const Tensor& kept, const UnaryParams& params, Write write,
                  const Tensor& dx) {
  if (dy.elements() == 0) return;
  const onednn::Threads threads(flops_of(dy));
  const auto plan = onednn::cached(key("unary.backward", dy, params), [&] {
    const bool reads_y = unary_keeps(params) == UnaryKeeps::y;
    return onednn::Prepared(eltwise_backward(backward_primitive(flat(dy), function_of(params))),
                            {{DNNL_ARG_DIFF_DST, flat(dy)},
                             {reads_y ? DNNL_ARG_DST : DNNL_ARG_SRC, flat(dy)},
                             {DNNL_ARG_DIFF_SRC, flat(dy)}});
  });
  // oneDNN wants an x even where the function is linear.
  const Tensor& read = kept.defined() ? kept : dy;
  onednn::deliver(dx, write, [&](const Tensor& to) {
    plan->run("unary.backward", {dy.raw(), read.raw(), to.raw()});
  });
}

}  // namespace

template <typename Target>
UnaryOp UnaryOp::vendor() {
  return {.dtypes = onednn::dtypes(), .forward = run_forward, .backward = run_backward};
}
template UnaryOp UnaryOp::vendor<Host>();

}  // namespace cucina
