// The folder a run leaves behind: made safely, and its config.toml with every effective setting.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cucina::report {

using Setting = std::variant<bool, std::int64_t, double, std::string>;

// One [section] of a TOML file; an empty name is for keys above the first section.
struct Section {
  std::string name;
  std::vector<std::pair<std::string, Setting>> settings;
};

// The sections as TOML 1.0, in order. Bytes that are not UTF-8 become U+FFFD, as TOML must be
// UTF-8.
std::string to_toml(const std::vector<Section>& sections);

// What becomes of a run that the folder already holds.
enum class Existing : std::uint8_t { refuse, replace, keep };

// The settings by dotted name, such as "train.batch_size", in TOML's spelling.
std::map<std::string, std::string> flatten(const std::vector<Section>& sections);

class RunDirectory {
 public:
  // Makes `path` and its parents. A folder that already holds a run (config.toml, metrics.jsonl, a
  // model or checkpoints) is refused; with `replace` it loses those files and nothing else; with
  // `keep` only what a killed process left half written.
  //   throws   Error, exit code 2: it holds a run, is a file, or cannot be written
  RunDirectory(const std::filesystem::path& path, Existing existing);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  // Of the validation with the lowest loss.
  std::filesystem::path best_model() const { return path_ / "best.safetensors"; }
  std::filesystem::path checkpoints() const { return path_ / "ckpt"; }

  // Writes config.toml; it appears whole or not at all.
  void write_config(const std::vector<Section>& sections) const;

 private:
  std::filesystem::path path_;
};

}  // namespace cucina::report
