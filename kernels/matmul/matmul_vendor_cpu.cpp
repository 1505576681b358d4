// matmul by oneDNN.
#include "kernels/common/channel_rows.h"
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

// Of a, b, c and perhaps bias.
onednn::Prepared make_plan(const ProductSizes& sizes, const MatmulParams& params, bool has_bias,
                           Write write, DType dtype) {
  const auto [batch, m, n, k] = sizes;
  // A transpose is only another order of the same elements.
  const auto matrices = [&](std::int64_t rows, std::int64_t columns, bool transposed) {
    return batch == 1
               ? onednn::describe({rows, columns}, transposed ? Tag::ba : Tag::ab, dtype)
               : onednn::describe({batch, rows, columns}, transposed ? Tag::acb : Tag::abc, dtype);
  };
  const auto a = matrices(m, k, params.transpose_a), b = matrices(k, n, params.transpose_b);
  const auto c = matrices(m, n, false);
  std::vector<onednn::Prepared::Argument> arguments{
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
  dnnl::memory::desc bias;
  if (has_bias) {
    bias = batch == 1 ? onednn::describe({1, n}, Tag::ab, dtype)
                      : onednn::describe({1, 1, n}, Tag::abc, dtype);
    arguments.push_back({DNNL_ARG_BIAS, bias});
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
  const dnnl::matmul::primitive_desc description(onednn::engine(), a, b, bias, c, attributes);
#else
  const dnnl::matmul::primitive_desc description({a, b, bias, c}, attributes, onednn::engine());
#endif
  return {dnnl::matmul(description), arguments};
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
  const onednn::Threads threads(2.0 * static_cast<double>(c.elements() * sizes.k));
  const auto plan = onednn::cached(
      PlanKey("matmul.multiply", sizes.batch, sizes.m, sizes.n, sizes.k, params.transpose_a,
              params.transpose_b, params.activation, bias.defined(), write, a.dtype()),
      [&] { return make_plan(sizes, params, bias.defined(), write, a.dtype()); });
  if (bias.defined()) {
    plan->run("matmul.multiply", {a.raw(), b.raw(), c.raw(), bias.raw()});
  } else {
    plan->run("matmul.multiply", {a.raw(), b.raw(), c.raw()});
  }
}

// oneDNN's reduction is a plain loop, ten times slower.
void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  onednn::channel_sums(dy, write, db);
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .fuses = [](Activation, bool before, DType) { return !before; },
          .activate = nullptr,
          .activation_gradient = nullptr,  // `hand` has both
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}
template MatmulOp MatmulOp::vendor<Host>();

}  // namespace cucina
