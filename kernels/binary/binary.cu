// binary's hand-written kernels: maps, and a sum over rows for the gradient of a vector.
#include "kernels/binary/binary.h"
#include "kernels/common/elementwise.h"
#include "kernels/common/sums.h"

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
    const auto map = [&](const auto& f) { map_to<T>("binary.forward", f, a, b, y); };
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
      map_into<T>("binary.backward_a", Product{}, dy, b, write, da);
    } else {
      map_into<T, T>("binary.backward_a", Same{}, dy, write, da);
    }
  });
}

// What the sum over rows adds up.
template <typename T>
struct SignedGradient {
  static constexpr int kWidth = 16 / sizeof(T);
  const T* dy;
  Compute<T> sign;
  bool fits() const { return aligned_for(dy, 16); }
  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> load(std::int64_t i) const {
    auto pack = load_wide<kWidth>(dy + i);
    for (int j = 0; j < kWidth; ++j) pack.at[j] *= sign;
    return pack;
  }
};
template <typename T>
struct ProductGradient {
  static constexpr int kWidth = 16 / sizeof(T);
  const T* dy;
  const T* a;
  bool fits() const { return aligned_for(dy, 16) && aligned_for(a, 16); }
  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> load(std::int64_t i) const {
    auto pack = load_wide<kWidth>(dy + i);
    const auto factor = load_wide<kWidth>(a + i);
    for (int j = 0; j < kWidth; ++j) pack.at[j] *= factor.at[j];
    return pack;
  }
};

template <typename T>
void sum_rows(const Tensor& dy, const Tensor& a, Binary kind, Write write, const Tensor& db,
              const Tensor& scratch) {
  using Real = Compute<T>;
  const std::int64_t columns = db.elements();
  if (columns == 0) return;
  const auto sum = [&](const auto& values) {
    sum_over<Real>("binary.backward_b", dy.stream(), 1, dy.elements() / columns, columns, values,
                   DeliverSum<T>{db.data<T>(), Real(1), write == Write::accumulate},
                   scratch.defined() ? scratch.data<Real>() : nullptr);
  };
  if (kind == Binary::mul) {
    sum(ProductGradient<T>{dy.data<T>(), a.data<T>()});
  } else {
    sum(SignedGradient<T>{dy.data<T>(), kind == Binary::sub ? Real(-1) : Real(1)});
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
        return map_into<T, T>("binary.backward_b", Same{}, dy, write, db);
      case Binary::sub:
        return map_into<T, T>("binary.backward_b", Negative{}, dy, write, db);
      case Binary::mul:
        return map_into<T>("binary.backward_b", Product{}, dy, a, write, db);
    }
  });
}

std::int64_t scratch_of_sums(const Shape& dy, const Shape& db) {
  if (db == dy || db.elements() == 0) return 0;
  return sum_over_scratch(1, dy.elements() / db.elements(), db.elements());
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
