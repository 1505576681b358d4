// Promises of colour: flags beat variables, NO_COLOR beats CLICOLOR_FORCE, and pipes stay plain.
#include "recipe/report/color.h"

#include <gtest/gtest.h>

#include <map>

#include "core/error.h"

namespace cucina::report {
namespace {

bool decide(ColorMode mode, bool is_terminal, const std::map<std::string, std::string>& variables) {
  return use_color(mode, is_terminal, [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Color, AutoAsksTheStreamAndTheEnvironment) {
  constexpr auto mode = ColorMode::automatic;
  EXPECT_TRUE(decide(mode, true, {}));
  EXPECT_FALSE(decide(mode, false, {}));
  EXPECT_FALSE(decide(mode, true, {{"TERM", "dumb"}}));
  EXPECT_FALSE(decide(mode, true, {{"NO_COLOR", "1"}}));
  EXPECT_TRUE(decide(mode, true, {{"NO_COLOR", ""}}));
  EXPECT_TRUE(decide(mode, false, {{"CLICOLOR_FORCE", "1"}}));
  EXPECT_FALSE(decide(mode, false, {{"CLICOLOR_FORCE", "0"}}));
  EXPECT_TRUE(decide(mode, false, {{"FORCE_COLOR", "1"}, {"TERM", "dumb"}}));
  EXPECT_FALSE(decide(mode, true, {{"NO_COLOR", "1"}, {"CLICOLOR_FORCE", "1"}}));
}

TEST(Color, TheFlagBeatsEverything) {
  EXPECT_TRUE(decide(ColorMode::always, false, {{"NO_COLOR", "1"}}));
  EXPECT_FALSE(decide(ColorMode::never, true, {{"CLICOLOR_FORCE", "1"}}));
  EXPECT_EQ(parse_color_mode("auto"), ColorMode::automatic);
  EXPECT_THROW(parse_color_mode("yes"), Error);
}

TEST(Color, PaintWrapsOnlyWhenAsked) {
  EXPECT_EQ(paint("x", Style::red, false), "x");
  EXPECT_EQ(paint("x", Style::red, true), "\x1b[31mx\x1b[0m");
}

}  // namespace
}  // namespace cucina::report
