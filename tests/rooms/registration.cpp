// GoogleTest's run-time registration, fed from the lists of rooms.
#include "tests/rooms/registration.h"

#include <gtest/gtest.h>

#include "kernels/all_ops.h"
#include "optim/all_optimizers.h"

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

std::vector<OpEntry> all_rooms() {
  std::vector<OpEntry> rooms = all_ops();
  const std::vector<OpEntry>& optimizers = all_optimizers();
  rooms.insert(rooms.end(), optimizers.begin(), optimizers.end());
  return rooms;
}

void add_test(std::string_view suite, const std::string& name, std::function<std::string()> check) {
  ::testing::RegisterTest(std::string(suite).c_str(), name.c_str(), nullptr, nullptr, __FILE__,
                          __LINE__, [check]() -> RoomTest* { return new RoomTest(check); });
}

void for_each_case(const std::function<void(const OpEntry&, const Case&)>& f) {
  for (const OpEntry& room : all_rooms()) {
    for (const Case& c : room.cases()) f(room, c);
  }
}

}  // namespace cucina::testing
