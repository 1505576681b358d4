// matmul's and linear's front doors: argument checks, output shape, the recorded gradients; and
// their cases.
#include "kernels/matmul/matmul.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

void check_matrix(std::string_view op, std::string_view name, const Tensor& x) {
  if (x.shape().rank() != 2) {
    fail("{}: {} has rank {}, shape {}, but must have rank 2", op, name, x.shape().rank(),
         to_string(x.shape()));
  }
}

void multiply(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
              Write write, const Tensor& c) {
  const std::int64_t k = a.size(params.transpose_a ? 0 : 1);
  const Tensor scratch =
      make_scratch(choose(&MatmulOp::multiply_scratch, a)(c.size(0), c.size(1), k), a);
  choose(&MatmulOp::multiply, a)(a, b, params, bias, write, c, scratch);
}

void bias_gradient(const Tensor& dy, Write write, const Tensor& db) {
  const Tensor scratch =
      make_scratch(choose(&MatmulOp::bias_gradient_scratch, dy)(dy.size(0), dy.size(1)), dy);
  choose(&MatmulOp::bias_gradient, dy)(dy, write, db, scratch);
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulParams& params) {
  check_matrix("matmul", "a", a);
  check_matrix("matmul", "b", b);
  check_alike("matmul", "a", a, "b", b);
  const std::int64_t k = a.size(params.transpose_a ? 0 : 1);
  if (const std::int64_t other = b.size(params.transpose_b ? 1 : 0); other != k) {
    fail("matmul: a{} has inner size {} but b{} has {}", params.transpose_a ? " transposed" : "", k,
         params.transpose_b ? " transposed" : "", other);
  }
  const Tensor c =
      Tensor::empty({a.size(params.transpose_a ? 1 : 0), b.size(params.transpose_b ? 0 : 1)},
                    a.dtype(), a.device());
  multiply(a, b, params, {}, Write::overwrite, c);
  record("matmul", c, {a, b}, {{"a", a}, {"b", b}},
         [params](const Tensor& dc, const Saved& saved, Gradients& gradients) {
           const auto [ta, tb] = params;
           const Tensor& a = saved[0].tensor;
           const Tensor& b = saved[1].tensor;
           if (gradients.wants(0)) {
             const auto [da, write] = gradients.slot(0);
             // a' gets dc b'^T, so a transposed a gets b' dc^T.
             if (ta) {
               multiply(b, dc, {.transpose_a = tb, .transpose_b = true}, {}, write, da);
             } else {
               multiply(dc, b, {.transpose_a = false, .transpose_b = !tb}, {}, write, da);
             }
           }
           if (gradients.wants(1)) {
             const auto [db, write] = gradients.slot(1);
             if (tb) {
               multiply(dc, a, {.transpose_a = true, .transpose_b = ta}, {}, write, db);
             } else {
               multiply(a, dc, {.transpose_a = !ta, .transpose_b = false}, {}, write, db);
             }
           }
         });
  return c;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  check_matrix("linear", "x", x);
  check_matrix("linear", "w", w);
  check_alike("linear", "x", x, "w", w);
  if (x.size(1) != w.size(1)) {
    fail("linear: x has {} features but w takes {}", x.size(1), w.size(1));
  }
  if (b.defined()) {
    check_alike("linear", "x", x, "b", b);
    if (b.shape() != Shape{w.size(0)}) {
      fail("linear: b has shape {} but w has {} outputs", to_string(b.shape()), w.size(0));
    }
  }
  const Tensor y = Tensor::empty({x.size(0), w.size(0)}, x.dtype(), x.device());
  multiply(x, w, {.transpose_b = true}, b, Write::overwrite, y);
  record("linear", y, {x, w, b}, {{"x", x}, {"w", w}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           if (gradients.wants(0)) {
             const auto [dx, write] = gradients.slot(0);
             multiply(dy, saved[1].tensor, {}, {}, write, dx);
           }
           if (gradients.wants(1)) {
             const auto [dw, write] = gradients.slot(1);
             multiply(dy, saved[0].tensor, {.transpose_a = true}, {}, write, dw);
           }
           if (gradients.wants(2)) {
             const auto [db, write] = gradients.slot(2);
             bias_gradient(dy, write, db);
           }
         });
  return y;
}

namespace {

Call multiply_call(std::int64_t m, std::int64_t n, std::int64_t k, const MatmulParams& params,
                   bool with_bias) {
  std::vector<Operand> inputs{{"a", params.transpose_a ? Shape{k, m} : Shape{m, k}},
                              {"b", params.transpose_b ? Shape{n, k} : Shape{k, n}}};
  if (with_bias) inputs.push_back({"bias", {n}});
  return {.entry = "multiply",
          .inputs = inputs,
          .outputs = {{"c", {m, n}}},
          .accumulates = true,
          .run =
              [=](Backend backend, Device device, DType dtype, const Tensors& in,
                  const Tensors& out, Write write) {
                const MatmulOp* table = Backends<MatmulOp>::get().find(backend, device);
                if (table == nullptr || !table->multiply || !table->dtypes.contains(dtype)) {
                  return false;
                }
                table->multiply(in[0], in[1], params, with_bias ? in[2] : Tensor(), write, out[0],
                                make_scratch(table->multiply_scratch(m, n, k), in[0]));
                return true;
              },
          .flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k)};
}

Call bias_gradient_call(std::int64_t rows, std::int64_t columns) {
  return {.entry = "bias_gradient",
          .inputs = {{"dy", {rows, columns}}},
          .outputs = {{"db", {columns}}},
          .accumulates = true,
          .run =
              [=](Backend backend, Device device, DType dtype, const Tensors& in,
                  const Tensors& out, Write write) {
                const MatmulOp* table = Backends<MatmulOp>::get().find(backend, device);
                if (table == nullptr || !table->bias_gradient || !table->dtypes.contains(dtype)) {
                  return false;
                }
                table->bias_gradient(
                    in[0], write, out[0],
                    make_scratch(table->bias_gradient_scratch(rows, columns), in[0]));
                return true;
              },
          .flops = static_cast<double>(rows) * static_cast<double>(columns)};
}

}  // namespace

std::vector<Case> MatmulOp::cases() {
  struct Sizes {
    std::string name;
    std::int64_t m, n, k;
    MatmulParams params = {};
  };
  std::vector<Case> cases;
  for (const auto& [name, m, n, k, params] : std::vector<Sizes>{
           {"one", 1, 1, 1},
           {"prime", 67, 71, 37},
           {"prime_transposed_a", 71, 131, 19, {.transpose_a = true}},
           {"prime_transposed_b", 131, 67, 23, {.transpose_b = true}},
           {"prime_transposed_both", 73, 11, 67, {.transpose_a = true, .transpose_b = true}},
           {"long_inner", 9, 33, 1031},
           {"long_inner_transposed", 13, 66, 1033, {.transpose_a = true, .transpose_b = true}},
           {"one_row", 1, 257, 64},
           {"empty", 0, 4, 5},
           {"empty_inner", 3, 4, 0},
           {"square", 256, 256, 256},
           {"many_tiles", 1025, 1024, 8}}) {
    const Call call = multiply_call(m, n, k, params, false);
    cases.push_back(
        {.name = name,
         .calls = {call},
         .inputs = call.inputs,
         .function = [params](const Tensors& in) { return matmul(in[0], in[1], params); }});
  }
  for (const auto& [name, n, out, in_features] :
       std::vector<std::tuple<std::string, std::int64_t, std::int64_t, std::int64_t>>{
           {"linear_one", 1, 1, 1},
           {"linear_prime", 5, 37, 131},
           {"linear_empty", 0, 3, 4},
           {"linear_many_rows", 1500, 9, 4},
           {"linear_lenet", 64, 120, 400}}) {
    cases.push_back({.name = name,
                     .calls = {multiply_call(n, out, in_features, {.transpose_b = true}, true),
                               bias_gradient_call(n, out)},
                     .inputs = {{"x", {n, in_features}}, {"w", {out, in_features}}, {"b", {out}}},
                     .function = [](const Tensors& in) { return linear(in[0], in[1], in[2]); }});
  }
  return cases;
}

}  // namespace cucina
