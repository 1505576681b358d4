// Missing barriers: every __syncthreads() of every room is removed in turn, and something has to
// notice.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "kernels/drivers/checks.h"
#include "kernels/simt/checked.h"
#include "kernels/simt/options.h"
#include "kernels/simt/report.h"
#include "optim/all_rooms.h"

namespace cucina::drivers {
namespace {

constexpr std::array kSchedules{simt::Schedule::forward, simt::Schedule::reverse,
                                simt::Schedule::shuffled};

// Instrumented kernels are slow; the cases kept still have several blocks, ragged tiles and long
// sums.
bool small(const Call& call) {
  std::int64_t elements = 0;
  for (const Operand& operand : call.inputs) elements += operand.shape.elements();
  return elements > 0 && elements <= 40'000;
}

// A call in one number format: tensor cores have kernels of their own.
struct Subject {
  Call call;
  Format format;
};

std::vector<Subject> small_subjects(const OpEntry& room) {
  std::vector<Subject> subjects;
  for (const Format format : formats(room, Backend::hand, Device::cpu)) {
    const bool own_kernels = format.dtype == DType::f32 || room.tensor_cores;
    if (!own_kernels || format.dtype == DType::f64) continue;
    for (const Case& c : room.cases()) {
      if (!c.checked) continue;
      for (const Call& call : c.calls) {
        if (small(call)) subjects.push_back({call, format});
      }
    }
  }
  return subjects;
}

Bits bits_of(const Subject& subject) {
  return hand_bits(subject.call, Device::cpu, subject.format);
}

// The barriers these calls wait at.
std::vector<simt::BarrierSite> barriers_of(const std::vector<Subject>& subjects) {
  // Not forward: then the host makes no threads of what needs none, and reaches fewer barriers.
  const simt::ScopedOptions as_threads({.schedule = simt::Schedule::reverse});
  simt::forget_barrier_sites();
  for (const Subject& subject : subjects) bits_of(subject);
  return simt::barrier_sites();
}

// From the room on: "conv2d/conv2d.cu".
std::string short_name(const std::string& file) {
  const std::filesystem::path path(file);
  return (path.parent_path().filename() / path.filename()).string();
}

// Who noticed that a barrier is gone: "schedule", "detector", or "" for nobody.
std::string noticed_by(const std::vector<Subject>& subjects, const std::vector<Bits>& right) {
  for (const bool detect_races : {false, true}) {
    for (const simt::Schedule schedule : kSchedules) {
      const simt::ScopedOptions options(
          {.schedule = schedule, .seed = 1, .poison_shared = true, .detect_races = detect_races});
      for (std::size_t i = 0; i < subjects.size(); ++i) {
        try {
          if (bits_of(subjects[i]) != right[i]) return "schedule";
        } catch (const simt::Report&) {
          return detect_races ? "detector" : "schedule";
        }
      }
    }
  }
  return "";
}

// What judge() prints for the barrier number `index` of a room, from a process of its own: without
// its barrier a kernel may follow an offset that nobody wrote, and end the process.
std::string noticed_elsewhere(const std::string& room, std::size_t index) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = fmt::format("'{}' --judge {} {} 2>/dev/null", self, room, index);
  std::FILE* child = ::popen(command.c_str(), "r");
  if (child == nullptr) return "no process could be started";
  std::string answer;
  for (int c; (c = std::fgetc(child)) != EOF;) answer += static_cast<char>(c);
  const int status = ::pclose(child);
  if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > 128)) return "crash";
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? answer : "no answer";
}

const OpEntry& room_of(std::string_view name) {
  for (const OpEntry& room : all_rooms())
    if (room.name == name) return room;
  fail("no room is named {}", name);
}

int judge(std::string_view name, std::size_t index) {
  const std::vector<Subject> subjects = small_subjects(room_of(name));
  std::vector<Bits> right;
  for (const Subject& subject : subjects) right.push_back(bits_of(subject));
  const simt::ScopedRemovedBarrier gone(barriers_of(subjects).at(index));
  const std::string by = noticed_by(subjects, right);
  fmt::print("{}", by.empty() ? "NOBODY" : by);
  return 0;
}

TEST(Mutants, MissingBarriersAreNoticed) {
  int removed = 0, noticed = 0;
  fmt::print("{:<24} {:<44} {}\n", "room", "barrier removed", "noticed by");
  for (const OpEntry& room : all_rooms()) {
    const std::vector<simt::BarrierSite> sites = barriers_of(small_subjects(room));
    for (std::size_t i = 0; i < sites.size(); ++i) {
      const std::string by = noticed_elsewhere(std::string(room.name), i);
      ++removed;
      noticed += by == "schedule" || by == "detector" || by == "crash" ? 1 : 0;
      fmt::print("{:<24} {:<44} {}\n", room.name,
                 fmt::format("{}:{}", short_name(sites[i].file), sites[i].line), by);
    }
  }
  fmt::print("{} of {} missing barriers noticed\n", noticed, removed);
  EXPECT_GE(removed, 5) << "the rooms have more barriers than that: are their sites recorded?";
  EXPECT_GE(noticed, 0.95 * removed);
}

}  // namespace
}  // namespace cucina::drivers

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  if (arguments.size() == 4 && arguments[1] == "--judge")
    return cucina::drivers::judge(arguments[2], std::stoul(arguments[3]));
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
