// mix's hand-written kernel: a block makes a part of one image, each thread from random numbers
// that it draws itself; the image's first block makes its targets, too.
#include <limits>

#include "core/math.h"
#include "kernels/common/divisor.h"
#include "kernels/common/pack.h"
#include "kernels/mix/mix.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kThreads = 128;
// Of a thread, at most: what its random numbers are used for.
constexpr int kPacks = 16;

template <typename T>
struct Job {
  const T* x;
  const std::int32_t* labels;
  const std::int32_t* step;
  T* y;
  Compute<T>* targets;
  RandomStream random;
  Mixing how;
  std::int64_t n, elements;  // elements: of an image
  int h, classes;
  Divisor w, c;
  int chunks;  // blocks of an image
};

// The random numbers of the image at one place of the batch.
class Draws {
 public:
  template <typename T>
  __device__ Draws(const Job<T>& job, std::int64_t b)
      : random_(job.random),
        step_(static_cast<std::uint32_t>(*job.step)),
        first_(static_cast<std::uint64_t>(b) * kMixDraws) {}

  // In (0, 1): never where the formulas below have a pole.
  __device__ double inside(unsigned draw) const {
    return (static_cast<double>(random_.bits(step_, first_ + draw)) + 0.5) * 0x1p-32;
  }
  __device__ std::int64_t below(unsigned draw, std::int64_t n) const {
    const std::uint64_t bits = random_.bits(step_, first_ + draw);
    return static_cast<std::int64_t>(bits * static_cast<std::uint64_t>(n) >> 32);
  }

 private:
  RandomStream random_;
  std::uint32_t step_;
  std::uint64_t first_;
};

// Beta(alpha, alpha), as the contract says. U^(-1/alpha) may be Inf: the quotient is 0 then.
__device__ double draw_beta(double alpha, const Draws& draws) {
  const double above = math::exp(-math::log(draws.inside(MixDraw::radius)) / alpha) - 1;
  const double cosine = math::cos_turns(draws.inside(MixDraw::angle));
  const double half = 0.5 / sqrt(1 + 1 / (above * cosine * cosine));
  return cosine < 0 ? 0.5 - half : 0.5 + half;
}

// How much of itself an image keeps.
struct Blend {
  bool pasted;        // in the box nothing and all around it, else `share` everywhere
  int top, left;      // the box in the image
  int height, width;  // 0: none
  double share;       // on the whole

  __device__ static void place(int at, int length, int size, int& begin, int& covered) {
    const int first = at - length / 2;
    begin = first < 0 ? 0 : first;
    const int end = first + length < size ? first + length : size;
    covered = end > begin ? end - begin : 0;
  }
  __device__ Blend(const Mixing& how, const Draws& draws, int h, int w)
      : pasted(false), top(0), left(0), height(0), width(0), share(1) {
    if (how.mixup == 0 && how.cutmix == 0) return;
    pasted = how.cutmix > 0 && (how.mixup == 0 || draws.inside(MixDraw::kind) >= 0.5);
    share = draw_beta(pasted ? how.cutmix : how.mixup, draws);
    if (!pasted) return;
    const double side = sqrt(1 - share);
    const auto row = static_cast<int>(draws.below(MixDraw::box_row, h));
    const auto column = static_cast<int>(draws.below(MixDraw::box_column, w));
    place(row, static_cast<int>(h * side), h, top, height);
    place(column, static_cast<int>(w * side), w, left, width);
    share = 1 - static_cast<double>(height) * width / (static_cast<double>(h) * w);
  }
  __device__ bool in_box(int row, int column) const {
    return row >= top && row < top + height && column >= left && column < left + width;
  }
};

// Not a weight of 0 or 1: NaN times 0 would reach images that have no share of it.
template <typename Real>
__device__ __forceinline__ Real blended(Real own, Real mine, Real other) {
  const Real sum = own * mine + (Real(1) - own) * other;
  return own == Real(1) ? mine : own == Real(0) ? other : sum;
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) mix_kernel(const Job<T> job) {
  using Real = Compute<T>;
  const std::int64_t b = blockIdx.x / static_cast<unsigned>(job.chunks);
  const int chunk = static_cast<int>(blockIdx.x % static_cast<unsigned>(job.chunks));
  const int w = static_cast<int>(job.w.value());
  std::int64_t partner = b;
  if (job.n > 1) {
    partner += 1 + Draws(job, 0).below(MixDraw::shift, job.n - 1);
    if (partner >= job.n) partner -= job.n;
  }
  const Blend blend(job.how, Draws(job, b), job.h, w);
  const Real share = static_cast<Real>(blend.share);

  const std::int64_t packs = job.elements / kWidth;
  const std::int64_t begin = static_cast<std::int64_t>(chunk) * kThreads * kPacks;
  const std::int64_t end = begin + kThreads * kPacks < packs ? begin + kThreads * kPacks : packs;
  for (std::int64_t pack = begin + threadIdx.x; pack < end; pack += kThreads) {
    const std::int64_t i = pack * kWidth;
    const auto mine = load_wide<kWidth>(job.x + b * job.elements + i);
    const auto other = load_wide<kWidth>(job.x + partner * job.elements + i);
    Pack<Real, kWidth> result;
    for (int j = 0; j < kWidth; ++j) {
      Real own = share;
      if (blend.pasted) {
        const std::int64_t pixel = job.c.quotient(i + j);
        const int row = static_cast<int>(job.w.quotient(pixel));
        const int column = static_cast<int>(pixel - static_cast<std::int64_t>(row) * w);
        own = blend.in_box(row, column) ? Real(0) : Real(1);
      }
      result.at[j] = blended(own, mine.at[j], other.at[j]);
    }
    store_rounded(result, job.y + b * job.elements + i);
  }

  if (chunk > 0) return;
  const int label = job.labels[b], partners = job.labels[partner];
  const bool valid = label >= 0 && label < job.classes && partners >= 0 && partners < job.classes;
  for (int k = static_cast<int>(threadIdx.x); k < job.classes; k += kThreads) {
    const Real sum = (k == label ? share : Real(0)) + (k == partners ? Real(1) - share : Real(0));
    job.targets[b * job.classes + k] = valid ? sum : std::numeric_limits<Real>::quiet_NaN();
  }
}

void run_batch(const Tensor& x, const Tensor& labels, const MixParams& params,
               const MixedBatch& to) {
  const std::int64_t n = x.size(0);
  if (n == 0) return;
  const std::int64_t elements = x.elements() / n;
  for_floating("mix", x.dtype(), [&]<typename T>() {
    for_pack_width(elements, {x, to.images}, [&]<int kWidth>() {
      const std::int64_t packs = elements / kWidth;
      const std::int64_t chunks =
          packs == 0 ? 1 : (packs + kThreads * kPacks - 1) / (kThreads * kPacks);
      const Job<T> job{.x = x.data<T>(),
                       .labels = labels.data<std::int32_t>(),
                       .step = params.step.data<std::int32_t>(),
                       .y = to.images.data<T>(),
                       .targets = to.targets.data<Compute<T>>(),
                       .random = params.random,
                       .how = params.how,
                       .n = n,
                       .elements = elements,
                       .h = static_cast<int>(x.size(1)),
                       .classes = static_cast<int>(to.targets.size(1)),
                       .w = Divisor(x.size(2)),
                       .c = Divisor(x.size(3)),
                       .chunks = static_cast<int>(chunks)};
      simt::launch(
          "mix.batch", mix_kernel<T, kWidth>,
          {.grid = {static_cast<unsigned>(n * chunks)}, .block = {kThreads}, .stream = x.stream()},
          job);
    });
  });
}

}  // namespace

template <typename Target>
MixOp MixOp::hand() {
  return {.dtypes = kFloating, .batch = run_batch};
}
template MixOp MixOp::hand<simt::Target>();

}  // namespace cucina
