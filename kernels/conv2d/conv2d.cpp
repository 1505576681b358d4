// conv2d's front door: argument checks, output shape, the recorded gradient.
#include "kernels/conv2d/conv2d.h"

#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/correlation.h"
#include "kernels/common/norm_checks.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

// The kernels count positions in 32 bits.
void check_size(const char* what, std::int64_t size) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (size > kMost) fail("conv2d: {} is {} but at most {} is possible", what, size, kMost);
}

// Rows (or columns) from a window's first tap to its last.
std::int64_t spanned(std::int64_t window, const Conv2dParams& params) {
  return (window - 1) * params.dilation + 1;
}

void check_groups(const Tensor& x, const Tensor& w, int groups) {
  if (groups < 1) fail("conv2d: groups is {} but must be at least 1", groups);
  if (x.size(3) % groups != 0) {
    fail("conv2d: x has {} channels, which {} groups do not divide", x.size(3), groups);
  }
  if (w.size(0) % groups != 0) {
    fail("conv2d: w has {} output channels, which {} groups do not divide", w.size(0), groups);
  }
  if (w.size(3) == x.size(3) / groups) return;
  if (groups == 1) fail("conv2d: w has {} input channels but x has {}", w.size(3), x.size(3));
  fail("conv2d: w has {} input channels per group but x has {} in {} groups", w.size(3), x.size(3),
       groups);
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
  check_groups(x, w, params.groups);
  if (b.defined()) {
    check_alike("conv2d", "x", x, "b", b);
    if (b.shape() != Shape{w.size(0)}) {
      fail("conv2d: b has shape {} but w has {} output channels", to_string(b.shape()), w.size(0));
    }
  }
  if (params.stride < 1) fail("conv2d: stride is {} but must be at least 1", params.stride);
  if (params.stride > Side::kMostStride) {
    fail("conv2d: stride is {} but at most {} is possible", params.stride, Side::kMostStride);
  }
  if (params.pad < 0) fail("conv2d: pad is {} but must be at least 0", params.pad);
  if (params.dilation < 1) fail("conv2d: dilation is {} but must be at least 1", params.dilation);
  if (w.size(1) < 1 || w.size(2) < 1) {
    fail("conv2d: the window is {} x {} but must be at least 1 x 1", w.size(1), w.size(2));
  }
  const std::int64_t height = x.size(1) + 2 * std::int64_t{params.pad};
  const std::int64_t width = x.size(2) + 2 * std::int64_t{params.pad};
  const std::int64_t spanned_height = spanned(w.size(1), params);
  const std::int64_t spanned_width = spanned(w.size(2), params);
  if (spanned_height > height || spanned_width > width) {
    fail("conv2d: the window {} {} x {} but the padded image only {} x {}",
         params.dilation == 1 ? "is" : "spans", spanned_height, spanned_width, height, width);
  }
  check_size("the padded height", height);
  check_size("the padded width", width);
  check_size("the number of input channels", x.size(3));
  check_size("the number of output channels", w.size(0));
  check_size("the number of weights of an output channel", w.size(1) * w.size(2) * w.size(3));
}

void check_prologue(const Tensor& x, const Conv2dPrologue& prologue) {
  if (prologue.scale.defined() != prologue.shift.defined()) {
    fail("conv2d: the prologue has a {} but no {}; give both or neither",
         prologue.scale.defined() ? "scale" : "shift",
         prologue.scale.defined() ? "shift" : "scale");
  }
  if (!prologue.defined()) {
    if (prologue.relu) fail("conv2d: the prologue has relu but no scale and shift");
    return;
  }
  check_channel_vector("conv2d", "scale", prologue.scale, x);
  check_channel_vector("conv2d", "shift", prologue.shift, x);
}

Shape output_shape(const Shape& x, const Shape& w, const Conv2dParams& params) {
  const auto outputs = [&](std::int64_t size, std::int64_t window) {
    return (size + 2 * params.pad - spanned(window, params)) / params.stride + 1;
  };
  return {x[0], outputs(x[1], w[1]), outputs(x[2], w[2]), w[0]};
}

// What backward needs, in the order it is saved.
struct Forward {
  Tensor x, w, y;  // y with relu alone
  Conv2dPrologue prologue;
};

void weight_gradient(const Tensor& dy, const Forward& forward, const Conv2dParams& params,
                     const Gradients::Slot& to) {
  const auto& [x, w, y, prologue] = forward;
  if (prologue.defined()) {
    const auto size = choose(&Conv2dOp::backward_weight_prologue_scratch, dy);
    choose(&Conv2dOp::backward_weight_prologue, dy)(
        dy, x, prologue, params, to.write, to.dx, make_scratch(size(dy, x, params, w.shape()), dy));
  } else {
    const auto size = choose(&Conv2dOp::backward_weight_scratch, dy);
    choose(&Conv2dOp::backward_weight, dy)(dy, x, params, to.write, to.dx,
                                           make_scratch(size(dy, x, params, w.shape()), dy));
  }
}

// The gradients of x, scale and shift, inputs 0, 3 and 4.
void input_gradients(const Tensor& dy, const Forward& forward, const Conv2dParams& params,
                     Gradients& gradients) {
  const auto& [x, w, y, prologue] = forward;
  const auto backward_input = choose(&Conv2dOp::backward_input, dy);
  if (!prologue.defined()) {
    if (!gradients.wants(0)) return;
    const auto [dx, write] = gradients.slot(0);
    backward_input(dy, w, params, write, dx);
    return;
  }
  Conv2dPrologueGradients to;
  const auto take = [&](int input, Tensor& tensor, Write& write) {
    if (!gradients.wants(input)) return false;
    const auto slot = gradients.slot(input);
    tensor = slot.dx;
    write = slot.write;
    return true;
  };
  bool wanted = take(0, to.dx, to.dx_write);
  wanted |= take(3, to.dscale, to.dscale_write);
  wanted |= take(4, to.dshift, to.dshift_write);
  if (!wanted) return;
  const Tensor da = Tensor::empty(x.shape(), x.dtype(), x.device());
  backward_input(dy, w, params, Write::overwrite, da);
  const auto size = choose(&Conv2dOp::backward_prologue_scratch, dy);
  choose(&Conv2dOp::backward_prologue, dy)(da, x, prologue, to, make_scratch(size(x.shape()), dy));
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
              const Conv2dPrologue& prologue) {
  check_arguments(x, w, b, params);
  check_prologue(x, prologue);
  const Shape shape = output_shape(x.shape(), w.shape(), params);
  check_size("the number of output positions", shape[0] * shape[1] * shape[2]);
  check_size("the number of input positions", x.size(0) * x.size(1) * x.size(2));
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  if (prologue.defined()) {
    choose(&Conv2dOp::forward_prologue, x)(x, prologue, w, b, params, y);
  } else {
    choose(&Conv2dOp::forward, x)(x, w, b, params, y);
  }
  record("conv2d", y, {x, w, b, prologue.scale, prologue.shift},
         {{"x", x},
          {"w", w},
          {"y", params.relu ? y : Tensor()},
          {"scale", prologue.scale},
          {"shift", prologue.shift}},
         [params, relu = prologue.relu](const Tensor& upper, const Saved& saved,
                                        Gradients& gradients) {
           const Forward forward{saved[0].tensor,
                                 saved[1].tensor,
                                 saved[2].tensor,
                                 {saved[3].tensor, saved[4].tensor, relu}};
           Tensor dy = upper;
           if (params.relu) {
             dy = Tensor::empty(upper.shape(), upper.dtype(), upper.device());
             choose(&Conv2dOp::backward_relu, upper)(upper, forward.y, dy);
           }
           input_gradients(dy, forward, params, gradients);
           if (gradients.wants(1)) weight_gradient(dy, forward, params, gradients.slot(1));
           if (gradients.wants(2)) {
             const auto [db, write] = gradients.slot(2);
             const auto size = choose(&Conv2dOp::backward_bias_scratch, dy);
             choose(&Conv2dOp::backward_bias, dy)(dy, write, db,
                                                  make_scratch(size(dy.shape()), dy));
           }
         });
  return y;
}

}  // namespace cucina
