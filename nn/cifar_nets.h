// Networks made to learn CIFAR-10 in as little time as possible.
#pragma once

#include "nn/models.h"

namespace cucina::nn {

// ResNet-9: eight 3x3 convolutions, each with batch norm and relu, maximum pooling between the
// stages, residual branches in the first and third, and logits scaled by 1/8. Names follow the
// author's nested table: "prep.conv", "layer1.residual.res1.bn", "linear".
//   source   Page 2018, "How to Train Your ResNet", part 4, myrtle.ai
void add_resnet9(Model* model);

// airbench94: a frozen 2x2 convolution that whitens patches, then three groups of two 3x3
// convolutions with batch norm (its weights frozen at 1) and gelu, and logits scaled by 1/256. Its
// names: "whiten", "layers.1.conv1", "layers.3.norm2", "head".
//   source   Jordan 2024, arXiv:2404.00498, section 3.2, and airbench94_muon.py
void add_airbench94(Model* model);
// Its own initial values, over those of initialise(): the first filters of every convolution pass
// their inputs on, and the head's weights have a deviation of 1.
void start_airbench94(const Model& model);

}  // namespace cucina::nn
