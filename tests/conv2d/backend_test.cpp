// Promises about who computes an op when nobody says who.
#include <gtest/gtest.h>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/backends.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using enum Backend;

std::vector<Backend> order(std::optional<Backend> forced, bool hand_first) {
  const auto backends = preference(forced, hand_first);
  return {backends.begin(), backends.end()};
}

TEST(Backends, AreTriedInAnOrderThatForcingOverrides) {
  EXPECT_EQ(order({}, false), (std::vector{vendor, hand}));
  EXPECT_EQ(order({}, true), (std::vector{hand, vendor}));
  for (const bool hand_first : {false, true}) {
    EXPECT_EQ(order(vendor, hand_first), (std::vector{vendor, hand}));
    EXPECT_EQ(order(hand, hand_first), std::vector{hand});
    EXPECT_EQ(order(reference, hand_first), std::vector{reference});
  }
}

TEST(Backends, HandIsFirstOnAGpuWhereItWasMeasuredToBeFaster) {
  EXPECT_TRUE(hand_first<BatchNormOp>(Device::cuda, DType::bf16));
  EXPECT_TRUE(hand_first<Conv2dOp>(Device::cuda, DType::f32));
  EXPECT_FALSE(hand_first<Conv2dOp>(Device::cuda, DType::bf16));
  EXPECT_FALSE(hand_first<MatmulOp>(Device::cuda, DType::f32));
  EXPECT_FALSE(hand_first<BatchNormOp>(Device::cpu, DType::f32));
  const ScopedPrecision rounded(Precision::tf32);
  EXPECT_FALSE(hand_first<Conv2dOp>(Device::cuda, DType::f32));
}

}  // namespace
}  // namespace cucina
