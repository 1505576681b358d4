// Initial values of parameters, the same bits on every device and with any number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "core/random.h"
#include "nn/layers.h"
#include "nn/module.h"

namespace cucina::nn {

enum class Distribution : std::uint8_t { normal, uniform };

// Fills `weight`, whose first size counts outputs, with variance 2 / fan_in: what keeps activations
// at one scale through relus.
//   source   He, Zhang, Ren & Sun 2015, arXiv:1502.01852, equation 10
void kaiming(const Tensor& weight, const RandomStream& random, Distribution distribution);

// Every weight of two or more dimensions by kaiming(), from the stream "init" with one substream
// per parameter; of one dimension, a "weight" (of a normalisation) becomes 1 and a "bias" 0.
// Buffers are left alone.
void initialise(const Module& module, std::uint64_t seed,
                Distribution distribution = Distribution::normal);

// Makes a classifier's last layer predict the class frequencies: weights 0, biases log(count /
// total). The first loss is then the entropy of the labels. A class without examples counts as half
// an example.
//   throws   Error when the layer has no bias, or not as many outputs as there are counts
void init_head(const Linear& head, std::span<const std::int64_t> class_counts);

}  // namespace cucina::nn
