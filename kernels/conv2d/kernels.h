// What conv2d's hand-written kernels are called with; each .cu file of the room defines some.
#pragma once

#include <cstdint>

#include "kernels/common/correlation.h"
#include "kernels/conv2d/conv2d.h"

namespace cucina::conv2d_kernels {

// result (+)= relu? (images, after their prologue, correlated with windows, + bias)
struct Correlate {
  const char* name;
  Correlation g;
  Tensor images;
  Conv2dPrologue prologue;
  Tensor windows;
  Tensor bias;  // undefined where there is none
  Tensor result;
  bool accumulate = false, relu = false;
};

// partial[split] = the share of a split of the pixels in dw, one behind the other: (splits, k of
// all groups, r, s, c of a group). `g` is the forward correlation.
struct WeightGradient {
  Correlation g;
  Tensor images;
  Conv2dPrologue prologue;
  Tensor dy;
  Tensor partial;
  std::int64_t splits = 1;
};

// Few channels in, or few out: patches of the image in shared memory, sums of 8 x 8 in registers.
// One group. False: patches would not fit, or not be worth it.
template <typename Target>
bool patches_fit(const Correlation& g);
template <typename Target>
bool weight_patches_fit(const Correlation& g);
template <typename Target>
std::int64_t weight_patch_splits(const Correlation& g);
template <typename Target>
void correlate_patches(const Correlate& call);
template <typename Target>
void weight_gradient_patches(const WeightGradient& call);

// One channel in and one out per group.
template <typename Target>
void correlate_depthwise(const Correlate& call);
// Groups of few channels.
template <typename Target>
void correlate_directly(const Correlate& call);
template <typename Target>
void weight_gradient_directly(const WeightGradient& call);

// Implicit matrix products, f32 and f64.
template <typename Target>
void correlate_by_products(const Correlate& call);
template <typename Target>
void weight_gradient_by_products(const WeightGradient& call);

// The same on tensor cores: bf16, and f32 rounded to tf32.
template <typename Target>
void correlate_by_tensor_cores(const Correlate& call);
template <typename Target>
void weight_gradient_by_tensor_cores(const WeightGradient& call);

}  // namespace cucina::conv2d_kernels
