// cuDNN and cuBLASLt, wrapped: handles bound to our stream, descriptors that free themselves,
// failures as Errors.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <memory>

#include "core/tensor.h"

namespace cucina::vendor_cuda {

// The process's handles, set to `stream`.
cudnnHandle_t cudnn(const Stream& stream);
cublasLtHandle_t cublas_lt();

// Throw Error naming `what` when a call failed.
void check(cudnnStatus_t status, const char* what);
void check(cublasStatus_t status, const char* what);

// Frees a descriptor when it goes.
template <typename Descriptor, cudnnStatus_t (*kDestroy)(Descriptor)>
struct Destroyer {
  using pointer = Descriptor;
  void operator()(Descriptor descriptor) const { kDestroy(descriptor); }
};
using TensorDescriptor =
    std::unique_ptr<cudnnTensorDescriptor_t,
                    Destroyer<cudnnTensorDescriptor_t, cudnnDestroyTensorDescriptor>>;

// (n, h, w, c) f32, f64 or bf16 as cuDNN sees it; a tensor of another rank is described as one row
// of elements.
TensorDescriptor describe(const Tensor& tensor);
// The same from sizes, for what is not a tensor of ours (a per-channel vector as (1, 1, 1, c)).
TensorDescriptor describe(DType dtype, int n, int h, int w, int c);

// cuDNN's and cuBLASLt's blend `result = alpha * computed + beta * result` that a Write means. The
// pointers cuDNN wants are to double for f64 tensors, to float for the others.
class Blend {
 public:
  Blend(DType dtype, Write write);
  const void* alpha() const { return wide_ ? static_cast<const void*>(&alpha64_) : &alpha32_; }
  const void* beta() const { return wide_ ? static_cast<const void*>(&beta64_) : &beta32_; }

 private:
  bool wide_;
  float alpha32_ = 1, beta32_;
  double alpha64_ = 1, beta64_;
};

// sums[j] (+)= sum over i of rows[i, j], for (n, c) or (n, h, w, c) and (c), as cuBLASLt's product
// with ones: cuDNN's bias gradient has no bf16, and took 30 to 130 times as long (H200).
void column_sums(const char* what, const Tensor& rows, Write write, const Tensor& sums);

// Sizes fit cuDNN's 32-bit ints? Throws Error naming `what` when not.
int to_int(std::int64_t size, const char* what);

}  // namespace cucina::vendor_cuda
