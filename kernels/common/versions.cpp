// Asks the vendor libraries that are linked for their versions.
#include "kernels/common/versions.h"

#include "core/config.h"

namespace cucina {

// A discarded branch needs no definition to link with.
std::string onednn_version() {
  if constexpr (kHasOnednn) {
    return detail::linked_onednn_version();
  } else {
    return "";
  }
}

std::string cudnn_version() {
  if constexpr (kHasCudnn) {
    return detail::linked_cudnn_version();
  } else {
    return "";
  }
}

std::string cublas_lt_version() {
  if constexpr (kHasCudnn) {
    return detail::linked_cublas_lt_version();
  } else {
    return "";
  }
}

}  // namespace cucina
