// Initial values of parameters, the same bits on every device and with any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

// Variance gain^2 2 / (fan_in + fan_out); fan_out of a filter counts its outputs times its taps.
//   source   Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward
//   neural
//            networks", equation 16
struct Xavier {
  Distribution distribution = Distribution::uniform;
  double gain = 1;
};
void xavier(const Tensor& weight, const RandomStream& random, const Xavier& options = {});

// Rows (one for each output) at right angles and of length `gain`; where there are more outputs
// than inputs, columns instead.
//   source   Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
void orthogonal(const Tensor& weight, const RandomStream& random, double gain = 1);

// Filters that pass their inputs on: output i is channel i, as far as there are such; else 0.
//   weight   (k, r, s, c), r and s odd
//   source   Zagoruyko & Komodakis 2017, arXiv:1706.00388
void dirac(const Tensor& weight);

// How the weights of a whole model begin.
using Initial = std::function<void(const Tensor& weight, const RandomStream& random)>;
// "torch" (kaiming() as it is), "kaiming-normal", "kaiming-uniform" (both with relu's gain),
// "xavier-normal", "xavier-uniform", "orthogonal" (with relu's gain).
std::vector<std::string> initial_names();
//   throws   Error listing the names when there is none of that name
Initial initial_named(std::string_view name);

// Every weight of two or more dimensions by `initial` (without one by kaiming()), from the stream
// "init" with one substream per parameter; of one dimension, a "weight" (of a normalisation)
// becomes 1 and a "bias" 0. Buffers are left alone.
void initialise(const Module& module, std::uint64_t seed, const Initial& initial = {});

// --- the first and the last layer, from the data ---

// A convolution whose results are uncorrelated and of one scale: its first filters are the
// principal axes of the images' patches over the square root of (variance + eps), the others the
// same negated.
//   layer    as many filters as twice its window has numbers
//   images   (n, h, w, c) f32 as the network will see them
//   throws   Error when the layer has another number of filters, or other channels than the images
//   source   Jordan 2024, arXiv:2404.00498, section 3.1
void whiten(const Conv2d& layer, const Tensor& images, double eps = 5e-4);

// Makes a classifier's last layer predict the class frequencies: weights 0, biases log(count /
// total). The first loss is then the entropy of the labels. A class without examples counts as half
// an example.
//   throws   Error when the layer has no bias, or not as many outputs as there are counts
void init_head(const Linear& head, std::span<const std::int64_t> class_counts);

// The same for any kind of targets, so that training need not find their frequencies or means:
//   targets  (n) i32 classes: as above; (n, outputs) f32 values: biases their means; (n, outputs)
//   u8
//            flags, 0 or 1: biases their log odds, of half an example more of either
//   throws   Error when their shape or dtype is another, there are none, or one is out of range
void init_head(const Linear& head, const Tensor& targets);

// Weights and bias 0: every output begins at 0, the class probabilities equal.
void zero_head(const Linear& head);

}  // namespace cucina::nn
