// What a build without ONNX's library answers.
#include "core/error.h"
#include "nn/onnx.h"

namespace cucina::nn {

bool onnx_available() { return false; }

void write_onnx(const std::filesystem::path& path, const Model&, const ModelInfo&) {
  fail(ExitCode::run_failed,
       "{}: this build of cucina has no ONNX; install libonnx-dev and libprotobuf-dev, then build "
       "again",
       path.string());
}

}  // namespace cucina::nn
