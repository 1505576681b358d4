// The fingerprint of a model's parameters and buffers: equal bits, equal text.
#pragma once

#include <string>

#include "nn/module.h"

namespace cucina::skeleton {

// SHA-256, as hexadecimal digits, over name, dtype, shape and bytes of every parameter and buffer,
// as weights are saved, in the order of their names.
std::string fingerprint(const nn::Module& module);

}  // namespace cucina::skeleton
