// pool2d by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/pool2d/pool2d.h"

namespace cucina {
namespace {

using dnnl::pooling_backward;
using dnnl::pooling_forward;

constexpr auto kAverage = dnnl::algorithm::pooling_avg_include_padding;

// Windows as oneDNN wants them, which need not be square.
struct Geometry {
  dnnl::memory::desc image, windows;
  dnnl::memory::dims stride, window, pad;
};

dnnl::memory::desc describe_image(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  return onednn::describe({n, c, h, w}, dnnl::memory::format_tag::nhwc);
}

Geometry geometry_of(const Tensor& image, const Tensor& windows, const Pool2dParams& params) {
  const Shape& x = image.shape();
  const Shape& y = windows.shape();
  return {.image = describe_image(x[0], x[1], x[2], x[3]),
          .windows = describe_image(y[0], y[1], y[2], y[3]),
          .stride = {params.stride, params.stride},
          .window = {params.window, params.window},
          .pad = {params.pad, params.pad}};
}

// One window over the whole image.
Geometry global_geometry(const Tensor& image) {
  const Shape& x = image.shape();
  return {.image = describe_image(x[0], x[1], x[2], x[3]),
          .windows = describe_image(x[0], 1, 1, x[3]),
          .stride = {1, 1},
          .window = {x[1], x[2]},
          .pad = {0, 0}};
}

pooling_forward::primitive_desc forward_primitive(const Geometry& g) {
#if DNNL_VERSION_MAJOR >= 3
  return onednn::primitive<pooling_forward>(dnnl::prop_kind::forward_training, kAverage, g.image,
                                            g.windows, g.stride, g.window, dnnl::memory::dims{0, 0},
                                            g.pad, g.pad);
#else
  return onednn::primitive<pooling_forward>(dnnl::prop_kind::forward_training, kAverage, g.image,
                                            g.windows, g.stride, g.window, g.pad, g.pad);
#endif
}

pooling_backward::primitive_desc backward_primitive(const Geometry& g) {
  const auto hint = forward_primitive(g);
#if DNNL_VERSION_MAJOR >= 3
  return onednn::backward_primitive<pooling_backward>(hint, kAverage, g.image, g.windows, g.stride,
                                                      g.window, dnnl::memory::dims{0, 0}, g.pad,
                                                      g.pad);
#else
  return onednn::backward_primitive<pooling_backward>(hint, kAverage, g.image, g.windows, g.stride,
                                                      g.window, g.pad, g.pad);
#endif
}

void average(const char* name, const Geometry& g, const Tensor& x, const Tensor& y) {
  if (x.elements() == 0) return;
  onednn::execute(
      name, pooling_forward(forward_primitive(g)),
      {{DNNL_ARG_SRC, onednn::wrap(g.image, x)}, {DNNL_ARG_DST, onednn::wrap(g.windows, y)}});
}

void spread(const char* name, const Geometry& g, const Tensor& dy, Write write, const Tensor& dx) {
  if (dx.elements() == 0) return;
  const pooling_backward primitive(backward_primitive(g));
  onednn::deliver(dx, write, [&](const Tensor& to) {
    onednn::execute(name, primitive,
                    {{DNNL_ARG_DIFF_DST, onednn::wrap(g.windows, dy)},
                     {DNNL_ARG_DIFF_SRC, onednn::wrap(g.image, to)}});
  });
}

void run_average_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  average("pool2d.average_forward", geometry_of(x, y, params), x, y);
}

void run_average_backward(const Tensor& dy, const Pool2dParams& params, Write write,
                          const Tensor& dx) {
  spread("pool2d.average_backward", geometry_of(dx, dy, params), dy, write, dx);
}

void run_global_average_forward(const Tensor& x, const Tensor& y) {
  average("pool2d.global_average_forward", global_geometry(x), x, y);
}

void run_global_average_backward(const Tensor& dy, Write write, const Tensor& dx) {
  spread("pool2d.global_average_backward", global_geometry(dx), dy, write, dx);
}

}  // namespace

template <typename Target>
Pool2dOp Pool2dOp::vendor() {
  return {.dtypes = kF32,
          // oneDNN keeps the same index, but its maximum skips NaN, and of a window full of -Inf it
          // makes -FLT_MAX (seen in 2.6.3): diverged weights would look healthy.
          .max_forward = nullptr,
          .max_backward = nullptr,
          .average_forward = run_average_forward,
          .average_backward = run_average_backward,
          .global_average_forward = run_global_average_forward,
          .global_average_backward = run_global_average_backward};
}
template Pool2dOp Pool2dOp::vendor<Host>();

}  // namespace cucina
