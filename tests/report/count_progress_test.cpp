// Promises of CountProgress: a bar on a terminal that is wiped at the end, lines elsewhere, nothing
// for what is quick.
#include "recipe/report/count_progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace cucina::report {
namespace {

struct Shown {
  std::ostringstream stream;
  double now = 0;

  ProgressOutput output(bool terminal) {
    ProgressOutput output;
    output.stream = &stream;
    output.is_terminal = terminal;
    output.now = [this] { return now; };
    output.environment = [](const char*) -> const char* { return nullptr; };
    return output;
  }
};

TEST(CountProgress, IsABarOnATerminal) {
  Shown shown;
  {
    CountProgress progress("decoding", shown.output(true));
    progress.show(1, 100);
    EXPECT_EQ(shown.stream.str(), "") << "nothing in the first half second";
    shown.now = 10;
    progress.show(50, 100);
    EXPECT_EQ(shown.stream.str(), "\r\x1b[Kdecoding ━━━━━━━━──────── 50/100 ETA 0:10");
    shown.now = 10.05;
    progress.show(51, 100);
    EXPECT_EQ(shown.stream.str().find("51/100"), std::string::npos) << "ten times a second at most";
  }
  EXPECT_TRUE(shown.stream.str().ends_with("\r\x1b[K"));
}

TEST(CountProgress, IsALineEveryTenSecondsElsewhere) {
  Shown shown;
  CountProgress progress("decoding", shown.output(false));
  for (int second = 1; second <= 25; ++second) {
    shown.now = second;
    progress.show(second, 100);
  }
  EXPECT_EQ(shown.stream.str(), "decoding 10/100\ndecoding 20/100\n");
}

TEST(CountProgress, QuietSaysNothing) {
  CountProgress progress("decoding", true);
  progress.show(1, 2);
  progress.show(0, 0);
}

}  // namespace
}  // namespace cucina::report
