// augment's hand-written kernel: a block makes pixels of one image, each thread from random numbers
// that it draws itself, so that nothing but pixels is read.
#include <limits>

#include "core/math.h"
#include "kernels/augment/augment.h"
#include "kernels/common/block_sum.h"
#include "kernels/common/divisor.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kThreads = 128;
// Of a thread, at most: what its random numbers are used for.
constexpr int kPixels = 16;
// Weights of R, G and B in gray, in thousandths: so that sums of gray are exact.
constexpr int kRed = 299, kGreen = 587, kBlue = 114;

template <typename T>
struct Job {
  const std::uint8_t* images;
  const std::int32_t* indices;
  const Compute<T>* mean;
  const Compute<T>* stddev;
  const std::int32_t* step;  // null where nothing is drawn
  T* y;
  std::int64_t images_in_set;
  RandomStream random;
  Augmentation how;
  int h, c, chunks;  // an image's pixels are shared by so many blocks
  Divisor w;
};

// One image's random numbers, or what they mean.
class Draws {
 public:
  template <typename T>
  __device__ Draws(const Job<T>& job, std::int32_t image)
      : random_(job.random),
        step_(job.step != nullptr ? static_cast<std::uint32_t>(*job.step) : 0),
        first_(static_cast<std::uint64_t>(image) * kAugmentDraws) {}

  __device__ float uniform(unsigned draw) const { return random_.uniform(step_, first_ + draw); }
  // In [0, n): no integer is likelier than another by more than 2^-32.
  __device__ int below(unsigned draw, int n) const {
    const std::uint64_t bits = random_.bits(step_, first_ + draw);
    return static_cast<int>(bits * static_cast<std::uint64_t>(n) >> 32);
  }
  // In [-by, by].
  template <typename Real>
  __device__ Real around_0(float by, unsigned draw) const {
    return static_cast<Real>(by) * (Real(2) * static_cast<Real>(uniform(draw)) - Real(1));
  }

 private:
  RandomStream random_;
  std::uint32_t step_;
  std::uint64_t first_;
};

// Where the pixels of the augmented image come from.
template <typename Real, bool kTurns>
struct Geometry {
  int crop_row, crop_column;
  bool flip;
  int cut_row, cut_column;  // the square's first
  Real cosine, sine;        // over the magnification

  __device__ Geometry(const Augmentation& how, const Draws& draws, int h, int w) {
    crop_row = how.crop > 0 ? draws.below(AugmentDraw::crop_row, 2 * how.crop + 1) - how.crop : 0;
    crop_column =
        how.crop > 0 ? draws.below(AugmentDraw::crop_column, 2 * how.crop + 1) - how.crop : 0;
    flip = how.flip > 0 && draws.uniform(AugmentDraw::flip) < how.flip;
    cut_row = how.cutout > 0 ? draws.below(AugmentDraw::cutout_row, h) - how.cutout / 2 : 0;
    cut_column = how.cutout > 0 ? draws.below(AugmentDraw::cutout_column, w) - how.cutout / 2 : 0;
    if constexpr (kTurns) {
      const double turns = draws.around_0<double>(how.rotate, AugmentDraw::angle) / 360;
      const double magnification = 1 + draws.around_0<double>(how.scale, AugmentDraw::zoom);
      cosine = static_cast<Real>(math::cos_turns(turns) / magnification);
      sine = static_cast<Real>(math::cos_turns(turns - 0.25) / magnification);
    }
  }
};

// An image's pixels and what lies around them.
struct Source {
  const std::uint8_t* pixels;
  int h, w, c;
  bool reflects;

  static __device__ int reflected(int i, int size) {
    if (size == 1) return 0;
    while (i < 0 || i >= size) i = i < 0 ? -i : 2 * (size - 1) - i;
    return i;
  }
  // Null: black.
  __device__ const std::uint8_t* at(int row, int column) const {
    if (reflects) {
      row = reflected(row, h);
      column = reflected(column, w);
    } else if (row < 0 || row >= h || column < 0 || column >= w) {
      return nullptr;
    }
    return pixels + (static_cast<std::int64_t>(row) * w + column) * c;
  }
};

// The stored pixels that a pixel is made of.
template <typename Real, bool kTurns>
struct Taps {
  static constexpr int kCount = kTurns ? 4 : 1;
  const std::uint8_t* at[kCount];
  Real weight[kCount];

  __device__ Taps(const Source& source, const Geometry<Real, kTurns>& geometry, int row,
                  int column) {
    if (geometry.flip) column = source.w - 1 - column;
    row += geometry.crop_row;
    column += geometry.crop_column;
    if constexpr (!kTurns) {
      at[0] = source.at(row, column);
      weight[0] = 1;
    } else {
      const Real center_row = Real(0.5) * static_cast<Real>(source.h - 1);
      const Real center_column = Real(0.5) * static_cast<Real>(source.w - 1);
      const Real down = static_cast<Real>(row) - center_row;
      const Real right = static_cast<Real>(column) - center_column;
      const Real y = center_row + (geometry.cosine * down + geometry.sine * right);
      const Real x = center_column + (geometry.cosine * right - geometry.sine * down);
      const Real top = floor(y), left = floor(x);
      const Real below = y - top, beside = x - left;
      const int r = static_cast<int>(top), s = static_cast<int>(left);
      for (int i = 0; i < kCount; ++i) {
        at[i] = source.at(r + i / 2, s + i % 2);
        weight[i] =
            (i / 2 == 0 ? Real(1) - below : below) * (i % 2 == 0 ? Real(1) - beside : beside);
      }
    }
  }

  __device__ Real channel(int c) const {
    Real sum = 0;
    for (int i = 0; i < kCount; ++i) {
      if (at[i] != nullptr) sum = fma(weight[i], static_cast<Real>(at[i][c]), sum);
    }
    return sum;
  }
};

template <typename Real>
struct Colours {
  Real brightness = 1, contrast = 1, saturation = 1;
  Real mean_gray = 0;

  // kGroup: 3 of R, G and B, or 1 of gray.
  template <int kGroup>
  __device__ void change(Real* values) const {
    Real gray = values[0];
    if constexpr (kGroup == 3) {
      gray = (Real(kRed) * values[0] + Real(kGreen) * values[1] + Real(kBlue) * values[2]) /
             Real(1000);
    }
    for (int i = 0; i < kGroup; ++i) {
      const Real colour = saturation * values[i] + (Real(1) - saturation) * gray;
      const Real v = brightness * (contrast * colour + (Real(1) - contrast) * mean_gray);
      values[i] = v < Real(0) ? Real(0) : v > Real(255) ? Real(255) : v;
    }
  }
};

// Of the whole image, by the whole block.
template <int kGroup>
__device__ double mean_gray(BlockSum<kThreads>& block_sum, const Source& source) {
  const std::int64_t pixels = static_cast<std::int64_t>(source.h) * source.w;
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < pixels; i += kThreads) {
    const std::uint8_t* p = source.pixels + i * kGroup;
    if constexpr (kGroup == 3) {
      sum += kRed * p[0] + kGreen * p[1] + kBlue * p[2];
    } else {
      sum += 1000 * p[0];
    }
  }
  return block_sum.add(sum) / (1000.0 * static_cast<double>(pixels));
}

// Channels are made kGroup at a time: 3 where they are colours, else 1.
template <typename T, bool kTurns, bool kColours, int kGroup>
__global__ void __launch_bounds__(kThreads) gather_kernel(const Job<T> job) {
  using Real = Compute<T>;
  const std::int64_t b = blockIdx.x / static_cast<unsigned>(job.chunks);
  const int chunk = static_cast<int>(blockIdx.x % static_cast<unsigned>(job.chunks));
  const int w = static_cast<int>(job.w.value());
  const std::int64_t pixels = static_cast<std::int64_t>(job.h) * w;
  const std::int32_t index = job.indices[b];
  const bool exists = index >= 0 && index < job.images_in_set;
  const Source source{job.images + (exists ? index : 0) * pixels * job.c, job.h, w, job.c,
                      job.how.border == Border::reflect};
  const Draws draws(job, index);
  const Geometry<Real, kTurns> geometry(job.how, draws, job.h, w);
  Colours<Real> colours;
  if constexpr (kColours) {
    __shared__ BlockSum<kThreads> block_sum;
    colours.brightness += draws.around_0<Real>(job.how.brightness, AugmentDraw::brightness);
    colours.contrast += draws.around_0<Real>(job.how.contrast, AugmentDraw::contrast);
    colours.saturation += draws.around_0<Real>(job.how.saturation, AugmentDraw::saturation);
    if (job.how.contrast > 0 && exists) {
      colours.mean_gray = static_cast<Real>(mean_gray<kGroup>(block_sum, source));
    }
  }

  const std::int64_t begin = static_cast<std::int64_t>(chunk) * kThreads * kPixels;
  const std::int64_t end =
      begin + kThreads * kPixels < pixels ? begin + kThreads * kPixels : pixels;
  for (std::int64_t pixel = begin + threadIdx.x; pixel < end; pixel += kThreads) {
    const int row = static_cast<int>(job.w.quotient(pixel));
    const int column = static_cast<int>(pixel - static_cast<std::int64_t>(row) * w);
    const int below = row - geometry.cut_row, beside = column - geometry.cut_column;
    const bool blank =
        below >= 0 && below < job.how.cutout && beside >= 0 && beside < job.how.cutout;
    const Taps<Real, kTurns> taps(source, geometry, row, column);
    T* to = job.y + (b * pixels + pixel) * job.c;
    for (int c = 0; c < job.c; c += kGroup) {
      Real values[kGroup];
      for (int i = 0; i < kGroup; ++i) values[i] = taps.channel(c + i);
      if constexpr (kColours) colours.template change<kGroup>(values);
      for (int i = 0; i < kGroup; ++i) {
        const Real value = (values[i] - job.mean[c + i]) / job.stddev[c + i];
        const Real kept = blank ? Real(0) : value;
        to[c + i] = T(exists ? kept : std::numeric_limits<Real>::quiet_NaN());
      }
    }
  }
}

template <typename T, bool kTurns, bool kColours, int kGroup>
void launch(const AugmentInputs& in, const AugmentParams& params, const Tensor& y) {
  const std::int64_t pixels = y.size(1) * y.size(2);
  const std::int64_t chunks = (pixels + kThreads * kPixels - 1) / (kThreads * kPixels);
  const Job<T> job{.images = in.images.data<std::uint8_t>(),
                   .indices = in.indices.data<std::int32_t>(),
                   .mean = in.mean.data<Compute<T>>(),
                   .stddev = in.stddev.data<Compute<T>>(),
                   .step = params.step.defined() ? params.step.data<std::int32_t>() : nullptr,
                   .y = y.data<T>(),
                   .images_in_set = in.images.size(0),
                   .random = params.random,
                   .how = params.how,
                   .h = static_cast<int>(y.size(1)),
                   .c = static_cast<int>(y.size(3)),
                   .chunks = static_cast<int>(chunks),
                   .w = Divisor(y.size(2))};
  simt::launch("augment.gather", gather_kernel<T, kTurns, kColours, kGroup>,
               {.grid = {static_cast<unsigned>(y.size(0) * chunks)},
                .block = {kThreads},
                .stream = y.stream()},
               job);
}

void run_gather(const AugmentInputs& in, const AugmentParams& params, const Tensor& y) {
  if (y.elements() == 0) return;
  const Augmentation& how = params.how;
  const bool turns = how.rotate > 0 || how.scale > 0;
  const bool colours = how.brightness > 0 || how.contrast > 0 || how.saturation > 0;
  for_floating("augment", y.dtype(), [&]<typename T>() {
    const auto of_group = [&]<int kGroup>() {
      const auto launch_kernel =
          turns ? (colours ? launch<T, true, true, kGroup> : launch<T, true, false, kGroup>)
                : (colours ? launch<T, false, true, kGroup> : launch<T, false, false, kGroup>);
      launch_kernel(in, params, y);
    };
    if (y.size(3) == 3) {
      of_group.template operator()<3>();
    } else {
      of_group.template operator()<1>();
    }
  });
}

}  // namespace

template <typename Target>
AugmentOp AugmentOp::hand() {
  return {.dtypes = kFloating, .gather = run_gather};
}
template AugmentOp AugmentOp::hand<simt::Target>();

}  // namespace cucina
