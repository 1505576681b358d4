// Runs the checks over the zoo and counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/check/check.h"
#include "tests/zoo/fixture.h"
#include "tests/zoo/rows.h"

namespace cucina::zoo {

enum class Catch : std::uint8_t { right, wrong_reason, missed };

struct Judged {
  Row row;
  Catch caught = Catch::missed;
  std::vector<std::string> fired;  // "check:reason" of all that failed or warned
  double seconds = 0;
};

// "check:reason" of every failure and warning.
std::vector<std::string> alarms(const std::vector<checks::Result>& results);

Judged judge(const Row& row, std::uint64_t seed, const std::vector<checks::Check>& checks);

// Runs of the healthy fixtures; `alarms` of any is false.
struct Silence {
  std::string name;
  std::uint64_t seed = 0;
  std::vector<std::string> alarms;
  double seconds = 0;
};
Silence listen(const Healthy& healthy, std::uint64_t seed,
               const std::vector<checks::Check>& checks);

// What a bug does to the result of a training, over some seeds: the accuracy that is reported, or
// of numbers the mean squared error.
struct Harm {
  double healthy = 0, spoiled = 0;  // means
  double error = 0;                 // of their difference
  bool harmful() const;             // by more than three of it; else the bug is latent
};
Harm harm_of(const Row& row, std::int64_t seeds);

// How many bugs nobody finds without this check.
std::int64_t necessary_for(std::string_view check, const std::vector<Judged>& all);

double median(std::vector<double> values);

}  // namespace cucina::zoo
