// A model written as a list of layers, for those that have no name.
#pragma once

#include "nn/models.h"

namespace cucina::nn {

// Builds the network that spec.layers describes for images of spec's size: a JSON array of objects,
// one a layer, in the order of forward.
//   type     one of the kinds below; their numbers are 1, 0, false where nothing else is said
//   name     of its parameters, as in "conv1.weight"; default its place in the list from 0, as
//            PyTorch's Sequential has it
//     conv2d          out, window, stride, pad, dilation, groups, bias (true)
//     linear          out (the classes), bias (true); reads rows, or an image that flatten
//     flattened batch_norm2d    momentum (0.1), eps (1e-5)        layer_norm   eps (1e-5), affine
//     (true) group_norm      groups, eps (1e-5), affine (true) relu, silu, sigmoid, tanh gelu tanh:
//     its approximation max_pool2d, avg_pool2d   window (2), stride (window), pad global_avg_pool,
//     flatten                          dropout, dropout2d   p (0.5) scale           factor
//     sequential      layers: a list                    residual     layers; shortcut: a list;
//                                                                    relu (true)
//   throws   Error naming the layer: the text is no such list, a kind or key is unknown, a value
//   has
//            another type or is out of range, shapes do not fit, or no linear layer makes the
//            logits
Model build_from_layers(const ModelSpec& spec);

}  // namespace cucina::nn
