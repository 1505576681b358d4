// cast in plain loops: the definition of right.
#include "kernels/cast/cast.h"

namespace cucina {
namespace {

template <typename T>
void put(double value, T& to) {
  to = static_cast<T>(value);
}
void put(double value, bfloat16& to) { to = bfloat16(static_cast<float>(value)); }

double get(double value) { return value; }
double get(bfloat16 value) { return static_cast<float>(value); }

void convert(const Tensor& from, Write write, const Tensor& to) {
  for_floating("cast", from.dtype(), [&]<typename From>() {
    for_floating("cast", to.dtype(), [&]<typename To>() {
      for (std::int64_t i = 0; i < from.elements(); ++i) {
        To& there = to.data<To>()[i];
        const double value = get(from.data<From>()[i]);
        put(write == Write::accumulate ? get(there) + value : value, there);
      }
    });
  });
}

void run_forward(const Tensor& x, const Tensor& y) { convert(x, Write::overwrite, y); }

}  // namespace

CastOp CastOp::reference() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = convert};
}

}  // namespace cucina
