// matmul's hand-written kernels in full precision, f32 and f64, and what goes with a product:
// activations and sums of columns.
#include "kernels/common/column_sum.h"
#include "kernels/common/fma_tile.h"
#include "kernels/common/precision.h"
#include "kernels/common/product_kernel.h"
#include "kernels/matmul/matmul.h"
#include "kernels/simt/map.h"

namespace cucina {
namespace {

constexpr bool kOnHost = std::is_same_v<simt::Target, Host>;

// In f64 sums of a larger tile, or a deeper step, would not fit the registers of a GPU.
template <typename Real>
using SmallTile = FmaTile<Real, 64, 64, 32, 64, sizeof(Real) == 4 ? 16 : 8>;
using LargeTile = FmaTile<float, 128, 128, 64, 32, 8>;
// For the host, where every thread of a block costs time, even one without elements to compute.
using NarrowTile = FmaTile<float, 64, 16, 64, 16>;
using ShortTile = FmaTile<float, 16, 64, 16, 64>;

template <typename Real, bool kChunked>
auto kinds() {
  using Kind = ProductKind<Real, Real>;
  const auto list = [](auto... kinds) { return std::array{kinds...}; };
  const Kind small{"64x64", launch_product<SmallTile<Real>, kChunked, Real, Real>};
  if constexpr (sizeof(Real) > 4) {
    return list(small);
  } else {
    const auto with_large = [&](auto... kinds) {
      if constexpr (kChunked) {
        return list(kinds..., Kind{"128x128", launch_product<LargeTile, true, float, float>});
      } else {
        return list(kinds...);
      }
    };
    if constexpr (kOnHost) {
      return with_large(small, Kind{"64x16", launch_product<NarrowTile, kChunked, float, float>},
                        Kind{"16x64", launch_product<ShortTile, kChunked, float, float>});
    } else {
      return with_large(small);
    }
  }
}

// The large tile reads half as much memory per multiply-add, once there are blocks enough.
std::size_t heuristic(const ProductSizes& sizes, std::size_t count) {
  if (count == 1) return 0;
  if (kOnHost) return sizes.n <= 16 ? 1 : sizes.m <= 16 ? 2 : 0;
  constexpr std::int64_t kEnoughBlocks = 128;
  const std::int64_t large = sizes.batch * divide_up(sizes.m, 128) * divide_up(sizes.n, 128);
  return large >= kEnoughBlocks ? 1 : 0;
}

template <typename Real>
void multiply_exactly(const Tensor& a, const Tensor& b, const MatmulParams& params,
                      const MatmulEpilogue& epilogue, Write write, const Tensor& c,
                      const Tensor& scratch) {
  const auto address = [](const Tensor& x) { return x.defined() ? x.data<Real>() : nullptr; };
  const auto product =
      make_product<Real, Real>(a.data<Real>(), b.data<Real>(), product_sizes(a, params, c),
                               {.bias = address(epilogue.bias),
                                .before = address(epilogue.before),
                                .c = c.data<Real>(),
                                .activation = params.activation,
                                .accumulate = write == Write::accumulate},
                               address(scratch));
  const auto run = [&](const auto& list) {
    launch_tuned<Real, Real>("matmul.multiply", product, params.transpose_a, params.transpose_b,
                             list, heuristic(product.sizes, list.size()), c);
  };
  if (chunked(product, params.transpose_a, params.transpose_b)) {
    run(kinds<Real, true>());
  } else {
    run(kinds<Real, false>());
  }
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params,
                  const MatmulEpilogue& epilogue, Write write, const Tensor& c,
                  const Tensor& scratch) {
  if (c.elements() == 0) return;
  if (a.dtype() == DType::bf16 ||
      (a.dtype() == DType::f32 && float32_precision() == Precision::tf32)) {
    MatmulTensorCores<simt::Target>::multiply(a, b, params, epilogue, write, c, scratch);
    return;
  }
  for_real("matmul", a.dtype(), [&]<typename Real>() {
    multiply_exactly<Real>(a, b, params, epilogue, write, c, scratch);
  });
}

template <typename T, Activation kActivation>
struct ActivateElement {
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = T(activation::value<kActivation>(static_cast<Compute<T>>(x[i])));
  }
};

template <typename T, Activation kActivation>
struct GradientElement {
  const T* dy;
  const T* saved;
  T* dz;
  __device__ void operator()(std::int64_t i) const {
    const auto value = static_cast<Compute<T>>(saved[i]);
    dz[i] = T(static_cast<Compute<T>>(dy[i]) * activation::derivative<kActivation>(value, value));
  }
};

void run_activate(const Tensor& x, Activation activation, const Tensor& y) {
  for_floating("matmul", x.dtype(), [&]<typename T>() {
    activation::dispatch(activation, [&]<Activation kActivation>() {
      simt::map("matmul.activate", x.stream(), x.elements(),
                ActivateElement<T, kActivation>{x.data<T>(), y.data<T>()});
    });
  });
}

void run_activation_gradient(const Tensor& dy, const Tensor& saved, Activation activation,
                             const Tensor& dz) {
  for_floating("matmul", dy.dtype(), [&]<typename T>() {
    activation::dispatch(activation, [&]<Activation kActivation>() {
      simt::map("matmul.activation_gradient", dy.stream(), dy.elements(),
                GradientElement<T, kActivation>{dy.data<T>(), saved.data<T>(), dz.data<T>()});
    });
  });
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch) {
  for_floating("matmul", dy.dtype(), [&]<typename T>() {
    column_sum<T>("matmul.bias_gradient", dy.stream(), dy.data<T>(), dy.size(0), dy.size(1),
                  write == Write::accumulate, db.data<T>(),
                  scratch.defined() ? scratch.data<Compute<T>>() : nullptr);
  });
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::hand() {
  return {.dtypes = kFloating,
          .multiply = run_multiply,
          .multiply_scratch = product_scratch,
          .fuses = [](Activation, bool, DType) { return true; },
          .activate = run_activate,
          .activation_gradient = run_activation_gradient,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = column_sum_scratch};
}
template MatmulOp MatmulOp::hand<simt::Target>();

}  // namespace cucina
