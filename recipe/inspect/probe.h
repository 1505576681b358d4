// A quick classifier that needs no training loop: fixed filters cut from the images, and a linear
// fit in closed form. It knows what an image is to about the level of a small network, in seconds,
// and its predictions are made of examples it has not seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "recipe/data/image_set.h"

namespace cucina::inspect {

// The images as probes see them: none with a side above 32, values of 0 to 255. `order` chooses
// some of them.
data::ImageSet for_probes(const data::ImageSet& set, std::span<const std::int64_t> order,
                          int max_value);

struct FeatureOptions {
  std::int64_t filters = 128;
  std::int64_t grid = 3;  // responses are averaged in grid x grid parts of the image; 1: everywhere
};

// What patches of the images look like: each patch of the size of a filter, less its mean and over
// its deviation, times whitened patches drawn from the images, what is above a threshold, averaged
// over parts of the image.
//   returns  (n, grid^2 filters) f32; each column with mean 0 and deviation 1
//   source   Coates, Lee & Ng 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature
//            Learning" (random patches, soft threshold)
Tensor patch_features(const data::ImageSet& set, const FeatureOptions& options = {});

// Linear least squares on one-hot labels with a penalty, fitted to all folds but one to score that.
class FoldedFit {
 public:
  // Factors the normal equations of each fold: rows [n f / folds, n (f + 1) / folds) of `features`,
  // which must be in random order.
  FoldedFit(const Tensor& features, int folds = 5);

  // The scores of every row by the fit that has not seen it, (n, classes).
  std::vector<float> scores(std::span<const std::int32_t> labels, int classes) const;

 private:
  std::int64_t begin(int fold) const;

  Tensor features_;
  int folds_;
  std::vector<std::vector<double>> factors_;  // Cholesky's, lower, row by row
};

// Score of the label less the highest of the others, for each row: negative where the probe would
// label it otherwise.
std::vector<float> margins(std::span<const float> scores, std::span<const std::int32_t> labels,
                           int classes);

// The share of positive margins.
double accuracy(std::span<const float> margins);

}  // namespace cucina::inspect
