// core/random.h: Philox's published answers, independence of addresses, and the distributions drawn
// from it.
#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace cucina {
namespace {

static_assert(std::is_trivially_copyable_v<RandomStream>);  // kernels take it by value
static_assert(RandomStream(1, "init").bits(0, 0) != RandomStream(2, "init").bits(0, 0));

// Random123's kat_vectors for philox4x32 with 10 rounds.
TEST(Random, PhiloxGivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, 0, 0),
            (Philox4x32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff),
            (Philox4x32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Philox4x32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// FNV-1a's published hashes: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
TEST(Random, AnAddressIsTheCounterItSaysItIs) {
  const std::uint64_t seed = 0x299f31d0a4093822u;
  const auto counter = [](std::uint32_t stream) {
    return philox4x32_10({0x89abcdef, 0x01234567, 7, stream}, 0xa4093822, 0x299f31d0);
  };
  const std::uint64_t block = 0x0123456789abcdefu;
  EXPECT_EQ(RandomStream(seed, "").block(7, block), counter(0x811c9dc5));
  EXPECT_EQ(RandomStream(seed, "a").block(7, block), counter(0xe40c292c));
  EXPECT_EQ(RandomStream(seed, "foobar").block(7, block), counter(0xbf9cf968));
}

TEST(Random, BitsAreTheWordsOfTheBlocksInOrder) {
  const RandomStream stream(5, "dropout");
  for (std::uint64_t block = 0; block < 10; ++block) {
    const auto [x, y, z, w] = stream.block(3, block);
    EXPECT_EQ(stream.bits(3, 4 * block), x) << "block " << block;
    EXPECT_EQ(stream.bits(3, 4 * block + 1), y) << "block " << block;
    EXPECT_EQ(stream.bits(3, 4 * block + 2), z) << "block " << block;
    EXPECT_EQ(stream.bits(3, 4 * block + 3), w) << "block " << block;
  }
}

TEST(Random, NoTwoAddressesGiveTheSameBlock) {
  std::vector<RandomStream> streams;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32}) {
    for (const char* name : {"init", "shuffle", "dropout", "augment"}) {
      const RandomStream stream(seed, name);
      streams.push_back(stream);
      for (std::uint32_t id = 0; id < 8; ++id) {
        streams.push_back(stream.substream(id));
        streams.push_back(stream.substream(id).substream(7 - id));
      }
    }
  }
  std::map<std::array<std::uint32_t, 4>, std::string> seen;
  for (std::size_t s = 0; s < streams.size(); ++s) {
    for (std::uint32_t step = 0; step < 16; ++step) {
      for (std::uint64_t i = 0; i < 16; ++i) {
        const std::uint64_t block = i < 8 ? i : i << 32;
        const auto [x, y, z, w] = streams[s].block(step, block);
        const std::string address = "stream " + std::to_string(s) + ", step " +
                                    std::to_string(step) + ", block " + std::to_string(block);
        const auto [other, is_new] = seen.insert({{x, y, z, w}, address});
        ASSERT_TRUE(is_new) << address << " repeats " << other->second;
      }
    }
  }
}

TEST(Random, UniformIsInRangeAndIsTheUpper24Bits) {
  const RandomStream stream(1, "dropout");
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const float u = stream.uniform(0, i);
    ASSERT_GE(u, 0.0f) << "index " << i;
    ASSERT_LT(u, 1.0f) << "index " << i;
    ASSERT_EQ(static_cast<std::uint32_t>(u * 0x1p24f), stream.bits(0, i) >> 8) << "index " << i;
  }
}

constexpr int kSamples = 1'000'000;

// Seeds are fixed, so these pass or fail for ever; five standard deviations say that a failure is
// no bad luck.
TEST(Random, UniformHasTheMomentsAndTheHistogramOfUniform) {
  const RandomStream stream(42, "dropout");
  constexpr int kBins = 256;
  std::vector<int> count(kBins);
  double sum = 0, squares = 0, products = 0, previous = 0.5;
  for (int i = 0; i < kSamples; ++i) {
    const double u =
        stream.uniform(static_cast<std::uint32_t>(i % 7), static_cast<std::uint64_t>(i / 7));
    sum += u - 0.5;
    squares += (u - 0.5) * (u - 0.5);
    products += (u - 0.5) * (previous - 0.5);
    previous = u;
    ++count[static_cast<std::size_t>(u * kBins)];
  }
  EXPECT_NEAR(sum / kSamples, 0.0, 5 * std::sqrt(1.0 / 12 / kSamples));
  EXPECT_NEAR(squares / kSamples, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / kSamples));
  EXPECT_NEAR(products / kSamples, 0.0, 5 * std::sqrt(1.0 / 144 / kSamples));
  double chi_square = 0;
  for (const int c : count)
    chi_square += std::pow(c - double(kSamples) / kBins, 2) * kBins / kSamples;
  // mean 255, variance 510
  EXPECT_NEAR(chi_square, kBins - 1, 5 * std::sqrt(2.0 * (kBins - 1)));
}

TEST(Random, NormalHasTheMomentsAndTheTailsOfNormal) {
  const RandomStream stream(42, "init");
  double moment[5] = {}, product = 0;
  int beyond_two = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double z = stream.normal(0, static_cast<std::uint64_t>(i));
    ASSERT_LE(std::abs(z), 6.77) << "index " << i;
    for (int k = 1; k <= 4; ++k) moment[k] += std::pow(z, k) / kSamples;
    beyond_two += std::abs(z) > 2.0;
    if (i % 2 == 1) product += z * stream.normal(0, static_cast<std::uint64_t>(i - 1));
  }
  // standard deviations of the averages of z, z^2, z^3, z^4: sqrt(1, 2, 15, 96) / sqrt(samples)
  EXPECT_NEAR(moment[1], 0.0, 5 * std::sqrt(1.0 / kSamples));
  EXPECT_NEAR(moment[2], 1.0, 5 * std::sqrt(2.0 / kSamples));
  EXPECT_NEAR(moment[3], 0.0, 5 * std::sqrt(15.0 / kSamples));
  EXPECT_NEAR(moment[4], 3.0, 5 * std::sqrt(96.0 / kSamples));
  EXPECT_NEAR(product / (kSamples / 2), 0.0, 5 * std::sqrt(2.0 / kSamples));
  EXPECT_NEAR(beyond_two / double(kSamples), 0.0455003, 5 * std::sqrt(0.0455 / kSamples));
}

TEST(Random, NormalPairsAreCosineAndSineOfTheirTwoWords) {
  const RandomStream stream(9, "init");
  for (std::uint64_t i = 0; i < 1000; i += 2) {
    const double radius = std::sqrt(-2 * std::log((stream.bits(4, i) + 0.5) / 0x1p32));
    const double angle = 2 * 3.14159265358979323846 * (stream.bits(4, i + 1) / 0x1p32);
    // half an ulp of f32 at the largest value, 6.77
    EXPECT_NEAR(stream.normal(4, i), radius * std::cos(angle), 0x1p-22) << "index " << i;
    EXPECT_NEAR(stream.normal(4, i + 1), radius * std::sin(angle), 0x1p-22) << "index " << i + 1;
  }
}

TEST(Random, BelowIsTheUpperHalfOfTheWideProduct) {
  const RandomStream stream(3, "shuffle");
  const std::uint64_t bounds[] = {
      1, 2, 3, 10, 60'000, 0xffffffffu, 0x100000000u, 0x1234567890abcdefu, ~0ull};
  for (const std::uint64_t n : bounds) {
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const std::uint64_t value = stream.below(2, i, n);
      ASSERT_LT(value, n) << "index " << i;
      const std::uint64_t random =
          std::uint64_t{stream.bits(2, 2 * i)} << 32 | stream.bits(2, 2 * i + 1);
      const auto expected = static_cast<std::uint64_t>(
          std::floor(static_cast<long double>(random) * 0x1p-64L * static_cast<long double>(n)));
      // a long double has 64 bits: exact for n < 2^32 up to the rounding of the product next to an
      // integer
      const std::uint64_t slack = n < (1ull << 20) ? 0 : 1 + (n >> 52);
      ASSERT_LE(value > expected ? value - expected : expected - value, slack)
          << "n " << n << ", index " << i;
    }
  }
}

TEST(Random, BelowIsUniform) {
  const RandomStream stream(3, "shuffle");
  constexpr int kBound = 10;
  std::vector<int> count(kBound);
  for (int i = 0; i < kSamples; ++i)
    ++count[stream.below(0, static_cast<std::uint64_t>(i), kBound)];
  double chi_square = 0;
  for (const int c : count) chi_square += std::pow(c - kSamples / kBound, 2) * kBound / kSamples;
  EXPECT_LT(chi_square, 9 + 5 * std::sqrt(18.0));
}

TEST(Random, PermutationHoldsEveryNumberOnceAndDiffersByStepAndStream) {
  const RandomStream stream(7, "shuffle");
  for (const std::int64_t n : {0, 1, 2, 3, 17, 1000}) {
    std::vector<std::int64_t> sorted = permutation(stream, 0, n);
    ASSERT_EQ(sorted.size(), static_cast<std::size_t>(n));
    std::sort(sorted.begin(), sorted.end());
    for (std::int64_t i = 0; i < n; ++i)
      ASSERT_EQ(sorted[static_cast<std::size_t>(i)], i) << "n " << n;
  }
  const auto order = permutation(stream, 0, 1000);
  EXPECT_EQ(order, permutation(stream, 0, 1000));
  EXPECT_NE(order, permutation(stream, 1, 1000));
  EXPECT_NE(order, permutation(stream.substream(0), 0, 1000));
  EXPECT_NE(order, permutation(RandomStream(8, "shuffle"), 0, 1000));
}

TEST(Random, EveryPermutationIsEquallyLikely) {
  const RandomStream stream(7, "shuffle");
  constexpr int kTrials = 24'000;
  std::map<std::vector<std::int64_t>, int> count;
  for (int step = 0; step < kTrials; ++step) {
    ++count[permutation(stream, static_cast<std::uint32_t>(step), 4)];
  }
  ASSERT_EQ(count.size(), 24u);
  double chi_square = 0;
  for (const auto& [order, c] : count) chi_square += std::pow(c - kTrials / 24, 2) * 24 / kTrials;
  EXPECT_LT(chi_square, 23 + 5 * std::sqrt(46.0));
}

}  // namespace
}  // namespace cucina
