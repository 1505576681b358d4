// A short slice of the zoo: a bug of every kind is found for the right reason by the check that is
// there for it, and healthy trainings are left in peace. cucina_zoo runs all of it.
#include "tests/zoo/zoo.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "recipe/data/digits.h"

namespace cucina::zoo {
namespace {

bool has_digits() { return std::filesystem::exists(data::cache_folder() / "digits.csv"); }

class Bugs : public ::testing::TestWithParam<std::string> {};

TEST_P(Bugs, AreFoundByTheirCheck) {
  if (!has_digits()) GTEST_SKIP() << "no digits";
  const auto row = std::find_if(rows().begin(), rows().end(),
                                [](const Row& each) { return each.id == GetParam(); });
  ASSERT_NE(row, rows().end());
  checks::Selection selection;
  for (const std::string& right : row->right)
    selection.only.push_back(right.substr(0, right.find(':')));
  const auto checks = checks::select(checks::all_checks(), selection);
  const Judged judged = judge(*row, 1, checks);
  EXPECT_EQ(judged.caught, Catch::right) << fmt::format("{}", fmt::join(judged.fired, ", "));
  const Silence twin = listen({row->fixture, row->twin}, 1, checks);
  EXPECT_EQ(twin.alarms, std::vector<std::string>()) << "of the healthy twin";
}

INSTANTIATE_TEST_SUITE_P(Zoo, Bugs,
                         ::testing::Values("Z05", "Z10", "Z12", "Z21", "Z25", "Z38", "Z45", "Z50",
                                           "Z56", "Z60", "Z65", "Z74", "Z81", "Y01", "Y07", "Z85",
                                           "Z64", "Z71", "Z76", "Z77", "Z86", "Z89", "Z92", "Y28",
                                           "Y29"),
                         [](const auto& info) { return info.param; });

TEST(Zoo, RowsNameChecksThatExistAndIdsOnce) {
  std::set<std::string> names, ids;
  for (const checks::Check& check : checks::all_checks()) names.emplace(check.name);
  for (const Row& row : rows()) {
    EXPECT_TRUE(ids.insert(row.id).second) << row.id;
    EXPECT_FALSE(row.right.empty()) << row.id;
    for (const std::string& right : row.right)
      EXPECT_TRUE(names.contains(right.substr(0, right.find(':')))) << row.id << " " << right;
  }
}

TEST(Zoo, EveryCheckLeavesAHealthyTrainingAsItWas) {
  const Fixture fixture({.fixture = "regression"});
  const std::string before = checks::Snapshot(fixture.task()).fingerprint();
  const auto results = checks::run_checks(checks::all_checks(), fixture.task());
  EXPECT_EQ(results.size(), checks::all_checks().size());
  EXPECT_EQ(alarms(results), std::vector<std::string>());
  EXPECT_EQ(checks::Snapshot(fixture.task()).fingerprint(), before);
}

}  // namespace
}  // namespace cucina::zoo
