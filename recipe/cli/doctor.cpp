// `cucina doctor`: what this build and this machine can do, and what is missing.
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/config.h"
#include "core/cuda_runtime.h"
#include "core/error.h"
#include "kernels/common/versions.h"
#include "nn/onnx.h"
#include "optim/all_rooms.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"
#include "recipe/data/picture.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::ordered_json;

// 13000 -> "13.0"
std::string cuda_version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json cuda_report() {
  const CudaRuntime* cuda = cuda_runtime();
  if (cuda == nullptr) return nullptr;
  Json report = {{"compiler", kCudaCompiler},
                 {"architectures", kCudaArchitectures},
                 {"runtime", cuda_version(cuda->runtime_version)}};
  const int driver = cuda->driver_version();
  report["driver"] = driver == 0 ? Json(nullptr) : Json(cuda_version(driver));
  Json devices = Json::array();
  for (int i = 0; i < cuda->device_count(); ++i) {
    const CudaDeviceInfo info = cuda->device_info(i);
    devices.push_back({{"name", info.name},
                       {"compute_capability", fmt::format("{}.{}", info.major, info.minor)},
                       {"multiprocessors", info.multiprocessors},
                       {"memory_bytes", info.memory}});
  }
  report["devices"] = devices;
  return report;
}

// Which backends answer for an op: {"cpu": ["reference", "hand"], "cuda": []}.
Json backends(const OpEntry& op) {
  Json report = Json::object();
  for (const Device device : {Device::cpu, Device::cuda}) {
    Json answering = Json::array();
    for (const Backend backend : {Backend::reference, Backend::hand, Backend::vendor}) {
      if (op.dtypes(backend, device).bits != 0) answering.push_back(name(backend));
    }
    report[std::string(name(device))] = answering;
  }
  return report;
}

Json missing() {
  Json list = Json::array();
  const auto add = [&](const char* what, const char* how) {
    list.push_back({{"what", what}, {"how", how}});
  };
  if (!kHasOnednn)
    add("oneDNN, the cpu's vendor backend",
        "apt install libdnnl-dev ocl-icd-opencl-dev, then build again");
  if (!nn::onnx_available())
    add("ONNX, for cucina export --onnx",
        "apt install libonnx-dev libprotobuf-dev, then build again");
  if (!data::picture_files_available())
    add("PNG and JPEG files, for folders of images and for cucina inspect",
        "apt install libpng-dev libjpeg-dev, then build again");
  if (!kHasCuda) {
    add("CUDA kernels",
        "install NVIDIA's package cuda-toolkit (for nvcc and cudart), then build again");
  } else if (!cuda_available()) {
    add("a usable GPU",
        "install NVIDIA's driver (Debian: nvidia-driver); nvidia-smi must list a "
        "GPU");
  }
  if (kHasCuda && !kHasCudnn)
    add("cuDNN 9 and cuBLASLt, the GPU's vendor backend",
        "apt install cudnn9-cuda-13 libcublas-dev, then build again");
  return list;
}

Json collect() {
  Json ops = Json::object();
  for (const OpEntry& op : all_rooms()) ops[std::string(op.name)] = backends(op);
  return {{"cucina", kVersion},
          {"compiler", kCompiler},
          {"build_type", kBuildType},
          {"threads", omp_get_max_threads()},
          {"onednn", text_or_null(onednn_version())},
          {"cudnn", text_or_null(cudnn_version())},
          {"cublas_lt", text_or_null(cublas_lt_version())},
          {"cuda", cuda_report()},
          {"ops", ops},
          {"missing", missing()}};
}

std::string text_of(const Json& value) {
  if (value.is_null()) return "none";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string words(const Json& list) {
  std::string text;
  for (const Json& word : list) text += (text.empty() ? "" : ", ") + word.get<std::string>();
  return text.empty() ? "-" : text;
}

std::string to_text(const Json& report) {
  const auto line = [](const std::string& what, const std::string& value) {
    return fmt::format("{:<24}{}\n", what, value);
  };
  std::string text;
  for (const char* key :
       {"cucina", "compiler", "build_type", "threads", "onednn", "cudnn", "cublas_lt"})
    text += line(key, text_of(report[key]));
  const Json& cuda = report["cuda"];
  if (cuda.is_null()) {
    text += line("cuda", "not in this build");
  } else {
    for (const char* key : {"compiler", "architectures", "runtime", "driver"})
      text += line(std::string("cuda ") + key, text_of(cuda[key]));
    if (cuda["devices"].empty()) text += line("cuda devices", "none");
    for (const Json& device : cuda["devices"])
      text += line("cuda device",
                   fmt::format("{}, compute capability {}, {} multiprocessors, {:.1f} GiB",
                               text_of(device["name"]), text_of(device["compute_capability"]),
                               device["multiprocessors"].get<int>(),
                               device["memory_bytes"].get<double>() / (1 << 30)));
  }
  text += fmt::format("\n{:<24}{:<28}{}\n", "op", "backends on cpu", "backends on cuda");
  for (const auto& [op, answering] : report["ops"].items())
    text += fmt::format("{:<24}{:<28}{}\n", op, words(answering["cpu"]), words(answering["cuda"]));
  if (report["missing"].empty()) return text + "\nnothing is missing\n";
  text += '\n';
  for (const Json& each : report["missing"])
    text += fmt::format("missing: {}: {}\n", text_of(each["what"]), text_of(each["how"]));
  return text;
}

}  // namespace

Run add_doctor(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "Print JSON");
  return [json] {
    const Json report = collect();
    print(*json ? report.dump() + "\n" : to_text(report));
    return 0;
  };
}

}  // namespace cucina::cli
