// Models as ONNX files, for every program that runs them.
#pragma once

#include <filesystem>

#include "nn/weights.h"

namespace cucina::nn {

// Was cucina built with ONNX's library?
bool onnx_available();

// Writes the model as it evaluates: opset 17, IR version 8, input "input" (N, C, H, W) f32, already
// standardised, output "logits" (N, classes). Arrays have the names and order of PyTorch's
// state_dict. Metadata as save_model's: cucina.mean and .std say how images are standardised.
//   throws   Error, exit code 1: it cannot be written, or this build lacks ONNX; code 2: a module
//   of
//            one's own has no write_graph()
void write_onnx(const std::filesystem::path& path, const Model& model, const ModelInfo& info);

}  // namespace cucina::nn
