// Promises of schedules: the stated formulas, PyTorch's numbers, and errors for what makes no
// sense.
#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/error_of.h"

namespace cucina::optim {
namespace {

using cucina::testing::error_of;
using enum ScheduleKind;

TEST(Schedule, ConstantIsTheDefaultAndStaysForEver) {
  const Schedule schedule({.learning_rate = 0.25});
  for (const std::int64_t step : {0, 1, 1000, 1'000'000'000}) EXPECT_EQ(schedule.at(step), 0.25);
}

TEST(Schedule, WarmsUpInEqualStepsOfWhichTheLastHasTheHighestRate) {
  const Schedule schedule({.learning_rate = 1, .warmup_steps = 4});
  EXPECT_EQ(schedule.at(0), 0.25);
  EXPECT_EQ(schedule.at(1), 0.5);
  EXPECT_EQ(schedule.at(3), 1);
  EXPECT_EQ(schedule.at(4), 1);
}

// torch.optim.lr_scheduler.CosineAnnealingLR(T_max=10, eta_min=0.02), base 0.2.
TEST(Schedule, CosineIsPyTorchs) {
  const Schedule schedule(
      {.kind = cosine, .learning_rate = 0.2, .total_steps = 10, .final_ratio = 0.1});
  for (int step = 0; step <= 10; ++step)
    EXPECT_NEAR(schedule.at(step), 0.02 + 0.18 * (1 + std::cos(M_PI * step / 10)) / 2, 1e-15);
  EXPECT_NEAR(schedule.at(5), 0.11, 1e-15);
  EXPECT_NEAR(schedule.at(99), 0.02, 1e-15);
}

TEST(Schedule, LinearFallsEvenlyAfterTheWarmUp) {
  const Schedule schedule(
      {.kind = linear, .learning_rate = 1, .total_steps = 12, .warmup_steps = 2});
  EXPECT_EQ(schedule.at(1), 1);
  EXPECT_EQ(schedule.at(2), 1);
  EXPECT_NEAR(schedule.at(7), 0.5, 1e-15);
  EXPECT_EQ(schedule.at(12), 0);
  EXPECT_EQ(schedule.at(50), 0);
}

TEST(Schedule, StepMultipliesEverySoManySteps) {
  const Schedule schedule(
      {.kind = step, .learning_rate = 8, .warmup_steps = 1, .step_every = 3, .step_factor = 0.5});
  EXPECT_EQ(schedule.at(3), 8);
  EXPECT_EQ(schedule.at(4), 4);
  EXPECT_EQ(schedule.at(6), 4);
  EXPECT_EQ(schedule.at(7), 2);
}

// torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10): 0.04 first, 1 at step 2, 4e-6
// last.
TEST(Schedule, OneCycleHasPyTorchsNumbers) {
  const Schedule schedule({.kind = one_cycle, .learning_rate = 1, .total_steps = 10});
  EXPECT_NEAR(schedule.at(0), 0.04, 1e-15);
  EXPECT_NEAR(schedule.at(1), 0.52, 1e-15);
  EXPECT_NEAR(schedule.at(2), 1, 1e-15);
  EXPECT_NEAR(schedule.at(3), 4e-6 + (1 - 4e-6) * (1 + std::cos(M_PI / 7)) / 2, 1e-15);
  EXPECT_NEAR(schedule.at(9), 4e-6, 1e-15);
  EXPECT_NEAR(schedule.at(10), 4e-6, 1e-15);
}

// At most three steps: there is no step before the highest.
TEST(Schedule, OneCycleOfFewStepsIsFinite) {
  for (const std::int64_t steps : {1, 2, 3, 4})
    for (std::int64_t i = 0; i <= steps; ++i) {
      const double rate =
          Schedule({.kind = one_cycle, .learning_rate = 1, .total_steps = steps}).at(i);
      EXPECT_TRUE(rate > 0 && rate <= 1) << steps << " " << i << " " << rate;
    }
}

TEST(Schedule, AuditShowsARateThatEndsTrainingEarly) {
  const Schedule schedule({.kind = step, .learning_rate = 1, .step_every = 10});
  EXPECT_EQ(schedule.audit(100),
            "step, lr 1 at step 1, 0.1 at 10 %, 0.01 at 25 %, 1e-05 at 50 %, 1e-07 at 75 %, "
            "1e-10 at 100 %; mean 0.11 of the highest");
}

TEST(Schedule, NamesAreParsedBack) {
  for (const std::string& each : schedule_names()) EXPECT_EQ(name(parse_schedule(each)), each);
  EXPECT_EQ(error_of([] { parse_schedule("exp"); }),
            "schedule 'exp' is unknown; choose one of constant, cosine, linear, one-cycle, step");
}

TEST(Schedule, RefusesWhatMakesNoSense) {
  const auto error = [](const ScheduleOptions& options) {
    return error_of([&] { Schedule schedule(options); });
  };
  EXPECT_EQ(error({.kind = cosine}), "schedule cosine: 0 steps in all; at least 1 is needed");
  EXPECT_EQ(error({.kind = linear, .total_steps = 5, .warmup_steps = 5}),
            "schedule linear: 5 steps of warm-up of 5 in all; fewer are needed");
  EXPECT_EQ(error({.kind = one_cycle, .total_steps = 5, .warmup_steps = 1}),
            "schedule one-cycle: 1 steps of warm-up; its first 30 % are one, so leave it out");
  EXPECT_EQ(error({.kind = step}),
            "schedule step: the rate changes every 0 steps; at least 1 is needed");
  EXPECT_EQ(error({.final_ratio = 1.5}), "schedule: the final ratio is 1.5; it must be in [0, 1]");
  EXPECT_EQ(error({.step_factor = 0}),
            "schedule: the factor is 0; it must be above 0 and at most 1");
  EXPECT_EQ(error({.learning_rate = -1}),
            "schedule: the learning rate is -1; it must be finite and not negative");
  EXPECT_EQ(error({.warmup_steps = -1}), "schedule: -1 steps of warm-up; give a number from 0 on");
}

}  // namespace
}  // namespace cucina::optim
