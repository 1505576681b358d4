// The tensor-core tile against plain loops: every way its factors can lie, ragged edges, few and
// many stages, a factor that is computed on load.
#include "kernels/common/mma_tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/simt/options.h"

namespace cucina {
namespace {

using simt::MmaFormat;

template <typename Element, Along kWay, bool kWhole>
struct MatrixLoader {
  static constexpr Along kAlong = kWay;
  static constexpr bool kChunked = kWhole;
  const Element* data;
  std::int64_t pitch, first, size;
  __device__ const Element* outer(int i) const {
    if (first + i >= size) return nullptr;
    return data + (first + i) * (kWay == Along::inner ? pitch : 1);
  }
  __device__ std::int64_t inner(std::int64_t l) const {
    return kWay == Along::inner ? l : l * pitch;
  }
  __device__ const Element* at(const Element* outer, std::int64_t inner) const {
    return outer != nullptr ? outer + inner : nullptr;
  }
};

// Twice what is stored.
template <typename Element, Along kWay>
struct DoublingLoader : MatrixLoader<Element, kWay, true> {
  __device__ Element value(const Element* outer, std::int64_t inner) const {
    const Element* const from = this->at(outer, inner);
    return from == nullptr ? Element(0.f) : Element(2 * static_cast<float>(*from));
  }
};

struct Sizes {
  std::int64_t m, n, k;
};

template <typename Tile, typename A, typename B>
__global__ void tile_kernel(A a, B b, Sizes sizes, float* c) {
  auto& shared = *simt::dynamic_shared<typename Tile::Shared>();
  a.first = static_cast<std::int64_t>(blockIdx.x) * Tile::kTileRows;
  b.first = static_cast<std::int64_t>(blockIdx.y) * Tile::kTileColumns;
  Tile tile;
  tile.accumulate(shared, a, b, 0, sizes.k);
  tile.for_each_pair([&](int i, int j, float left, float right) {
    const std::int64_t row = a.first + i, column = b.first + j;
    if (row < sizes.m && column < sizes.n) c[row * sizes.n + column] = left;
    if (row < sizes.m && column + 1 < sizes.n) c[row * sizes.n + column + 1] = right;
  });
}

// Small integers, which every format holds and every sum adds exactly.
template <typename Element>
std::vector<Element> numbers(std::int64_t n, int salt) {
  std::vector<Element> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    x[static_cast<std::size_t>(i)] = Element(static_cast<float>((i * 13 + salt) % 19 - 9));
  }
  return x;
}

template <typename Tile, Along kAlongA, Along kAlongB, bool kWhole, bool kDoubles = false>
void check(const Sizes& sizes) {
  using Element = typename Tile::Element;
  const auto [m, n, k] = sizes;
  const std::vector<Element> a = numbers<Element>(m * k, 3), b = numbers<Element>(n * k, 7);
  const std::int64_t pitch_a = kAlongA == Along::inner ? k : m;
  const std::int64_t pitch_b = kAlongB == Along::inner ? k : n;
  std::vector<float> expected(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::int64_t l = 0; l < k; ++l) {
        const std::int64_t at_a = kAlongA == Along::inner ? i * k + l : l * m + i;
        const std::int64_t at_b = kAlongB == Along::inner ? j * k + l : l * n + j;
        sum += static_cast<float>(a[static_cast<std::size_t>(at_a)]) *
               static_cast<float>(b[static_cast<std::size_t>(at_b)]) * (kDoubles ? 2.f : 1.f);
      }
      expected[static_cast<std::size_t>(i * n + j)] = sum;
    }
  }
  using A = std::conditional_t<kDoubles, DoublingLoader<Element, kAlongA>,
                               MatrixLoader<Element, kAlongA, kWhole>>;
  using B = MatrixLoader<Element, kAlongB, kWhole>;
  A a_loader{};
  a_loader.data = a.data();
  a_loader.pitch = pitch_a;
  a_loader.size = m;
  const B b_loader{b.data(), pitch_b, 0, n};
  for (const simt::Schedule schedule :
       {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
    const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
    std::vector<float> c(expected.size(), -1.f);
    simt::launch(
        "test.mma_tile", tile_kernel<Tile, A, B>,
        {.grid = {static_cast<unsigned>((m + Tile::kTileRows - 1) / Tile::kTileRows),
                  static_cast<unsigned>((n + Tile::kTileColumns - 1) / Tile::kTileColumns)},
         .block = {Tile::kThreads},
         .shared_bytes = Tile::kSharedBytes},
        a_loader, b_loader, sizes, c.data());
    ASSERT_EQ(c, expected) << m << " x " << n << " x " << k << ", schedule "
                           << static_cast<int>(schedule);
  }
}

template <typename Tile>
void check_all_ways() {
  constexpr Along kInner = Along::inner, kOuter = Along::outer;
  const Sizes whole{136, 72, 200}, shorter{64, 64, 8}, ragged{67, 71, 37};
  check<Tile, kInner, kInner, true>(whole);
  check<Tile, kInner, kOuter, true>(whole);
  check<Tile, kOuter, kInner, true>(whole);
  check<Tile, kOuter, kOuter, true>(whole);
  check<Tile, kInner, kOuter, true>(shorter);
  check<Tile, kInner, kInner, false>(ragged);
  check<Tile, kOuter, kOuter, false>(ragged);
  check<Tile, kInner, kInner, true, true>(whole);
  check<Tile, kOuter, kInner, true, true>(whole);
}

TEST(MmaTile, MultipliesBf16HoweverTheFactorsLie) {
  check_all_ways<MmaTile<MmaFormat::bf16, 64, 64, 32, 32>>();
}

TEST(MmaTile, MultipliesTf32HoweverTheFactorsLie) {
  check_all_ways<MmaTile<MmaFormat::tf32, 64, 64, 32, 32>>();
}

TEST(MmaTile, TakesTilesOfAnyShapeAndNumberOfStages) {
  check<MmaTile<MmaFormat::bf16, 128, 128, 64, 32>, Along::inner, Along::outer, true>(
      {136, 264, 96});
  check<MmaTile<MmaFormat::bf16, 128, 64, 64, 32, 3>, Along::outer, Along::inner, true>(
      {136, 264, 96});
  check<MmaTile<MmaFormat::tf32, 64, 128, 32, 64, 3>, Along::outer, Along::outer, true>(
      {136, 264, 96});
  check<MmaTile<MmaFormat::tf32, 32, 64, 16, 32, 5>, Along::inner, Along::inner, true>(
      {40, 72, 96});
}

}  // namespace
}  // namespace cucina
