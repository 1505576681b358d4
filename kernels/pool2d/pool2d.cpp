// pool2d's front doors: checks, output shapes, choice of backend, the recorded gradients; and its
// cases.
#include "kernels/pool2d/pool2d.h"

#include <algorithm>

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {
namespace {

constexpr int kMaxWindow = 15;  // 15 * 15 positions fit a byte

// The number of windows along a side of `size` pixels.
std::int64_t windows_along(std::int64_t size, const Pool2dParams& params) {
  return (size + 2 * params.pad - params.window) / params.stride + 1;
}

Shape output_shape(const Shape& x, const Pool2dParams& params) {
  return {x[0], windows_along(x[1], params), windows_along(x[2], params), x[3]};
}

void check_image(std::string_view op, const Tensor& x) {
  const Shape& shape = x.shape();
  if (shape.rank() != 4) {
    fail("{}: x is {} but must be (n, h, w, c)", op, to_string(shape));
  }
  if (shape[1] == 0 || shape[2] == 0) {
    fail("{}: x is {}: an image of {} x {} pixels has none to pool", op, to_string(shape), shape[1],
         shape[2]);
  }
}

void check_windows(std::string_view op, const Tensor& x, const Pool2dParams& params) {
  check_image(op, x);
  const auto [window, stride, pad, relu] = params;
  if (window < 1 || window > kMaxWindow) {
    fail("{}: window is {} but must be 1 to {}", op, window, kMaxWindow);
  }
  if (stride < 1) fail("{}: stride is {} but must be at least 1", op, stride);
  if (pad < 0 || pad >= window) {
    fail("{}: pad is {} but must be 0 to {}, less than window, or a window would hold padding only",
         op, pad, window - 1);
  }
  const std::int64_t smaller = std::min(x.size(1), x.size(2));
  if (smaller + 2 * pad < window) {
    fail("{}: window is {} but x, {} with pad {}, has {} pixels along a side", op, window,
         to_string(x.shape()), pad, smaller + 2 * pad);
  }
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dParams& params) {
  check_windows("max_pool2d", x, params);
  const Shape shape = output_shape(x.shape(), params);
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  const Tensor index = recording({x}) ? Tensor::empty(shape, DType::u8, x.device()) : Tensor();
  choose(&Pool2dOp::max_forward, x)(x, params, y, index);
  record("max_pool2d", y, {x}, {{"index", index}},
         [params](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&Pool2dOp::max_backward, dy)(dy, saved[0].tensor, params, write, dx);
         });
  return y;
}

Tensor avg_pool2d(const Tensor& x, const Pool2dParams& params) {
  check_windows("avg_pool2d", x, params);
  if (params.relu) fail("avg_pool2d: relu is for max_pool2d; apply it to the result");
  const Tensor y = Tensor::empty(output_shape(x.shape(), params), x.dtype(), x.device());
  choose(&Pool2dOp::average_forward, x)(x, params, y);
  record("avg_pool2d", y, {x}, {}, [params](const Tensor& dy, const Saved&, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    choose(&Pool2dOp::average_backward, dy)(dy, params, write, dx);
  });
  return y;
}

Tensor global_avg_pool(const Tensor& x) {
  check_image("global_avg_pool", x);
  const Tensor y = Tensor::empty({x.size(0), x.size(3)}, x.dtype(), x.device());
  choose(&Pool2dOp::global_average_forward, x)(x, y);
  record("global_avg_pool", y, {x}, {}, [](const Tensor& dy, const Saved&, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    choose(&Pool2dOp::global_average_backward, dy)(dy, write, dx);
  });
  return y;
}

namespace {

// Where the maxima of x are.
Tensor find_index(const Tensor& x, const Pool2dParams& params) {
  const Shape windows = output_shape(x.shape(), params);
  const Tensor index = Tensor::empty(windows, DType::u8);
  Pool2dOp::reference().max_forward(x.to(DType::f64), params, Tensor::empty(windows, DType::f64),
                                    index);
  return index;
}

Case max_case(const std::string& name, const Shape& image, const Pool2dParams& params) {
  // relu's kink at 0 is out of a difference quotient's reach.
  const Operand x{"x", image, params.relu ? Fill::away_from_zero : Fill::distinct};
  const Shape windows = output_shape(image, params);
  const double reads = static_cast<double>(windows.elements()) * params.window * params.window;
  return {.name = "max_" + name,
          .calls = {{.entry = "max_forward",
                     .inputs = {x},
                     .outputs = {{"y", windows}, {"index", windows, Fill::uniform, DType::u8}},
                     .run = run_entry(&Pool2dOp::max_forward,
                                      [params](auto forward, const Tensors& in, const Tensors& out,
                                               Write) { forward(in[0], params, out[0], out[1]); }),
                     .flops = reads},
                    {.entry = "max_backward",
                     .inputs = {{"dy", windows}, x, {"index", windows, Fill::bytes, DType::u8}},
                     .outputs = {{"dx", image}},
                     .accumulates = true,
                     .run = run_entry(
                         &Pool2dOp::max_backward,
                         [params](auto backward, const Tensors& in, const Tensors& out,
                                  Write write) { backward(in[0], in[2], params, write, out[0]); }),
                     .prepare = [params](Tensors& in) { in[2] = find_index(in[1], params); },
                     .flops = reads}},
          .inputs = {x},
          .function = [params](const Tensors& in) { return max_pool2d(in[0], params); }};
}

Case average_case(const std::string& name, const Shape& image, const Pool2dParams& params) {
  const Operand x{"x", image};
  const Shape windows = output_shape(image, params);
  const double reads = static_cast<double>(windows.elements()) * params.window * params.window;
  return {.name = "average_" + name,
          .calls = {{.entry = "average_forward",
                     .inputs = {x},
                     .outputs = {{"y", windows}},
                     .run = run_entry(&Pool2dOp::average_forward,
                                      [params](auto forward, const Tensors& in, const Tensors& out,
                                               Write) { forward(in[0], params, out[0]); }),
                     .flops = reads},
                    {.entry = "average_backward",
                     .inputs = {{"dy", windows}},
                     .outputs = {{"dx", image}},
                     .accumulates = true,
                     .run = run_entry(
                         &Pool2dOp::average_backward,
                         [params](auto backward, const Tensors& in, const Tensors& out,
                                  Write write) { backward(in[0], params, write, out[0]); }),
                     .flops = reads}},
          .inputs = {x},
          .function = [params](const Tensors& in) { return avg_pool2d(in[0], params); }};
}

Case global_average_case(const std::string& name, const Shape& image) {
  const Operand x{"x", image};
  const Shape means{image[0], image[3]};
  const double reads = static_cast<double>(image.elements());
  return {.name = "global_average_" + name,
          .calls = {{.entry = "global_average_forward",
                     .inputs = {x},
                     .outputs = {{"y", means}},
                     .run = run_entry(&Pool2dOp::global_average_forward,
                                      [](auto forward, const Tensors& in, const Tensors& out,
                                         Write) { forward(in[0], out[0]); }),
                     .flops = reads},
                    {.entry = "global_average_backward",
                     .inputs = {{"dy", means}},
                     .outputs = {{"dx", image}},
                     .accumulates = true,
                     .run = run_entry(&Pool2dOp::global_average_backward,
                                      [](auto backward, const Tensors& in, const Tensors& out,
                                         Write write) { backward(in[0], write, out[0]); }),
                     .flops = reads}},
          .inputs = {x},
          .function = [](const Tensors& in) { return global_avg_pool(in[0]); }};
}

}  // namespace

std::vector<Case> Pool2dOp::cases() {
  struct Sizes {
    std::string name;
    Shape image;
    Pool2dParams params;
  };
  std::vector<Case> cases;
  for (const auto& [name, image, params] : std::vector<Sizes>{
           {"one", {1, 1, 1, 1}, {.window = 1, .stride = 1}},
           {"halves", {2, 4, 6, 3}, {}},
           {"prime_with_rest", {3, 7, 11, 5}, {}},
           {"overlapping", {2, 7, 9, 2}, {.window = 3, .stride = 2}},
           {"overlapping_padded", {2, 8, 5, 4}, {.window = 3, .stride = 1, .pad = 1}},
           {"all_but_padding", {1, 3, 2, 8}, {.window = 4, .stride = 3, .pad = 3}},
           {"gaps", {2, 11, 8, 6}, {.window = 2, .stride = 5, .pad = 1}},
           {"largest_window", {1, 17, 16, 2}, {.window = 15, .stride = 2, .pad = 7}},
           {"wider_than_block", {1, 4, 4, 2056}, {}},
           {"empty", {0, 4, 4, 3}, {}}}) {
    cases.push_back(max_case(name, image, params));
    cases.push_back(average_case(name, image, params));
    Pool2dParams with_relu = params;
    with_relu.relu = true;
    cases.push_back(max_case("relu_" + name, image, with_relu));
  }
  for (const auto& [name, image] :
       std::vector<std::pair<std::string, Shape>>{{"one", {1, 1, 1, 1}},
                                                  {"prime", {3, 5, 7, 11}},
                                                  {"wider_than_block", {2, 3, 3, 2056}},
                                                  {"empty", {0, 4, 4, 3}}}) {
    cases.push_back(global_average_case(name, image));
  }
  for (Case timed : {max_case("lenet", {64, 28, 28, 6}, {}),
                     max_case("relu_lenet", {64, 28, 28, 6}, {.relu = true}),
                     average_case("lenet", {64, 28, 28, 6}, {}),
                     global_average_case("small_cnn", {64, 8, 8, 64})}) {
    timed.timed = Timed::everywhere;
    cases.push_back(std::move(timed));
  }
  for (Case timed : {max_case("31x31", {2000, 31, 31, 64}, {}),
                     global_average_case("15x15", {2000, 15, 15, 256})}) {
    timed.timed = Timed::gpu;
    timed.checked = false;
    cases.push_back(std::move(timed));
  }
  return cases;
}

CaseSpace Pool2dOp::space() {
  return {.axes = {{"n", 0, 3},
                   {"h", 1, 20},
                   {"w", 1, 20},
                   {"c", 1, 40},
                   {"window", 1, 5},
                   {"stride", 1, 6},
                   {"pad", 0, 4},
                   {"kind", 0, 3}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const Shape image{point[0], point[1], point[2], point[3]};
            const Pool2dParams params{.window = static_cast<int>(point[4]),
                                      .stride = static_cast<int>(point[5]),
                                      .pad = static_cast<int>(point[6]),
                                      .relu = point[7] == 3};
            if (point[7] == 2) return global_average_case("random", image);
            if (params.pad >= params.window) return std::nullopt;
            if (std::min(image[1], image[2]) + 2 * params.pad < params.window) return std::nullopt;
            return point[7] == 1 ? average_case("random", image, params)
                                 : max_case("random", image, params);
          }};
}

}  // namespace cucina
