// The cache of measured choices, and when to measure.
#include "kernels/common/tuning.h"

#include <cstdlib>
#include <fstream>
#include <memory>

#include "core/cuda_runtime.h"

namespace cucina {
namespace {

std::string& forced_candidate() {
  static std::string name;
  return name;
}

bool tuning_is_off() {
  const char* text = std::getenv("CUCINA_TUNING");
  return text != nullptr && std::string_view(text) == "off";
}

std::filesystem::path cache_file(const std::string& gpu) {
  std::filesystem::path folder;
  if (const char* cache = std::getenv("CUCINA_CACHE"); cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".cache" / "cucina";
  } else {
    return {};
  }
  std::string name = "tuning_" + gpu + ".tsv";
  for (char& c : name) {
    if (c == ' ' || c == '/') c = '_';
  }
  return folder / name;
}

// Ops use one GPU.
TuningCache& cache_of_gpu() {
  static TuningCache cache(cache_file(cuda_runtime()->device_info(0).name));
  return cache;
}

std::optional<std::size_t> index_of(std::string_view name,
                                    std::span<const std::string_view> names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return i;
  }
  return std::nullopt;
}

}  // namespace

TuningCache::TuningCache(std::filesystem::path file) : file_(std::move(file)) {}

void TuningCache::load() {
  if (loaded_) return;
  loaded_ = true;
  std::ifstream in(file_);
  for (std::string line; std::getline(in, line);) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    answers_[line.substr(0, tab)] = line.substr(tab + 1);
  }
}

std::optional<std::size_t> TuningCache::find(const std::string& question,
                                             std::span<const std::string_view> names) {
  const std::lock_guard lock(mutex_);
  load();
  const auto known = answers_.find(question);
  return known == answers_.end() ? std::nullopt : index_of(known->second, names);
}

std::size_t TuningCache::measure(const std::string& question,
                                 std::span<const std::string_view> names,
                                 const std::function<double(std::size_t)>& seconds) {
  std::size_t best = 0;
  double least = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double taken = seconds(i);
    if (i > 0 && taken >= least) continue;
    best = i;
    least = taken;
  }
  const std::lock_guard lock(mutex_);
  load();
  answers_[question] = names[best];
  if (!file_.empty()) {
    std::error_code failed;  // then the file is not written either
    std::filesystem::create_directories(file_.parent_path(), failed);
    // Processes that append whole lines do not mix them.
    std::ofstream(file_, std::ios::app) << question + '\t' + std::string(names[best]) + '\n';
  }
  return best;
}

std::size_t tuned_choice(const std::string& question, std::span<const std::string_view> names,
                         std::size_t heuristic, const Stream& stream,
                         const std::function<void(std::size_t)>& run) {
  if (const auto forced = index_of(forced_candidate(), names)) return *forced;
  if (stream.device() != Device::cuda || names.size() == 1 || tuning_is_off()) return heuristic;
  TuningCache& cache = cache_of_gpu();
  if (const auto known = cache.find(question, names)) return *known;
  if (is_capturing(stream)) return heuristic;
  return cache.measure(question, names, [&](std::size_t i) {
    constexpr int kTimes = 3;
    run(i);  // the first run of a kernel loads it
    double least = gpu_seconds(stream, [&] { run(i); });
    for (int time = 1; time < kTimes; ++time) {
      least = std::min(least, gpu_seconds(stream, [&] { run(i); }));
    }
    return least;
  });
}

ScopedCandidate::ScopedCandidate(std::string name) : before_(forced_candidate()) {
  forced_candidate() = std::move(name);
}
ScopedCandidate::~ScopedCandidate() { forced_candidate() = before_; }

}  // namespace cucina
