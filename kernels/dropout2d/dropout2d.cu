// dropout2d's hand-written kernel: forward and backward both scale channels by the mask.
#include "kernels/dropout2d/dropout2d.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kThreads = 256;
constexpr int kElementsPerThread =
    16;  // what one drawn number is used for, at least in large images

// The elements of one sample are taken in steps of `stride`, a multiple of the number of channels:
// so a thread stays in its channel, draws one number, and neighbours read neighbouring addresses.
template <typename Real>
struct Scaling {
  const Real* x;
  const std::int32_t* step;
  RandomStream random;
  float p;
  int channels;
  int stride;
  int chunk;   // elements of a sample that one block (or row of blocks) covers
  int chunks;  // of one sample
  std::int64_t sample_elements;
  bool accumulate;
  Real* y;
};

// Grid: (samples x chunks, stride / threads).
template <typename Real>
__global__ void scale_channels_kernel(Scaling<Real> s) {
  const int first = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  if (first >= s.stride) return;
  const std::int64_t sample = blockIdx.x / s.chunks;
  const std::int64_t chunk = blockIdx.x % s.chunks;
  const int channel = first % s.channels;
  const float drawn = s.random.uniform(static_cast<std::uint32_t>(*s.step),
                                       static_cast<std::uint64_t>(sample * s.channels + channel));
  const Real factor = drawn >= s.p ? Real(1) / (Real(1) - static_cast<Real>(s.p)) : Real(0);

  const std::int64_t begin = chunk * s.chunk;
  const std::int64_t end =
      begin + s.chunk < s.sample_elements ? begin + s.chunk : s.sample_elements;
  const Real* x = s.x + sample * s.sample_elements;
  Real* y = s.y + sample * s.sample_elements;
  for (std::int64_t i = begin + first; i < end; i += s.stride) {
    const Real scaled = x[i] * factor;
    y[i] = s.accumulate ? y[i] + scaled : scaled;
  }
}

void scale_channels(const char* name, const Tensor& x, const Tensor& step, float p,
                    const RandomStream& random, Write write, const Tensor& y) {
  if (x.elements() == 0) return;
  for_real("dropout2d", x.dtype(), [&]<typename Real>() {
    const auto channels = static_cast<int>(x.size(3));
    const int threads = channels < kThreads ? kThreads / channels * channels : kThreads;
    const int stride = channels < kThreads ? threads : channels;
    const int chunk = stride * kElementsPerThread;
    const std::int64_t sample_elements = x.elements() / x.size(0);
    const auto chunks = static_cast<int>((sample_elements + chunk - 1) / chunk);
    simt::launch(name, scale_channels_kernel<Real>,
                 {.grid = {static_cast<unsigned>(x.size(0) * chunks),
                           static_cast<unsigned>((stride + threads - 1) / threads)},
                  .block = {static_cast<unsigned>(threads)},
                  .stream = x.stream()},
                 Scaling<Real>{.x = x.data<Real>(),
                               .step = step.data<std::int32_t>(),
                               .random = random,
                               .p = p,
                               .channels = channels,
                               .stride = stride,
                               .chunk = chunk,
                               .chunks = chunks,
                               .sample_elements = sample_elements,
                               .accumulate = write == Write::accumulate,
                               .y = y.data<Real>()});
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
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template Dropout2dOp Dropout2dOp::hand<simt::Target>();

}  // namespace cucina
