// The sentence of an Error, for tests that check what users read.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace cucina::testing {

// The text of the Error `f` throws; fails the test when it throws none.
template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

}  // namespace cucina::testing
