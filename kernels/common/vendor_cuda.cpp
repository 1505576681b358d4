// The process's cuDNN and cuBLASLt handles, and descriptors of our tensors.
#include "kernels/common/vendor_cuda.h"

#include <limits>

#include "core/error.h"

namespace cucina::vendor_cuda {

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) {
    fail(ExitCode::run_failed, "{}: cuDNN failed: {}", what, cudnnGetErrorString(status));
  }
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail(ExitCode::run_failed, "{}: cuBLASLt failed with status {}", what,
         static_cast<int>(status));
  }
}

// Never destroyed: the driver may be gone before static objects are.
cudnnHandle_t cudnn(const Stream& stream) {
  static const cudnnHandle_t handle = [] {
    cudnnHandle_t created = nullptr;
    check(cudnnCreate(&created), "cudnnCreate");
    return created;
  }();
  check(cudnnSetStream(handle, static_cast<cudaStream_t>(stream.native())), "cudnnSetStream");
  return handle;
}

cublasLtHandle_t cublas_lt() {
  static const cublasLtHandle_t handle = [] {
    cublasLtHandle_t created = nullptr;
    check(cublasLtCreate(&created), "cublasLtCreate");
    return created;
  }();
  return handle;
}

int to_int(std::int64_t size, const char* what) {
  if (size > std::numeric_limits<int>::max()) {
    fail("{}: size {} exceeds the vendor library's limit of {}; use --backend hand", what, size,
         std::numeric_limits<int>::max());
  }
  return static_cast<int>(size);
}

TensorDescriptor describe(DType dtype, int n, int h, int w, int c) {
  cudnnTensorDescriptor_t descriptor = nullptr;
  check(cudnnCreateTensorDescriptor(&descriptor), "cudnnCreateTensorDescriptor");
  TensorDescriptor owned(descriptor);
  const cudnnDataType_t type = dtype == DType::f64    ? CUDNN_DATA_DOUBLE
                               : dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16
                                                      : CUDNN_DATA_FLOAT;
  check(cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NHWC, type, n, c, h, w),
        "cudnnSetTensor4dDescriptor");
  return owned;
}

TensorDescriptor describe(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  if (shape.rank() != 4) {
    return describe(tensor.dtype(), 1, 1, to_int(shape.elements(), "cuDNN"), 1);
  }
  return describe(tensor.dtype(), to_int(shape[0], "cuDNN"), to_int(shape[1], "cuDNN"),
                  to_int(shape[2], "cuDNN"), to_int(shape[3], "cuDNN"));
}

Blend::Blend(DType dtype, Write write)
    : wide_(dtype == DType::f64),
      beta32_(write == Write::accumulate ? 1.f : 0.f),
      beta64_(write == Write::accumulate ? 1. : 0.) {}

}  // namespace cucina::vendor_cuda
