// Writes, syncs and renames.
#include "core/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace cucina {

WholeFile::WholeFile(const std::filesystem::path& path, Refuse refuse_with)
    : path_(path.string()),
      folder_(path.has_parent_path() ? path.parent_path().string() : "."),
      temporary_(folder_ + "/." + path.filename().string() + ".tmp." + std::to_string(::getpid())),
      refuse_(std::move(refuse_with)),
      descriptor_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  // No destructor runs for an object whose constructor throws, but then nothing was made.
  if (descriptor_ < 0) refuse(errno);
}

WholeFile::~WholeFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!finished_) ::unlink(temporary_.c_str());
}

void WholeFile::write(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor_, next, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) refuse(errno);
    next += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void WholeFile::finish() {
  if (::fsync(descriptor_) != 0) refuse(errno);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) refuse(errno);
  finished_ = true;
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) refuse(errno);
  const int synced = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  // Some file systems cannot sync a folder (EINVAL); the file itself is safe there all the same.
  if (synced != 0 && synced != EINVAL) refuse(synced);
}

void WholeFile::refuse(int cause) {
  refuse_(std::strerror(cause));
  std::abort();  // it has to throw: there is nothing to go on with
}

}  // namespace cucina
