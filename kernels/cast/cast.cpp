// cast's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/cast/cast.h"

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {
namespace {

// The tensor whose dtype decides whether a backend can do it: oneDNN has no f64.
const Tensor& decisive(const Tensor& a, const Tensor& b) { return b.dtype() == DType::f64 ? b : a; }

}  // namespace

Tensor cast(const Tensor& x, DType dtype) {
  for (const DType each : {x.dtype(), dtype}) {
    if (!kFloating.contains(each)) {
      fail("cast: from {} to {}; both must be f32, f64 or bf16", name(x.dtype()), name(dtype));
    }
  }
  if (x.dtype() == dtype) return x;
  const Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  choose(&CastOp::forward, decisive(x, y))(x, y);
  record("cast", y, {x}, {}, [](const Tensor& dy, const Saved&, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    choose(&CastOp::backward, decisive(dy, dx))(dy, write, dx);
  });
  return y;
}

namespace {

// Has this backend both formats?
template <typename Body>
auto run_both(Body body) {
  return [body](Backend backend, Device device, DType, const Tensors& in, const Tensors& out,
                Write write) {
    const CastOp* table = Backends<CastOp>::get().find(backend, device);
    if (table == nullptr || table->forward == nullptr) return false;
    if (!table->dtypes.contains(in[0].dtype()) || !table->dtypes.contains(out[0].dtype())) {
      return false;
    }
    body(*table, in[0], write, out[0]);
    return true;
  };
}

// Between the dtype the case runs in and `other`, both ways. A difference quotient of a function
// that rounds says nothing, so there is no `function`.
Case make_case(const std::string& size, const Shape& shape, DType other) {
  const double n = static_cast<double>(shape.elements());
  return {.name = fmt::format("{}_{}", name(other), size),
          .calls = {{.entry = "forward",
                     .inputs = {{"x", shape}},
                     .outputs = {{"y", shape, Fill::uniform, other}},
                     .run = run_both([](const CastOp& table, const Tensor& x, Write,
                                        const Tensor& y) { table.forward(x, y); }),
                     .flops = n},
                    {.entry = "backward",
                     .inputs = {{"dy", shape, Fill::uniform, other}},
                     .outputs = {{"dx", shape}},
                     .accumulates = true,
                     .run = run_both([](const CastOp& table, const Tensor& dy, Write write,
                                        const Tensor& dx) { table.backward(dy, write, dx); }),
                     .flops = n}}};
}

}  // namespace

std::vector<Case> CastOp::cases() {
  std::vector<Case> cases;
  for (const DType other : {DType::bf16, DType::f32, DType::f64}) {
    for (const auto& [size, shape] :
         std::vector<std::pair<std::string, Shape>>{{"one", {1}},
                                                    {"prime", {257}},
                                                    {"wider_than_block", {3, 1031}},
                                                    {"activations", {2, 7, 5, 3}},
                                                    {"empty", {0, 4}}}) {
      cases.push_back(make_case(size, shape, other));
    }
  }
  Case small_cnn = make_case("64x28x28x16", {64, 28, 28, 16}, DType::bf16);
  small_cnn.timed = Timed::everywhere;
  cases.push_back(std::move(small_cnn));
  Case large = make_case("512x32x32x64", {512, 32, 32, 64}, DType::bf16);
  large.timed = Timed::gpu;
  large.checked = false;
  cases.push_back(std::move(large));
  return cases;
}

}  // namespace cucina
