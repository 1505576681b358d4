// A build without CUDA: there is no runtime to call.
#include "core/cuda_runtime.h"

namespace cucina {

const CudaRuntime* cuda_runtime() { return nullptr; }

}  // namespace cucina
