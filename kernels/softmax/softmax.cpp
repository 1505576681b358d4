// softmax's and log_softmax's front doors: checks, choice of backend, the recorded gradient; and
// the cases.
#include "kernels/softmax/softmax.h"

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {
namespace {

void check(std::string_view op, const Tensor& x) {
  if (x.shape().rank() < 1 || x.size(-1) < 1) {
    fail("{}: x is {} but must have a last dimension of at least 1", op, to_string(x.shape()));
  }
}

Tensor rows_of(const Tensor& x, std::int64_t classes) {
  return x.reshape({x.elements() / classes, classes});
}

// Either op: `name`, computed and differentiated by these entries.
template <typename Forward, typename Backward>
Tensor apply(std::string_view name, const Tensor& x, Forward forward, Backward backward) {
  check(name, x);
  const std::int64_t classes = x.size(-1);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(forward, x)(rows_of(x, classes), rows_of(y, classes));
  record(name, y, {x}, {{"y", y}}, [=](const Tensor& dy, const Saved& saved, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    choose(backward, dy)(rows_of(dy, classes), rows_of(saved[0].tensor, classes), write,
                         rows_of(dx, classes));
  });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) {
  return apply("softmax", x, &SoftmaxOp::forward, &SoftmaxOp::backward);
}

Tensor log_softmax(const Tensor& x) {
  return apply("log_softmax", x, &SoftmaxOp::log_forward, &SoftmaxOp::log_backward);
}

namespace {

struct Setting {
  std::string name;
  std::int64_t rows, classes;
};

// One of the two ops.
struct Entries {
  const char *forward, *backward;
  decltype(&SoftmaxOp::forward) forward_entry;
  decltype(&SoftmaxOp::backward) backward_entry;
  Tensor (*function)(const Tensor& x);
};

constexpr Entries kSoftmax{"forward", "backward", &SoftmaxOp::forward, &SoftmaxOp::backward,
                           softmax};
constexpr Entries kLogSoftmax{"log_forward", "log_backward", &SoftmaxOp::log_forward,
                              &SoftmaxOp::log_backward, log_softmax};

Case make_case(const Setting& s, const Entries& entries) {
  const Shape shape{s.rows, s.classes};
  const Operand x{"x", shape};
  const double n = static_cast<double>(s.rows * s.classes);
  return {.name = s.name,
          .calls = {{.entry = entries.forward,
                     .inputs = {x},
                     .outputs = {{"y", shape}},
                     .run = run_entry(entries.forward_entry,
                                      [](auto forward, const Tensors& in, const Tensors& out,
                                         Write) { forward(in[0], out[0]); }),
                     .flops = 5 * n},
                    {.entry = entries.backward,
                     .inputs = {{"dy", shape}, {"y", shape}},
                     .outputs = {{"dx", shape}},
                     .accumulates = true,
                     .run = run_entry(entries.backward_entry,
                                      [](auto backward, const Tensors& in, const Tensors& out,
                                         Write write) { backward(in[0], in[1], write, out[0]); }),
                     // y becomes what forward makes of the numbers it was filled with.
                     .prepare =
                         [entry = entries.forward_entry](Tensors& in) {
                           const Tensor x = in[1].to(DType::f64), y = x.clone();
                           (SoftmaxOp::reference().*entry)(x, y);
                           in[1] = y.to(in[1].dtype());
                         },
                     .flops = 4 * n}},
          .inputs = {x},
          .function = [function = entries.function](const Tensors& in) { return function(in[0]); }};
}

std::vector<Case> both(const Setting& s) {
  return {make_case({"softmax_" + s.name, s.rows, s.classes}, kSoftmax),
          make_case({"log_" + s.name, s.rows, s.classes}, kLogSoftmax)};
}

}  // namespace

std::vector<Case> SoftmaxOp::cases() {
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{{"one", 1, 1},
                                               {"two", 3, 2},
                                               {"digits", 131, 10},
                                               {"as_a_lane", 5, 32},
                                               {"prime", 13, 37},
                                               {"many_rows", 521, 33},
                                               {"whole_parts", 9, 100},
                                               {"wider_than_warp", 7, 1031},
                                               {"wider_than_block", 3, 2056},
                                               {"wider_than_block_prime", 2, 2467},
                                               {"empty", 0, 12}}) {
    for (Case& c : both(s)) cases.push_back(std::move(c));
  }
  for (Case& c : both({"imagenet", 64, 1000})) {
    cases.push_back(std::move(c));
    cases.back().timed = Timed::everywhere;
  }
  for (const Setting& s :
       std::vector<Setting>{{"8192x1000", 8192, 1000}, {"4096x50257", 4096, 50257}}) {
    for (Case& c : both(s)) {
      cases.push_back(std::move(c));
      cases.back().timed = Timed::gpu;
      cases.back().checked = false;
    }
  }
  return cases;
}

CaseSpace SoftmaxOp::space() {
  return {
      .axes = {{"rows", 0, 60}, {"classes", 1, 2500}, {"log", 0, 1}},
      .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
        return make_case({"random", point[0], point[1]}, point[2] == 1 ? kLogSoftmax : kSoftmax);
      }};
}

}  // namespace cucina
