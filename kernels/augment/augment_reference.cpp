// augment in plain loops: the definition of right.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/math.h"
#include "kernels/augment/augment.h"

namespace cucina {
namespace {

// The random numbers of one image.
class Draws {
 public:
  Draws(const AugmentParams& params, std::int64_t image)
      : random_(params.random),
        step_(params.step.defined() ? static_cast<std::uint32_t>(*params.step.data<std::int32_t>())
                                    : 0),
        first_(static_cast<std::uint64_t>(image) * kAugmentDraws) {}

  // In [0, 1).
  double uniform(unsigned draw) const { return random_.uniform(step_, first_ + draw); }
  // In [middle - by, middle + by].
  double around(double middle, double by, unsigned draw) const {
    return middle + by * (2 * uniform(draw) - 1);
  }
  // In [0, n): the upper half of a product of 32 random bits and n.
  std::int64_t below(unsigned draw, std::int64_t n) const {
    const std::uint64_t bits = random_.bits(step_, first_ + draw);
    return static_cast<std::int64_t>(bits * static_cast<std::uint64_t>(n) >> 32);
  }

 private:
  RandomStream random_;
  std::uint32_t step_;
  std::uint64_t first_;
};

// One stored image.
struct Image {
  const std::uint8_t* pixels;
  std::int64_t h, w, c;
  Border border;

  static std::int64_t reflected(std::int64_t i, std::int64_t size) {
    if (size == 1) return 0;
    const std::int64_t period = 2 * (size - 1);
    const std::int64_t in_period = std::abs(i) % period;
    return std::min(in_period, period - in_period);
  }
  double at(std::int64_t row, std::int64_t column, std::int64_t channel) const {
    const bool inside = row >= 0 && row < h && column >= 0 && column < w;
    if (!inside && border == Border::zero) return 0;
    return pixels[(reflected(row, h) * w + reflected(column, w)) * c + channel];
  }
  double gray(std::int64_t row, std::int64_t column) const {
    if (c != 3) return at(row, column, 0);
    return 0.299 * at(row, column, 0) + 0.587 * at(row, column, 1) + 0.114 * at(row, column, 2);
  }
  double mean_gray() const {
    double sum = 0;
    for (std::int64_t row = 0; row < h; ++row) {
      for (std::int64_t column = 0; column < w; ++column) sum += gray(row, column);
    }
    return sum / static_cast<double>(h * w);
  }
  double between_pixels(double row, double column, std::int64_t channel) const {
    const double top = std::floor(row), left = std::floor(column);
    const double down = row - top, right = column - left;
    const auto r = static_cast<std::int64_t>(top), s = static_cast<std::int64_t>(left);
    return (1 - down) * ((1 - right) * at(r, s, channel) + right * at(r, s + 1, channel)) +
           down * ((1 - right) * at(r + 1, s, channel) + right * at(r + 1, s + 1, channel));
  }
};

// Step 2 and 3: the pixel's channels before colours change.
void read_pixel(const Image& image, const Augmentation& how, const Draws& draws, std::int64_t row,
                std::int64_t column, double* values) {
  if (draws.uniform(AugmentDraw::flip) < how.flip) column = image.w - 1 - column;
  row += draws.below(AugmentDraw::crop_row, 2 * how.crop + 1) - how.crop;
  column += draws.below(AugmentDraw::crop_column, 2 * how.crop + 1) - how.crop;
  for (std::int64_t c = 0; c < image.c; ++c) {
    if (how.rotate == 0 && how.scale == 0) {
      values[c] = image.at(row, column, c);
      continue;
    }
    const double turns = draws.around(0, how.rotate, AugmentDraw::angle) / 360;
    const double cosine = math::cos_turns(turns), sine = math::cos_turns(turns - 0.25);
    const double magnification = draws.around(1, how.scale, AugmentDraw::zoom);
    const double center_row = 0.5 * static_cast<double>(image.h - 1);
    const double center_column = 0.5 * static_cast<double>(image.w - 1);
    const double down = static_cast<double>(row) - center_row;
    const double right = static_cast<double>(column) - center_column;
    values[c] =
        image.between_pixels(center_row + (cosine * down + sine * right) / magnification,
                             center_column + (cosine * right - sine * down) / magnification, c);
  }
}

void change_colours(const Image& image, const Augmentation& how, const Draws& draws,
                    double mean_gray, double* values) {
  if (how.brightness == 0 && how.contrast == 0 && how.saturation == 0) return;
  const double brighter = draws.around(1, how.brightness, AugmentDraw::brightness);
  const double harder = draws.around(1, how.contrast, AugmentDraw::contrast);
  const double richer = draws.around(1, how.saturation, AugmentDraw::saturation);
  const double gray =
      image.c == 3 ? 0.299 * values[0] + 0.587 * values[1] + 0.114 * values[2] : values[0];
  for (std::int64_t c = 0; c < image.c; ++c) {
    const double colour = richer * values[c] + (1 - richer) * gray;
    values[c] = std::clamp(brighter * (harder * colour + (1 - harder) * mean_gray), 0.0, 255.0);
  }
}

bool is_cut_out(const Image& image, const Augmentation& how, const Draws& draws, std::int64_t row,
                std::int64_t column) {
  const std::int64_t top = draws.below(AugmentDraw::cutout_row, image.h) - how.cutout / 2;
  const std::int64_t left = draws.below(AugmentDraw::cutout_column, image.w) - how.cutout / 2;
  return row >= top && row < top + how.cutout && column >= left && column < left + how.cutout;
}

template <typename T>
void gather(const AugmentInputs& in, const AugmentParams& params, const Tensor& y) {
  using Real = Compute<T>;
  const std::int64_t h = y.size(1), w = y.size(2), c = y.size(3);
  const Augmentation& how = params.how;
  T* to = y.data<T>();
  std::vector<double> values(static_cast<std::size_t>(c));
  for (std::int64_t b = 0; b < y.size(0); ++b) {
    const std::int64_t index = in.indices.data<std::int32_t>()[b];
    if (index < 0 || index >= in.images.size(0)) {
      to = std::fill_n(to, h * w * c, T(std::numeric_limits<Real>::quiet_NaN()));
      continue;
    }
    const Image image{in.images.data<std::uint8_t>() + index * h * w * c, h, w, c, how.border};
    const Draws draws(params, index);
    const double mean_gray = how.contrast > 0 ? image.mean_gray() : 0;
    for (std::int64_t row = 0; row < h; ++row) {
      for (std::int64_t column = 0; column < w; ++column) {
        const bool blank = is_cut_out(image, how, draws, row, column);
        read_pixel(image, how, draws, row, column, values.data());
        change_colours(image, how, draws, mean_gray, values.data());
        for (std::int64_t channel = 0; channel < c; ++channel) {
          const double mean = in.mean.data<Real>()[channel];
          const double stddev = in.stddev.data<Real>()[channel];
          const double value = values[static_cast<std::size_t>(channel)];
          *to++ = T(static_cast<Real>(blank ? 0 : (value - mean) / stddev));
        }
      }
    }
  }
}

void run_gather(const AugmentInputs& in, const AugmentParams& params, const Tensor& y) {
  for_floating("augment", y.dtype(), [&]<typename T>() { gather<T>(in, params, y); });
}

}  // namespace

AugmentOp AugmentOp::reference() { return {.dtypes = kFloating, .gather = run_gather}; }

}  // namespace cucina
