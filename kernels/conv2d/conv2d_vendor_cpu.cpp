// conv2d by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;
using dnnl::memory;
using Tag = memory::format_tag;

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

memory::desc describe_image(const Shape& x, Tag tag) {
  return onednn::describe({x[0], x[3], x[1], x[2]}, tag);
}
memory::desc describe_filter(const Shape& w, Tag tag) {
  return onednn::describe({w[0], w[3], w[1], w[2]}, tag);
}
memory image(const Tensor& x) { return onednn::wrap(describe_image(x.shape(), Tag::nhwc), x); }
memory filter(const Tensor& w) { return onednn::wrap(describe_filter(w.shape(), Tag::ohwi), w); }

// The pad at the far edges that makes the padded image end with the last window; negative where
// rows or columns are left over.
memory::dims far_pad(const Shape& x, const Shape& w, const Shape& y, const Conv2dParams& params) {
  const auto pad = [&](int i) { return (y[i] - 1) * params.stride + w[i] - x[i] - params.pad; };
  return {pad(1), pad(2)};
}

convolution_forward::primitive_desc forward_primitive(const Shape& x, const Shape& w,
                                                      const Shape& y, bool with_bias,
                                                      const Conv2dParams& params) {
  const memory::dims stride{params.stride, params.stride}, pad{params.pad, params.pad};
  const auto bias = with_bias ? onednn::describe({w[0]}, Tag::a) : memory::desc();
  return onednn::primitive<convolution_forward>(
      dnnl::prop_kind::forward_training, kAlgorithm, describe_image(x, Tag::any),
      describe_filter(w, Tag::any), bias, describe_image(y, Tag::any), stride, pad,
      far_pad(x, w, y, params));
}

// `from` in the order a primitive wants: itself when it is already.
memory reordered(const memory& from, const memory::desc& wanted) {
  if (from.get_desc() == wanted) return from;
  memory to(wanted, onednn::engine());
  onednn::execute("conv2d.reorder", dnnl::reorder(from, to),
                  {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  return to;
}

// Runs `primitive`, whose result is argument `result` and is described by `computed`, into
// `target`.
void execute_into(const char* what, const dnnl::primitive& primitive,
                  std::unordered_map<int, memory> arguments, int result,
                  const memory::desc& computed, const memory& target) {
  const bool direct = target.get_desc() == computed;
  const memory to = direct ? target : memory(computed, onednn::engine());
  arguments.emplace(result, to);
  onednn::execute(what, primitive, arguments);
  if (!direct) {
    onednn::execute("conv2d.reorder", dnnl::reorder(to, target),
                    {{DNNL_ARG_FROM, to}, {DNNL_ARG_TO, target}});
  }
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  if (y.elements() == 0) return;
  const auto description = forward_primitive(x.shape(), w.shape(), y.shape(), b.defined(), params);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, reordered(image(x), description.src_desc())},
      {DNNL_ARG_WEIGHTS, reordered(filter(w), description.weights_desc())}};
  if (b.defined()) arguments.emplace(DNNL_ARG_BIAS, onednn::wrap(description.bias_desc(), b));
  execute_into("conv2d.forward", convolution_forward(description), arguments, DNNL_ARG_DST,
               description.dst_desc(), image(y));
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (dx.elements() == 0) return;
  if (dy.elements() == 0) {  // no output channels
    if (write == Write::overwrite) dx.zero();
    return;
  }
  const auto hint = forward_primitive(dx.shape(), w.shape(), dy.shape(), false, params);
  const memory::dims stride{params.stride, params.stride}, pad{params.pad, params.pad};
  const auto description = onednn::backward_primitive<convolution_backward_data>(
      hint, kAlgorithm, describe_image(dx.shape(), Tag::any), describe_filter(w.shape(), Tag::any),
      describe_image(dy.shape(), Tag::any), stride, pad,
      far_pad(dx.shape(), w.shape(), dy.shape(), params));
  onednn::deliver(dx, write, [&](const Tensor& to) {
    execute_into("conv2d.backward_input", convolution_backward_data(description),
                 {{DNNL_ARG_DIFF_DST, reordered(image(dy), description.diff_dst_desc())},
                  {DNNL_ARG_WEIGHTS, reordered(filter(w), description.weights_desc())}},
                 DNNL_ARG_DIFF_SRC, description.diff_src_desc(), image(to));
  });
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor&) {
  if (dw.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) dw.zero();
    return;
  }
  const auto hint = forward_primitive(x.shape(), dw.shape(), dy.shape(), false, params);
  const memory::dims stride{params.stride, params.stride}, pad{params.pad, params.pad};
  const auto description = onednn::backward_primitive<convolution_backward_weights>(
      hint, kAlgorithm, describe_image(x.shape(), Tag::any), describe_filter(dw.shape(), Tag::any),
      describe_image(dy.shape(), Tag::any), stride, pad,
      far_pad(x.shape(), dw.shape(), dy.shape(), params));
  onednn::deliver(dw, write, [&](const Tensor& to) {
    execute_into("conv2d.backward_weight", convolution_backward_weights(description),
                 {{DNNL_ARG_DIFF_DST, reordered(image(dy), description.diff_dst_desc())},
                  {DNNL_ARG_SRC, reordered(image(x), description.src_desc())}},
                 DNNL_ARG_DIFF_WEIGHTS, description.diff_weights_desc(), filter(to));
  });
}

void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  onednn::column_sum("conv2d.backward_bias", dy, write, db);
}

}  // namespace

template <typename Target>
Conv2dOp Conv2dOp::vendor() {
  return {.dtypes = kF32,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch};
}
template Conv2dOp Conv2dOp::vendor<Host>();

}  // namespace cucina
