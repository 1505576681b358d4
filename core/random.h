// Random numbers as a function of where they are used: Philox at (seed, stream, step, index).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "core/math.h"

namespace cucina {

struct Philox4x32 {
  std::uint32_t x = 0, y = 0, z = 0, w = 0;

  bool operator==(const Philox4x32&) const = default;
};

// A bijection of the 2^128 counters for every key, whose outputs look random.
//   source  Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"
constexpr Philox4x32 philox4x32_10(Philox4x32 counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter.x;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter.z;
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter.y ^ key0, static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter.w ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The random numbers of one purpose ("init", "shuffle", "dropout", "augment"). There is no state:
// the number at (step, index) depends on seed, name, step and index alone, so the order of calls,
// the number of threads and what other purposes draw change nothing. Passed to kernels by value;
// names are for the host.
//
// bits, uniform, normal and below are views of the same words: draw one kind from a (stream, step),
// or take substreams.
class RandomStream {
 public:
  // Names count by a 32-bit hash: two of them share their numbers with probability 2^-32.
  constexpr RandomStream(std::uint64_t seed, std::string_view name)
      : seed_(seed), stream_(fnv1a(name)) {}

  // One stream per layer, worker, ...: different ids of one parent are always different streams.
  constexpr RandomStream substream(std::uint32_t id) const {
    return RandomStream(seed_, mix(stream_ ^ mix(id + 0x9E3779B9u)));
  }

  // 128 bits. Different addresses of one seed give different blocks.
  constexpr Philox4x32 block(std::uint32_t step, std::uint64_t block_index) const {
    return philox4x32_10({static_cast<std::uint32_t>(block_index),
                          static_cast<std::uint32_t>(block_index >> 32), step, stream_},
                         static_cast<std::uint32_t>(seed_),
                         static_cast<std::uint32_t>(seed_ >> 32));
  }

  // 32 bits: word index % 4 of block index / 4.
  constexpr std::uint32_t bits(std::uint32_t step, std::uint64_t index) const {
    const Philox4x32 words = block(step, index / 4);
    const std::uint32_t low = index % 2 == 0 ? words.x : words.y;
    const std::uint32_t high = index % 2 == 0 ? words.z : words.w;
    return index % 4 < 2 ? low : high;
  }

  // In [0, 1), a multiple of 2^-24, the upper 24 of the bits there.
  constexpr float uniform(std::uint32_t step, std::uint64_t index) const {
    return static_cast<float>(bits(step, index) >> 8) * 0x1p-24f;
  }

  // Normal with mean 0 and variance 1, at most 6.77 in magnitude; host only. Indices 2i and 2i + 1
  // are the cosine and the sine of one Box-Muller pair, from the words bits(step, 2i) and
  // bits(step, 2i + 1).
  float normal(std::uint32_t step, std::uint64_t index) const {
    const Words words = pair(step, index / 2);
    const double above_zero = (words.first + 0.5) * 0x1p-32;  // its logarithm is finite
    const double turns = words.second * 0x1p-32;
    const double radius = std::sqrt(-2.0 * math::log(above_zero));
    return static_cast<float>(radius * math::cos_turns(index % 2 == 0 ? turns : turns - 0.25));
  }

  // An integer in [0, n); n > 0. No integer is likelier than another by more than 2^-64. It takes
  // the words bits(step, 2 index) and bits(step, 2 index + 1).
  constexpr std::uint64_t below(std::uint32_t step, std::uint64_t index, std::uint64_t n) const {
    // The upper half of a 128-bit product of 64 random bits and n, from 32-bit halves.
    const Words words = pair(step, index);
    const std::uint64_t n_low = n & 0xffffffffu, n_high = n >> 32;
    const std::uint64_t first = words.first, second = words.second;
    const std::uint64_t low = second * n_low;
    const std::uint64_t middle = first * n_low + (low >> 32);
    const std::uint64_t other_middle = second * n_high + (middle & 0xffffffffu);
    return first * n_high + (middle >> 32) + (other_middle >> 32);
  }

 private:
  struct Words {
    std::uint32_t first, second;
  };

  constexpr RandomStream(std::uint64_t seed, std::uint32_t stream) : seed_(seed), stream_(stream) {}

  constexpr Words pair(std::uint32_t step, std::uint64_t pair_index) const {
    const Philox4x32 words = block(step, pair_index / 2);
    return pair_index % 2 == 0 ? Words{words.x, words.y} : Words{words.z, words.w};
  }

  // Fowler, Noll & Vo's hash FNV-1a of 32 bits.
  static constexpr std::uint32_t fnv1a(std::string_view text) {
    std::uint32_t hash = 0x811C9DC5u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
    return hash;
  }

  // A bijection of 32-bit words in which every input bit moves about half of the output: the last
  // step of Appleby's MurmurHash3.
  static constexpr std::uint32_t mix(std::uint32_t h) {
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
  }

  std::uint64_t seed_;
  std::uint32_t stream_;  // counter word 3
};

// The numbers 0 .. n-1 in random order (Fisher-Yates).
//   throws  std::length_error when n < 0
inline std::vector<std::int64_t> permutation(const RandomStream& stream, std::uint32_t step,
                                             std::int64_t n) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[stream.below(step, i - 1, i)]);
  }
  return order;
}

}  // namespace cucina
