// The safetensors writer: the file appears whole, or not at all.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "nn/safetensors.h"

namespace cucina::nn {
namespace {

// A file under a temporary name, removed unless it is renamed to its real one.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& path)
      : path_(path.string()),
        folder_(path.has_parent_path() ? path.parent_path().string() : "."),
        temporary_(folder_ + "/." + path.filename().string() + ".tmp." +
                   std::to_string(::getpid())),
        descriptor_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) refuse(errno);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(temporary_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const void* data, std::size_t bytes) {
    const auto* next = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t done = ::write(descriptor_, next, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) refuse(errno);
      next += done;
      bytes -= static_cast<std::size_t>(done);
    }
  }

  void rename() {
    if (::fsync(descriptor_) != 0) refuse(errno);
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) refuse(errno);
    renamed_ = true;
    const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) refuse(errno);
    const int synced = ::fsync(folder) == 0 ? 0 : errno;
    ::close(folder);
    // Some file systems cannot sync a folder (EINVAL); the file itself is safe there all the same.
    if (synced != 0 && synced != EINVAL) refuse(synced);
  }

 private:
  [[noreturn]] void refuse(int cause) {
    // A destructor does not run for an object whose constructor throws, but then nothing was made.
    fail(ExitCode::run_failed,
         "{}: cannot be written ({}); free some space or choose another folder", path_,
         std::strerror(cause));
  }

  std::string path_;
  std::string folder_;
  std::string temporary_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::vector<TensorToStore> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToStore& a, const TensorToStore& b) {
                     return stored_size(a.dtype) > stored_size(b.dtype);
                   });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorToStore& tensor : tensors) {
    const std::uint64_t end = offset + tensor.bytes.size();
    if (header.contains(tensor.name))
      fail("{}: two arrays are named '{}'", path.string(), tensor.name);
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Class names may come from anywhere; what is not UTF-8 becomes U+FFFD.
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t header_bytes = text.size();

  TemporaryFile file(path);
  file.write(&header_bytes, sizeof header_bytes);
  file.write(text.data(), text.size());
  for (const TensorToStore& tensor : tensors) file.write(tensor.bytes.data(), tensor.bytes.size());
  file.rename();
}

}  // namespace cucina::nn
