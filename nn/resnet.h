// ResNets, layer by layer, under the names that published weights have.
#pragma once

#include <cstdint>

#include "nn/models.h"

namespace cucina::nn {

// How a block's shortcut changes size: `pad` (option A) has no parameters, `projection` (option B)
// is a convolution of one pixel and batch norm.
enum class Shortcut : std::uint8_t { pad, projection };

// ResNet-(6 blocks + 2) for CIFAR: a 3x3 convolution, then three stages of 16, 32 and 64 channels
// with `blocks` blocks each. Names of github.com/akamaster/pytorch_resnet_cifar10:
// "layer1.0.conv1", "layer2.0.shortcut.0" (B), "linear".
//   source   He et al. 2016, arXiv:1512.03385, section 4.2
void add_cifar_resnet(Model* model, int blocks, Shortcut shortcut);

struct ResNetStages {
  int blocks[4];
  bool bottleneck;  // 1x1, 3x3, 1x1 with 4 times the channels out; else two 3x3
};
inline constexpr ResNetStages kResNet18{{2, 2, 2, 2}, false};
inline constexpr ResNetStages kResNet34{{3, 4, 6, 3}, false};
inline constexpr ResNetStages kResNet50{{3, 4, 6, 3}, true};

// ResNet-18, -34, -50 under torchvision's names: "layer1.0.conv1", "layer2.0.downsample.0", "fc".
// Images of more than 64 pixels get ImageNet's stem (7x7 at stride 2, max pooling), smaller ones a
// 3x3 convolution. The stride of a bottleneck is in its 3x3, as torchvision has it.
//   source   He et al. 2016, table 1
void add_resnet(Model* model, const ResNetStages& stages);

}  // namespace cucina::nn
