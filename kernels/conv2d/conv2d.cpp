// conv2d's front door: argument checks, output shape, the recorded gradient; and its cases.
#include "kernels/conv2d/conv2d.h"

#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

// The kernels count positions in 32 bits.
void check_size(const char* what, std::int64_t size) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (size > kMost) fail("conv2d: {} is {} but at most {} is possible", what, size, kMost);
}

void check_arguments(const Tensor& x, const Tensor& w, const Tensor& b,
                     const Conv2dParams& params) {
  if (x.shape().rank() != 4) {
    fail("conv2d: x has rank {}, shape {}, but must be (n, h, w, c)", x.shape().rank(),
         to_string(x.shape()));
  }
  if (w.shape().rank() != 4) {
    fail("conv2d: w has rank {}, shape {}, but must be (k, r, s, c)", w.shape().rank(),
         to_string(w.shape()));
  }
  check_alike("conv2d", "x", x, "w", w);
  if (w.size(3) != x.size(3)) {
    fail("conv2d: w has {} input channels but x has {}", w.size(3), x.size(3));
  }
  if (b.defined()) {
    check_alike("conv2d", "x", x, "b", b);
    if (b.shape() != Shape{w.size(0)}) {
      fail("conv2d: b has shape {} but w has {} output channels", to_string(b.shape()), w.size(0));
    }
  }
  if (params.stride < 1) fail("conv2d: stride is {} but must be at least 1", params.stride);
  if (params.pad < 0) fail("conv2d: pad is {} but must be at least 0", params.pad);
  if (w.size(1) < 1 || w.size(2) < 1) {
    fail("conv2d: the window is {} x {} but must be at least 1 x 1", w.size(1), w.size(2));
  }
  const std::int64_t height = x.size(1) + 2 * std::int64_t{params.pad};
  const std::int64_t width = x.size(2) + 2 * std::int64_t{params.pad};
  if (w.size(1) > height || w.size(2) > width) {
    fail("conv2d: the window is {} x {} but the padded image only {} x {}", w.size(1), w.size(2),
         height, width);
  }
  check_size("the padded height", height);
  check_size("the padded width", width);
  check_size("the number of input channels", x.size(3));
  check_size("the number of output channels", w.size(0));
}

Shape output_shape(const Shape& x, const Shape& w, const Conv2dParams& params) {
  const auto outputs = [&](std::int64_t size, std::int64_t window) {
    return (size + 2 * params.pad - window) / params.stride + 1;
  };
  return {x[0], outputs(x[1], w[1]), outputs(x[2], w[2]), w[0]};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params) {
  check_arguments(x, w, b, params);
  const Shape shape = output_shape(x.shape(), w.shape(), params);
  check_size("the number of output positions", shape[0] * shape[1] * shape[2]);
  check_size("the number of input positions", x.size(0) * x.size(1) * x.size(2));
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  choose(&Conv2dOp::forward, x)(x, w, b, params, y);
  record("conv2d", y, {x, w, b}, {{"x", x}, {"w", w}},
         [params](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const Tensor& x = saved[0].tensor;
           const Tensor& w = saved[1].tensor;
           if (gradients.wants(0)) {
             const auto [dx, write] = gradients.slot(0);
             choose(&Conv2dOp::backward_input, dy)(dy, w, params, write, dx);
           }
           if (gradients.wants(1)) {
             const auto [dw, write] = gradients.slot(1);
             const Tensor scratch = make_scratch(choose(&Conv2dOp::backward_weight_scratch, dy)(
                                                     dy.shape(), x.shape(), params, w.shape()),
                                                 dy);
             choose(&Conv2dOp::backward_weight, dy)(dy, x, params, write, dw, scratch);
           }
           if (gradients.wants(2)) {
             const auto [db, write] = gradients.slot(2);
             const Tensor scratch =
                 make_scratch(choose(&Conv2dOp::backward_bias_scratch, dy)(dy.shape()), dy);
             choose(&Conv2dOp::backward_bias, dy)(dy, write, db, scratch);
           }
         });
  return y;
}

namespace {

// A call's `run` whose body gets the backend's whole table, as scratch needs two of its members.
template <typename Function, typename Body>
auto run_with_table(Function Conv2dOp::*entry, Body body) {
  return [entry, body](Backend backend, Device device, DType dtype, const Tensors& in,
                       const Tensors& out, Write write) {
    const Conv2dOp* table = Backends<Conv2dOp>::get().find(backend, device);
    if (table == nullptr || table->*entry == nullptr || !table->dtypes.contains(dtype)) {
      return false;
    }
    body(*table, in, out, write);
    return true;
  };
}

std::vector<Call> calls_of(const Shape& x, const Shape& w, const Conv2dParams& params) {
  const Shape y = output_shape(x, w, params);
  const double flops =
      2.0 * static_cast<double>(y.elements()) * static_cast<double>(w[1] * w[2] * w[3]);
  return {{.entry = "forward",
           .inputs = {{"x", x}, {"w", w}, {"b", {w[0]}}},
           .outputs = {{"y", y}},
           .run = run_entry(&Conv2dOp::forward,
                            [=](auto forward, const Tensors& in, const Tensors& out, Write) {
                              forward(in[0], in[1], in[2], params, out[0]);
                            }),
           .flops = flops},
          {.entry = "backward_input",
           .inputs = {{"dy", y}, {"w", w}},
           .outputs = {{"dx", x}},
           .accumulates = true,
           .run = run_entry(&Conv2dOp::backward_input,
                            [=](auto backward, const Tensors& in, const Tensors& out, Write write) {
                              backward(in[0], in[1], params, write, out[0]);
                            }),
           .flops = flops},
          {.entry = "backward_weight",
           .inputs = {{"dy", y}, {"x", x}},
           .outputs = {{"dw", w}},
           .accumulates = true,
           .run = run_with_table(
               &Conv2dOp::backward_weight,
               [=](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
                 table.backward_weight(
                     in[0], in[1], params, write, out[0],
                     make_scratch(table.backward_weight_scratch(y, x, params, w), in[0]));
               }),
           .flops = flops},
          {.entry = "backward_bias",
           .inputs = {{"dy", y}},
           .outputs = {{"db", {w[0]}}},
           .accumulates = true,
           .run = run_with_table(
               &Conv2dOp::backward_bias,
               [=](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
                 table.backward_bias(in[0], write, out[0],
                                     make_scratch(table.backward_bias_scratch(y), in[0]));
               }),
           .flops = static_cast<double>(y.elements())}};
}

}  // namespace

std::vector<Case> Conv2dOp::cases() {
  struct Sizes {
    std::string name;
    Shape x, w;
    Conv2dParams params = {};
  };
  std::vector<Case> cases;
  for (const auto& [name, x, w, params] : std::vector<Sizes>{
           {"one", {1, 1, 1, 1}, {1, 1, 1, 1}},
           {"prime", {3, 7, 11, 5}, {13, 3, 2, 5}, {.pad = 1}},
           {"stride2_pad1_odd", {2, 9, 12, 3}, {7, 3, 3, 3}, {.stride = 2, .pad = 1}},
           {"stride3_leaves_rows", {2, 11, 12, 4}, {5, 2, 3, 4}, {.stride = 3}},
           {"stride_beyond_window", {1, 10, 9, 2}, {3, 2, 2, 2}, {.stride = 4}},
           {"pad_beyond_window", {1, 3, 4, 2}, {3, 2, 3, 2}, {.pad = 4}},
           {"window_is_image", {5, 4, 3, 6}, {11, 4, 3, 6}},
           {"empty", {0, 5, 5, 3}, {4, 3, 3, 3}, {.pad = 1}},
           {"pointwise", {3, 6, 7, 40}, {35, 1, 1, 40}},
           {"many_channels", {2, 9, 9, 67}, {37, 3, 3, 67}, {.pad = 1}},
           {"many_channels_stride2", {2, 11, 9, 35}, {66, 3, 3, 35}, {.stride = 2, .pad = 1}},
           {"many_small_images", {70, 6, 6, 2}, {3, 3, 3, 2}, {.pad = 1}},
           {"many_pixels", {3, 41, 37, 3}, {9, 3, 3, 3}, {.pad = 1}},
           {"eight_channels", {2, 15, 13, 8}, {16, 5, 5, 8}, {.pad = 2}},
           {"many_images", {150, 5, 4, 2}, {3, 3, 3, 2}, {.pad = 1}},
           {"lenet_first", {64, 28, 28, 1}, {6, 5, 5, 1}, {.pad = 2}},
           {"lenet_second", {64, 14, 14, 6}, {16, 5, 5, 6}},
           {"resnet_block", {2, 16, 16, 64}, {64, 3, 3, 64}, {.pad = 1}}}) {
    cases.push_back(
        {.name = name,
         .calls = calls_of(x, w, params),
         .inputs = {{"x", x}, {"w", w}, {"b", {w[0]}}},
         .function = [params](const Tensors& in) { return conv2d(in[0], in[1], in[2], params); }});
  }
  return cases;
}

}  // namespace cucina
