// sgd against an independent plain implementation, and its front door.
#include "optim/sgd/sgd.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina {
namespace {

using testing::error_of;
using testing::kSteps;

constexpr std::int64_t kN = 97;
constexpr float kLr = 0.05f;

StepState new_state(float lr) { return StepState::make(lr, Device::cpu); }

// torch.optim.SGD by its documentation, one number at a time, in double.
std::vector<double> plain_trajectory(const SgdParams& params) {
  const testing::NoisyQuadratic problem(kN);
  std::vector<double> x = problem.start(), velocity;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<double> g = problem.gradient(x, step);
    for (std::size_t i = 0; i < x.size(); ++i) g[i] += params.weight_decay * x[i];
    if (params.momentum > 0) {
      if (velocity.empty()) {
        velocity = g;
      } else {
        for (std::size_t i = 0; i < x.size(); ++i) {
          velocity[i] = params.momentum * velocity[i] + (1 - params.dampening) * g[i];
        }
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        g[i] = params.nesterov ? g[i] + params.momentum * velocity[i] : velocity[i];
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= double{kLr} * g[i];
  }
  return x;
}

std::vector<double> trajectory(const SgdParams& params, DType dtype) {
  const testing::NoisyQuadratic problem(kN);
  const Tensor x = Tensor::from(problem.start(), {kN}).to(dtype);
  const Tensor momentum_buffer =
      Tensor::full({kN}, std::numeric_limits<double>::quiet_NaN(), dtype);
  const StepState state = new_state(kLr);
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<double> g = problem.gradient(x.to_vector<double>(), step);
    sgd_step(x, Tensor::from(g, {kN}).to(dtype), momentum_buffer, state, params);
  }
  EXPECT_EQ(state.step.item(), kSteps);
  return x.to_vector<double>();
}

struct Variant {
  std::string name;
  SgdParams params;
};

class SgdTrajectory : public ::testing::TestWithParam<std::tuple<Backend, Variant>> {};
INSTANTIATE_TEST_SUITE_P(
    , SgdTrajectory,
    ::testing::Combine(
        ::testing::Values(Backend::reference, Backend::hand),
        ::testing::Values(Variant{"plain", {}}, Variant{"momentum", {.momentum = 0.9}},
                          Variant{"dampened", {.momentum = 0.9, .dampening = 0.3}},
                          Variant{"nesterov", {.momentum = 0.9, .nesterov = true}},
                          Variant{"weight_decay", {.weight_decay = 0.1}},
                          Variant{"all",
                                  {.momentum = 0.9, .weight_decay = 0.1, .nesterov = true}})),
    [](const auto& info) {
      return fmt::format("{}_{}", name(std::get<0>(info.param)), std::get<1>(info.param).name);
    });

TEST_P(SgdTrajectory, IsThatOfAnIndependentImplementation) {
  const ScopedBackend backend(std::get<0>(GetParam()));
  const SgdParams& params = std::get<1>(GetParam()).params;
  const std::vector<double> plain = plain_trajectory(params);
  for (const DType dtype : {DType::f32, DType::f64}) {
    EXPECT_LE(testing::relative_difference(trajectory(params, dtype), plain),
              testing::trajectory_tolerance(dtype))
        << name(dtype);
  }
}

TEST(Sgd, KnownFirstSteps) {
  const Tensor x = Tensor::full({1}, 1, DType::f64), g = Tensor::full({1}, 2, DType::f64);
  const Tensor b = Tensor::zeros({1}, DType::f64);
  const StepState state = new_state(0.25f);
  sgd_step(x, g, b, state, {.momentum = 0.5, .dampening = 0.5});
  EXPECT_EQ(b.item(), 2);    // the first gradient, not dampened
  EXPECT_EQ(x.item(), 0.5);  // 1 - 0.25 * 2
  sgd_step(x, g, b, state, {.momentum = 0.5, .dampening = 0.5});
  EXPECT_EQ(b.item(), 2);  // 0.5 * 2 + 0.5 * 2
  EXPECT_EQ(x.item(), 0);
  EXPECT_EQ(state.step.item(), 2);
}

TEST(Sgd, OnlyTheFirstElementsDecay) {
  for (const double momentum : {0.0, 0.5}) {
    const Tensor x = Tensor::full({5}, 1, DType::f64), zeros = Tensor::zeros({5}, DType::f64);
    sgd_step(x, zeros, Tensor::zeros({5}, DType::f64), new_state(0.5f),
             {.momentum = momentum, .weight_decay = 0.25, .decayed = 3});
    EXPECT_EQ(x.to_vector<double>(), (std::vector<double>{0.875, 0.875, 0.875, 1, 1}));
  }
}

TEST(Sgd, TheBf16CopyIsTheNewParametersRounded) {
  const testing::NoisyQuadratic problem(kN);
  const Tensor x = Tensor::from(problem.start(), {kN}).to(DType::f32);
  const Tensor gradients = Tensor::from(problem.gradient(problem.start(), 0), {kN}).to(DType::f32);
  for (const double momentum : {0.0, 0.5}) {
    const Tensor copy = Tensor::zeros({kN}, DType::bf16);
    sgd_step(x, gradients, Tensor::zeros({kN}), new_state(0.1f), {.momentum = momentum}, copy);
    EXPECT_EQ(copy.to_vector<float>(), x.to(DType::bf16).to_vector<float>());
  }
}

TEST(Sgd, NeedsNoBufferWithoutMomentumAndCountsStepsOfAnEmptyArena) {
  const StepState state = new_state(0.5f);
  const Tensor x = Tensor::full({3}, 1);
  sgd_step(x, Tensor::full({3}, 1), {}, state);
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{0.5f, 0.5f, 0.5f}));
  sgd_step(Tensor::zeros({0}), Tensor::zeros({0}), {}, state);
  EXPECT_EQ(state.step.item(), 2);
}

TEST(Sgd, ANanGradientReachesItsParameterAndNoOther) {
  const Tensor x = Tensor::zeros({2}), b = Tensor::zeros({2});
  const Tensor g = Tensor::from(std::vector<float>{std::nanf(""), 1}, {2});
  sgd_step(x, g, b, new_state(1), {.momentum = 0.9});
  EXPECT_TRUE(std::isnan(x.to_vector<float>()[0]));
  EXPECT_EQ(x.to_vector<float>()[1], -1);
}

TEST(Sgd, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({3});
  const StepState state = new_state(1);
  EXPECT_EQ(error_of([&] { sgd_step(x, {}, {}, state); }),
            "sgd: gradients is missing; it must be f32 (3) on cpu, as parameters");
  EXPECT_EQ(error_of([&] { sgd_step(x, Tensor::zeros({4}), {}, state); }),
            "sgd: gradients is f32 (4) on cpu but parameters is f32 (3) on cpu; they must agree");
  EXPECT_EQ(error_of([&] { sgd_step(x, Tensor::zeros({3}, DType::f64), {}, state); }),
            "sgd: gradients is f64 (3) on cpu but parameters is f32 (3) on cpu; they must agree");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, {}, state, {.momentum = 0.9}); }),
            "sgd: momentum_buffer is missing; it must be f32 (3) on cpu, as parameters");
  EXPECT_EQ(error_of([&] {
              sgd_step(x, x, {}, {.lr = {}, .step = state.step, .arrivals = state.arrivals});
            }),
            "sgd: lr is missing; it must be f32 (1) on cpu");
  EXPECT_EQ(error_of([&] {
              sgd_step(x, x, {}, {.lr = x, .step = state.step, .arrivals = state.arrivals});
            }),
            "sgd: lr is f32 (3) on cpu but must be f32 (1) on cpu");
  EXPECT_EQ(error_of([&] {
              sgd_step(x, x, {}, {.lr = state.lr, .step = state.lr, .arrivals = state.arrivals});
            }),
            "sgd: step is f32 (1) on cpu but must be i32 (1) on cpu");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, x, state, {}, x); }),
            "sgd: bf16_copy is f32 (3) on cpu but must be bf16 (3) on cpu, or undefined");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, x, state, {.decayed = -1}); }),
            "sgd: decayed is -1 but must be at least 0");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, x, state, {.momentum = -1}); }),
            "sgd: momentum is -1 but must be at least 0");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, x, state, {.weight_decay = -0.5}); }),
            "sgd: weight_decay is -0.5 but must be at least 0");
  EXPECT_EQ(error_of([&] { sgd_step(x, x, x, state, {.nesterov = true}); }),
            "sgd: nesterov needs momentum above 0 and dampening 0, but they are 0 and 0");
  EXPECT_EQ(error_of([&] {
              sgd_step(x, x, x, state, {.momentum = 0.9, .dampening = 0.1, .nesterov = true});
            }),
            "sgd: nesterov needs momentum above 0 and dampening 0, but they are 0.9 and 0.1");
}

}  // namespace
}  // namespace cucina
