// matmul by cuBLASLt; bias gradients by cuDNN.
#include "kernels/common/vendor_cuda.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;
using vendor_cuda::cublas_lt;

constexpr std::size_t kMostWorkspace = 32 << 20;  // bytes; what NVIDIA advises for Hopper

template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
struct LtDestroyer {
  using pointer = Handle;
  void operator()(Handle handle) const { kDestroy(handle); }
};
template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
using LtOwned = std::unique_ptr<Handle, LtDestroyer<Handle, kDestroy>>;
using Layout = LtOwned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = LtOwned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = LtOwned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

cudaDataType_t data_type(const Tensor& x) {
  return x.dtype() == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
}

// A row-major matrix as cuBLASLt sees it: column-major, transposed.
Layout layout_of(const Tensor& matrix) {
  const auto rows = static_cast<std::uint64_t>(matrix.size(0));
  const auto columns = static_cast<std::uint64_t>(matrix.size(1));
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, data_type(matrix), columns, rows, matrix.size(1)),
        "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

template <typename Value>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

// c^T (+)= b'^T a'^T, which in column-major order is c = a' b'. Full precision: no TF32.
Operation operation_of(const Tensor& c, const MatmulParams& params) {
  const bool wide = c.dtype() == DType::f64;
  cublasLtMatmulDesc_t created = nullptr;
  check(cublasLtMatmulDescCreate(&created, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                 data_type(c)),
        "cublasLtMatmulDescCreate");
  Operation operation(created);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, params.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, params.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  return operation;
}

void add_bias(const Tensor& bias, const Tensor& c) {
  const int rows = vendor_cuda::to_int(c.size(0), "matmul.multiply");
  const int columns = vendor_cuda::to_int(c.size(1), "matmul.multiply");
  const auto bias_shape = vendor_cuda::describe(c.dtype(), 1, 1, 1, columns);
  const auto c_shape = vendor_cuda::describe(c.dtype(), rows, 1, 1, columns);
  const Blend blend(c.dtype(), Write::accumulate);
  check(cudnnAddTensor(vendor_cuda::cudnn(c.stream()), blend.alpha(), bias_shape.get(), bias.raw(),
                       blend.beta(), c_shape.get(), c.raw()),
        "matmul.multiply");
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
                  Write write, const Tensor& c, const Tensor&) {
  if (c.elements() == 0) return;
  if (a.elements() == 0) {  // k is 0
    if (write == Write::overwrite) c.zero();
    if (bias.defined()) add_bias(bias, c);
    return;
  }
  const Operation operation = operation_of(c, params);
  const bool fused_bias = bias.defined() && c.dtype() == DType::f32;  // f64 has no epilogues
  if (fused_bias) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias.raw()));
  }
  const Layout a_layout = layout_of(a), b_layout = layout_of(b), c_layout = layout_of(c);

  cublasLtMatmulPreference_t created = nullptr;
  check(cublasLtMatmulPreferenceCreate(&created), "cublasLtMatmulPreferenceCreate");
  const Preference preference(created);
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(),
                                             CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &kMostWorkspace, sizeof kMostWorkspace),
        "cublasLtMatmulPreferenceSetAttribute");
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(cublas_lt(), operation.get(), b_layout.get(), a_layout.get(),
                                       c_layout.get(), c_layout.get(), preference.get(), 1, &best,
                                       &found),
        "matmul.multiply: choosing an algorithm");
  if (found == 0) check(CUBLAS_STATUS_NOT_SUPPORTED, "matmul.multiply: choosing an algorithm");

  const auto workspace = Storage::allocate(best.workspaceSize, c.device());
  const Blend blend(c.dtype(), write);
  check(cublasLtMatmul(cublas_lt(), operation.get(), blend.alpha(), b.raw(), b_layout.get(),
                       a.raw(), a_layout.get(), blend.beta(), c.raw(), c_layout.get(), c.raw(),
                       c_layout.get(), &best.algo, workspace->data(), best.workspaceSize,
                       static_cast<cudaStream_t>(c.stream().native())),
        "matmul.multiply");
  if (bias.defined() && !fused_bias) add_bias(bias, c);
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  if (db.elements() == 0) return;
  if (dy.elements() == 0) {
    if (write == Write::overwrite) db.zero();
    return;
  }
  const int rows = vendor_cuda::to_int(dy.size(0), "matmul.bias_gradient");
  const int columns = vendor_cuda::to_int(dy.size(1), "matmul.bias_gradient");
  const auto dy_shape = vendor_cuda::describe(dy.dtype(), rows, 1, 1, columns);
  const auto db_shape = vendor_cuda::describe(dy.dtype(), 1, 1, 1, columns);
  const Blend blend(dy.dtype(), write);
  check(cudnnConvolutionBackwardBias(vendor_cuda::cudnn(dy.stream()), blend.alpha(), dy_shape.get(),
                                     dy.raw(), blend.beta(), db_shape.get(), db.raw()),
        "matmul.bias_gradient");
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::vendor() {
  return {.dtypes = kReal,
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}
template MatmulOp MatmulOp::vendor<Gpu>();

}  // namespace cucina
