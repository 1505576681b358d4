// The bug zoo's fixtures: small trainings of their own loop, each healthy but for one line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/parameter_arena.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "recipe/check/task.h"
#include "recipe/data/image_set.h"

namespace cucina::zoo {

struct Config {
  // "digits": a CNN, Adam; "mnist": batch norm, dropout2d, augmentation; "regression": where a blob
  // is; "causal": a filter over time.
  std::string fixture = "digits";
  std::string bug = "";  // id of a row, see rows.h; empty: none
  // A healthy thing that looks like a bug: "zero-head", "smoothing", ...; empty: none
  std::string trap = "";
  std::uint64_t seed = 1;
  double width = 1;
};

// Examples as they are delivered, and the bytes that they were made of.
struct Examples {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  std::vector<float> x = {};
  std::vector<std::int32_t> labels = {};  // of classes
  std::vector<float> y = {};              // else (n, k)
  std::int64_t k = 1;
  std::vector<std::uint8_t> pixels = {};  // golden ones are taken from here
  std::int64_t size() const { return h * w * c; }
};

class Fixture {
 public:
  explicit Fixture(const Config& config);
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  const checks::Task& task() const { return task_; }

 private:
  bool bug(std::string_view id) const { return config_.bug == id; }
  bool trap(std::string_view name) const { return config_.trap == name; }
  bool digits() const { return config_.fixture == "digits"; }
  bool mnist() const { return config_.fixture == "mnist"; }
  bool regression() const { return config_.fixture == "regression"; }
  bool causal() const { return config_.fixture == "causal"; }

  // data.cpp
  void make_data();
  void images(const data::ImageSet& set, Examples* to) const;
  void blobs(std::int64_t n, std::string_view stream, Examples* to) const;
  void sequences(std::int64_t n, std::string_view stream, Examples* to) const;
  void standardise();
  void spoil_data();
  checks::Loader train_loader(bool augmented);
  checks::Loader validation_loader();
  checks::Loader test_loader();
  checks::Batch batch(const Examples& from, const std::vector<std::int64_t>& indices) const;
  void augment(checks::Batch* batch, std::int64_t epoch, std::int64_t number) const;

  // network.cpp
  void make_network();
  void digits_network();
  void mnist_network();
  void initialise();
  double mean_target() const;

  // loop.cpp
  void make_task();
  void make_optimizer();
  Tensor loss(const Tensor& outputs, const Tensor& targets) const;
  void step(const checks::Batch& batch);
  checks::Measured evaluate();
  checks::Measured measure(const checks::Loader& split);
  checks::Stopped train_to_best();

  Config config_;
  Examples train_, validation_, test_;
  checks::Counted counted_test_;
  // Of parameters, and the buffers that go with them; what is evaluated, where there is one.
  Tensor average_;
  std::vector<Tensor> average_buffers_;
  double mean_ = 0, deviation_ = 1;
  bool augmented_ = false;
  std::shared_ptr<nn::Sequential> net_ = std::make_shared<nn::Sequential>();
  std::shared_ptr<nn::Linear> head_;
  std::unique_ptr<nn::ParameterArena> arena_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<optim::Schedule> schedule_;
  double learning_rate_ = 1e-3;
  std::int64_t batch_size_ = 16;
  std::int64_t epochs_ = 10;
  double calls_ = 0;        // of step()
  double rate_factor_ = 1;  // early stopping makes haste
  checks::Task task_;
};

}  // namespace cucina::zoo
