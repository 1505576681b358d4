// What a launch reported, for tests that plant a bug and look for its description.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "kernels/simt/report.h"

namespace cucina {
namespace {

// The text of the Report that `launch` throws; fails the test when it throws none.
template <typename Launch>
std::string reported(const Launch& launch) {
  try {
    launch();
  } catch (const simt::Report& report) {
    return report.what();
  }
  ADD_FAILURE() << "the planted bug was not reported";
  return "";
}

// "report_test.cpp:12": the place `line` of the calling test file.
[[maybe_unused]] std::string at(const char* file, int line) {
  const std::string path = file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
}

[[maybe_unused]] void expect_says(const std::string& text,
                                  std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos)
        << "expected \"" << part << "\" in \"" << text << '"';
  }
}

}  // namespace
}  // namespace cucina
