// Column sums and cuBLASLt's descriptors.
#include "core/error.h"
#include "kernels/common/plan_cache.h"
#include "kernels/common/vendor_cublas_lt.h"

namespace cucina::vendor_cuda {
namespace {

constexpr std::size_t kMostWorkspace = 32 << 20;  // bytes

// ones (1, n) times rows (n, c), in column-major order: rows^T (c, n) times a column of ones.
struct SumPlan {
  Operation operation;
  Layout rows, ones, sums;
  Tensor one;  // n of them
  cublasLtMatmulHeuristicResult_t best;
};

SumPlan make_plan(const char* what, DType dtype, std::int64_t n, std::int64_t c) {
  const auto compute = dtype == DType::f64 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  SumPlan plan{.operation = describe_product(dtype, compute),
               .rows = describe_matrix(dtype, n, c),
               .ones = describe_matrix(dtype, 1, n),
               .sums = describe_matrix(dtype, 1, c),
               .one = Tensor::full({n}, 1, dtype, Device::cuda),
               .best = {}};
  const Preference preference = prefer_workspace();
  // Of tensors anywhere in an arena.
  const auto alignment = static_cast<std::uint32_t>(size_of(dtype));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment);
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(cublas_lt(), plan.operation.get(), plan.rows.get(),
                                       plan.ones.get(), plan.sums.get(), plan.sums.get(),
                                       preference.get(), 1, &plan.best, &found),
        what);
  if (found == 0) check(CUBLAS_STATUS_NOT_SUPPORTED, what);
  return plan;
}

}  // namespace

Layout describe_matrix(DType dtype, std::int64_t rows, std::int64_t columns) {
  const cudaDataType_t type = dtype == DType::f64    ? CUDA_R_64F
                              : dtype == DType::bf16 ? CUDA_R_16BF
                                                     : CUDA_R_32F;
  cublasLtMatrixLayout_t created = nullptr;
  check(cublasLtMatrixLayoutCreate(&created, type, static_cast<std::uint64_t>(columns),
                                   static_cast<std::uint64_t>(rows), columns),
        "cublasLtMatrixLayoutCreate");
  return Layout(created);
}

Operation describe_product(DType dtype, cublasComputeType_t compute) {
  cublasLtMatmulDesc_t created = nullptr;
  check(cublasLtMatmulDescCreate(&created, compute, dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  return Operation(created);
}

Preference prefer_workspace() {
  cublasLtMatmulPreference_t created = nullptr;
  check(cublasLtMatmulPreferenceCreate(&created), "cublasLtMatmulPreferenceCreate");
  Preference preference(created);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
  return preference;
}

void column_sums(const char* what, const Tensor& rows, Write write, const Tensor& sums) {
  if (sums.elements() == 0) return;
  if (rows.elements() == 0) {
    if (write == Write::overwrite) sums.zero();
    return;
  }
  const std::int64_t c = sums.elements(), n = rows.elements() / c;
  const auto plan = cached(PlanKey("column_sums", n, c, rows.dtype()),
                           [&] { return make_plan(what, rows.dtype(), n, c); });
  const auto workspace = Storage::allocate(plan->best.workspaceSize, rows.device());
  const Blend blend(rows.dtype(), write);
  check(cublasLtMatmul(cublas_lt(), plan->operation.get(), blend.alpha(), rows.raw(),
                       plan->rows.get(), plan->one.raw(), plan->ones.get(), blend.beta(),
                       sums.raw(), plan->sums.get(), sums.raw(), plan->sums.get(), &plan->best.algo,
                       workspace->data(), plan->best.workspaceSize,
                       static_cast<cudaStream_t>(rows.stream().native())),
        what);
}

}  // namespace cucina::vendor_cuda
