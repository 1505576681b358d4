// Shapes, dtypes, memory and tensors.
#include "core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/cuda_runtime.h"
#include "core/error.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

TEST(Shape, CountsElementsAndIndexesFromBothEnds) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{3, 0}).elements(), 0);
  EXPECT_EQ(to_string(shape), "(2, 3, 4)");
  EXPECT_EQ(shape, (Shape{2, 3, 4}));
  EXPECT_NE(shape, (Shape{2, 3, 4, 1}));
}

TEST(Shape, RefusesBadSizesInASentence) {
  EXPECT_EQ(error_of([] { Shape{2, -1}; }), "shape: dimension 1 is -1, sizes are not negative");
  EXPECT_NE(error_of([] {
              Shape{std::int64_t{1} << 40, std::int64_t{1} << 40};
            }).find("overflows"),
            std::string::npos);
  EXPECT_NE(error_of([] { Shape{1, 1, 1, 1, 1, 1, 1}; }).find("7 dimensions given, at most 6"),
            std::string::npos);
  EXPECT_EQ(error_of([] { Shape{2, 3}[2]; }), "shape: dimension 2 of (2, 3) asked for");
  EXPECT_EQ(error_of([] { Shape{2, 3}[-3]; }), "shape: dimension -3 of (2, 3) asked for");
}

TEST(Bfloat16, RoundsToNearestEven) {
  EXPECT_EQ(float(bfloat16(1.0f)), 1.0f);
  EXPECT_EQ(float(bfloat16(1.0f + 0x1p-8f)), 1.0f);  // a tie goes to the even neighbour below
  EXPECT_EQ(float(bfloat16(1.0f + 3 * 0x1p-8f)),
            1.0f + 0x1p-6f);  // a tie goes to the even neighbour above
  EXPECT_EQ(float(bfloat16(1.0f + 0x1.8p-8f)), 1.0f + 0x1p-7f);
  EXPECT_EQ(float(bfloat16(-2.5f)), -2.5f);
  EXPECT_TRUE(std::isnan(float(bfloat16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(float(bfloat16(std::numeric_limits<float>::max()))));
}

TEST(Tensor, CopyingSharesAndCloneDoesNot) {
  const Tensor a = Tensor::from(std::vector<float>{1, 2, 3}, {3});
  const Tensor b = a;
  const Tensor c = a.clone();
  b.data<float>()[0] = 9;
  EXPECT_EQ(a.data<float>()[0], 9);
  EXPECT_EQ(c.data<float>()[0], 1);
  EXPECT_TRUE(a.same(b));
  EXPECT_FALSE(a.same(c));
}

TEST(Tensor, MemoryIsAligned) {
  for (const std::int64_t n : {1, 3, 17, 1000}) {
    const Tensor t = Tensor::empty({n});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.raw()) % 64, 0u) << n << " elements";
  }
}

TEST(Tensor, ConvertsBetweenEveryPairOfDtypes) {
  const std::vector<DType> dtypes{DType::f32, DType::f64, DType::bf16, DType::i32, DType::u8};
  const Tensor source = Tensor::from(std::vector<float>{0, 1, 2, 100}, {4});
  for (const DType from : dtypes) {
    for (const DType to : dtypes) {
      EXPECT_EQ(source.to(from).to(to).to_vector<double>(), (std::vector<double>{0, 1, 2, 100}))
          << name(from) << " to " << name(to);
    }
  }
}

TEST(Tensor, RowsAndReshapeShareMemory) {
  const Tensor a = Tensor::from(std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}, {3, 2});
  EXPECT_EQ(a.rows(1, 3).to_vector<std::int32_t>(), (std::vector<std::int32_t>{2, 3, 4, 5}));
  a.rows(1, 2).data<std::int32_t>()[0] = 7;
  EXPECT_EQ(a.reshape({6}).data<std::int32_t>()[2], 7);
  EXPECT_EQ(Tensor::empty({2, 3, 4, 5}).flatten().shape(), (Shape{2, 60}));
  EXPECT_EQ(Tensor::empty({0, 3, 4}).flatten().shape(), (Shape{0, 12}));
}

TEST(Tensor, FillZeroAndItem) {
  const Tensor a = Tensor::full({2, 2}, 1.5, DType::f64);
  EXPECT_EQ(a.to_vector<double>(), (std::vector<double>{1.5, 1.5, 1.5, 1.5}));
  a.zero();
  EXPECT_EQ(a.to_vector<double>(), (std::vector<double>(4, 0.0)));
  EXPECT_EQ(Tensor::full({}, 3).item(), 3);
}

TEST(Tensor, MoveToKeepsElementsAndEveryHandle) {
  const Tensor a = Tensor::from(std::vector<float>{1, 2}, {2});
  const Tensor handle = a;
  const auto arena = Storage::allocate(256, Device::cpu);
  a.move_to(arena, 64);
  EXPECT_EQ(handle.raw(), arena->data() + 64);
  EXPECT_EQ(handle.to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST(Tensor, MisuseIsOneSentence) {
  const Tensor a = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] { a.data<double>(); }),
            "tensor: elements asked for as f64 but they are f32");
  EXPECT_EQ(error_of([&] { a.reshape({7}); }), "reshape: (2, 3) has 6 elements but (7) has 7");
  EXPECT_EQ(error_of([&] { a.item(); }),
            "tensor: item() needs one element, f32 (2, 3) on cpu has 6");
  EXPECT_EQ(error_of([&] { a.rows(1, 3); }), "rows: [1, 3) asked for of f32 (2, 3) on cpu");
  EXPECT_EQ(error_of([] { Tensor().shape(); }),
            "tensor: an undefined tensor was used; give it elements first");
  EXPECT_EQ(error_of([] { Tensor::from(std::vector<float>{1}, {2}); }),
            "tensor: 1 values given for shape (2), which has 2 elements");
  EXPECT_EQ(
      error_of([&] {
        a.copy_from(Tensor::zeros({3, 2}));
      }),
      "tensor: cannot copy f32 (3, 2) on cpu into f32 (2, 3) on cpu; shape and dtype must agree");
  EXPECT_NE(error_of([] {
              Tensor::over(Storage::allocate(8, Device::cpu), 4, {2}, DType::f32);
            }).find("needs 8 bytes from offset 4, but the storage has 8"),
            std::string::npos);
}

TEST(Tensor, CudaWithoutAGpuSaysWhyAndHowToGoOn) {
  if (cuda_available()) GTEST_SKIP() << "this machine has a GPU";
  try {
    Tensor::zeros({1}, DType::f32, Device::cuda);
    FAIL() << "no Error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_resources);
    EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos) << error.what();
  }
}

TEST(Memory, StatisticsFollowAllocations) {
  const std::size_t before = memory_statistics(Device::cpu).in_use;
  reset_peak(Device::cpu);
  {
    const Tensor a = Tensor::empty({1000});
    EXPECT_EQ(memory_statistics(Device::cpu).in_use, before + 4000);
  }
  EXPECT_EQ(memory_statistics(Device::cpu).in_use, before);
  EXPECT_EQ(memory_statistics(Device::cpu).peak, before + 4000);
}

TEST(Memory, RunningOutSaysHowMuchAndLeavesThePoolUsable) {
  const std::size_t before = memory_statistics(Device::cpu).in_use;
  for (int i = 0; i < 100; ++i) {
    fail_allocations_after(1);
    const Tensor first = Tensor::empty({16});
    try {
      Tensor::empty({1 << 20});
      FAIL() << "no Error was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::no_resources);
      EXPECT_NE(std::string(error.what()).find("4.0 MiB asked for"), std::string::npos)
          << error.what();
    }
    fail_allocations_after(-1);
  }
  EXPECT_EQ(memory_statistics(Device::cpu).in_use, before);
  EXPECT_EQ(Tensor::full({4}, 2).to_vector<float>(), (std::vector<float>{2, 2, 2, 2}));
}

#ifndef __SANITIZE_ADDRESS__
TEST(Memory, AFreedBlockIsReused) {
  release_cache(Device::cpu);
  void* first = Tensor::empty({12345}).raw();
  const std::size_t hits = memory_statistics(Device::cpu).cache_hits;
  EXPECT_EQ(Tensor::empty({12345}).raw(), first);
  EXPECT_EQ(memory_statistics(Device::cpu).cache_hits, hits + 1);
  EXPECT_GT(memory_statistics(Device::cpu).cached, 0u);
  release_cache(Device::cpu);
  EXPECT_EQ(memory_statistics(Device::cpu).cached, 0u);
}
#endif

}  // namespace
}  // namespace cucina
