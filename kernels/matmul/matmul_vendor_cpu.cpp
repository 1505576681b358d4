// matmul by oneDNN.
#include "kernels/common/vendor_cpu.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using Tag = dnnl::memory::format_tag;

void fill_sum_of_nothing(const Tensor& bias, Write write, const Tensor& c) {
  if (write == Write::overwrite) c.zero();
  if (!bias.defined()) return;
  for (std::int64_t i = 0; i < c.size(0); ++i) {
    for (std::int64_t j = 0; j < c.size(1); ++j) {
      c.data<float>()[i * c.size(1) + j] += bias.data<float>()[j];
    }
  }
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
                  Write write, const Tensor& c, const Tensor&) {
  if (c.elements() == 0) return;
  const std::int64_t m = c.size(0), n = c.size(1), k = a.size(params.transpose_a ? 0 : 1);
  if (k == 0) {  // which oneDNN refuses
    fill_sum_of_nothing(bias, write, c);
    return;
  }
  // A transpose is only another order of the same elements.
  const auto a_md = onednn::describe({m, k}, params.transpose_a ? Tag::ba : Tag::ab);
  const auto b_md = onednn::describe({k, n}, params.transpose_b ? Tag::ba : Tag::ab);
  const auto bias_md = bias.defined() ? onednn::describe({1, n}, Tag::ab) : dnnl::memory::desc();
  const auto c_md = onednn::describe({m, n}, Tag::ab);
  dnnl::primitive_attr attributes;
  if (write == Write::accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.f);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(onednn::engine(), a_md, b_md, bias_md, c_md,
                                                 attributes);
#else
  const dnnl::matmul::primitive_desc description({a_md, b_md, bias_md, c_md}, attributes,
                                                 onednn::engine());
#endif
  std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, onednn::wrap(a_md, a)},
                                                  {DNNL_ARG_WEIGHTS, onednn::wrap(b_md, b)},
                                                  {DNNL_ARG_DST, onednn::wrap(c_md, c)}};
  if (bias.defined()) arguments.emplace(DNNL_ARG_BIAS, onednn::wrap(bias_md, bias));
  onednn::execute("matmul.multiply", dnnl::matmul(description), arguments);
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  onednn::column_sum("matmul.bias_gradient", dy, write, db);
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::vendor() {
  return {.dtypes = kF32,
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}
template MatmulOp MatmulOp::vendor<Host>();

}  // namespace cucina
