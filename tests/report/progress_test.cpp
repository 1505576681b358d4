// Promises of the progress: ten redraws a second on a terminal, whole plain lines elsewhere, honest
// speed and ETA.
#include "recipe/report/progress.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/report/terminal.h"

namespace cucina::report {
namespace {

const std::string kWipe = "\r\x1b[K";

ProgressStep step_at(std::int64_t step) {
  return {.step = step,
          .images = 64,
          .loss = {0.0396, 0.0011},
          .accuracy = Estimate{0.9898, 0.0004},
          .learning_rate = 1e-3};
}

// Runs `count` steps of `seconds` each.
void run(TestTerminal* terminal, Progress* progress, std::int64_t count, double seconds) {
  for (std::int64_t i = 1; i <= count; ++i) {
    terminal->seconds += seconds;
    progress->step(step_at(i));
  }
}

TEST(Progress, TheBarShowsEverythingOnAWideTerminal) {
  TestTerminal terminal;
  Progress progress(ProgressMode::automatic, 30, 469, terminal.output(true));
  progress.epoch_begins(3);
  run(&terminal, &progress, 412, 0.25);
  const auto lines = split(terminal.written(), kWipe);
  // 57 steps and 27 epochs of 469 steps are left, 0.25 s each: 3,180 s.
  EXPECT_EQ(lines.back(),
            "epoch 3/30 ━━━━━━━━━━━━━━── 412/469 | loss 0.0396±0.0011 acc 98.98±0.04% | lr 1e-3 | "
            "256 img/s | ETA 53:00");
  EXPECT_EQ(terminal.written().find('\n'), std::string::npos);
}

TEST(Progress, RedrawsAtMostTenTimesASecond) {
  TestTerminal terminal;
  Progress progress(ProgressMode::bar, 1, 10000, terminal.output(true));
  progress.epoch_begins(1);
  run(&terminal, &progress, 10000, 0.001);  // ten seconds
  const std::size_t draws = split(terminal.written(), kWipe).size() - 1;
  EXPECT_LE(draws, 101u);
  EXPECT_GE(draws, 95u);
}

TEST(Progress, EveryLineFitsEveryWidth) {
  for (int columns = 1; columns <= 130; ++columns) {
    TestTerminal terminal;
    terminal.columns = columns;
    {
      Progress progress(ProgressMode::bar, 30, 469, terminal.output(true));
      progress.note("autotuning the convolutions of this network...");
      progress.epoch_begins(3);
      run(&terminal, &progress, 412, 0.25);
      progress.epoch_ends({.loss = {0.1, 0.01},
                           .accuracy = Estimate{0.5, 0.1},
                           .validation_loss = Estimate{0.2, 0.1},
                           .validation_accuracy = Estimate{0.7, 0.1},
                           .learning_rate = 1e-3});
    }
    for (const auto& drawn : split(terminal.written(), kWipe))
      for (const auto& line : split(drawn, "\n"))
        EXPECT_LE(characters(line), static_cast<std::size_t>(std::max(columns - 1, 1)))
            << columns << ": " << line;
  }
}

TEST(Progress, FortyColumnsKeepLossAndEta) {
  TestTerminal terminal;
  terminal.columns = 40;
  Progress progress(ProgressMode::bar, 30, 469, terminal.output(true));
  progress.epoch_begins(3);
  run(&terminal, &progress, 412, 0.25);
  EXPECT_EQ(split(terminal.written(), kWipe).back(), "3/30 412/469 | loss 0.0396 | ETA 53:00");
}

TEST(Progress, AResizedWindowIsFollowed) {
  TestTerminal terminal;
  Progress progress(ProgressMode::bar, 30, 469, terminal.output(true));
  progress.epoch_begins(3);
  run(&terminal, &progress, 10, 0.25);
  terminal.columns = 30;
  run(&terminal, &progress, 1, 0.25);
  EXPECT_LT(characters(split(terminal.written(), kWipe).back()), 30u);
}

TEST(Progress, ColorAddsEscapesButNoWidth) {
  TestTerminal plain;
  TestTerminal colored;
  plain.columns = colored.columns = 85;
  Progress a(ProgressMode::bar, 30, 469, plain.output(true, false));
  Progress b(ProgressMode::bar, 30, 469, colored.output(true, true));
  for (auto* pair : {&a, &b}) pair->epoch_begins(1);
  run(&plain, &a, 200, 0.2);
  run(&colored, &b, 200, 0.2);
  std::string stripped = colored.written();
  for (const char* escape : {"\x1b[36m", "\x1b[2m", "\x1b[0m"})
    for (std::size_t at; (at = stripped.find(escape)) != std::string::npos;)
      stripped.erase(at, std::string_view(escape).size());
  EXPECT_NE(colored.written(), plain.written());
  EXPECT_EQ(stripped, plain.written());
}

TEST(Progress, OffATerminalThereAreWholeLinesEveryTenSecondsAndNoEscapes) {
  TestTerminal terminal;
  {
    Progress progress(ProgressMode::automatic, 2, 100, terminal.output(false));
    progress.epoch_begins(1);
    run(&terminal, &progress, 100, 0.25);  // 25 s
    progress.pause();
    progress.epoch_ends(
        {.loss = {0.1, 0.0}, .accuracy = Estimate{0.5, 0.0}, .learning_rate = 3e-4});
  }
  const auto lines = split(terminal.written(), "\n");
  ASSERT_EQ(lines.size(), 4u) << terminal.written();
  EXPECT_EQ(
      lines[0],
      "epoch 1/2 40/100 | loss 0.0396±0.0011 acc 98.98±0.04% | lr 1e-3 | 256 img/s | ETA 0:40");
  EXPECT_EQ(lines[1].substr(0, 16), "epoch 1/2 80/100");
  EXPECT_EQ(lines[2], "epoch 1/2 | loss 0.1000 acc 50.00% | lr 3e-4 | 256 img/s | ETA 0:25");
  EXPECT_EQ(lines[3], "");
  EXPECT_EQ(terminal.written().find('\r'), std::string::npos);
  EXPECT_EQ(terminal.written().find('\x1b'), std::string::npos);
}

TEST(Progress, ADumbTerminalGetsPlainLines) {
  TestTerminal terminal;
  terminal.term = "dumb";
  Progress progress(ProgressMode::automatic, 2, 100, terminal.output(true));
  progress.epoch_begins(1);
  run(&terminal, &progress, 60, 0.25);
  EXPECT_EQ(split(terminal.written(), "\n").size(), 2u);
  EXPECT_EQ(terminal.written().find('\r'), std::string::npos);
}

TEST(Progress, TheSpeedLeavesOutWarmUpAndEvaluation) {
  TestTerminal terminal;
  Progress progress(ProgressMode::none, 3, 100, terminal.output(false));
  progress.epoch_begins(1);
  EXPECT_LT(progress.seconds_left(), 0);
  run(&terminal, &progress, 3, 20.0);  // warm-up
  EXPECT_EQ(progress.images_per_second(), 0.0);
  run(&terminal, &progress, 100, 0.1);
  EXPECT_NEAR(progress.images_per_second(), 640.0, 1e-6);
  progress.pause();
  terminal.seconds += 50;  // evaluation
  progress.epoch_ends({});
  progress.epoch_begins(2);
  run(&terminal, &progress, 100, 0.1);
  EXPECT_NEAR(progress.images_per_second(), 640.0, 1e-6);
  // One epoch of 100 steps, and two evaluations of 50 s: the one of this epoch and the last.
  EXPECT_NEAR(progress.seconds_left(), 10.0 + 100.0, 1e-6);
  EXPECT_EQ(terminal.written(), "");
}

TEST(Progress, TheSpeedFollowsAChange) {
  TestTerminal terminal;
  Progress progress(ProgressMode::none, 1, 1000, terminal.output(false));
  progress.epoch_begins(1);
  run(&terminal, &progress, 200, 0.1);
  run(&terminal, &progress, 100, 0.2);  // 20 s are four time constants
  EXPECT_NEAR(progress.images_per_second(), 320.0, 15.0);
}

TEST(Progress, JsonLinesParseAndHaveNoNan) {
  TestTerminal terminal;
  Progress progress(ProgressMode::json, 2, 100, terminal.output(true));
  progress.epoch_begins(1);
  run(&terminal, &progress, 100, 0.25);
  progress.note("autotuning...");
  progress.epoch_ends({.loss = {std::nan(""), 0.0}, .learning_rate = 1e-3});
  const auto lines = split(terminal.written(), "\n");
  ASSERT_EQ(lines.size(), 4u);
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["step"], 40);
  EXPECT_EQ(first["loss"], 0.0396);
  EXPECT_NEAR(first["img_s"].get<double>(), 256.0, 1e-6);
  EXPECT_TRUE(nlohmann::json::parse(lines[2])["loss"].is_null());
}

TEST(Progress, ALineLeftOpenIsEndedAndTheCursorIsNeverHidden) {
  TestTerminal terminal;
  {
    Progress progress(ProgressMode::bar, 1, 10, terminal.output(true));
    progress.note("autotuning...");
    EXPECT_EQ(terminal.written(), kWipe + "autotuning...");
    progress.epoch_begins(1);
    run(&terminal, &progress, 5, 1.0);
  }
  EXPECT_EQ(terminal.written().back(), '\n');
  EXPECT_EQ(terminal.written().find("\x1b[?25l"), std::string::npos);
}

TEST(Progress, ClearMakesRoomForAnotherWriter) {
  TestTerminal terminal;
  {
    Progress progress(ProgressMode::bar, 1, 10, terminal.output(true));
    progress.note("x");
    progress.clear();
    terminal.stream << "warning\n";
  }
  EXPECT_EQ(terminal.written(), kWipe + "x" + kWipe + "warning\n");
}

TEST(Progress, UnknownModesAreRefused) {
  EXPECT_EQ(parse_progress_mode("json"), ProgressMode::json);
  EXPECT_THROW(parse_progress_mode("fancy"), Error);
}

TEST(Progress, NumbersAreShort) {
  EXPECT_EQ(short_number(1e-3), "1e-3");
  EXPECT_EQ(short_number(2.5e-4), "2.5e-4");
  EXPECT_EQ(short_number(0.05), "0.05");
  EXPECT_EQ(short_number(0.0), "0");
  EXPECT_EQ(short_number(1e-10), "1e-10");
  EXPECT_EQ(short_number(2e6), "2e6");
  EXPECT_EQ(short_time(12.4), "0:12");
  EXPECT_EQ(short_time(59.6), "1:00");
  EXPECT_EQ(short_time(3723), "1:02:03");
  EXPECT_EQ(short_time(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(short_count(982), "982");
  EXPECT_EQ(short_count(41234), "41.2k");
  EXPECT_EQ(short_count(999.7), "1k");
  EXPECT_EQ(short_count(1.25e6), "1.25M");
}

}  // namespace
}  // namespace cucina::report
