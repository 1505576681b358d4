// The versions of the cuDNN and cuBLASLt in use.
#include <cublasLt.h>
#include <cudnn.h>
#include <fmt/core.h>

#include "kernels/common/versions.h"

namespace cucina::detail {

// cuDNN 9 counts 90200 for 9.2.0, cuBLAS 13 counts 130002 for 13.0.2.
std::string linked_cudnn_version() {
  const std::size_t v = cudnnGetVersion();
  return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

std::string linked_cublas_lt_version() {
  const std::size_t v = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

}  // namespace cucina::detail
