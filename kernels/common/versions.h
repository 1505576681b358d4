// Which vendor libraries this program runs with; without their headers.
#pragma once

#include <string>

namespace cucina {

// "2.6.3"; empty when cucina was built without it.
std::string onednn_version();
std::string cudnn_version();
std::string cublas_lt_version();

namespace detail {

// Defined in the files that are compiled only where the library was found.
std::string linked_onednn_version();
std::string linked_cudnn_version();
std::string linked_cublas_lt_version();

}  // namespace detail
}  // namespace cucina
