// Builds the ResNets from residual blocks.
#include "nn/resnet.h"

#include <algorithm>
#include <string>

#include "nn/residual.h"

namespace cucina::nn {
namespace {

Conv2dOptions pixels3(int stride) { return {.stride = stride, .pad = 1, .bias = false}; }
Conv2dOptions pixel1(int stride) { return {.stride = stride, .pad = 0, .bias = false}; }

std::shared_ptr<Module> projection(std::int64_t in, std::int64_t out, int stride) {
  auto layers = std::make_shared<Sequential>();
  layers->make<Conv2d>("0", in, out, 1, pixel1(stride));
  layers->make<BatchNorm2d>("1", out);
  return layers;
}

std::shared_ptr<Residual> basic_block(std::int64_t in, std::int64_t out, int stride) {
  auto block = std::make_shared<Residual>();
  block->make<Conv2d>("conv1", in, out, 3, pixels3(stride));
  block->make<BatchNorm2d>("bn1", out);
  block->make<ReLU>("relu");
  block->make<Conv2d>("conv2", out, out, 3, pixels3(1));
  block->make<BatchNorm2d>("bn2", out);
  return block;
}

std::shared_ptr<Residual> bottleneck(std::int64_t in, std::int64_t width, std::int64_t out,
                                     int stride) {
  auto block = std::make_shared<Residual>();
  block->make<Conv2d>("conv1", in, width, 1, pixel1(1));
  block->make<BatchNorm2d>("bn1", width);
  block->make<ReLU>("relu1");
  block->make<Conv2d>("conv2", width, width, 3, pixels3(stride));
  block->make<BatchNorm2d>("bn2", width);
  block->make<ReLU>("relu2");
  block->make<Conv2d>("conv3", width, out, 1, pixel1(1));
  block->make<BatchNorm2d>("bn3", out);
  return block;
}

}  // namespace

void add_cifar_resnet(Model* model, int blocks, Shortcut shortcut) {
  Sequential& net = *model->net;
  net.make<Conv2d>("conv1", model->spec.c, 16, 3, pixels3(1));
  net.make<BatchNorm2d>("bn1", 16);
  net.make<ReLU>("relu");
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    const auto layers = net.make<Sequential>("layer" + std::to_string(stage));
    const std::int64_t out = std::int64_t{8} << stage;
    for (int i = 0; i < blocks; ++i) {
      const int stride = in == out ? 1 : 2;
      auto block = basic_block(in, out, stride);
      if (in != out) {
        block->set_shortcut("shortcut", shortcut == Shortcut::projection
                                            ? projection(in, out, stride)
                                            : std::make_shared<PadChannels>(in, out, stride));
      }
      layers->add(std::to_string(i), block);
      in = out;
    }
  }
  net.make<GlobalAvgPool>("pool");
  model->head = net.make<Linear>("linear", in, model->spec.classes);
}

void add_resnet(Model* model, const ResNetStages& stages) {
  constexpr std::int64_t kSmallImage = 64;
  const ModelSpec& spec = model->spec;
  Sequential& net = *model->net;
  if (std::max(spec.h, spec.w) <= kSmallImage) {
    net.make<Conv2d>("conv1", spec.c, 64, 3, pixels3(1));
  } else {
    net.make<Conv2d>("conv1", spec.c, 64, 7, Conv2dOptions{.stride = 2, .pad = 3, .bias = false});
  }
  net.make<BatchNorm2d>("bn1", 64);
  net.make<ReLU>("relu");
  if (std::max(spec.h, spec.w) > kSmallImage)
    net.make<MaxPool2d>("maxpool", Pool2dParams{.window = 3, .stride = 2, .pad = 1});
  std::int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage) {
    const auto layers = net.make<Sequential>("layer" + std::to_string(stage + 1));
    const std::int64_t width = std::int64_t{64} << stage;
    const std::int64_t out = stages.bottleneck ? 4 * width : width;
    for (int i = 0; i < stages.blocks[stage]; ++i) {
      const int stride = stage > 0 && i == 0 ? 2 : 1;
      auto block =
          stages.bottleneck ? bottleneck(in, width, out, stride) : basic_block(in, out, stride);
      if (in != out || stride != 1) block->set_shortcut("downsample", projection(in, out, stride));
      layers->add(std::to_string(i), block);
      in = out;
    }
  }
  net.make<GlobalAvgPool>("avgpool");
  model->head = net.make<Linear>("fc", in, spec.classes);
}

}  // namespace cucina::nn
