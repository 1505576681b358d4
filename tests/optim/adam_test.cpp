// adam against an independent plain implementation, and its front door.
#include "optim/adam/adam.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "kernels/simt/options.h"
#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina {
namespace {

using testing::error_of;
using testing::kSteps;

constexpr std::int64_t kN = 97;
constexpr float kLr = 0.01f;

StepState new_state(float lr) { return StepState::make(lr, Device::cpu); }

// Algorithm 2 of arXiv:1711.05101 with its hats, one number at a time, in double.
std::vector<double> plain_trajectory(const AdamParams& params) {
  const testing::NoisyQuadratic problem(kN);
  std::vector<double> x = problem.start(), m(x.size()), v(x.size());
  double beta1_power = 1, beta2_power = 1;
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<double> gradient = problem.gradient(x, step);
    beta1_power *= params.beta1;
    beta2_power *= params.beta2;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double g = gradient[i] + (params.decoupled ? 0 : params.weight_decay * x[i]);
      m[i] = params.beta1 * m[i] + (1 - params.beta1) * g;
      v[i] = params.beta2 * v[i] + (1 - params.beta2) * g * g;
      const double m_hat = m[i] / (1 - beta1_power), v_hat = v[i] / (1 - beta2_power);
      const double decay = params.decoupled ? kLr * params.weight_decay * x[i] : 0;
      x[i] = x[i] - kLr * m_hat / (std::sqrt(v_hat) + params.eps) - decay;
    }
  }
  return x;
}

struct Arena {
  Tensor parameters, exp_avg, exp_avg_sq;
};

Arena arena_of(const std::vector<double>& values, DType dtype) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  return {Tensor::from(values, shape).to(dtype), Tensor::zeros(shape, dtype),
          Tensor::zeros(shape, dtype)};
}

void step_with(const Arena& arena, const std::vector<double>& gradient, const StepState& state,
               const AdamParams& params) {
  adam_step(arena.parameters,
            Tensor::from(gradient, arena.parameters.shape()).to(arena.parameters.dtype()),
            arena.exp_avg, arena.exp_avg_sq, state, params);
}

std::vector<double> trajectory(const AdamParams& params, DType dtype) {
  const testing::NoisyQuadratic problem(kN);
  const Arena arena = arena_of(problem.start(), dtype);
  const StepState state = new_state(kLr);
  for (int step = 0; step < kSteps; ++step) {
    step_with(arena, problem.gradient(arena.parameters.to_vector<double>(), step), state, params);
  }
  EXPECT_EQ(state.step.item(), kSteps);
  return arena.parameters.to_vector<double>();
}

struct Variant {
  std::string name;
  AdamParams params;
};

class AdamTrajectory : public ::testing::TestWithParam<std::tuple<Backend, Variant>> {};
INSTANTIATE_TEST_SUITE_P(
    , AdamTrajectory,
    ::testing::Combine(::testing::Values(Backend::reference, Backend::hand),
                       // The larger eps makes its place in the formula visible in f32 too.
                       ::testing::Values(Variant{"adam", {}}, Variant{"large_eps", {.eps = 0.01}},
                                         Variant{"adamw", {.weight_decay = 0.1}},
                                         Variant{"l2", {.weight_decay = 0.1, .decoupled = false}},
                                         Variant{"betas", {.beta1 = 0.8, .beta2 = 0.95}})),
    [](const auto& info) {
      return fmt::format("{}_{}", name(std::get<0>(info.param)), std::get<1>(info.param).name);
    });

TEST_P(AdamTrajectory, IsThatOfAnIndependentImplementation) {
  const ScopedBackend backend(std::get<0>(GetParam()));
  const AdamParams& params = std::get<1>(GetParam()).params;
  const std::vector<double> plain = plain_trajectory(params);
  for (const DType dtype : {DType::f32, DType::f64}) {
    EXPECT_LE(testing::relative_difference(trajectory(params, dtype), plain),
              testing::trajectory_tolerance(dtype))
        << name(dtype);
  }
}

class AdamBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, AdamBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(AdamBackends, TheFirstStepIsLrTimesTheSignOfTheGradient) {
  // With both corrections m-hat = g and v-hat = g^2, however small g is.
  const Arena arena = arena_of({0, 0, 0}, DType::f64);
  step_with(arena, {4, -1e-3, 0}, new_state(0.125f), {.eps = 0});
  const std::vector<double> x = arena.parameters.to_vector<double>();
  EXPECT_NEAR(x[0], -0.125, 1e-15);
  EXPECT_NEAR(x[1], 0.125, 1e-15);
  EXPECT_TRUE(std::isnan(x[2]));  // 0 / 0: what eps is for
}

TEST_P(AdamBackends, WithoutGradientDecoupledDecayIsGeometric) {
  const Arena arena = arena_of({1, -3}, DType::f64);
  const StepState state = new_state(0.125f);
  for (int step = 0; step < kSteps; ++step) {
    step_with(arena, {0, 0}, state, {.weight_decay = 0.01});
  }
  // Each of the 1000 products rounds by at most 2^-53.
  const double decayed = std::pow(1 - 0.125 * 0.01, kSteps);
  EXPECT_NEAR(arena.parameters.to_vector<double>()[0] / decayed, 1, kSteps * 0x1p-52);
  EXPECT_NEAR(arena.parameters.to_vector<double>()[1] / decayed, -3, 3 * kSteps * 0x1p-52);
  EXPECT_EQ(arena.exp_avg_sq.to_vector<double>()[1], 0);  // the decay is no gradient
}

TEST_P(AdamBackends, ManyStepsLaterTheCorrectionsAreGone) {
  const Arena arena = arena_of({0}, DType::f64);
  arena.exp_avg.fill(1);
  arena.exp_avg_sq.fill(1);
  const StepState state = new_state(0.5f);
  state.step.fill(2e9);
  step_with(arena, {1}, state, {.eps = 0});
  EXPECT_NEAR(arena.parameters.item(), -0.5, 1e-15);
  EXPECT_EQ(state.step.item(), 2'000'000'001);
}

TEST_P(AdamBackends, ANanGradientReachesItsParameterAndNoOther) {
  const Arena arena = arena_of({0, 0}, DType::f32);
  step_with(arena, {std::nan(""), 1}, new_state(0.5f), {});
  EXPECT_TRUE(std::isnan(arena.parameters.to_vector<float>()[0]));
  EXPECT_NEAR(arena.parameters.to_vector<float>()[1], -0.5, 1e-6);
}

TEST_P(AdamBackends, OnlyTheFirstElementsDecay) {
  for (const bool decoupled : {true, false}) {
    const Arena arena = arena_of({1, 1, 1, 1, 1}, DType::f64);
    step_with(arena, {0, 0, 0, 0, 0}, new_state(0.5f),
              {.weight_decay = 0.25, .decoupled = decoupled, .decayed = 3});
    const std::vector<double> x = arena.parameters.to_vector<double>();
    // Decoupled 1 - lr weight_decay; else the decay is the gradient, and a first step goes by lr.
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(x[i], decoupled ? 0.875 : 0.5, 1e-7) << i;
    for (int i = 3; i < 5; ++i) EXPECT_EQ(x[i], 1) << i;
  }
}

TEST_P(AdamBackends, TheBf16CopyIsTheNewParametersRounded) {
  const testing::NoisyQuadratic problem(kN);
  const Arena arena = arena_of(problem.start(), DType::f32);
  const Tensor gradients = Tensor::from(problem.gradient(problem.start(), 0), {kN}).to(DType::f32);
  const Tensor copy = Tensor::zeros({kN}, DType::bf16);
  adam_step(arena.parameters, gradients, arena.exp_avg, arena.exp_avg_sq, new_state(0.1f), {},
            copy);
  EXPECT_EQ(copy.to_vector<float>(), arena.parameters.to(DType::bf16).to_vector<float>());
}

TEST_P(AdamBackends, LeavesNoArrivalsBehind) {
  const StepState state = new_state(1);
  for (const std::int64_t n : {1, 3000, 300'000}) {
    const Tensor x = Tensor::zeros({n}), zeros = Tensor::zeros({n});
    const simt::ScopedOptions threads({.schedule = simt::Schedule::shuffled, .seed = 1});
    adam_step(x, zeros, Tensor::zeros({n}), Tensor::zeros({n}), state);
    EXPECT_EQ(state.arrivals.item(), 0) << n;
  }
  EXPECT_EQ(state.step.item(), 3);
}

TEST_P(AdamBackends, CountsStepsOfAnEmptyArena) {
  const StepState state = new_state(1);
  step_with(arena_of({}, DType::f32), {}, state, {});
  EXPECT_EQ(state.step.item(), 1);
}

TEST(Adam, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({3}), other = Tensor::zeros({4});
  const StepState state = new_state(1);
  const std::string but = " is f32 (4) on cpu but parameters is f32 (3) on cpu; they must agree";
  EXPECT_EQ(error_of([&] { adam_step(x, other, x, x, state); }), "adam: gradients" + but);
  EXPECT_EQ(error_of([&] { adam_step(x, x, other, x, state); }), "adam: exp_avg" + but);
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, other, state); }), "adam: exp_avg_sq" + but);
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, {}, state); }),
            "adam: exp_avg_sq is missing; it must be f32 (3) on cpu, as parameters");
  EXPECT_EQ(error_of([&] {
              adam_step(x, x, x, x, {.lr = x, .step = state.step, .arrivals = state.arrivals});
            }),
            "adam: lr is f32 (3) on cpu but must be f32 (1) on cpu");
  EXPECT_EQ(error_of([&] {
              adam_step(x, x, x, x, {.lr = state.lr, .step = {}, .arrivals = state.arrivals});
            }),
            "adam: step is missing; it must be i32 (1) on cpu");
  EXPECT_EQ(error_of([&] {
              adam_step(x, x, x, x, {.lr = state.lr, .step = state.step, .arrivals = {}});
            }),
            "adam: arrivals is missing; it must be i32 (1) on cpu");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {}, other); }),
            "adam: bf16_copy is f32 (4) on cpu but must be bf16 (3) on cpu, or undefined");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {.decayed = -1}); }),
            "adam: decayed is -1 but must be at least 0");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {.beta1 = 1}); }),
            "adam: beta1 is 1 but must be in [0, 1)");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {.beta2 = -0.1}); }),
            "adam: beta2 is -0.1 but must be in [0, 1)");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {.eps = -1}); }),
            "adam: eps is -1 but must be at least 0");
  EXPECT_EQ(error_of([&] { adam_step(x, x, x, x, state, {.weight_decay = -1}); }),
            "adam: weight_decay is -1 but must be at least 0");
}

}  // namespace
}  // namespace cucina
