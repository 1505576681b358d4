// cuBLASLt's descriptors, wrapped: made with an Error where that fails, freed when they go.
#pragma once

#include <memory>

#include "kernels/common/vendor_cuda.h"

namespace cucina::vendor_cuda {

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

template <typename Value>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, Value value) {
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), attribute, &value, sizeof value),
        "cublasLtMatrixLayoutSetAttribute");
}
template <typename Value>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}
template <typename Value>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
         Value value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// A dense row-major matrix (rows, columns), which cuBLASLt sees as a column-major (columns, rows).
Layout describe_matrix(DType dtype, std::int64_t rows, std::int64_t columns);
// A product of matrices of `dtype`, scaled in f64 for f64 and in f32 else.
Operation describe_product(DType dtype, cublasComputeType_t compute);
// With as much workspace as NVIDIA advises for Hopper.
Preference prefer_workspace();

}  // namespace cucina::vendor_cuda
