// GoogleTest's run-time registration, fed from the lists of rooms.
#include "tests/rooms/registration.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "optim/all_rooms.h"

namespace cucina::testing {
namespace {

class RoomTest : public ::testing::Test {
 public:
  explicit RoomTest(std::function<std::string()> check) : check_(std::move(check)) {}
  void TestBody() override {
    const std::string bad = check_();
    EXPECT_TRUE(bad.empty()) << bad;
  }

 private:
  std::function<std::string()> check_;
};

}  // namespace

void add_test(std::string_view suite, const std::string& name, std::function<std::string()> check) {
  ::testing::RegisterTest(std::string(suite).c_str(), name.c_str(), nullptr, nullptr, __FILE__,
                          __LINE__, [check]() -> RoomTest* { return new RoomTest(check); });
}

void for_each_case(const std::function<void(const OpEntry&, const Case&)>& f) {
  for (const OpEntry& room : all_rooms()) {
    for (const Case& c : room.cases()) {
      if (c.checked) f(room, c);
    }
  }
}

int run_all() {
  const int result = RUN_ALL_TESTS();
  if (::testing::UnitTest::GetInstance()->test_to_run_count() > 0) return result;
  fmt::print(stderr, "no test matches the filter: is the room in the list of all ops?\n");
  return 1;
}

}  // namespace cucina::testing
