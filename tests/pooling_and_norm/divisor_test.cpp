// Divisor: the quotients of integer division.
#include "kernels/common/divisor.h"

#include <gtest/gtest.h>

#include <vector>

namespace cucina {
namespace {

TEST(Divisor, DividesAsTheOperatorDoes) {
  constexpr std::int64_t k31 = std::int64_t{1} << 31;
  std::vector<std::int64_t> divisors, numbers{0, 1, k31 - 2, k31 - 1, k31, k31 + 1, 5 * k31 + 3};
  for (std::int64_t d = 1; d < 1000; ++d) divisors.push_back(d);
  for (int s = 10; s < 34; ++s) {
    for (const int off : {-1, 0, 1}) divisors.push_back((std::int64_t{1} << s) + off);
  }
  for (std::int64_t n = 2; n < k31; n = n * 7 / 5 + 1) numbers.push_back(n);
  for (const std::int64_t d : divisors) {
    const Divisor divisor(d);
    for (const std::int64_t n : numbers) {
      ASSERT_EQ(divisor.quotient(n), n / d) << n << " / " << d;
    }
    for (std::int64_t q = 1; q * d < k31; q = q * 3 + 1) {  // where a quotient begins
      ASSERT_EQ(divisor.quotient(q * d), q) << q * d << " / " << d;
      ASSERT_EQ(divisor.quotient(q * d - 1), q - 1) << q * d - 1 << " / " << d;
    }
  }
}

}  // namespace
}  // namespace cucina
