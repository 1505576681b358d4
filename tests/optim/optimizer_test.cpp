// The optimisers over flat buffers: that they call the ops as they say.
#include "optim/optimizer.h"

#include <gtest/gtest.h>

#include "optim/ema/ema.h"
#include "optim/sgd/sgd.h"
#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina::optim {
namespace {

using cucina::testing::error_of;

constexpr std::int64_t kN = 97;
const cucina::testing::NoisyQuadratic kProblem(kN);

Flat new_flat(std::int64_t decayed) {
  return {.values = Tensor::from(kProblem.start(), {kN}),
          .gradients = Tensor::from(kProblem.gradient(kProblem.start(), 0), {kN}),
          .decayed = decayed};
}

Tensor zeros() { return Tensor::zeros({kN}, DType::f64); }

std::vector<double> part(const Tensor& tensor, std::size_t begin, std::size_t end) {
  const std::vector<double> all = tensor.to_vector<double>();
  return {all.begin() + static_cast<std::ptrdiff_t>(begin),
          all.begin() + static_cast<std::ptrdiff_t>(end)};
}

TEST(Optimizers, AdamIsTheOpWithTheDecayOfTheFirstElements) {
  Flat flat = new_flat(40);
  flat.bf16_values = Tensor::zeros({kN}, DType::bf16);
  Adam adam(flat, {.learning_rate = 0.1, .weight_decay = 0.5});
  const Tensor x = new_flat(0).values, m = zeros(), v = zeros();
  const StepState state = StepState::make(0.1, Device::cpu);
  for (int step = 0; step < 3; ++step) {
    adam.step();
    adam_step(x, flat.gradients, m, v, state, {.weight_decay = 0.5, .decayed = 40});
  }
  EXPECT_EQ(flat.values.to_vector<double>(), x.to_vector<double>());
  EXPECT_EQ(flat.bf16_values.to_vector<float>(), x.to(DType::bf16).to_vector<float>());
  EXPECT_EQ(adam.steps().item(), 3);
}

TEST(Optimizers, SgdIsTheOpWithTheDecayOfTheFirstElements) {
  const Flat flat = new_flat(40);
  Sgd sgd(flat, {.learning_rate = 0.1, .momentum = 0.5, .weight_decay = 0.5, .nesterov = true});
  const Tensor x = new_flat(0).values, b = zeros();
  const StepState state = StepState::make(0.1, Device::cpu);
  for (int step = 0; step < 3; ++step) {
    sgd.step();
    sgd_step(x, flat.gradients, b, state,
             {.momentum = 0.5, .weight_decay = 0.5, .nesterov = true, .decayed = 40});
  }
  EXPECT_EQ(flat.values.to_vector<double>(), x.to_vector<double>());
  EXPECT_EQ(sgd.steps().item(), 3);
}

TEST(Optimizers, MuonTakesItsMatricesAndAdamTheRest) {
  const MuonOptions options{
      .learning_rate = 0.25, .weight_decay = 0.5, .rest = {.learning_rate = 0.5}};
  const std::vector<MuonMatrix> matrices{{.offset = 48, .rows = 4, .columns = 5},
                                         {.offset = 8, .rows = 5, .columns = 3}};
  Flat flat = new_flat(70);
  flat.alignment = 8;
  Muon muon(flat, matrices, options);
  muon.set_learning_rate(0.125);  // and 0.25 for the rest
  const Tensor by_muon = new_flat(0).values, by_adam = new_flat(0).values;
  const Tensor b = zeros(), m = zeros(), v = zeros();
  const StepState muon_state = StepState::make(0.125, Device::cpu);
  const StepState adam_state = StepState::make(0.25, Device::cpu);
  for (int step = 0; step < 3; ++step) {
    muon.step();
    muon_step(by_muon, flat.gradients, b, matrices, muon_state, {.weight_decay = 0.5});
    adam_step(by_adam, flat.gradients, m, v, adam_state);
  }
  EXPECT_EQ(part(flat.values, 0, 8), part(by_adam, 0, 8));
  EXPECT_EQ(part(flat.values, 8, 23), part(by_muon, 8, 23));
  // What is left of the last multiple of 8 belongs to nobody.
  EXPECT_EQ(part(flat.values, 23, 24), part(new_flat(0).values, 23, 24));
  EXPECT_EQ(part(flat.values, 24, 48), part(by_adam, 24, 48));
  EXPECT_EQ(part(flat.values, 48, 68), part(by_muon, 48, 68));
  EXPECT_EQ(part(flat.values, 72, kN), part(by_adam, 72, kN));
  EXPECT_EQ(muon.steps().item(), 3);
}

TEST(Optimizers, AveragesFollowTheValues) {
  const Flat flat = new_flat(0);
  Average average(flat.values, {.decay = 0.75});
  EXPECT_EQ(average.values().to_vector<double>(), flat.values.to_vector<double>());
  Sgd sgd(flat, {.learning_rate = 0.1});
  const Tensor by_op = flat.values.clone();
  for (int step = 0; step < 3; ++step) {
    sgd.step();
    average.update(sgd.steps());
    ema_step(by_op, flat.values, Tensor::full({1}, 0.75), Tensor::full({1}, step + 1, DType::i32));
  }
  EXPECT_EQ(average.values().to_vector<double>(), by_op.to_vector<double>());
  EXPECT_NE(by_op.to_vector<double>(), flat.values.to_vector<double>());
}

TEST(Optimizers, RefuseBadArgumentsInASentence) {
  Flat flat = new_flat(98);
  EXPECT_EQ(error_of([&] { Adam adam(flat); }), "optimizer: decay of the first 98 of 97 values");
  flat.decayed = 0;
  EXPECT_EQ(error_of([&] { Adam adam(flat, {.weight_decay = -1}); }),
            "optimizer: the weight decay is -1; it must be finite and not negative");
  EXPECT_EQ(error_of([&] { Sgd sgd(flat, {.learning_rate = -1}); }),
            "optimizer: the learning rate is -1; it must be finite and not negative");
  EXPECT_EQ(error_of([&] { Muon muon(flat, {{.offset = 90, .rows = 2, .columns = 4}}); }),
            "muon: the matrix at 90 is 2 x 4 but the arena has 97 elements");
  EXPECT_EQ(error_of([&] { Average average(flat.values, {.decay = 1.5}); }),
            "average: the decay is 1.5; it must be in [0, 1]");
}

}  // namespace
}  // namespace cucina::optim
