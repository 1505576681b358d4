// softmax by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/softmax/softmax.h"

namespace cucina {
namespace {

constexpr int kAxis = 1;  // of (rows, classes)

// oneDNN 3 has one primitive with an algorithm, 2 has two primitives.
#if DNNL_VERSION_MAJOR >= 3
using Forward = dnnl::softmax_forward;
using LogForward = dnnl::softmax_forward;
using Backward = dnnl::softmax_backward;
using LogBackward = dnnl::softmax_backward;
#else
using Forward = dnnl::softmax_forward;
using LogForward = dnnl::logsoftmax_forward;
using Backward = dnnl::softmax_backward;
using LogBackward = dnnl::logsoftmax_backward;
#endif

template <typename Primitive>
typename Primitive::primitive_desc forward_primitive(const dnnl::memory::desc& layout,
                                                     [[maybe_unused]] bool log) {
  constexpr auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  const auto algorithm = log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
  return onednn::primitive<Primitive>(kind, algorithm, layout, layout, kAxis);
#else
  return onednn::primitive<Primitive>(kind, layout, kAxis);
#endif
}

template <typename Primitive, typename Hint>
typename Primitive::primitive_desc backward_primitive(const dnnl::memory::desc& layout, bool log) {
  const auto hint = forward_primitive<Hint>(layout, log);
#if DNNL_VERSION_MAJOR >= 3
  const auto algorithm = log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
  return onednn::backward_primitive<Primitive>(hint, algorithm, layout, layout, layout, kAxis);
#else
  return onednn::backward_primitive<Primitive>(hint, layout, layout, kAxis);
#endif
}

template <typename Primitive>
struct Plan {
  dnnl::memory::desc layout;
  Primitive primitive;
};

template <typename Primitive, typename Make>
auto plan_for(const char* entry, const Tensor& x, const Make& make) {
  return onednn::cached(PlanKey(entry, x.shape()), [&] {
    const auto layout = onednn::describe({x.size(0), x.size(1)}, dnnl::memory::format_tag::ab);
    return Plan<Primitive>{layout, Primitive(make(layout))};
  });
}

template <typename Primitive>
void forward(const char* entry, bool log, const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  const auto plan = plan_for<Primitive>(
      entry, x, [&](const auto& layout) { return forward_primitive<Primitive>(layout, log); });
  onednn::execute(entry, plan->primitive,
                  {{DNNL_ARG_SRC, onednn::wrap(plan->layout, x)},
                   {DNNL_ARG_DST, onednn::wrap(plan->layout, y)}});
}

template <typename Primitive, typename Hint>
void backward(const char* entry, bool log, const Tensor& dy, const Tensor& y, Write write,
              const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto plan = plan_for<Primitive>(entry, dy, [&](const auto& layout) {
    return backward_primitive<Primitive, Hint>(layout, log);
  });
  onednn::deliver(dx, write, [&](const Tensor& to) {
    onednn::execute(entry, plan->primitive,
                    {{DNNL_ARG_DST, onednn::wrap(plan->layout, y)},
                     {DNNL_ARG_DIFF_DST, onednn::wrap(plan->layout, dy)},
                     {DNNL_ARG_DIFF_SRC, onednn::wrap(plan->layout, to)}});
  });
}

void run_forward(const Tensor& x, const Tensor& y) {
  forward<Forward>("softmax.forward", false, x, y);
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  backward<Backward, Forward>("softmax.backward", false, dy, y, write, dx);
}

void run_log_forward(const Tensor& x, const Tensor& y) {
  forward<LogForward>("softmax.log_forward", true, x, y);
}

void run_log_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  backward<LogBackward, LogForward>("softmax.log_backward", true, dy, y, write, dx);
}

}  // namespace

template <typename Target>
SoftmaxOp SoftmaxOp::vendor() {
  return {.dtypes = kF32,
          .forward = run_forward,
          .backward = run_backward,
          .log_forward = run_log_forward,
          .log_backward = run_log_backward};
}
template SoftmaxOp SoftmaxOp::vendor<Host>();

}  // namespace cucina
