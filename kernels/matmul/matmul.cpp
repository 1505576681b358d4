// matmul's and linear's front doors: argument checks, output shape, the recorded gradients.
#include "kernels/matmul/matmul.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

void multiply_fused(const Tensor& a, const Tensor& b, const MatmulParams& params,
                    const MatmulEpilogue& epilogue, Write write, const Tensor& c) {
  const Tensor scratch =
      make_scratch(choose(&MatmulOp::multiply_scratch, a)(product_sizes(a, params, c)), a);
  choose(&MatmulOp::multiply, a)(a, b, params, epilogue, write, c, scratch);
}

// c = activation(a' b' + bias); `before` gets what the activation is applied to, where it is
// defined.
void multiply_activated(const Tensor& a, const Tensor& b, const MatmulParams& params,
                        const Tensor& bias, const Tensor& before, const Tensor& c) {
  const Activation activation = params.activation;
  if (activation == Activation::none ||
      (product_sizes(a, params, c).k > 0 &&
       choose(&MatmulOp::fuses, a)(activation, before.defined(), a.dtype()))) {
    multiply_fused(a, b, params, {.bias = bias, .before = before}, Write::overwrite, c);
    return;
  }
  const Tensor x = before.defined() ? before : Tensor::empty(c.shape(), c.dtype(), c.device());
  MatmulParams plain = params;
  plain.activation = Activation::none;
  multiply_fused(a, b, plain, {.bias = bias}, Write::overwrite, x);
  choose(&MatmulOp::activate, a)(x, activation, c);
}

void bias_gradient(const Tensor& dy, Write write, const Tensor& db) {
  const std::int64_t columns = db.elements();
  const std::int64_t rows = columns == 0 ? 0 : dy.elements() / columns;
  const Tensor scratch =
      make_scratch(choose(&MatmulOp::bias_gradient_scratch, dy)(rows, columns), dy);
  choose(&MatmulOp::bias_gradient, dy)(dy.detach().reshape({rows, columns}), write, db, scratch);
}

// What the activation's gradient wants to know, and the gradients of a, b and bias.
void backward_of_product(const Tensor& dc, const Saved& saved, const MatmulParams& params,
                         Gradients& gradients) {
  const bool ta = params.transpose_a, tb = params.transpose_b;
  const Tensor& a = saved[0].tensor;
  const Tensor& b = saved[1].tensor;
  Tensor dz = dc;
  if (params.activation != Activation::none) {
    dz = Tensor::empty(dc.shape(), dc.dtype(), dc.device());
    choose(&MatmulOp::activation_gradient, dc)(dc, saved[2].tensor, params.activation, dz);
  }
  if (gradients.wants(0)) {
    const auto [da, write] = gradients.slot(0);
    // a' gets dz b'^T, so a transposed a gets b' dz^T.
    if (ta) {
      multiply_fused(b, dz, {.transpose_a = tb, .transpose_b = true}, {}, write, da);
    } else {
      multiply_fused(dz, b, {.transpose_b = !tb}, {}, write, da);
    }
  }
  if (gradients.wants(1)) {
    const auto [db, write] = gradients.slot(1);
    if (tb) {
      multiply_fused(dz, a, {.transpose_a = true, .transpose_b = ta}, {}, write, db);
    } else {
      multiply_fused(a, dz, {.transpose_a = !ta}, {}, write, db);
    }
  }
  if (gradients.wants(2)) {
    const auto [dbias, write] = gradients.slot(2);
    bias_gradient(dz, write, dbias);
  }
}

Tensor product(const char* op, const Tensor& a, const Tensor& b, const MatmulParams& params,
               const Tensor& bias, const Shape& shape) {
  const Tensor c = Tensor::empty(shape, a.dtype(), a.device());
  const bool by_output = differentiable_by_output(params.activation);
  const Tensor before = !by_output && recording({a, b, bias})
                            ? Tensor::empty(shape, a.dtype(), a.device())
                            : Tensor();
  multiply_activated(a, b, params, bias, before, c);
  Tensor kept = by_output ? c : before;
  if (params.activation == Activation::none) kept = {};
  record(op, c, {a, b, bias}, {{"a", a}, {"b", b}, {by_output ? "c" : "before", kept}},
         [params](const Tensor& dc, const Saved& saved, Gradients& gradients) {
           backward_of_product(dc, saved, params, gradients);
         });
  return c;
}

void check_bias(const char* op, const char* name, const char* like, const Tensor& x,
                const Tensor& bias) {
  if (bias.defined()) check_alike(op, like, x, name, bias);
}

// All but the last two sizes of `shape`, then `rows` and `columns`.
Shape with_matrix(const Shape& shape, std::int64_t rows, std::int64_t columns) {
  const auto sizes = shape.sizes();
  std::vector<std::int64_t> all(sizes.begin(), sizes.end() - 2);
  all.push_back(rows);
  all.push_back(columns);
  return Shape(all);
}

void check_rank_of_matrix(const char* name, const Tensor& x) {
  if (x.shape().rank() >= 2) return;
  fail("matmul: {} has rank {}, shape {}, but must have rank 2 or more", name, x.shape().rank(),
       to_string(x.shape()));
}

void check_rank_two(const char* name, const Tensor& x) {
  if (x.shape().rank() == 2) return;
  fail("linear: {} has rank {}, shape {}, but must have rank 2", name, x.shape().rank(),
       to_string(x.shape()));
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias) {
  check_rank_of_matrix("a", a);
  check_rank_of_matrix("b", b);
  check_alike("matmul", "a", a, "b", b);
  check_bias("matmul", "bias", "a", a, bias);
  const auto [ta, tb, activation] = params;
  const std::int64_t m = a.size(ta ? -1 : -2), k = a.size(ta ? -2 : -1);
  const std::int64_t n = b.size(tb ? -2 : -1);
  if (const std::int64_t other = b.size(tb ? -1 : -2); other != k) {
    fail("matmul: a{} has inner size {} but b{} has {}", ta ? " transposed" : "", k,
         tb ? " transposed" : "", other);
  }
  if (bias.defined() && bias.shape() != Shape{n}) {
    fail("matmul: bias has shape {} but c has {} columns", to_string(bias.shape()), n);
  }
  const Shape shape = with_matrix(a.shape(), m, n);
  if (b.shape().rank() == 2 && a.shape().rank() > 2) {
    if (ta) {
      fail("matmul: a {} is a batch of transposed matrices and b {} is one matrix; give a batch",
           to_string(a.shape()), to_string(b.shape()));
    }
    std::int64_t rows = m;
    for (int i = 0; i < a.shape().rank() - 2; ++i) rows *= a.size(i);
    return product("matmul", a.reshape({rows, k}), b, params, bias, {rows, n}).reshape(shape);
  }
  if (with_matrix(b.shape(), m, n) != shape) {
    fail("matmul: a {} and b {} have different batches", to_string(a.shape()),
         to_string(b.shape()));
  }
  return product("matmul", a, b, params, bias, shape);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, Activation activation) {
  check_rank_two("x", x);
  check_rank_two("w", w);
  check_alike("linear", "x", x, "w", w);
  if (x.size(1) != w.size(1)) {
    fail("linear: x has {} features but w takes {}", x.size(1), w.size(1));
  }
  check_bias("linear", "b", "x", x, b);
  if (b.defined() && b.shape() != Shape{w.size(0)}) {
    fail("linear: b has shape {} but w has {} outputs", to_string(b.shape()), w.size(0));
  }
  return product("linear", x, w, {.transpose_b = true, .activation = activation}, b,
                 {x.size(0), w.size(0)});
}

}  // namespace cucina
