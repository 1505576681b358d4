// matmul by cuBLASLt.
#include "kernels/common/plan_cache.h"
#include "kernels/common/precision.h"
#include "kernels/common/vendor_cublas_lt.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::cublas_lt;
using vendor_cuda::Layout;
using vendor_cuda::Operation;
using vendor_cuda::Preference;
using vendor_cuda::set;

// Row-major matrices as cuBLASLt sees them: column-major, transposed.
Layout layout_of(const Tensor& x, std::int64_t batch) {
  const std::int64_t rows = x.size(-2), columns = x.size(-1);
  Layout layout = vendor_cuda::describe_matrix(x.dtype(), rows, columns);
  set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
      static_cast<std::int32_t>(vendor_cuda::to_int(batch, "matmul.multiply")));
  set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, rows * columns);
  return layout;
}

cublasComputeType_t compute_type(DType dtype) {
  if (dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  const bool rounds = dtype == DType::f32 && float32_precision() == Precision::tf32;
  return rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// cuBLASLt's gelu is the one with tanh; f64 has no epilogues.
bool fuses_on_gpu(Activation activation, bool before, DType dtype) {
  return !before && dtype != DType::f64 &&
         (activation == Activation::relu || activation == Activation::gelu_tanh);
}

cublasLtEpilogue_t epilogue_of(Activation activation, bool bias) {
  switch (activation) {
    case Activation::relu:
      return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Activation::gelu_tanh:
      return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default:
      return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// The largest power of two up to 256 that divides the address.
std::uint32_t alignment(const Tensor& x) {
  const auto address = reinterpret_cast<std::uintptr_t>(x.raw()) | 256;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

// c^T (+)= b'^T a'^T, which in column-major order is c = a' b'.
struct Plan {
  Operation operation;
  Layout a, b, c;
  cublasLtMatmulHeuristicResult_t best;
};

Plan make_plan(const Tensor& a, const Tensor& b, const Tensor& c, const MatmulParams& params,
               bool fused_bias) {
  const std::int64_t batch = product_sizes(a, params, c).batch;
  Plan plan{.operation = vendor_cuda::describe_product(c.dtype(), compute_type(c.dtype())),
            .a = layout_of(a, batch),
            .b = layout_of(b, batch),
            .c = layout_of(c, batch),
            .best = {}};
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, params.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, params.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(params.activation, fused_bias));
  const Preference preference = vendor_cuda::prefer_workspace();
  // cuBLASLt's first factor is b.
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(cublas_lt(), plan.operation.get(), plan.b.get(),
                                       plan.a.get(), plan.c.get(), plan.c.get(), preference.get(),
                                       1, &plan.best, &found),
        "matmul.multiply: choosing an algorithm");
  if (found == 0) check(CUBLAS_STATUS_NOT_SUPPORTED, "matmul.multiply: choosing an algorithm");
  return plan;
}

void add_bias(const Tensor& bias, const Tensor& c) {
  const std::int64_t n = c.size(-1);
  const int rows = vendor_cuda::to_int(c.elements() / n, "matmul.multiply");
  const int columns = vendor_cuda::to_int(n, "matmul.multiply");
  const auto bias_shape = vendor_cuda::describe(c.dtype(), 1, 1, 1, columns);
  const auto c_shape = vendor_cuda::describe(c.dtype(), rows, 1, 1, columns);
  const Blend blend(c.dtype(), Write::accumulate);
  check(cudnnAddTensor(vendor_cuda::cudnn(c.stream()), blend.alpha(), bias_shape.get(), bias.raw(),
                       blend.beta(), c_shape.get(), c.raw()),
        "matmul.multiply");
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params,
                  const MatmulEpilogue& epilogue, Write write, const Tensor& c, const Tensor&) {
  if (c.elements() == 0) return;
  const Tensor& bias = epilogue.bias;
  if (a.elements() == 0) {  // k is 0
    if (write == Write::overwrite) c.zero();
    if (bias.defined()) add_bias(bias, c);
    return;
  }
  const bool fused_bias = bias.defined() && c.dtype() != DType::f64;
  const auto plan =
      cached(PlanKey("matmul.multiply", a.shape(), b.shape(), a.dtype(), params.transpose_a,
                     params.transpose_b, params.activation, fused_bias, compute_type(c.dtype()),
                     alignment(a), alignment(b), alignment(c)),
             [&] { return make_plan(a, b, c, params, fused_bias); });
  if (fused_bias) {
    set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias.raw()));
  }
  const auto workspace = Storage::allocate(plan->best.workspaceSize, c.device());
  const Blend blend(c.dtype(), write);
  check(cublasLtMatmul(cublas_lt(), plan->operation.get(), blend.alpha(), b.raw(), plan->b.get(),
                       a.raw(), plan->a.get(), blend.beta(), c.raw(), plan->c.get(), c.raw(),
                       plan->c.get(), &plan->best.algo, workspace->data(), plan->best.workspaceSize,
                       static_cast<cudaStream_t>(c.stream().native())),
        "matmul.multiply");
  if (bias.defined() && !fused_bias) add_bias(bias, c);
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  vendor_cuda::column_sums("matmul.bias_gradient", dy, write, db);
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::vendor() {
  return {.dtypes = kFloating,
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .fuses = fuses_on_gpu,
          .activate = nullptr,
          .activation_gradient = nullptr,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}
template MatmulOp MatmulOp::vendor<Gpu>();

}  // namespace cucina
