// Every tile that matmul can choose gives the same bits, in every order of threads.
#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/common/precision.h"
#include "kernels/common/tuning.h"
#include "kernels/matmul/matmul.h"
#include "kernels/simt/options.h"

namespace cucina {
namespace {

Tensor uniform(const Shape& shape, DType dtype, std::string_view name) {
  const RandomStream random(11, name);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 2 * random.uniform(0, i) - 1;
  return Tensor::from(values, shape).to(dtype);
}

struct Subject {
  std::int64_t m, n, k;
  MatmulParams params;
};

// Aligned sizes, so that every tile is a candidate; ragged in the large tile; split or not.
constexpr Subject kSubjects[]{
    {136, 72, 40, {}},
    {72, 136, 40, {.transpose_b = true, .activation = Activation::gelu}},
    {136, 136, 24, {.transpose_a = true}},
    {72, 40, 1040, {.transpose_a = true, .transpose_b = true}},
};

std::vector<float> multiply(const Subject& s, DType dtype) {
  const ScopedBackend hand(Backend::hand);
  const Tensor a = uniform(s.params.transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}, dtype, "a");
  const Tensor b = uniform(s.params.transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}, dtype, "b");
  return matmul(a, b, s.params, uniform({s.n}, dtype, "bias")).to_vector<float>();
}

void expect_same_bits(DType dtype, std::initializer_list<const char*> tiles) {
  for (const Subject& subject : kSubjects) {
    const std::vector<float> expected = multiply(subject, dtype);
    for (const char* tile : tiles) {
      for (const simt::Schedule schedule :
           {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
        const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
        const ScopedCandidate forced(tile);
        EXPECT_EQ(multiply(subject, dtype), expected)
            << tile << ", " << subject.m << " x " << subject.n << " x " << subject.k;
      }
    }
  }
}

TEST(MatmulTiles, GiveTheSameBitsInF32) {
  expect_same_bits(DType::f32, {"64x64", "64x16", "16x64", "128x128"});
}

TEST(MatmulTiles, GiveTheSameBitsInTf32) {
  const ScopedPrecision precision(Precision::tf32);
  expect_same_bits(DType::f32, {"64x64", "128x128"});
}

TEST(MatmulTiles, GiveTheSameBitsInBf16) {
  expect_same_bits(DType::bf16, {"64x64", "128x128", "128x256", "128x256x64"});
}

}  // namespace
}  // namespace cucina
