// The precision of f32 products, and its names.
#include "kernels/common/precision.h"

#include <cstdlib>

#include "core/error.h"

namespace cucina {
namespace {

Precision& current() {
  static Precision value = [] {
    const char* text = std::getenv("CUCINA_PRECISION");
    return text == nullptr || *text == '\0' ? Precision::f32 : parse_precision(text);
  }();
  return value;
}

}  // namespace

Precision parse_precision(std::string_view text) {
  for (const Precision precision : {Precision::f32, Precision::tf32}) {
    if (text == name(precision)) return precision;
  }
  fail("precision '{}' is unknown; choose f32 or tf32", text);
}

std::string_view name(Precision precision) { return precision == Precision::f32 ? "f32" : "tf32"; }

Precision float32_precision() { return current(); }
void set_float32_precision(Precision precision) { current() = precision; }

}  // namespace cucina
