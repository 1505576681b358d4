// Runs the `cucina` program in a folder of its own and keeps what it wrote.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/data/files.h"

namespace cucina::cli {

using data::Bytes;
using data::Folder;
using Arguments = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

struct Outcome {
  int code = -1;  // exit code; 1000 + the signal's number when one ended it
  std::string out;
  std::string err;
};

inline std::string text_of(const std::filesystem::path& path) {
  const Bytes bytes = data::read(path);
  return {bytes.begin(), bytes.end()};
}

// A running program; finish() waits for it.
class Program {
 public:
  // Its stdout and stderr go to files in `folder`, which is also its current folder.
  Program(const Folder& folder, const Arguments& arguments, const Variables& variables = {},
          const char* program = CUCINA_PROGRAM)
      : folder_(folder.path()) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    if (::chdir(folder_.c_str()) != 0) ::_exit(99);
    const auto redirect = [&](const char* name, int to) {
      const int file = ::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(file, to);
    };
    redirect(".out", STDOUT_FILENO);
    redirect(".err", STDERR_FILENO);
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> argv{const_cast<char*>("cucina")};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(program, argv.data());
    ::_exit(98);
  }

  void signal(int number) const { ::kill(pid_, number); }

  // Waits until `file` in the folder holds something; false when the program ended before.
  bool wait_for(const std::filesystem::path& file) {
    while (true) {
      std::error_code ignored;
      if (std::filesystem::file_size(folder_ / file, ignored) > 0 && !ignored) return true;
      siginfo_t info{};
      ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid == pid_) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  Outcome finish() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return {.code = code, .out = text_of(folder_ / ".out"), .err = text_of(folder_ / ".err")};
  }

 private:
  std::filesystem::path folder_;
  pid_t pid_;
};

inline Outcome run(const Folder& folder, const Arguments& arguments,
                   const Variables& variables = {}) {
  return Program(folder, arguments, variables).finish();
}

// Files in the form of MNIST: 8x8 images, dark but for a bright 3x3 spot, where each class has its
// own place; noise around it. Easy to learn and quick to make.
inline void write_spots(const std::filesystem::path& folder, int train, int test,
                        int classes = 10) {
  std::filesystem::create_directories(folder);
  std::uint32_t state = 12345;
  const auto noise = [&] { return (state = state * 1664525 + 1013904223) >> 24; };
  for (const auto& [name, n] : {std::pair{"train", train}, std::pair{"t10k", test}}) {
    Bytes pixels, labels;
    for (int i = 0; i < n; ++i) {
      const int label = i % classes;
      labels.push_back(static_cast<std::uint8_t>(label));
      for (int y = 0; y < 8; ++y)
        for (int x = 0; x < 8; ++x) {
          const bool spot = (y - label / 4 * 2) / 3 == 0 && y >= label / 4 * 2 &&
                            (x - label % 4) / 3 == 0 && x >= label % 4;
          pixels.push_back(static_cast<std::uint8_t>(noise() / 4 + (spot ? 150 : 0)));
        }
    }
    const auto count = static_cast<std::uint32_t>(n);
    data::write(folder / (std::string(name) + "-images-idx3-ubyte"),
                data::idx(0x803, {count, 8, 8}, pixels));
    data::write(folder / (std::string(name) + "-labels-idx1-ubyte"),
                data::idx(0x801, {count}, labels));
  }
}

// A folder with 600 spots to train on and 100 to test with, in "data", which nobody changes.
inline const Folder& spots() {
  static const Folder folder;
  static const bool written = [] {
    write_spots(folder / "data", 600, 100);
    return true;
  }();
  (void)written;
  return folder;
}

// Everything below a folder but the files this header writes: paths with contents.
inline std::map<std::string, std::string> contents(const Folder& folder) {
  std::map<std::string, std::string> all;
  for (const auto& each : std::filesystem::recursive_directory_iterator(folder.path())) {
    const std::string name = std::filesystem::relative(each.path(), folder.path()).string();
    if (name == ".out" || name == ".err") continue;
    all[name] = each.is_regular_file() ? text_of(each.path()) : "";
  }
  return all;
}

}  // namespace cucina::cli
