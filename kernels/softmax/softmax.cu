// softmax's hand-written kernels: a team of threads per row.
#include "core/math.h"
#include "kernels/common/online_softmax.h"
#include "kernels/common/row_team.h"
#include "kernels/simt/simt.h"
#include "kernels/softmax/softmax.h"

namespace cucina {
namespace {

struct Size {
  std::int64_t rows, classes;
  bool whole;  // parts may be loaded at once
};

template <typename T, typename Team, bool kLog>
__global__ void __launch_bounds__(256) forward_kernel(const T* x, Size size, T* y) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row();
  if (row >= size.rows) return;
  const T* from = x + row * size.classes;
  OnlineSoftmax<Real, Team> online;
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(from + k);
    for (int j = 0; j < kWidth; ++j) online.add(slot + j, values[j]);
  });
  const auto [largest, sum] = online.template join<0>();
  const Real rest = kLog ? math::log(sum) : Real(1) / sum, shift = largest;
  T* to = y + row * size.classes;
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto values = row_elements<kWidth>(from + k);
    store_elements<kWidth>(to + k, false, [&](int j) {
      const Real distance = values[j] - shift;
      return kLog ? distance - rest : math::exp(distance) * rest;
    });
  });
}

template <typename T, typename Team, bool kLog>
__global__ void __launch_bounds__(256)
    backward_kernel(const T* dy, const T* y, Size size, bool accumulate, T* dx) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row();
  if (row >= size.rows) return;
  const T* gradients = dy + row * size.classes;
  const T* results = y + row * size.classes;
  Real sums[Team::kSlots] = {};
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto gradient = row_elements<kWidth>(gradients + k);
    if constexpr (kLog) {
      for (int j = 0; j < kWidth; ++j) sums[slot + j] += gradient[j];
    } else {
      const auto result = row_elements<kWidth>(results + k);
      for (int j = 0; j < kWidth; ++j) {
        sums[slot + j] = fma(gradient[j], result[j], sums[slot + j]);
      }
    }
  });
  const Real sum = Team::template sum<0>(sums);
  T* to = dx + row * size.classes;
  Team::for_parts(size.classes, size.whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto gradient = row_elements<kWidth>(gradients + k);
    const auto result = row_elements<kWidth>(results + k);
    store_elements<kWidth>(to + k, accumulate, [&](int j) {
      return kLog ? gradient[j] - math::exp(result[j]) * sum : result[j] * (gradient[j] - sum);
    });
  });
}

template <bool kLog>
void launch_forward(const char* name, const Tensor& x, const Tensor& y) {
  for_floating("softmax", x.dtype(), [&]<typename T>() {
    const Size size{x.size(0), x.size(1), whole_parts(x.size(1), {x, y})};
    for_row_team(size.classes, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>(name, forward_kernel<T, Team, kLog>, x.stream(), size.rows, x.data<T>(),
                        size, y.data<T>());
    });
  });
}

template <bool kLog>
void launch_backward(const char* name, const Tensor& dy, const Tensor& y, Write write,
                     const Tensor& dx) {
  for_floating("softmax", dy.dtype(), [&]<typename T>() {
    const Size size{dy.size(0), dy.size(1), whole_parts(dy.size(1), {dy, y, dx})};
    for_row_team(size.classes, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>(name, backward_kernel<T, Team, kLog>, dy.stream(), size.rows, dy.data<T>(),
                        y.data<T>(), size, write == Write::accumulate, dx.data<T>());
    });
  });
}

void run_forward(const Tensor& x, const Tensor& y) {
  launch_forward<false>("softmax.forward", x, y);
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  launch_backward<false>("softmax.backward", dy, y, write, dx);
}

void run_log_forward(const Tensor& x, const Tensor& y) {
  launch_forward<true>("softmax.log_forward", x, y);
}

void run_log_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  launch_backward<true>("softmax.log_backward", dy, y, write, dx);
}

}  // namespace

template <typename Target>
SoftmaxOp SoftmaxOp::hand() {
  return {.dtypes = kFloating,
          .forward = run_forward,
          .backward = run_backward,
          .log_forward = run_log_forward,
          .log_backward = run_log_backward};
}
template SoftmaxOp SoftmaxOp::hand<simt::Target>();

}  // namespace cucina
