// Random legal shapes and parameters of every op that has a space of cases, against the reference.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "kernels/drivers/checks.h"
#include "kernels/drivers/random_points.h"
#include "optim/all_rooms.h"
#include "tests/rooms/registration.h"

namespace cucina::drivers {
namespace {

constexpr std::int64_t kThoroughEvery = 8;

// What differs between the two passes: f32 for all points, everything else for some of them.
enum class Pass : std::uint8_t { f32, thorough };

bool belongs(Format format, Pass pass) {
  const bool plain = format.dtype == DType::f32 && format.precision == Precision::f32;
  return plain == (pass == Pass::f32);
}

std::string judge_case(const OpEntry& room, const Case& c, Pass pass) {
  for (const Backend backend : {Backend::hand, Backend::vendor}) {
    for (const Format format : formats(room, backend, Device::cpu)) {
      if (!belongs(format, pass)) continue;
      if (const std::string bad = check_agreement(c, backend, Device::cpu, format); !bad.empty()) {
        return fmt::format("{} {}: {}", name(backend), name(format), bad);
      }
    }
  }
  if (pass == Pass::f32 || !c.function) return "";
  return check_gradient(c).failure;
}

Judge judge_of(const OpEntry& room, const CaseSpace& space, Pass pass) {
  return [room, space, pass](std::span<const std::int64_t> point) -> std::optional<std::string> {
    try {
      const std::optional<Case> c = space.make(point);
      if (!c.has_value()) return std::nullopt;
      return judge_case(room, *c, pass);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
}

std::string run(const OpEntry& room, Pass pass, std::int64_t points, std::uint64_t seed) {
  const CaseSpace space = room.space();
  const RandomStream random = RandomStream(seed, room.name).substream(static_cast<int>(pass));
  const std::int64_t count =
      pass == Pass::f32 ? points : (points + kThoroughEvery - 1) / kThoroughEvery;
  const RandomRun run = judge_random_points(space.axes, random, count, judge_of(room, space, pass));
  if (run.failure.empty()) return "";
  return fmt::format("{} at {}: {}\nreplay: random_tests --points={} --seed={} --gtest_filter={}.*",
                     room.name, describe(space.axes, run.smallest), run.failure, points, seed,
                     room.name);
}

}  // namespace
}  // namespace cucina::drivers

int main(int argc, char** argv) {
  using cucina::drivers::Pass;
  ::testing::InitGoogleTest(&argc, argv);
  CLI::App app{"Random legal shapes and parameters of every op, against the reference"};
  std::int64_t points = 60;
  std::uint64_t seed = 1;
  app.add_option("--points", points, "legal points per op in f32; an eighth of it in all else");
  app.add_option("--seed", seed, "of the random points");
  CLI11_PARSE(app, argc, argv);
  for (const cucina::OpEntry& room : cucina::all_rooms()) {
    if (room.space == nullptr) continue;
    cucina::testing::add_test(room.name, "random_f32",
                              [=] { return run(room, Pass::f32, points, seed); });
    cucina::testing::add_test(room.name, "random_other_formats_and_gradient",
                              [=] { return run(room, Pass::thorough, points, seed); });
  }
  return cucina::testing::run_all();
}
