// dropout2d's hand-written kernel: forward and backward both scale channels by the mask.
#include "kernels/common/pack.h"
#include "kernels/dropout2d/dropout2d.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kThreads = 128;
constexpr int kPacksPerThread = 32;  // at most: what one drawn number is used for

// The packs of a sample are taken in steps of `stride`, a multiple of the packs of a pixel: so a
// thread stays in its channels, draws once, and neighbours read neighbouring addresses.
template <typename T>
struct Scaling {
  const T* x;
  const std::int32_t* step;
  RandomStream random;
  float p;
  int pixel_packs;  // channels / kWidth
  int stride;
  int chunks;  // of a sample: a block (or a row of blocks, in wide pixels) covers one
  std::int64_t sample_packs;
  bool accumulate;
  T* y;
};

// Grid: (samples x chunks, stride / threads).
template <typename T, int kWidth>
__global__ void scale_channels_kernel(Scaling<T> s) {
  using Real = Compute<T>;
  const int first = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  if (first >= s.stride) return;
  const std::int64_t sample = blockIdx.x / s.chunks, chunk = blockIdx.x % s.chunks;
  const auto step = static_cast<std::uint32_t>(*s.step);
  const auto pack = static_cast<std::uint64_t>(sample * s.pixel_packs + first % s.pixel_packs);
  Real factor[kWidth];
  for (unsigned i = 0; i < kWidth; ++i) {
    // or, not plus: it shows the compiler that four numbers share one block of Philox
    const float drawn = s.random.uniform(step, pack * kWidth | i);
    factor[i] = drawn >= s.p ? Real(1) / (Real(1) - static_cast<Real>(s.p)) : Real(0);
  }

  const std::int64_t chunk_packs = static_cast<std::int64_t>(s.stride) * kPacksPerThread;
  const std::int64_t begin = chunk * chunk_packs;
  const std::int64_t end =
      begin + chunk_packs < s.sample_packs ? begin + chunk_packs : s.sample_packs;
  for (std::int64_t at = begin + first; at < end; at += s.stride) {
    const std::int64_t element = (sample * s.sample_packs + at) * kWidth;
    auto scaled = load_wide<kWidth>(s.x + element);
    for (int i = 0; i < kWidth; ++i) scaled.at[i] *= factor[i];
    store_rounded(scaled, s.y + element, s.accumulate);
  }
}

template <typename T, int kWidth>
void launch_scaling(const char* name, const Tensor& x, const Tensor& step, float p,
                    const RandomStream& random, Write write, const Tensor& y) {
  const auto pixel_packs = static_cast<int>(x.size(3) / kWidth);
  const int threads = pixel_packs < kThreads ? kThreads / pixel_packs * pixel_packs : kThreads;
  const int stride = pixel_packs < kThreads ? threads : pixel_packs;
  const std::int64_t sample_packs = x.size(1) * x.size(2) * pixel_packs;
  const std::int64_t chunk_packs = static_cast<std::int64_t>(stride) * kPacksPerThread;
  const auto chunks = static_cast<int>((sample_packs + chunk_packs - 1) / chunk_packs);
  simt::launch(name, scale_channels_kernel<T, kWidth>,
               {.grid = {static_cast<unsigned>(x.size(0) * chunks),
                         static_cast<unsigned>((stride + threads - 1) / threads)},
                .block = {static_cast<unsigned>(threads)},
                .stream = x.stream()},
               Scaling<T>{.x = x.data<T>(),
                          .step = step.data<std::int32_t>(),
                          .random = random,
                          .p = p,
                          .pixel_packs = pixel_packs,
                          .stride = stride,
                          .chunks = chunks,
                          .sample_packs = sample_packs,
                          .accumulate = write == Write::accumulate,
                          .y = y.data<T>()});
}

void scale_channels(const char* name, const Tensor& x, const Tensor& step, float p,
                    const RandomStream& random, Write write, const Tensor& y) {
  if (x.elements() == 0) return;
  for_floating("dropout2d", x.dtype(), [&]<typename T>() {
    for_pack_width(x.size(3), {x, y}, [&]<int kWidth>() {
      launch_scaling<T, kWidth>(name, x, step, p, random, write, y);
    });
  });
}

void run_forward(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                 const Tensor& y) {
  scale_channels("dropout2d.forward", x, step, p, random, Write::overwrite, y);
}

void run_backward(const Tensor& dy, const Tensor& step, float p, const RandomStream& random,
                  Write write, const Tensor& dx) {
  scale_channels("dropout2d.backward", dy, step, p, random, write, dx);
}

}  // namespace

template <typename Target>
Dropout2dOp Dropout2dOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template Dropout2dOp Dropout2dOp::hand<simt::Target>();

}  // namespace cucina
