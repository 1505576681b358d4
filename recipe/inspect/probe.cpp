// Patches by im2col, products by matmul, normal equations by Cholesky in f64.
#include "recipe/inspect/probe.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "core/random.h"
#include "kernels/matmul/matmul.h"
#include "recipe/data/picture.h"

namespace cucina::inspect {
namespace {

constexpr std::int64_t kMostSide = 32;
constexpr std::int64_t kBatch = 128;       // images
constexpr std::int64_t kSampled = 20'000;  // patches, for their covariance
constexpr double kWhitening = 0.5;         // added to the covariance's diagonal, over its mean
constexpr double kContrast = 10;           // grey levels squared, added to a patch's variance
constexpr float kThreshold = 0.5;
constexpr double kPenalty = 5e-2;  // times examples: features have variance 1

// A lower triangular L with L L^T = a, in place of a's lower half; a is (d, d), row by row.
void factor(std::vector<double>* a, std::int64_t d) {
  double* m = a->data();
  for (std::int64_t j = 0; j < d; ++j) {
    const double root = std::sqrt(std::max(m[j * d + j], 1e-300));
    m[j * d + j] = root;
    std::vector<double> column(static_cast<std::size_t>(d));
    for (std::int64_t i = j + 1; i < d; ++i) column[i] = m[i * d + j] /= root;
    for (std::int64_t i = j + 1; i < d; ++i) {
      const double by = column[i];
      double* row = m + i * d;
      for (std::int64_t k = j + 1; k <= i; ++k) row[k] -= by * column[k];
    }
  }
}

// Solves L L^T x = b for each of `columns` columns of b (d, columns), in place.
void solve(const std::vector<double>& factors, std::int64_t d, std::int64_t columns,
           std::vector<double>* b) {
  const auto subtract = [&](std::int64_t from, std::int64_t to, double by) {
    const double* x = b->data() + from * columns;
    double* y = b->data() + to * columns;
    for (std::int64_t c = 0; c < columns; ++c) y[c] -= by * x[c];
  };
  const auto scale = [&](std::int64_t i) {
    for (std::int64_t c = 0; c < columns; ++c) (*b)[i * columns + c] /= factors[i * d + i];
  };
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t k = 0; k < i; ++k) subtract(k, i, factors[i * d + k]);
    scale(i);
  }
  for (std::int64_t i = d - 1; i >= 0; --i) {
    scale(i);
    for (std::int64_t k = 0; k < i; ++k) subtract(i, k, factors[i * d + k]);
  }
}

// Where patches lie on the images.
struct Patches {
  std::int64_t side, stride, rows, columns, d;  // d numbers each

  explicit Patches(const data::ImageSet& set) {
    const std::int64_t least = std::min(set.h, set.w);
    side = std::min<std::int64_t>(least, least < 16 ? 3 : 6);
    stride = least > 16 ? 2 : 1;
    rows = (set.h - side) / stride + 1;
    columns = (set.w - side) / stride + 1;
    d = side * side * set.c;
  }
  std::int64_t positions() const { return rows * columns; }

  // Normalised patch `position` of an image.
  void read(const data::ImageSet& set, std::int64_t image, std::int64_t position, float* to) const {
    const std::int64_t y = position / columns * stride, x = position % columns * stride;
    const std::int64_t line = side * set.c;
    const std::uint8_t* pixels = set.image(image).data();
    int sum = 0, squares = 0;
    for (std::int64_t r = 0; r < side; ++r) {
      const std::uint8_t* from = pixels + ((y + r) * set.w + x) * set.c;
      for (std::int64_t i = 0; i < line; ++i) {
        to[r * line + i] = from[i];
        sum += from[i];
        squares += int(from[i]) * from[i];
      }
    }
    const float mean = float(sum) / float(d);
    const float variance = std::max(0.0f, float(squares) / float(d) - mean * mean);
    const float scale = 1 / std::sqrt(variance + float(kContrast));
    for (std::int64_t i = 0; i < d; ++i) to[i] = (to[i] - mean) * scale;
  }
};

struct Filters {
  Tensor weights;              // (filters, d)
  std::vector<float> offsets;  // what a mean patch gives, plus the threshold
};

// Whitened patches: of unit length after W = covariance^-1/2, and W once more for the patch they
// meet.
Filters draw_filters(const data::ImageSet& set, const Patches& patches, std::int64_t count) {
  const RandomStream random(1, "inspect.patches");
  const std::int64_t d = patches.d;
  const auto size = static_cast<std::size_t>(d);
  std::vector<float> patch(size);
  const auto sample = [&](std::int64_t i) {
    const auto index = static_cast<std::uint64_t>(i);
    patches.read(
        set, std::int64_t(random.below(0, index, static_cast<std::uint64_t>(set.n))),
        std::int64_t(random.below(1, index, static_cast<std::uint64_t>(patches.positions()))),
        patch.data());
  };
  std::vector<double> mean(size), covariance(size * size);
  for (std::int64_t i = 0; i < kSampled; ++i) {
    sample(i);
    for (std::size_t a = 0; a < size; ++a) {
      mean[a] += patch[a] / double(kSampled);
      for (std::size_t b = 0; b <= a; ++b)
        covariance[a * size + b] += double(patch[a]) * patch[b] / double(kSampled);
    }
  }
  double trace = 0;
  for (std::size_t a = 0; a < size; ++a) {
    for (std::size_t b = 0; b <= a; ++b) covariance[a * size + b] -= mean[a] * mean[b];
    trace += covariance[a * size + a] / double(size);
  }
  for (std::size_t a = 0; a < size; ++a) covariance[a * size + a] += kWhitening * trace + 1e-6;
  factor(&covariance, d);
  Filters filters;
  std::vector<float> weights;
  for (std::int64_t k = 0; k < count; ++k) {
    // The first of some draws that is not blank.
    double contrast = 0;
    for (std::int64_t attempt = 0; attempt < 20 && contrast < 0.5 * double(d); ++attempt) {
      sample(kSampled + 20 * k + attempt);
      contrast = 0;
      for (const float each : patch) contrast += double(each) * each;
    }
    std::vector<double> centred(size), solved;
    for (std::size_t a = 0; a < size; ++a) centred[a] = patch[a] - mean[a];
    solved = centred;
    solve(covariance, d, 1, &solved);
    double length = 0, at_mean = 0;
    for (std::size_t a = 0; a < size; ++a) length += centred[a] * solved[a];
    const double scale = 1 / std::sqrt(std::max(length, 1e-12));
    for (std::size_t a = 0; a < size; ++a) {
      weights.push_back(static_cast<float>(solved[a] * scale));
      at_mean += mean[a] * solved[a] * scale;
    }
    filters.offsets.push_back(static_cast<float>(at_mean) + kThreshold);
  }
  filters.weights = Tensor::from(weights, {count, d});
  return filters;
}

void standardise(const Tensor& features) {
  const std::int64_t n = features.size(0), d = features.size(1);
  float* x = features.data<float>();
  std::vector<double> sum(static_cast<std::size_t>(d)), squares(sum.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < d; ++k) {
      const double value = x[i * d + k];
      sum[k] += value, squares[k] += value * value;
    }
  std::vector<float> mean(sum.size()), scale(sum.size());
  for (std::size_t k = 0; k < sum.size(); ++k) {
    const double m = sum[k] / double(n), variance = squares[k] / double(n) - m * m;
    mean[k] = static_cast<float>(m);
    scale[k] = variance > 1e-12 ? static_cast<float>(1 / std::sqrt(variance)) : 0;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < d; ++k) x[i * d + k] = (x[i * d + k] - mean[k]) * scale[k];
}

}  // namespace

data::ImageSet for_probes(const data::ImageSet& set, std::span<const std::int64_t> order,
                          int max_value) {
  data::ImageSet chosen = data::select(set, order);
  if (max_value != 255)
    for (std::uint8_t& each : chosen.pixels)
      each = static_cast<std::uint8_t>(std::min(255, each * 255 / max_value));
  const std::int64_t side = std::max(set.h, set.w);
  if (side <= kMostSide) return chosen;
  data::ImageSet small = chosen;
  small.h = std::max<std::int64_t>(1, set.h * kMostSide / side);
  small.w = std::max<std::int64_t>(1, set.w * kMostSide / side);
  small.pixels.resize(static_cast<std::size_t>(small.n) * small.image_bytes());
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < small.n; ++i) {
    const auto pixels = chosen.image(i);
    const data::Picture picture =
        data::resized({.size = {set.h, set.w, set.c}, .pixels = {pixels.begin(), pixels.end()}},
                      small.h, small.w);
    std::copy(picture.pixels.begin(), picture.pixels.end(),
              small.pixels.begin() + i * std::int64_t(small.image_bytes()));
  }
  return small;
}

Tensor patch_features(const data::ImageSet& set, const FeatureOptions& options) {
  const NoGrad no_grad;
  const Patches patches(set);
  const Filters filters = draw_filters(set, patches, options.filters);
  const std::int64_t grid = std::min({options.grid, patches.rows, patches.columns});
  const std::int64_t f = options.filters, d = patches.d, positions = patches.positions();
  const Tensor features = Tensor::zeros({set.n, grid * grid * f});
  float* result = features.data<float>();
  std::vector<float> share(static_cast<std::size_t>(grid * grid));  // of a part, one position
  const auto part = [&](std::int64_t position) {
    return position / patches.columns * grid / patches.rows * grid +
           position % patches.columns * grid / patches.columns;
  };
  for (std::int64_t position = 0; position < positions; ++position) ++share[part(position)];
  for (float& each : share) each = 1 / each;
  for (std::int64_t begin = 0; begin < set.n; begin += kBatch) {
    const std::int64_t count = std::min(kBatch, set.n - begin);
    const Tensor columns = Tensor::empty({count * positions, d});
    float* to = columns.data<float>();
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < count * positions; ++row)
      patches.read(set, begin + row / positions, row % positions, to + row * d);
    const Tensor responses = matmul(columns, filters.weights, {.transpose_b = true});
    const float* from = responses.data<float>();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t position = 0; position < positions; ++position) {
        const std::int64_t where = part(position);
        const float weight = share[where];
        float* sums = result + ((begin + i) * grid * grid + where) * f;
        const float* response = from + (i * positions + position) * f;
        for (std::int64_t k = 0; k < f; ++k)
          sums[k] += weight * std::max(0.0f, response[k] - filters.offsets[k]);
      }
  }
  standardise(features);
  return features;
}

FoldedFit::FoldedFit(const Tensor& features, int folds) : features_(features), folds_(folds) {
  const NoGrad no_grad;
  const std::int64_t d = features.size(1);
  if (features.size(0) < folds) fail("probe: {} examples for {} folds", features.size(0), folds);
  std::vector<std::vector<float>> grams;
  std::vector<double> all(static_cast<std::size_t>(d * d));
  for (int fold = 0; fold < folds; ++fold) {
    const Tensor rows = features_.rows(begin(fold), begin(fold + 1));
    grams.push_back(matmul(rows, rows, {.transpose_a = true}).to_vector<float>());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += grams.back()[i];
  }
  factors_.assign(static_cast<std::size_t>(folds), all);
#pragma omp parallel for schedule(dynamic)
  for (int fold = 0; fold < folds; ++fold) {
    std::vector<double>& gram = factors_[static_cast<std::size_t>(fold)];
    for (std::size_t i = 0; i < gram.size(); ++i) gram[i] -= grams[fold][i];
    const auto n = static_cast<double>(features.size(0) - (begin(fold + 1) - begin(fold)));
    for (std::int64_t i = 0; i < d; ++i) gram[i * d + i] += kPenalty * n + 1e-3;
    factor(&gram, d);
  }
}

std::int64_t FoldedFit::begin(int fold) const { return features_.size(0) * fold / folds_; }

std::vector<float> FoldedFit::scores(std::span<const std::int32_t> labels, int classes) const {
  const NoGrad no_grad;
  const std::int64_t n = features_.size(0), d = features_.size(1);
  const Tensor targets = Tensor::zeros({n, classes});
  float* y = targets.data<float>();
  std::vector<double> prior(static_cast<std::size_t>(classes));
  for (const std::int32_t label : labels) prior[label] += 1 / double(n);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < classes; ++k)
      y[i * classes + k] = static_cast<float>((labels[i] == k ? 1 : 0) - prior[k]);
  std::vector<std::vector<float>> products;
  std::vector<double> all(static_cast<std::size_t>(d * classes));
  for (int fold = 0; fold < folds_; ++fold) {
    products.push_back(matmul(features_.rows(begin(fold), begin(fold + 1)),
                              targets.rows(begin(fold), begin(fold + 1)), {.transpose_a = true})
                           .to_vector<float>());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += products.back()[i];
  }
  std::vector<float> result;
  for (int fold = 0; fold < folds_; ++fold) {
    std::vector<double> fit = all;
    for (std::size_t i = 0; i < fit.size(); ++i) fit[i] -= products[fold][i];
    solve(factors_[fold], d, classes, &fit);
    const Tensor weights = Tensor::from(std::vector<float>(fit.begin(), fit.end()), {d, classes});
    const std::vector<float> part =
        matmul(features_.rows(begin(fold), begin(fold + 1)), weights).to_vector<float>();
    result.insert(result.end(), part.begin(), part.end());
  }
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] += static_cast<float>(prior[i % static_cast<std::size_t>(classes)]);
  return result;
}

std::vector<float> margins(std::span<const float> scores, std::span<const std::int32_t> labels,
                           int classes) {
  std::vector<float> result;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = scores.subspan(i * static_cast<std::size_t>(classes));
    float other = -std::numeric_limits<float>::infinity();
    for (int k = 0; k < classes; ++k)
      if (k != labels[i]) other = std::max(other, row[k]);
    result.push_back(row[labels[i]] - other);
  }
  return result;
}

double accuracy(std::span<const float> margins) {
  double right = 0;
  for (const float each : margins) right += each > 0 ? 1 : 0;
  return margins.empty() ? 0 : right / double(margins.size());
}

}  // namespace cucina::inspect
