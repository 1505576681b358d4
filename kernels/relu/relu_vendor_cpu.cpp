// relu by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/relu/relu.h"

namespace cucina {
namespace {

using dnnl::eltwise_backward;
using dnnl::eltwise_forward;

constexpr auto kRelu = dnnl::algorithm::eltwise_relu;
// The mask comes from y, which is what the graph keeps.
constexpr auto kReluFromOutput = dnnl::algorithm::eltwise_relu_use_dst_for_bwd;

dnnl::memory::desc flat(const Tensor& x) {
  return onednn::describe({x.elements()}, dnnl::memory::format_tag::a);
}

eltwise_forward::primitive_desc forward_primitive(const dnnl::memory::desc& x,
                                                  dnnl::algorithm algorithm) {
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<eltwise_forward>(dnnl::prop_kind::forward_training, algorithm, x, x,
                                            0.f);
#else
  return onednn::primitive<eltwise_forward>(dnnl::prop_kind::forward_training, algorithm, x, 0.f);
#endif
}

void run_forward(const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto md = flat(x);
  onednn::execute("relu.forward", eltwise_forward(forward_primitive(md, kRelu)),
                  {{DNNL_ARG_SRC, onednn::wrap(md, x)}, {DNNL_ARG_DST, onednn::wrap(md, y)}});
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto md = flat(dy);
  const auto hint = forward_primitive(md, kReluFromOutput);
#if DNNL_VERSION_MAJOR >= 3
  const auto description =
      onednn::backward_primitive<eltwise_backward>(hint, kReluFromOutput, md, md, md, 0.f);
#else
  const auto description =
      onednn::backward_primitive<eltwise_backward>(hint, kReluFromOutput, md, md, 0.f);
#endif
  onednn::deliver(dx, write, [&](const Tensor& to) {
    onednn::execute("relu.backward", eltwise_backward(description),
                    {{DNNL_ARG_DIFF_DST, onednn::wrap(md, dy)},
                     {DNNL_ARG_DST, onednn::wrap(md, y)},
                     {DNNL_ARG_DIFF_SRC, onednn::wrap(md, to)}});
  });
}

}  // namespace

template <typename Target>
ReluOp ReluOp::vendor() {
  return {.dtypes = kF32, .forward = run_forward, .backward = run_backward};
}
template ReluOp ReluOp::vendor<Host>();

}  // namespace cucina
