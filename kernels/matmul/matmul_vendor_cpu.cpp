// matmul by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using Tag = dnnl::memory::format_tag;
using dnnl::algorithm;

// oneDNN's name for an activation.
algorithm algorithm_of(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return algorithm::eltwise_relu;
    case Activation::gelu:
      return algorithm::eltwise_gelu_erf;
    case Activation::gelu_tanh:
      return algorithm::eltwise_gelu_tanh;
    case Activation::silu:
      return algorithm::eltwise_swish;
    case Activation::sigmoid:
      return algorithm::eltwise_logistic;
    case Activation::tanh:
      return algorithm::eltwise_tanh;
    case Activation::none:
      break;
  }
  return algorithm::eltwise_linear;
}

// oneDNN's slope or factor of an activation.
float alpha_of(Activation activation) { return activation == Activation::silu ? 1.f : 0.f; }

// What oneDNN refuses: sums over nothing.
void write_sums_of_nothing(const Tensor& bias, Write write, const Tensor& c) {
  if (write == Write::overwrite) c.zero();
  if (!bias.defined()) return;
  const std::int64_t n = c.size(-1);
  for_floating("matmul", c.dtype(), [&]<typename T>() {
    for (std::int64_t i = 0; i < c.elements(); ++i) {
      T& to = c.data<T>()[i];
      to = T(static_cast<Compute<T>>(to) + static_cast<Compute<T>>(bias.data<T>()[i % n]));
    }
  });
}

struct Plan {
  dnnl::memory::desc a, b, bias, c;
  dnnl::matmul primitive;
};

Plan make_plan(const ProductSizes& sizes, const MatmulParams& params, bool has_bias, Write write,
               DType dtype) {
  const auto [batch, m, n, k] = sizes;
  // A transpose is only another order of the same elements.
  const auto matrices = [&](std::int64_t rows, std::int64_t columns, bool transposed) {
    return batch == 1
               ? onednn::describe({rows, columns}, transposed ? Tag::ba : Tag::ab, dtype)
               : onednn::describe({batch, rows, columns}, transposed ? Tag::acb : Tag::abc, dtype);
  };
  Plan plan{.a = matrices(m, k, params.transpose_a),
            .b = matrices(k, n, params.transpose_b),
            .bias = {},
            .c = matrices(m, n, false),
            .primitive = {}};
  if (has_bias) {
    plan.bias = batch == 1 ? onednn::describe({1, n}, Tag::ab, dtype)
                           : onednn::describe({1, 1, n}, Tag::abc, dtype);
  }
  dnnl::post_ops after;
  if (write == Write::accumulate) after.append_sum(1.f);
  if (params.activation != Activation::none) {
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(algorithm_of(params.activation), alpha_of(params.activation), 0.f);
#else
    after.append_eltwise(1.f, algorithm_of(params.activation), alpha_of(params.activation), 0.f);
#endif
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(onednn::engine(), plan.a, plan.b, plan.bias,
                                                 plan.c, attributes);
#else
  const dnnl::matmul::primitive_desc description({plan.a, plan.b, plan.bias, plan.c}, attributes,
                                                 onednn::engine());
#endif
  plan.primitive = dnnl::matmul(description);
  return plan;
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params,
                  const MatmulEpilogue& epilogue, Write write, const Tensor& c, const Tensor&) {
  if (c.elements() == 0) return;
  const ProductSizes sizes = product_sizes(a, params, c);
  const Tensor& bias = epilogue.bias;
  if (sizes.k == 0) {
    write_sums_of_nothing(bias, write, c);
    return;
  }
  const auto plan = onednn::cached(
      PlanKey("matmul.multiply", sizes.batch, sizes.m, sizes.n, sizes.k, params.transpose_a,
              params.transpose_b, params.activation, bias.defined(), write, a.dtype()),
      [&] { return make_plan(sizes, params, bias.defined(), write, a.dtype()); });
  std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, onednn::wrap(plan->a, a)},
                                                  {DNNL_ARG_WEIGHTS, onednn::wrap(plan->b, b)},
                                                  {DNNL_ARG_DST, onednn::wrap(plan->c, c)}};
  if (bias.defined()) arguments.emplace(DNNL_ARG_BIAS, onednn::wrap(plan->bias, bias));
  onednn::execute("matmul.multiply", plan->primitive, arguments);
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .fuses = [](Activation, bool before, DType) { return !before; },
          .activate = nullptr,
          .activation_gradient = nullptr,
          // oneDNN's reduction is a plain loop: 10 times slower than `hand` (docs/numbers.md).
          .bias_gradient = nullptr,
          .bias_gradient_scratch = nullptr};
}
template MatmulOp MatmulOp::vendor<Host>();

}  // namespace cucina
