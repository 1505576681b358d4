// conv2d by oneDNN, but of few input channels by loops of our own.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/common/channel_rows.h"
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

// A convolution's shapes as oneDNN wants them. Images stay as they are: in a layout of its own
// choice it is hardly ever faster, and bringing images there and back takes what it gains. Filters
// are small, so that it may choose.
struct Problem {
  Shape x, w, y;
  DType dtype;
  Conv2dParams params;

  memory::desc image(const Shape& shape) const {
    return onednn::describe({shape[0], shape[3], shape[1], shape[2]}, Tag::nhwc, dtype);
  }
  memory::desc filter(bool any) const {
    const std::int64_t g = params.groups;
    if (g == 1)
      return onednn::describe({w[0], w[3], w[1], w[2]}, any ? Tag::any : Tag::ohwi, dtype);
    return onednn::describe({g, w[0] / g, w[3], w[1], w[2]}, any ? Tag::any : Tag::gohwi, dtype);
  }
  memory::desc bias() const { return onednn::describe({w[0]}, Tag::a, dtype); }

  memory::dims stride() const { return {params.stride, params.stride}; }
  memory::dims dilation() const { return {params.dilation - 1, params.dilation - 1}; }
  memory::dims near_pad() const { return {params.pad, params.pad}; }
  // The pad at the far edges that makes the padded image end with the last window; negative where
  // rows or columns are left over.
  memory::dims far_pad() const {
    const auto pad = [&](int i) {
      return (y[i] - 1) * params.stride + (w[i] - 1) * params.dilation + 1 - x[i] - params.pad;
    };
    return {pad(1), pad(2)};
  }
  double flops() const {
    return 2.0 * static_cast<double>(y.elements()) * static_cast<double>(w[1] * w[2] * w[3]);
  }
  PlanKey key(std::string_view entry, bool with_bias = false) const {
    return PlanKey(entry, x, w, dtype, params.stride, params.pad, params.dilation, params.groups,
                   params.relu, with_bias);
  }
};

convolution_forward::primitive_desc forward_description(const Problem& of, bool with_bias,
                                                        bool relu) {
  dnnl::primitive_attr attributes;
  if (relu) {
    dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#else
    after.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#endif
    attributes.set_post_ops(after);
  }
  const auto bias = with_bias ? of.bias() : memory::desc();
  const auto x = of.image(of.x), y = of.image(of.y);
#if DNNL_VERSION_MAJOR >= 3
  return {onednn::engine(),
          dnnl::prop_kind::forward_training,
          kAlgorithm,
          x,
          of.filter(true),
          bias,
          y,
          of.stride(),
          of.dilation(),
          of.near_pad(),
          of.far_pad(),
          attributes};
#else
  return {
      convolution_forward::desc(dnnl::prop_kind::forward_training, kAlgorithm, x, of.filter(true),
                                bias, y, of.stride(), of.dilation(), of.near_pad(), of.far_pad()),
      attributes, onednn::engine()};
#endif
}

// One of a primitive's tensors: as we have it, and as the primitive wants it.
class Link {
 public:
  enum class Way { in, out };
  Link(const memory::desc& ours, const memory::desc& theirs, Way way) {
    if (ours == theirs) return;
    const memory::desc &from = way == Way::in ? ours : theirs, &to = way == Way::in ? theirs : ours;
    const auto& engine = onednn::engine();
    reorder_.emplace(
        dnnl::reorder(dnnl::reorder::primitive_desc(engine, from, engine, to)),
        std::vector<onednn::Prepared::Argument>{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    bytes_ = static_cast<std::int64_t>(theirs.get_size());
  }

  // What the primitive reads: the tensor's elements, or a reordered copy that lives in `copy`.
  void* in(const Tensor& tensor, Tensor& copy) const {
    if (!reorder_) return tensor.raw();
    copy = Tensor::empty({bytes_}, DType::u8);
    reorder_->run("conv2d.reorder", {tensor.raw(), copy.raw()});
    return copy.raw();
  }
  // Where it writes, which deliver() then brings to `tensor`.
  void* out(const Tensor& tensor, Tensor& copy) const {
    if (!reorder_) return tensor.raw();
    copy = Tensor::empty({bytes_}, DType::u8);
    return copy.raw();
  }
  void deliver(void* written, const Tensor& tensor) const {
    if (reorder_) reorder_->run("conv2d.reorder", {written, tensor.raw()});
  }

 private:
  std::optional<onednn::Prepared> reorder_;
  std::int64_t bytes_ = 0;
};

// A primitive of two tensors in, one out, and perhaps a bias.
struct Plan {
  Link first, second, result;
  onednn::Prepared primitive;  // of first, second, result and bias
};

void execute(const char* what, const Plan& plan, const Tensor& first, const Tensor& second,
             const Tensor& result, const Tensor& bias = {}) {
  Tensor first_copy, second_copy, result_copy;
  void* const to = plan.result.out(result, result_copy);
  void* const from = plan.first.in(first, first_copy);
  void* const with = plan.second.in(second, second_copy);
  if (bias.defined()) {
    plan.primitive.run(what, {from, with, to, bias.raw()});
  } else {
    plan.primitive.run(what, {from, with, to});
  }
  plan.result.deliver(to, result);
}

// --- few input channels ------------------------------------------------------------------------
// oneDNN 2's convolution of images with 1 to 4 channels runs at a fifth of its speed elsewhere.

constexpr int kLanes = 16;  // output channels taken together, a vector register of them
constexpr int kPixels = 8;  // and pixels: so many sums stay in registers

bool has_few_channels(const Problem& of) {
  return of.dtype == DType::f32 && of.params.groups == 1 && of.params.dilation == 1 && of.x[3] <= 4;
}

// What does not change from pixel to pixel.
struct FewChannels {
  std::int64_t rows, taps;   // of the window; of one of its rows
  std::int64_t x_row, step;  // elements from row to row, from window to window
  std::int64_t k, wide;      // output channels, and in weights and bias, which have kLanes at least
  bool relu;
};

// kCount pixels of one row and kLanes channels: y = b + sum over rows r, taps t of x w.
template <int kCount>
void convolve_pixels(const FewChannels& of, const float* x, const float* w, const float* b,
                     std::int64_t room, float* y) {
  float sum[kCount][kLanes];
  for (int j = 0; j < kCount; ++j)
    for (int i = 0; i < kLanes; ++i) sum[j][i] = b[i];
  const std::int64_t taps = of.taps, step = of.step, wide = of.wide;
  const float* with = w;
  for (std::int64_t r = 0; r < of.rows; ++r) {
    for (std::int64_t t = 0; t < taps; ++t, with += wide) {
      const float* from = x + r * of.x_row + t;
      for (int j = 0; j < kCount; ++j) {
        const float value = from[j * step];
#pragma omp simd
        for (int i = 0; i < kLanes; ++i) sum[j][i] = std::fma(value, with[i], sum[j][i]);
      }
    }
  }
  for (int j = 0; j < kCount; ++j) {
    float* to = y + j * of.k;
    if (of.relu)
      for (int i = 0; i < kLanes; ++i) sum[j][i] = sum[j][i] <= 0 ? 0 : sum[j][i];
    // Lanes beyond the channels are the next pixel's, whose turn comes.
    const std::int64_t count =
        room - j * of.k >= kLanes ? kLanes : std::min<std::int64_t>(of.k, kLanes);
    if (count == kLanes) {
      std::copy(sum[j], sum[j] + kLanes, to);
    } else {
      std::copy(sum[j], sum[j] + count, to);
    }
  }
}

void forward_of_few_channels(const Problem& of, const Tensor& x, const Tensor& w, const Tensor& b,
                             const Tensor& y) {
  const std::int64_t k = of.w[0], taps = of.w[1] * of.w[2] * of.w[3];
  const std::int64_t wide = std::max<std::int64_t>(k, kLanes), pad = of.params.pad;
  // Channels innermost, and at least a register of them.
  const Tensor weights = Tensor::zeros({taps, wide}), bias = Tensor::zeros({wide});
  for (std::int64_t t = 0; t < taps; ++t)
    for (std::int64_t i = 0; i < k; ++i)
      weights.data<float>()[t * wide + i] = w.data<float>()[i * taps + t];
  if (b.defined()) std::copy_n(b.data<float>(), k, bias.data<float>());
  const std::int64_t c = of.x[3], h = of.x[1], p = of.y[1], q = of.y[2], stride = of.params.stride;
  const std::int64_t image_row = of.x[2] * c, row = image_row + 2 * pad * c, rows = h + 2 * pad;
  const FewChannels window{.rows = of.w[1],
                           .taps = of.w[2] * c,
                           .x_row = row,
                           .step = stride * c,
                           .k = k,
                           .wide = wide,
                           .relu = of.params.relu};
  // Out here, as what is thrown in there nobody could catch.
  const Tensor padded = Tensor::empty({omp_get_max_threads(), rows * row});
#pragma omp parallel for if (of.flops() > 2e6)
  for (std::int64_t n = 0; n < of.x[0]; ++n) {
    float* image = padded.data<float>() + omp_get_thread_num() * rows * row;
    std::fill(image, image + rows * row, 0.f);
    for (std::int64_t i = 0; i < h; ++i)
      std::copy_n(x.data<float>() + (n * h + i) * image_row, image_row,
                  image + (i + pad) * row + pad * c);
    const float *filters = weights.data<float>(), *start = bias.data<float>();
    for (std::int64_t line = 0; line < p; ++line) {
      const float* from = image + line * stride * row;
      float* to = y.data<float>() + (n * p + line) * q * k;
      for (std::int64_t first = 0; first < k; first += kLanes) {
        // The last register of channels ends with the last channel.
        const std::int64_t at = std::max<std::int64_t>(std::min(first, k - kLanes), 0);
        const auto pixels = [&]<int kCount>(std::int64_t i) {
          convolve_pixels<kCount>(window, from + i * window.step, filters + at, start + at,
                                  (q - i) * k - at, to + i * k + at);
        };
        std::int64_t i = 0;
        for (; i + kPixels <= q; i += kPixels) pixels.template operator()<kPixels>(i);
        for (; i < q; ++i) pixels.template operator()<1>(i);
      }
    }
  }
}

void run_forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                 const Tensor& y) {
  if (y.elements() == 0) return;
  const Problem of{x.shape(), w.shape(), y.shape(), x.dtype(), params};
  if (has_few_channels(of)) return forward_of_few_channels(of, x, w, b, y);
  const onednn::Threads threads(of.flops());
  const auto plan = onednn::cached(of.key("conv2d.forward", b.defined()), [&] {
    const auto made = forward_description(of, b.defined(), params.relu);
    std::vector<onednn::Prepared::Argument> arguments{{DNNL_ARG_SRC, made.src_desc()},
                                                      {DNNL_ARG_WEIGHTS, made.weights_desc()},
                                                      {DNNL_ARG_DST, made.dst_desc()}};
    if (b.defined()) arguments.push_back({DNNL_ARG_BIAS, of.bias()});
    return Plan{Link(of.image(of.x), made.src_desc(), Link::Way::in),
                Link(of.filter(false), made.weights_desc(), Link::Way::in),
                Link(of.image(of.y), made.dst_desc(), Link::Way::out),
                onednn::Prepared(convolution_forward(made), arguments)};
  });
  execute("conv2d.forward", *plan, x, w, y, b);
}

void run_backward_input(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                        const Tensor& dx) {
  if (dx.elements() == 0) return;
  if (dy.elements() == 0) {  // no output channels
    if (write == Write::overwrite) dx.zero();
    return;
  }
  const Problem of{dx.shape(), w.shape(), dy.shape(), dy.dtype(), params};
  const onednn::Threads threads(of.flops());
  const auto plan = onednn::cached(of.key("conv2d.backward_input"), [&] {
    const auto made = onednn::backward_primitive<convolution_backward_data>(
        forward_description(of, false, false), kAlgorithm, of.image(of.x), of.filter(true),
        of.image(of.y), of.stride(), of.dilation(), of.near_pad(), of.far_pad());
    return Plan{Link(of.image(of.y), made.diff_dst_desc(), Link::Way::in),
                Link(of.filter(false), made.weights_desc(), Link::Way::in),
                Link(of.image(of.x), made.diff_src_desc(), Link::Way::out),
                onednn::Prepared(convolution_backward_data(made),
                                 {{DNNL_ARG_DIFF_DST, made.diff_dst_desc()},
                                  {DNNL_ARG_WEIGHTS, made.weights_desc()},
                                  {DNNL_ARG_DIFF_SRC, made.diff_src_desc()}})};
  });
  onednn::deliver(dx, write,
                  [&](const Tensor& to) { execute("conv2d.backward_input", *plan, dy, w, to); });
}

// Does each row and column of the filter meet the image somewhere, and not only its padding?
bool every_tap_sees_a_pixel(const Problem& of) {
  for (const int side : {1, 2}) {
    for (std::int64_t tap = 0; tap < of.w[side]; ++tap) {
      bool sees = false;
      for (std::int64_t p = 0; p < of.y[side] && !sees; ++p) {
        const std::int64_t at = p * of.params.stride + tap * of.params.dilation - of.params.pad;
        sees = at >= 0 && at < of.x[side];
      }
      if (!sees) return false;
    }
  }
  return true;
}

void run_backward_weight(const Tensor& dy, const Tensor& x, const Conv2dParams& params, Write write,
                         const Tensor& dw, const Tensor& scratch) {
  if (dw.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) dw.zero();
    return;
  }
  const Problem of{x.shape(), dw.shape(), dy.shape(), dy.dtype(), params};
  if (of.dtype == DType::bf16 && !every_tap_sees_a_pixel(of)) {
    // oneDNN leaves garbage in these taps (seen in 2.6.3); in f32 it does not.
    const Tensor wide = Tensor::empty(dw.shape());
    run_backward_weight(dy.to(DType::f32), x.to(DType::f32), params, Write::overwrite, wide,
                        scratch);
    onednn::deliver(dw, write, [&](const Tensor& to) { to.copy_from(wide.to(DType::bf16)); });
    return;
  }
  const onednn::Threads threads(of.flops());
  const auto plan = onednn::cached(of.key("conv2d.backward_weight"), [&] {
    const auto made = onednn::backward_primitive<convolution_backward_weights>(
        forward_description(of, false, false), kAlgorithm, of.image(of.x), of.filter(true),
        of.image(of.y), of.stride(), of.dilation(), of.near_pad(), of.far_pad());
    return Plan{Link(of.image(of.y), made.diff_dst_desc(), Link::Way::in),
                Link(of.image(of.x), made.src_desc(), Link::Way::in),
                Link(of.filter(false), made.diff_weights_desc(), Link::Way::out),
                onednn::Prepared(convolution_backward_weights(made),
                                 {{DNNL_ARG_DIFF_DST, made.diff_dst_desc()},
                                  {DNNL_ARG_SRC, made.src_desc()},
                                  {DNNL_ARG_DIFF_WEIGHTS, made.diff_weights_desc()}})};
  });
  onednn::deliver(dw, write,
                  [&](const Tensor& to) { execute("conv2d.backward_weight", *plan, dy, x, to); });
}

// --- what oneDNN leaves to us: passes over single elements ------------------------------------

using onednn::for_its_type;
using onednn::kWorthThreads;

// oneDNN's reduction is a plain loop, 8 to 16 times slower.
void run_backward_bias(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  onednn::channel_sums(dy, write, db);
}

void run_backward_relu(const Tensor& dy, const Tensor& y, const Tensor& dz) {
  for_its_type(dy.dtype(), [&]<typename T>() {
    const T *from = dy.data<T>(), *value = y.data<T>();
    T* to = dz.data<T>();
    const std::int64_t n = dy.elements();
#pragma omp parallel for simd if (n > kWorthThreads)
    for (std::int64_t i = 0; i < n; ++i) {
      to[i] = static_cast<float>(value[i]) > 0 ? from[i] : T(0.f);
    }
  });
}

// What the prologue makes of x, in memory of its own: oneDNN has none.
Tensor after_prologue(const Tensor& x, const Conv2dPrologue& prologue) {
  const Tensor made = Tensor::empty(x.shape(), x.dtype());
  for_its_type(x.dtype(), [&]<typename T>() {
    const float *scale = prologue.scale.data<float>(), *shift = prologue.shift.data<float>();
    const std::int64_t channels = x.size(3), n = x.elements();
    const std::int64_t pixels = channels == 0 ? 0 : n / channels;
    const bool relu = prologue.relu;
#pragma omp parallel for if (n > kWorthThreads)
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      const T* from = x.data<T>() + pixel * channels;
      T* to = made.data<T>() + pixel * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float value = scale[c] * static_cast<float>(from[c]) + shift[c];
        to[c] = T(relu && value <= 0 ? 0.f : value);
      }
    }
  });
  return made;
}

void run_forward_prologue(const Tensor& x, const Conv2dPrologue& prologue, const Tensor& w,
                          const Tensor& b, const Conv2dParams& params, const Tensor& y) {
  run_forward(after_prologue(x, prologue), w, b, params, y);
}

void run_backward_weight_prologue(const Tensor& dy, const Tensor& x, const Conv2dPrologue& prologue,
                                  const Conv2dParams& params, Write write, const Tensor& dw,
                                  const Tensor& scratch) {
  run_backward_weight(dy, after_prologue(x, prologue), params, write, dw, scratch);
}

}  // namespace

template <typename Target>
Conv2dOp Conv2dOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .forward = run_forward,
          .forward_prologue = run_forward_prologue,
          .backward_input = run_backward_input,
          .backward_weight = run_backward_weight,
          .backward_weight_scratch = no_backward_weight_scratch,
          .backward_weight_prologue = run_backward_weight_prologue,
          .backward_weight_prologue_scratch = no_backward_weight_scratch,
          .backward_bias = run_backward_bias,
          .backward_bias_scratch = no_backward_bias_scratch,
          .backward_relu = run_backward_relu,
          .backward_prologue = nullptr,  // `hand` has it
          .backward_prologue_scratch = nullptr};
}
template Conv2dOp Conv2dOp::vendor<Host>();

}  // namespace cucina
