// The version of the oneDNN in use.
#include <fmt/core.h>

#include <dnnl.hpp>

#include "kernels/common/versions.h"

namespace cucina::detail {

std::string linked_onednn_version() {
  const dnnl_version_t* version = dnnl::version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace cucina::detail
