// dropout's hand-written kernel: forward and backward both scale elements by the mask.
#include "kernels/common/elementwise.h"
#include "kernels/dropout/dropout.h"

namespace cucina {
namespace {

template <typename T, bool kAccumulate>
struct ScaleKept {
  const T* x;
  const std::int32_t* step;
  RandomStream random;
  float p;
  Destination<T, kAccumulate> y;

  struct Row {
    using Real = Compute<T>;
    ScaleKept all;
    std::uint32_t step;
    Real kept;  // 1 / (1 - p)

    // Elements per call of plain loops: so many that drawing for them is vectorised.
    static constexpr int kLoopWidth = 256;

    template <int kWidth>
    __device__ __forceinline__ void at(std::int64_t i, std::int64_t) const {
      std::uint32_t drawn[kWidth];
      draw<kWidth>(static_cast<std::uint64_t>(i), drawn);
      if constexpr (kWidth == kLoopWidth) {  // at an address of any alignment
        for (int j = 0; j < kWidth; ++j) {
          const Real scaled = static_cast<Real>(all.x[i + j]) * factor_of(drawn[j]);
          T& to = all.y.at[i + j];
          to = T(kAccumulate ? static_cast<Real>(to) + scaled : scaled);
        }
      } else {
        auto pack = load_wide<kWidth>(all.x + i);
        for (int j = 0; j < kWidth; ++j) pack.at[j] *= factor_of(drawn[j]);
        all.y.put(pack, i);
      }
    }

    __device__ __forceinline__ Real factor_of(std::uint32_t bits) const {
      const float uniform = static_cast<float>(bits >> 8) * 0x1p-24f;  // as RandomStream::uniform
      return uniform >= all.p ? kept : Real(0);
    }

    // The bits at i, i + 1, ...; packs begin at multiples of their width, so four elements share a
    // block of Philox.
    template <int kWidth>
    __device__ __forceinline__ void draw(std::uint64_t i, std::uint32_t* drawn) const {
      if constexpr (kWidth % 4 == 0) {
        for (int block = 0; block < kWidth / 4; ++block) {
          const Philox4x32 words =
              all.random.block(step, i / 4 + static_cast<std::uint64_t>(block));
          drawn[4 * block] = words.x;
          drawn[4 * block + 1] = words.y;
          drawn[4 * block + 2] = words.z;
          drawn[4 * block + 3] = words.w;
        }
      } else {
        for (int j = 0; j < kWidth; ++j) {
          drawn[j] = all.random.bits(step, i + static_cast<std::uint64_t>(j));
        }
      }
    }
  };

  __device__ __forceinline__ Row row(std::int64_t) const {
    return {*this, static_cast<std::uint32_t>(*step),
            Compute<T>(1) / (Compute<T>(1) - static_cast<Compute<T>>(p))};
  }
};

void scale_kept(const char* name, const Tensor& x, const Tensor& step, float p,
                const RandomStream& random, Write write, const Tensor& y) {
  for_floating("dropout", x.dtype(), [&]<typename T>() {
    constexpr int kWidth = sizeof(T) == 2 ? 8 : 4;
    with_destination<T>(y, write, [&]<bool kAccumulate>(const Destination<T, kAccumulate>& to) {
      map_packs<kWidth>(
          name, x.stream(), one_row(x), {x, y},
          ScaleKept<T, kAccumulate>{x.data<T>(), step.data<std::int32_t>(), random, p, to});
    });
  });
}

void run_forward(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                 const Tensor& y) {
  scale_kept("dropout.forward", x, step, p, random, Write::overwrite, y);
}

void run_backward(const Tensor& dy, const Tensor& step, float p, const RandomStream& random,
                  Write write, const Tensor& dx) {
  scale_kept("dropout.backward", dy, step, p, random, write, dx);
}

}  // namespace

template <typename Target>
DropoutOp DropoutOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template DropoutOp DropoutOp::hand<simt::Target>();

}  // namespace cucina
