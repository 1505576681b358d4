// expect_error: that a call throws Error with a sentence that holds a text.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace cucina {

template <typename Call>
void expect_error(Call call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown; expected: " << text;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos)
        << "expected: " << text << "\nactual:   " << error.what();
  }
}

}  // namespace cucina
