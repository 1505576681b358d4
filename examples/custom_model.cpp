// A network of one's own: a module that cucina does not have, inside a Sequential, trained with the
// recipe's trainer and saved under PyTorch's names.
//   custom_model DATA [EPOCHS]      DATA as for cucina train: digits, or a folder of idx or CIFAR
//   files
#include <fmt/core.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "core/error.h"
#include "nn/activations.h"
#include "nn/init.h"
#include "nn/models.h"
#include "nn/summary.h"
#include "nn/weights.h"
#include "recipe/data/load.h"
#include "recipe/skeleton/trainer.h"

namespace nn = cucina::nn;
using cucina::Shape;
using cucina::Tensor;

// A depthwise convolution and one of single pixels: far fewer products than a 3x3 convolution.
// Its gradients come with the ops that forward calls.
class Separable : public nn::Module {
 public:
  Separable(std::int64_t in, std::int64_t out, int stride) {
    const auto own = static_cast<int>(in);
    layers_->make<nn::Conv2d>(
        "depthwise", in, in, 3,
        nn::Conv2dOptions{.stride = stride, .pad = 1, .bias = false, .groups = own});
    layers_->make<nn::Conv2d>("pointwise", in, out, 1, nn::Conv2dOptions{.bias = false});
    layers_->make<nn::BatchNorm2d>("bn", out);
    layers_->make<nn::SiLU>("silu");
    add_child("layers", layers_);
  }

  Tensor forward(const Tensor& x) override { return layers_->forward(x); }
  Shape output_shape(const Shape& x) const override { return layers_->output_shape(x); }
  std::string describe() const override { return "Separable"; }

 private:
  std::shared_ptr<nn::Sequential> layers_ = std::make_shared<nn::Sequential>();
};

nn::Model small_net(const cucina::data::ImageSet& images) {
  nn::Model model{.spec = {.name = "separable",
                           .h = images.h,
                           .w = images.w,
                           .c = images.c,
                           .classes = images.classes},
                  .net = std::make_shared<nn::Sequential>(),
                  .head = nullptr};
  model.net->make<nn::Conv2d>("stem", images.c, 16, 3, nn::Conv2dOptions{.pad = 1});
  model.net->make<Separable>("block1", 16, 32, 2);
  model.net->make<Separable>("block2", 32, 64, 1);
  model.net->make<nn::GlobalAvgPool>("pool");
  model.head = model.net->make<nn::Linear>("fc", 64, images.classes);
  nn::initialise(*model.net, /*seed=*/1);
  return model;
}

int train(const std::string& folder, std::int64_t epochs) {
  const cucina::data::Dataset data = cucina::data::load(folder);
  nn::Model model = small_net(data.train);
  fmt::print("{} parameters\n", nn::parameter_count(*model.net));

  cucina::skeleton::Trainer trainer(model, data,
                                    {.epochs = epochs, .batch_size = 32, .learning_rate = 3e-3});
  const cucina::skeleton::TrainResult result = trainer.run({});
  const cucina::skeleton::Evaluation test = trainer.evaluate(data.test);
  fmt::print("test accuracy {:.2f} % after {} steps\n", 100 * test.accuracy, result.steps);

  nn::save_model("separable.safetensors", model,
                 {.class_names = data.class_names,
                  .mean = trainer.statistics().mean,
                  .stddev = trainer.statistics().stddev});
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "Usage: custom_model DATA [EPOCHS]\n");
    return 2;
  }
  try {
    return train(argv[1], argc > 2 ? std::atoi(argv[2]) : 5);
  } catch (const cucina::Error& error) {
    fmt::print(stderr, "custom_model: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
