// A training loop written by hand, and the recipe's checks run over it before it trains.
//
//   build/examples/check_your_own_loop          all is well: exit code 0
//   build/examples/check_your_own_loop --bug    gradients are never forgotten: exit code 6
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numbers>
#include <vector>

#include "core/autograd.h"
#include "core/random.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/parameter_arena.h"
#include "optim/optimizer.h"
#include "recipe/check/check.h"
#include "recipe/check/results.h"

namespace {

namespace checks = cucina::checks;
using checks::Batch;
using checks::Loader;
using cucina::RandomStream;
using cucina::Tensor;

constexpr std::int64_t kTrain = 480, kValidation = 240, kBatch = 16;

// Two spirals, one for each class.
Batch spirals(const std::vector<std::int64_t>& indices) {
  const RandomStream random(7, "spirals");
  std::vector<float> points;
  std::vector<std::int32_t> labels;
  for (const std::int64_t i : indices) {
    const auto label = static_cast<std::int32_t>(i % 2);
    const double turn = 3.5 * random.uniform(0, static_cast<std::uint64_t>(i));
    const double angle = turn + label * std::numbers::pi;
    points.push_back(static_cast<float>(turn * std::cos(angle) / 2));
    points.push_back(static_cast<float>(turn * std::sin(angle) / 2));
    labels.push_back(label);
  }
  const auto n = static_cast<std::int64_t>(indices.size());
  return {Tensor::from(points, {n, 2}), Tensor::from(labels, {n}), indices};
}

// Examples [first, first + n) in batches; shuffled where there is an epoch.
Loader loader(std::int64_t first, std::int64_t n, bool shuffled) {
  return [=](std::int64_t epoch, const checks::Visit& visit) {
    std::vector<std::int64_t> order =
        cucina::permutation(RandomStream(1, "shuffle"), static_cast<std::uint32_t>(epoch), n);
    for (std::int64_t begin = 0; begin < n; begin += kBatch) {
      std::vector<std::int64_t> indices;
      for (std::int64_t i = begin; i < std::min(n, begin + kBatch); ++i)
        indices.push_back(first + (shuffled ? order[static_cast<std::size_t>(i)] : i));
      if (!visit(spirals(indices))) return;
    }
  };
}

}  // namespace

int main(int argc, char** argv) {
  const bool bug = argc > 1 && std::strcmp(argv[1], "--bug") == 0;

  const auto net = std::make_shared<cucina::nn::Sequential>();
  net->make<cucina::nn::Linear>("fc1", 2, 32);
  net->make<cucina::nn::ReLU>("relu1");
  net->make<cucina::nn::Linear>("fc2", 32, 32);
  net->make<cucina::nn::ReLU>("relu2");
  net->make<cucina::nn::Linear>("fc3", 32, 2);
  cucina::nn::initialise(*net, 1, cucina::nn::initial_named("kaiming-uniform"));
  const cucina::nn::ParameterArena arena(*net);
  cucina::optim::Adam adam({.values = arena.values(),
                            .gradients = arena.gradients(),
                            .decayed = arena.segments().front().weights_end,
                            .alignment = arena.alignment()},
                           {.learning_rate = 3e-3});

  // The loop's parts, as the loop below uses them and as the checks do.
  const auto loss = [](const Tensor& outputs, const Tensor& targets) {
    return cucina::softmax_cross_entropy(outputs, targets).loss;
  };
  const auto step = [&](const Batch& batch) {
    if (!bug) arena.clear_gradients();
    cucina::backward(loss((*net)(batch.inputs), batch.targets));
    arena.complete_gradients();
    adam.step();
  };
  const Loader train = loader(0, kTrain, true), validation = loader(kTrain, kValidation, false);

  checks::Task task = checks::task_for(net);
  task.name = "spirals";
  task.loss = loss;
  task.step = step;
  task.train = train;
  task.validation = validation;
  task.classes = 2;
  task.train_examples = kTrain;
  task.learning_rate = 3e-3;
  task.optimizer = {.kind = checks::OptimizerKind::adam};
  checks::add_state(&task, adam);
  const std::vector<checks::Result> results =
      checks::run_checks(checks::all_checks(), task, [](const checks::Result& result) {
        std::fputs(checks::table_row(result, false).c_str(), stdout);
      });
  std::fputs(checks::summary(results).c_str(), stdout);
  if (checks::any_failed(results)) return 6;

  for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
    train(epoch, [&](const Batch& batch) {
      step(batch);
      return true;
    });
  }
  std::int64_t right = 0;
  validation(0, [&](const Batch& batch) {
    const cucina::NoGrad no_grad;
    for (const std::int32_t correct :
         cucina::softmax_cross_entropy((*net)(batch.inputs), batch.targets)
             .correct.to_vector<std::int32_t>())
      right += correct;
    return true;
  });
  std::printf("trained: %.1f %% of %lld validation examples are right\n",
              100.0 * right / kValidation, static_cast<long long>(kValidation));
  return 0;
}
