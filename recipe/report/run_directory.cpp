// Makes run folders and writes their settings as TOML.
#include "recipe/report/run_directory.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>
#include <system_error>

#include "core/error.h"
#include "core/whole_file.h"

namespace cucina::report {
namespace {

// How many bytes of valid UTF-8 `text` starts with, as one character; 0 when it is not valid.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  // Overlong forms, surrogates, and what lies above U+10FFFF (RFC 3629).
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f))
    return 0;
  return length;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += text[0];
    } else if (first == '\n') {
      out += "\\n";
    } else if (first == '\t') {
      out += "\\t";
    } else if (first < 0x20 || first == 0x7f) {
      out += fmt::format("\\u{:04X}", first);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out + '"';
}

std::string key_text(std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(key) : quote(key);
}

std::string value_text(bool value) { return value ? "true" : "false"; }
std::string value_text(std::int64_t value) { return std::to_string(value); }
std::string value_text(const std::string& value) { return quote(value); }
std::string value_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const std::string text = fmt::format("{}", value);
  // Without a point or an exponent it would read back as an integer.
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (entry.is_regular_file(none)) files.push_back(entry.path());
  }
  return files;
}

// Left by a process that was killed while it wrote: ".model.safetensors.tmp.123".
bool is_temporary(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  const std::size_t at = name.rfind(".tmp.");
  return at != std::string::npos && name.starts_with('.') &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(at) + 5, name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string to_toml(const std::vector<Section>& sections) {
  std::string text;
  for (const auto& [name, settings] : sections) {
    if (!text.empty()) text += '\n';
    if (!name.empty()) text += fmt::format("[{}]\n", key_text(name));
    for (const auto& [key, setting] : settings)
      text += fmt::format("{} = {}\n", key_text(key),
                          std::visit([](const auto& value) { return value_text(value); }, setting));
  }
  return text;
}

std::map<std::string, std::string> flatten(const std::vector<Section>& sections) {
  std::map<std::string, std::string> all;
  for (const auto& [name, settings] : sections)
    for (const auto& [key, setting] : settings)
      all[name.empty() ? key : fmt::format("{}.{}", name, key)] =
          std::visit([](const auto& value) { return value_text(value); }, setting);
  return all;
}

RunDirectory::RunDirectory(const std::filesystem::path& path, Existing existing) : path_(path) {
  if (path_.empty()) fail("--out: the folder's name is empty; name one, such as runs/first");
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (!std::filesystem::is_directory(path_)) {
    const std::string cause = error ? error.message() : "it is not a folder";
    fail("--out {}: cannot be made ({}); choose another folder", path_.string(), cause);
  }
  // The owner of a folder may still be unable to write to it (a read-only disk), so try.
  std::string probe = (path_ / ".cucina-XXXXXX").string();
  const int descriptor = ::mkstemp(probe.data());
  if (descriptor < 0)
    fail("--out {}: cannot be written ({}); choose another folder", path_.string(),
         std::strerror(errno));
  ::close(descriptor);
  ::unlink(probe.c_str());
  const auto remove = [&](const std::filesystem::path& file) {
    if (!std::filesystem::remove(file, error))
      fail("--out {}: {} cannot be removed ({}); choose another folder", path_.string(),
           file.filename().string(), error.message());
  };
  std::vector<std::filesystem::path> run{config(), metrics(), model(), best_model()};
  for (const auto& file : files_in(checkpoints())) {
    if (file.extension() == ".safetensors") run.push_back(file);
  }
  for (const auto& file : run) {
    if (existing == Existing::keep || !std::filesystem::exists(file, error)) continue;
    if (existing == Existing::refuse)
      fail("--out {}: holds a run already ({}); choose another folder or give --overwrite",
           path_.string(), file.filename().string());
    remove(file);
  }
  // Files of a process that may still run are not ours to remove, unless the user says so.
  if (existing == Existing::refuse) return;
  for (const auto& folder : {path_, checkpoints()}) {
    for (const auto& file : files_in(folder)) {
      if (is_temporary(file)) remove(file);
    }
  }
}

void RunDirectory::write_config(const std::vector<Section>& sections) const {
  WholeFile file(config(), [&](const std::string& cause) {
    fail(ExitCode::run_failed,
         "{}: cannot be written ({}); free some space or choose another --out", config().string(),
         cause);
  });
  file.write(to_toml(sections));
  file.finish();
}

}  // namespace cucina::report
