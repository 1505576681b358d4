// binary's hand-written kernels: maps, and a sum over rows for the gradient of a vector.
#include "kernels/binary/binary.h"
#include "kernels/common/column_sum.h"
#include "kernels/common/elementwise.h"

namespace cucina {
namespace {

struct Sum {
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real a, Real b) const {
    return a + b;
  }
};
struct Difference {
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real a, Real b) const {
    return a - b;
  }
};
struct Product {
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real a, Real b) const {
    return a * b;
  }
};
struct Same {
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real x) const {
    return x;
  }
};
struct Negative {
  template <typename Real>
  __device__ __forceinline__ Real operator()(Real x) const {
    return -x;
  }
};

void run_forward(const Tensor& a, const Tensor& b, Binary kind, const Tensor& y) {
  for_floating("binary", a.dtype(), [&]<typename T>() {
    const auto map = [&](const auto& f) {
      map_to<T>("binary.forward", f, a, b, Write::overwrite, y);
    };
    switch (kind) {
      case Binary::add:
        return map(Sum{});
      case Binary::sub:
        return map(Difference{});
      case Binary::mul:
        return map(Product{});
    }
  });
}

void run_backward_a(const Tensor& dy, const Tensor& b, Binary kind, Write write, const Tensor& da) {
  for_floating("binary", dy.dtype(), [&]<typename T>() {
    if (kind == Binary::mul) {
      map_to<T>("binary.backward_a", Product{}, dy, b, write, da);
    } else {
      map_to<T, T>("binary.backward_a", Same{}, dy, write, da);
    }
  });
}

// What the sum over rows adds up.
template <typename T>
struct SignedGradient {
  const T* dy;
  std::int64_t columns;
  Compute<T> sign;
  __device__ __forceinline__ Compute<T> operator()(std::int64_t row, std::int64_t column) const {
    return sign * static_cast<Compute<T>>(dy[row * columns + column]);
  }
};
template <typename T>
struct ProductGradient {
  const T* dy;
  const T* a;
  std::int64_t columns;
  __device__ __forceinline__ Compute<T> operator()(std::int64_t row, std::int64_t column) const {
    const std::int64_t i = row * columns + column;
    return static_cast<Compute<T>>(dy[i]) * static_cast<Compute<T>>(a[i]);
  }
};

template <typename T>
void sum_rows(const Tensor& dy, const Tensor& a, Binary kind, Write write, const Tensor& db,
              const Tensor& scratch) {
  const std::int64_t columns = db.elements();
  if (columns == 0) return;
  const auto sum = [&](const auto& values) {
    using Sum = Compute<T>;
    column_sum_of("binary.backward_b", dy.stream(), values, dy.elements() / columns, columns,
                  write == Write::accumulate, db.data<T>(),
                  scratch.defined() ? scratch.data<Sum>() : nullptr);
  };
  if (kind == Binary::mul) {
    sum(ProductGradient<T>{dy.data<T>(), a.data<T>(), columns});
  } else {
    sum(SignedGradient<T>{dy.data<T>(), columns,
                          kind == Binary::sub ? Compute<T>(-1) : Compute<T>(1)});
  }
}

void run_backward_b(const Tensor& dy, const Tensor& a, Binary kind, Write write, const Tensor& db,
                    const Tensor& scratch) {
  for_floating("binary", dy.dtype(), [&]<typename T>() {
    if (db.shape() != dy.shape()) {
      sum_rows<T>(dy, a, kind, write, db, scratch);
      return;
    }
    switch (kind) {
      case Binary::add:
        return map_to<T, T>("binary.backward_b", Same{}, dy, write, db);
      case Binary::sub:
        return map_to<T, T>("binary.backward_b", Negative{}, dy, write, db);
      case Binary::mul:
        return map_to<T>("binary.backward_b", Product{}, dy, a, write, db);
    }
  });
}

std::int64_t scratch_of_sums(const Shape& dy, const Shape& db) {
  if (db == dy || db.elements() == 0) return 0;
  return column_sum_scratch(dy.elements() / db.elements(), db.elements());
}

}  // namespace

template <typename Target>
BinaryOp BinaryOp::hand() {
  return {.dtypes = kFloating,
          .forward = run_forward,
          .backward_a = run_backward_a,
          .backward_b = run_backward_b,
          .backward_b_scratch = scratch_of_sums};
}
template BinaryOp BinaryOp::hand<simt::Target>();

}  // namespace cucina
