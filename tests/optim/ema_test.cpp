// ema against its formula, and its front door.
#include "optim/ema/ema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina {
namespace {

using testing::error_of;
using testing::kSteps;

constexpr std::int64_t kN = 97;

Tensor one(double value) { return Tensor::full({1}, value); }
Tensor step_number(int step) { return Tensor::full({1}, step, DType::i32); }

class EmaBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, EmaBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

// A thousand steps after parameters that wander, one number at a time in double.
TEST_P(EmaBackends, TrajectoryIsThatOfAnIndependentImplementation) {
  const testing::NoisyQuadratic problem(kN);
  const float decay = 0.99f;
  for (const bool warms_up : {false, true}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor average = Tensor::from(problem.start(), {kN}).to(dtype);
      std::vector<double> plain = problem.start();
      for (int step = 0; step < kSteps; ++step) {
        const std::vector<double> x = problem.gradient(problem.start(), step);
        ema_step(average, Tensor::from(x, {kN}).to(dtype), one(decay),
                 warms_up ? step_number(step) : Tensor());
        const double d = warms_up ? std::min<double>(decay, (1.0 + step) / (10.0 + step)) : decay;
        for (std::size_t i = 0; i < x.size(); ++i) plain[i] += (1 - d) * (x[i] - plain[i]);
      }
      EXPECT_LE(testing::relative_difference(average.to_vector<double>(), plain),
                testing::trajectory_tolerance(dtype))
          << name(dtype);
    }
  }
}

TEST_P(EmaBackends, WarmsUp) {
  // The first step keeps a tenth; the decay is reached when (1 + t) / (10 + t) is.
  const auto kept = [](int t) {
    const Tensor average = Tensor::full({1}, 1, DType::f64);
    ema_step(average, Tensor::zeros({1}, DType::f64), one(0.5), step_number(t));
    return average.item();
  };
  EXPECT_NEAR(kept(0), 0.1, 1e-15);
  EXPECT_NEAR(kept(2), 0.25, 1e-15);
  EXPECT_EQ(kept(8), 0.5);
  EXPECT_EQ(kept(1'000'000), 0.5);
}

TEST_P(EmaBackends, DecayOneChangesNothingAndZeroCopies) {
  const testing::NoisyQuadratic problem(kN);
  const Tensor average = Tensor::zeros({kN}, DType::f64);
  const Tensor x = Tensor::from(problem.start(), {kN});
  ema_step(average, x, one(1));
  EXPECT_EQ(average.to_vector<double>(), std::vector<double>(kN));
  ema_step(average, x, one(0));
  EXPECT_EQ(average.to_vector<double>(), problem.start());
}

TEST_P(EmaBackends, ANanParameterReachesItsAverageAndNoOther) {
  const Tensor average = Tensor::zeros({2});
  ema_step(average, Tensor::from(std::vector<float>{std::nanf(""), 1}, {2}), one(0.5));
  EXPECT_TRUE(std::isnan(average.to_vector<float>()[0]));
  EXPECT_EQ(average.to_vector<float>()[1], 0.5f);
}

TEST(Ema, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({3});
  EXPECT_EQ(error_of([&] { ema_step(Tensor::zeros({4}), x, one(1)); }),
            "ema: average is f32 (4) on cpu but parameters is f32 (3) on cpu; they must agree");
  EXPECT_EQ(error_of([&] { ema_step(x, x, {}); }),
            "ema: decay is missing; it must be f32 (1) on cpu");
  EXPECT_EQ(error_of([&] { ema_step(x, x, one(1), one(1)); }),
            "ema: step is f32 (1) on cpu but must be i32 (1) on cpu");
}

}  // namespace
}  // namespace cucina
