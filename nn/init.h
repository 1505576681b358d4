// Initial values of parameters, the same bits on every device and with any number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "core/random.h"
#include "nn/layers.h"
#include "nn/module.h"

namespace cucina::nn {

enum class Distribution : std::uint8_t { normal, uniform };

// Variance gain^2 / fan_in.
struct Kaiming {
  Distribution distribution = Distribution::uniform;
  // sqrt(1/3) is how PyTorch's layers start: the first loss of a classifier is then close to the
  // log of the number of classes, while sqrt(2), which keeps relu activations at one scale through
  // deep networks without normalisation, starts LeNet-5 at twice that.
  double gain = 0.57735026918962576;
};
inline constexpr double kReluGain = 1.4142135623730951;

// Fills `weight`, whose first size counts outputs.
//   source   He, Zhang, Ren & Sun 2015, arXiv:1502.01852, equation 10
void kaiming(const Tensor& weight, const RandomStream& random, const Kaiming& options = {});

// Every weight of two or more dimensions by kaiming(), from the stream "init" with one substream
// per parameter; of one dimension, a "weight" (of a normalisation) becomes 1 and a "bias" 0.
// Buffers are left alone.
void initialise(const Module& module, std::uint64_t seed, const Kaiming& options = {});

// Makes a classifier's last layer predict the class frequencies: weights 0, biases log(count /
// total). The first loss is then the entropy of the labels. A class without examples counts as half
// an example.
//   throws   Error when the layer has no bias, or not as many outputs as there are counts
void init_head(const Linear& head, std::span<const std::int64_t> class_counts);

}  // namespace cucina::nn
