// Names and sizes of the enumerations, for messages.
#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"

namespace cucina {

std::string_view name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

std::string_view name(Backend backend) {
  switch (backend) {
    case Backend::reference:
      return "reference";
    case Backend::hand:
      return "hand";
    case Backend::vendor:
      return "vendor";
  }
  return "?";
}

std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

void throw_no_kernel(std::string_view op, DType dtype) {
  fail("{}: no kernel for {}; convert with Tensor::to(DType::f32)", op, name(dtype));
}

}  // namespace cucina
