// binary's front doors: checks, choice of backend, the recorded gradients; and its cases.
#include "kernels/binary/binary.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

constexpr std::string_view name_of(Binary kind) {
  constexpr std::string_view kNames[] = {"add", "sub", "mul"};
  return kNames[static_cast<std::size_t>(kind)];
}

void check(std::string_view op, const Tensor& a, const Tensor& b) {
  check_alike(op, "a", a, "b", b);
  const Shape &big = a.shape(), &small = b.shape();
  const bool over_channels = small.rank() == 1 && big.rank() > 1 && small[0] == big[-1];
  if (big == small || over_channels) return;
  fail("{}: a is {} but b is {}; b must be of the same shape, or a vector over a's last axis", op,
       to_string(big), to_string(small));
}

Tensor apply(Binary kind, const Tensor& a, const Tensor& b) {
  check(name_of(kind), a, b);
  const Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
  choose(&BinaryOp::forward, a)(a, b, kind, y);
  Saved saved;
  if (kind == Binary::mul) saved = {{"a", a}, {"b", b}};
  record(name_of(kind), y, {a, b}, std::move(saved),
         [kind](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const Tensor a = saved.empty() ? Tensor() : saved[0].tensor;
           const Tensor b = saved.empty() ? Tensor() : saved[1].tensor;
           if (gradients.wants(0)) {
             const auto [da, write] = gradients.slot(0);
             choose(&BinaryOp::backward_a, dy)(dy, b, kind, write, da);
           }
           if (gradients.wants(1)) {
             const auto [db, write] = gradients.slot(1);
             const Tensor scratch = make_scratch(
                 choose(&BinaryOp::backward_b_scratch, dy)(dy.shape(), db.shape()), dy);
             choose(&BinaryOp::backward_b, dy)(dy, a, kind, write, db, scratch);
           }
         });
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return apply(Binary::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return apply(Binary::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply(Binary::mul, a, b); }

namespace {

// A call's `run` for backward_b, which wants scratch of the same backend.
bool run_backward_b(Binary kind, Backend backend, Device device, DType dtype, const Tensors& in,
                    const Tensors& out, Write write) {
  const BinaryOp* table = Backends<BinaryOp>::get().find(backend, device);
  if (table == nullptr || table->backward_b == nullptr || !table->dtypes.contains(dtype)) {
    return false;
  }
  const Tensor a = in.size() > 1 ? in[1] : Tensor();
  const Tensor scratch =
      make_scratch(table->backward_b_scratch(in[0].shape(), out[0].shape()), in[0]);
  table->backward_b(in[0], a, kind, write, out[0], scratch);
  return true;
}

Case make_case(const std::string& name, Binary kind, const Shape& big, const Shape& small) {
  const Operand a{"a", big}, b{"b", small}, dy{"dy", big};
  const bool multiplies = kind == Binary::mul;
  const double n = static_cast<double>(big.elements());
  return {.name = name,
          .calls = {{.entry = "forward",
                     .inputs = {a, b},
                     .outputs = {{"y", big}},
                     .run = run_entry(&BinaryOp::forward,
                                      [kind](auto forward, const Tensors& in, const Tensors& out,
                                             Write) { forward(in[0], in[1], kind, out[0]); }),
                     .flops = n},
                    {.entry = "backward_a",
                     .inputs = multiplies ? std::vector{dy, b} : std::vector{dy},
                     .outputs = {{"da", big}},
                     .accumulates = true,
                     .run = run_entry(
                         &BinaryOp::backward_a,
                         [kind](auto backward, const Tensors& in, const Tensors& out, Write write) {
                           const Tensor b = in.size() > 1 ? in[1] : Tensor();
                           backward(in[0], b, kind, write, out[0]);
                         }),
                     .flops = n},
                    {.entry = "backward_b",
                     .inputs = multiplies ? std::vector{dy, a} : std::vector{dy},
                     .outputs = {{"db", small}},
                     .accumulates = true,
                     .run =
                         [kind](Backend backend, Device device, DType dtype, const Tensors& in,
                                const Tensors& out, Write write) {
                           return run_backward_b(kind, backend, device, dtype, in, out, write);
                         },
                     .flops = n}},
          .inputs = {a, b},
          .function = [kind](const Tensors& in) { return apply(kind, in[0], in[1]); }};
}

}  // namespace

std::vector<Case> BinaryOp::cases() {
  struct Sizes {
    std::string name;
    Shape a, b;
  };
  std::vector<Case> cases;
  for (const Binary kind : {Binary::add, Binary::sub, Binary::mul}) {
    const auto add_case = [&](const Sizes& sizes) -> Case& {
      cases.push_back(
          make_case(std::string(name_of(kind)) + "_" + sizes.name, kind, sizes.a, sizes.b));
      return cases.back();
    };
    for (const Sizes& sizes : std::vector<Sizes>{{"one", {1}, {1}},
                                                 {"prime", {257}, {257}},
                                                 {"wider_than_block", {3, 1031}, {3, 1031}},
                                                 {"activations", {2, 7, 5, 3}, {2, 7, 5, 3}},
                                                 {"empty", {0, 4}, {0, 4}},
                                                 {"channels_one", {1, 1}, {1}},
                                                 {"channels_prime", {3, 5, 7, 13}, {13}},
                                                 {"channels_packs", {2, 5, 7, 24}, {24}},
                                                 {"channels_wider_than_block", {5, 1031}, {1031}},
                                                 {"channels_many_rows", {1301, 6}, {6}},
                                                 {"channels_empty", {0, 2, 2, 5}, {5}}}) {
      add_case(sizes);
    }
    for (const Sizes& sizes : {Sizes{"64x28x28x16", {64, 28, 28, 16}, {64, 28, 28, 16}},
                               Sizes{"channels_64x28x28x16", {64, 28, 28, 16}, {16}}}) {
      add_case(sizes).timed = Timed::everywhere;
    }
    for (const Sizes& sizes : {Sizes{"512x32x32x64", {512, 32, 32, 64}, {512, 32, 32, 64}},
                               Sizes{"channels_256x26x26x64", {256, 26, 26, 64}, {64}}}) {
      Case& timed = add_case(sizes);
      timed.timed = Timed::gpu;
      timed.checked = false;
    }
  }
  return cases;
}

}  // namespace cucina
