// cast by oneDNN.
#include "kernels/cast/cast.h"
#include "kernels/common/vendor_cpu.h"

namespace cucina {
namespace {

void convert(const char* name, const Tensor& from, Write write, const Tensor& to) {
  if (from.elements() == 0) return;
  struct Plan {
    dnnl::memory::desc from, to;
    dnnl::reorder primitive;
  };
  const auto plan =
      onednn::cached(PlanKey("cast", from.elements(), from.dtype(), to.dtype(), write), [&] {
        constexpr auto tag = dnnl::memory::format_tag::a;
        const auto source = onednn::describe({from.elements()}, tag, from.dtype());
        const auto target = onednn::describe({to.elements()}, tag, to.dtype());
        dnnl::primitive_attr attributes;
        dnnl::post_ops post_ops;
        if (write == Write::accumulate) post_ops.append_sum(1);
        attributes.set_post_ops(post_ops);
        return Plan{source, target,
                    dnnl::reorder(dnnl::reorder::primitive_desc(
                        onednn::engine(), source, onednn::engine(), target, attributes))};
      });
  onednn::execute(
      name, plan->primitive,
      {{DNNL_ARG_FROM, onednn::wrap(plan->from, from)}, {DNNL_ARG_TO, onednn::wrap(plan->to, to)}});
}

void run_forward(const Tensor& x, const Tensor& y) {
  convert("cast.forward", x, Write::overwrite, y);
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  convert("cast.backward", dy, write, dx);
}

}  // namespace

template <typename Target>
CastOp CastOp::vendor() {
  return {.dtypes = onednn::dtypes(), .forward = run_forward, .backward = run_backward};
}
template CastOp CastOp::vendor<Host>();

}  // namespace cucina
