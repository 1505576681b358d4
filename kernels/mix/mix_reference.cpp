// mix in plain loops: the definition of right.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/math.h"
#include "kernels/mix/mix.h"

namespace cucina {
namespace {

class Draws {
 public:
  Draws(const MixParams& params, std::int64_t b)
      : random_(params.random),
        step_(static_cast<std::uint32_t>(*params.step.data<std::int32_t>())),
        first_(static_cast<std::uint64_t>(b) * kMixDraws) {}

  // In (0, 1).
  double inside(unsigned draw) const {
    return (static_cast<double>(random_.bits(step_, first_ + draw)) + 0.5) * 0x1p-32;
  }
  // In [0, n).
  std::int64_t below(unsigned draw, std::int64_t n) const {
    const std::uint64_t bits = random_.bits(step_, first_ + draw);
    return static_cast<std::int64_t>(bits * static_cast<std::uint64_t>(n) >> 32);
  }

 private:
  RandomStream random_;
  std::uint32_t step_;
  std::uint64_t first_;
};

double beta(double alpha, const Draws& draws) {
  const double above = math::exp(-math::log(draws.inside(MixDraw::radius)) / alpha) - 1;
  const double cosine = math::cos_turns(draws.inside(MixDraw::angle));
  const double half = 0.5 / std::sqrt(1 + 1 / (above * cosine * cosine));
  return cosine < 0 ? 0.5 - half : 0.5 + half;
}

// Where an image is the partner's, and how much of the partner it has there and not there.
struct Blend {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;  // ends excluded
  double share = 1;
  bool pasted = false;

  double own(std::int64_t row, std::int64_t column) const {
    if (!pasted) return share;
    return row >= top && row < bottom && column >= left && column < right ? 0 : 1;
  }
};

Blend draw_blend(const Mixing& how, const Draws& draws, std::int64_t h, std::int64_t w) {
  Blend blend;
  if (how.mixup == 0 && how.cutmix == 0) return blend;
  const bool both = how.mixup > 0 && how.cutmix > 0;
  blend.pasted = both ? draws.inside(MixDraw::kind) >= 0.5 : how.cutmix > 0;
  blend.share = beta(blend.pasted ? how.cutmix : how.mixup, draws);
  if (!blend.pasted) return blend;
  const double side = std::sqrt(1 - blend.share);
  const auto place = [&](unsigned draw, std::int64_t size, std::int64_t* begin, std::int64_t* end) {
    const auto length = static_cast<std::int64_t>(std::floor(static_cast<double>(size) * side));
    const std::int64_t first = draws.below(draw, size) - length / 2;
    *begin = std::max<std::int64_t>(0, first);
    *end = std::min(size, first + length);
  };
  place(MixDraw::box_row, h, &blend.top, &blend.bottom);
  place(MixDraw::box_column, w, &blend.left, &blend.right);
  const auto area = static_cast<double>((blend.bottom - blend.top) * (blend.right - blend.left));
  blend.share = 1 - area / static_cast<double>(h * w);
  return blend;
}

template <typename T>
void mix_batch(const Tensor& x, const Tensor& labels, const MixParams& params,
               const MixedBatch& to) {
  using Real = Compute<T>;
  const std::int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  const std::int64_t classes = to.targets.size(1);
  const std::int64_t shift =
      n > 1 ? 1 + Draws(params, 0).below(MixDraw::shift, n - 1) : std::int64_t{0};
  for (std::int64_t b = 0; b < n; ++b) {
    const std::int64_t partner = (b + shift) % n;
    const Blend blend = draw_blend(params.how, Draws(params, b), h, w);
    for (std::int64_t pixel = 0; pixel < h * w; ++pixel) {
      const auto own = static_cast<Real>(blend.own(pixel / w, pixel % w));
      for (std::int64_t i = pixel * c; i < (pixel + 1) * c; ++i) {
        const auto mine = static_cast<Real>(x.data<T>()[b * h * w * c + i]);
        const auto other = static_cast<Real>(x.data<T>()[partner * h * w * c + i]);
        to.images.data<T>()[b * h * w * c + i] = T(own == 1   ? mine
                                                   : own == 0 ? other
                                                              : own * mine + (1 - own) * other);
      }
    }
    const auto label = labels.data<std::int32_t>()[b];
    const auto partners = labels.data<std::int32_t>()[partner];
    const bool valid = label >= 0 && label < classes && partners >= 0 && partners < classes;
    const auto share = static_cast<Real>(blend.share);
    for (std::int64_t k = 0; k < classes; ++k) {
      const Real sum = (k == label ? share : Real(0)) + (k == partners ? 1 - share : Real(0));
      to.targets.data<Real>()[b * classes + k] =
          valid ? sum : std::numeric_limits<Real>::quiet_NaN();
    }
  }
}

void run_batch(const Tensor& x, const Tensor& labels, const MixParams& params,
               const MixedBatch& to) {
  for_floating("mix", x.dtype(), [&]<typename T>() { mix_batch<T>(x, labels, params, to); });
}

}  // namespace

MixOp MixOp::reference() { return {.dtypes = kFloating, .batch = run_batch}; }

}  // namespace cucina
