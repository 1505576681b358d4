// Missing barriers: every __syncthreads() of every room is removed in turn, and something has to
// notice.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/simt/checked.h"
#include "kernels/simt/options.h"
#include "kernels/simt/report.h"
#include "tests/rooms/checks.h"
#include "tests/rooms/registration.h"

namespace cucina::testing {
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

std::vector<Call> small_calls(const OpEntry& room) {
  std::vector<Call> calls;
  for (const Case& c : room.cases()) {
    for (const Call& call : c.calls) {
      if (small(call)) calls.push_back(call);
    }
  }
  return calls;
}

// The barriers these calls wait at.
std::vector<simt::BarrierSite> barriers_of(const std::vector<Call>& calls) {
  simt::forget_barrier_sites();
  for (const Call& call : calls) hand_bits(call, Device::cpu, DType::f32);
  return simt::barrier_sites();
}

// From the room on: "conv2d/conv2d.cu".
std::string short_name(const std::string& file) {
  const std::filesystem::path path(file);
  return (path.parent_path().filename() / path.filename()).string();
}

// Who noticed that a barrier is gone: "schedule", "detector", or "" for nobody.
std::string noticed_by(const std::vector<Call>& calls, const std::vector<Bits>& right) {
  for (const bool detect_races : {false, true}) {
    for (const simt::Schedule schedule : kSchedules) {
      const simt::ScopedOptions options(
          {.schedule = schedule, .seed = 1, .poison_shared = true, .detect_races = detect_races});
      for (std::size_t i = 0; i < calls.size(); ++i) {
        try {
          if (hand_bits(calls[i], Device::cpu, DType::f32) != right[i]) return "schedule";
        } catch (const simt::Report&) {
          return detect_races ? "detector" : "schedule";
        }
      }
    }
  }
  return "";
}

TEST(Mutants, MissingBarriersAreNoticed) {
  int removed = 0, noticed = 0;
  fmt::print("{:<24} {:<44} {}\n", "room", "barrier removed", "noticed by");
  for (const OpEntry& room : all_rooms()) {
    const std::vector<Call> calls = small_calls(room);
    std::vector<Bits> right;
    for (const Call& call : calls) right.push_back(hand_bits(call, Device::cpu, DType::f32));
    for (const simt::BarrierSite& site : barriers_of(calls)) {
      const simt::ScopedRemovedBarrier gone(site);
      const std::string by = noticed_by(calls, right);
      ++removed;
      noticed += by.empty() ? 0 : 1;
      fmt::print("{:<24} {:<44} {}\n", room.name,
                 fmt::format("{}:{}", short_name(site.file), site.line),
                 by.empty() ? "NOBODY" : by);
    }
  }
  fmt::print("{} of {} missing barriers noticed\n", noticed, removed);
  EXPECT_GE(removed, 5) << "the rooms have more barriers than that: are their sites recorded?";
  EXPECT_GE(noticed, 0.95 * removed);
}

}  // namespace
}  // namespace cucina::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
