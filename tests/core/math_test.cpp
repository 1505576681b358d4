// core/math.h against libm of a wider type: the errors its contracts state, special values, order,
// and bits.
#include "core/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace cucina {
namespace {

static_assert(math::exp(0.0f) == 1.0f && math::exp(0.0) == 1.0);
static_assert(math::log(1.0f) == 0.0f && math::log(1.0) == 0.0);
static_assert(math::tanh(0.0f) == 0.0f && math::erf(0.0) == 0.0);
static_assert(math::exp(1.0f) == 2.71828183f && math::exp(1.0) == 2.7182818284590452);
static_assert(math::cos_turns(0.5) == -1.0);

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Worst {
  double ulp = 0;
  double at = 0;
};

// The distance of `actual` from `expected` in units of the last place that Real has at `expected`.
template <typename Real, typename Wide>
double ulp_error(Real actual, Wide expected) {
  if (std::isnan(expected) || std::isnan(actual)) {
    return std::isnan(expected) && std::isnan(actual) ? 0 : HUGE_VAL;
  }
  const Real rounded = static_cast<Real>(expected);
  if (std::isinf(rounded) || std::isinf(actual)) return rounded == actual ? 0 : HUGE_VAL;
  if (std::signbit(expected) != std::signbit(actual)) return HUGE_VAL;
  using Limits = std::numeric_limits<Real>;
  const int exponent = expected == 0 ? Limits::min_exponent : std::ilogb(expected);
  const Wide unit =
      std::ldexp(Wide{1}, std::max(exponent, Limits::min_exponent - 1) - (Limits::digits - 1));
  return static_cast<double>(std::abs(static_cast<Wide>(actual) - expected) / unit);
}

// The doubles are judged by long double, which on some machines is no wider; there half an ulp is
// libm's own.
constexpr double kJudge =
    std::numeric_limits<long double>::digits > std::numeric_limits<double>::digits ? 0.0 : 0.5;

template <typename Real>
struct Function {
  const char* name;
  Real (*ours)(Real);
  std::conditional_t<std::same_as<Real, float>, double, long double> (*wide)(
      std::conditional_t<std::same_as<Real, float>, double, long double>);
  double stated_ulp;  // as in math.h
};

using Wide32 = double;
using Wide64 = long double;

const std::vector<Function<float>> kFunctions32 = {
    {"exp", [](float x) { return math::exp(x); }, [](Wide32 x) { return std::exp(x); }, 0.78},
    {"log", [](float x) { return math::log(x); }, [](Wide32 x) { return std::log(x); }, 0.67},
    {"tanh", [](float x) { return math::tanh(x); }, [](Wide32 x) { return std::tanh(x); }, 1.35},
    {"erf", [](float x) { return math::erf(x); }, [](Wide32 x) { return std::erf(x); }, 1.32}};

const std::vector<Function<double>> kFunctions64 = {
    {"exp", [](double x) { return math::exp(x); }, [](Wide64 x) { return std::exp(x); }, 0.8},
    {"log", [](double x) { return math::log(x); }, [](Wide64 x) { return std::log(x); }, 0.7},
    {"tanh", [](double x) { return math::tanh(x); }, [](Wide64 x) { return std::tanh(x); }, 1.4},
    {"erf", [](double x) { return math::erf(x); }, [](Wide64 x) { return std::erf(x); }, 1.3}};

template <typename Real>
void judge(const Function<Real>& f, Real x, Worst& worst) {
  const double ulp = ulp_error(f.ours(x), f.wide(x));
  if (!(ulp <= worst.ulp)) worst = {ulp, static_cast<double>(x)};
}

template <typename Real>
void report(const Function<Real>& f, const char* scalar, const std::string& domain,
            const Worst& worst, double allowed) {
  std::printf("%-4s %s  %-32s %.4f ulp (stated %.2f) at %a\n", f.name, scalar, domain.c_str(),
              worst.ulp, f.stated_ulp, worst.at);
  EXPECT_LE(worst.ulp, allowed) << f.name << " " << scalar << " over " << domain
                                << ": x = " << std::hexfloat << worst.at << " gives "
                                << f.ours(static_cast<Real>(worst.at)) << ", libm gives "
                                << f.wide(static_cast<Real>(worst.at));
}

TEST(Math, F32StaysWithinTheStatedUlpInEveryExponent) {
  for (const Function<float>& f : kFunctions32) {
    Worst worst;
    std::mt19937_64 random(20110612);
    for (std::uint32_t sign_and_exponent = 0; sign_and_exponent < 512; ++sign_and_exponent) {
      const std::uint32_t base = sign_and_exponent << 23;
      for (std::uint32_t i = 0; i < 2048; ++i) {
        // one mantissa from each of 2048 equal intervals
        judge(f,
              std::bit_cast<float>(base | (i << 12) | static_cast<std::uint32_t>(random() >> 52)),
              worst);
      }
      for (const std::uint32_t mantissa :
           {0u, 1u, 2u, 0x3fffffu, 0x400000u, 0x7ffffeu, 0x7fffffu}) {
        judge(f, std::bit_cast<float>(base | mantissa), worst);
      }
    }
    report(f, "f32", "every exponent and sign", worst, f.stated_ulp);
  }
}

// Where each function is hardest: around its switch of formula, around 1 for log, at the start of
// the subnormals for exp.
TEST(Math, F32StaysWithinTheStatedUlpOnEveryNumberOfTheHardExponents) {
  struct Range {
    float low, high;
  };
  const std::vector<std::vector<Range>> hard = {{{-104.0f, -86.0f}, {0.25f, 0.5f}},
                                                {{0.5f, 2.0f}},
                                                {{0.5f, 1.0f}, {8.5f, 9.5f}},
                                                {{0.5f, 2.0f}, {3.5f, 4.5f}}};
  for (std::size_t i = 0; i < kFunctions32.size(); ++i) {
    for (const auto& [low, high] : hard[i]) {
      Worst worst;
      for (float x = low; x < high; x = std::nextafter(x, kInf)) judge(kFunctions32[i], x, worst);
      report(kFunctions32[i], "f32",
             "all of [" + std::to_string(low) + ", " + std::to_string(high) + ")", worst,
             kFunctions32[i].stated_ulp);
    }
  }
}

TEST(Math, F32StaysWithinTheStatedUlpAroundIntegersAndHalfMultiplesOfLn2) {
  for (const Function<float>& f : kFunctions32) {
    Worst worst;
    for (int i = -2200; i <= 2200; ++i) {
      for (const float centre : {static_cast<float>(i), static_cast<float>(i * 0.34657359027997264),
                                 static_cast<float>(i) / 64.0f}) {
        float x = std::nextafter(std::nextafter(centre, -kInf), -kInf);
        for (int step = 0; step < 5; ++step, x = std::nextafter(x, kInf)) judge(f, x, worst);
      }
    }
    report(f, "f32", "around integers, n ln2/2, n/64", worst, f.stated_ulp);
  }
}

TEST(Math, F64StaysWithinTheStatedUlp) {
  for (const Function<double>& f : kFunctions64) {
    Worst worst;
    std::mt19937_64 random(20110612);
    for (std::uint64_t sign_and_exponent = 0; sign_and_exponent < 4096; ++sign_and_exponent) {
      const std::uint64_t base = sign_and_exponent << 52;
      for (int i = 0; i < 60; ++i) judge(f, std::bit_cast<double>(base | (random() >> 12)), worst);
      for (const std::uint64_t mantissa : {0ull, 1ull, 0x8000000000000ull, 0xfffffffffffffull}) {
        judge(f, std::bit_cast<double>(base | mantissa), worst);
      }
    }
    struct Range {
      double low, high;
    };
    for (const auto& [low, high] :
         {Range{-1, 1}, Range{0.5, 2}, Range{-6.5, 6.5}, Range{-22, 22}, Range{-746, 710}}) {
      for (int i = 0; i < 200'000; ++i) {
        judge(f, low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53, worst);
      }
    }
    report(f, "f64", "every exponent and sign", worst, f.stated_ulp + kJudge);
  }
}

template <typename Real>
class MathOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MathOf, Scalars);

template <typename Real>
void expect_bits(const char* what, Real actual, Real expected) {
  EXPECT_TRUE(actual == expected && std::signbit(actual) == std::signbit(expected))
      << what << " gives " << actual << ", not " << expected;
}

TYPED_TEST(MathOf, NanGivesNan) {
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const TypeParam x : {nan, -nan}) {
    EXPECT_TRUE(std::isnan(math::exp(x)));
    EXPECT_TRUE(std::isnan(math::log(x)));
    EXPECT_TRUE(std::isnan(math::tanh(x)));
    EXPECT_TRUE(std::isnan(math::erf(x)));
  }
}

TYPED_TEST(MathOf, SpecialValuesAreThoseOfC) {
  using Real = TypeParam;
  using Limits = std::numeric_limits<Real>;
  const Real inf = Limits::infinity(), zero = 0, one = 1;
  expect_bits<Real>("exp(inf)", math::exp(inf), inf);
  expect_bits<Real>("exp(-inf)", math::exp(-inf), zero);
  expect_bits<Real>("exp(max)", math::exp(Limits::max()), inf);
  expect_bits<Real>("exp(lowest)", math::exp(Limits::lowest()), zero);
  expect_bits<Real>("exp(0)", math::exp(zero), one);
  expect_bits<Real>("exp(-0)", math::exp(-zero), one);
  expect_bits<Real>("exp(denorm)", math::exp(Limits::denorm_min()), one);
  expect_bits<Real>("log(0)", math::log(zero), -inf);
  expect_bits<Real>("log(-0)", math::log(-zero), -inf);
  expect_bits<Real>("log(1)", math::log(one), zero);
  expect_bits<Real>("log(inf)", math::log(inf), inf);
  EXPECT_TRUE(std::isnan(math::log(-inf)));
  EXPECT_TRUE(std::isnan(math::log(-one)));
  EXPECT_TRUE(std::isnan(math::log(-Limits::denorm_min())));
  EXPECT_TRUE(std::isnan(math::log(Limits::lowest())));
  for (const Real sign : {one, -one}) {
    expect_bits<Real>("tanh(+-inf)", math::tanh(sign * inf), sign);
    expect_bits<Real>("erf(+-inf)", math::erf(sign * inf), sign);
    expect_bits<Real>("tanh(+-max)", math::tanh(sign * Limits::max()), sign);
    expect_bits<Real>("erf(+-max)", math::erf(sign * Limits::max()), sign);
    expect_bits<Real>("tanh(+-0)", math::tanh(sign * zero), sign * zero);
    expect_bits<Real>("erf(+-0)", math::erf(sign * zero), sign * zero);
    const Real tiny = sign * Limits::denorm_min();
    expect_bits<Real>("tanh(+-denorm)", math::tanh(tiny), tiny);
    expect_bits<Real>("erf(+-denorm)", math::erf(tiny), tiny);
  }
}

TEST(Math, ExpReachesTheSmallestSubnormalAndTheLargestFinite) {
  // ln(2^-150) = -103.97208 and ln(2^128) = 88.722839
  EXPECT_EQ(math::exp(-103.97f), std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(math::exp(-103.98f), 0.0f);
  EXPECT_TRUE(std::isfinite(math::exp(88.7228f)));
  EXPECT_EQ(math::exp(88.7229f), kInf);
  EXPECT_EQ(math::exp(-745.13), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(math::exp(-745.14), 0.0);
  EXPECT_TRUE(std::isfinite(math::exp(709.782)));
  EXPECT_TRUE(std::isinf(math::exp(709.783)));
}

TEST(Math, TanhAndErfNeverExceedOne) {
  for (float x = 3.0f; x < 12.0f; x = std::nextafter(x + 1e-5f, kInf)) {
    ASSERT_LE(math::tanh(x), 1.0f) << "tanh(" << x << ")";
    ASSERT_LE(math::erf(x), 1.0f) << "erf(" << x << ")";
  }
}

// Not promised to the last ulp; but a jump where the formula changes would be a kink in a loss
// curve.
TEST(Math, FunctionsGrowAcrossTheirThresholds) {
  struct Case {
    const char* name;
    float (*f)(float);
    float threshold;
  };
  const std::vector<Case> cases = {{"tanh", [](float x) { return math::tanh(x); }, 0.625f},
                                   {"tanh", [](float x) { return math::tanh(x); }, 9.01f},
                                   {"tanh", [](float x) { return math::tanh(x); }, 10.0f},
                                   {"erf", [](float x) { return math::erf(x); }, 1.0f},
                                   {"erf", [](float x) { return math::erf(x); }, 4.0f},
                                   {"exp", [](float x) { return math::exp(x); }, 0.34657359f},
                                   {"exp", [](float x) { return math::exp(x); }, -87.336548f},
                                   {"exp", [](float x) { return math::exp(x); }, -103.97208f},
                                   {"exp", [](float x) { return math::exp(x); }, 88.722839f},
                                   {"log", [](float x) { return math::log(x); }, 1.0f},
                                   {"log", [](float x) { return math::log(x); }, 0.70710678f},
                                   {"log", [](float x) { return math::log(x); }, 1.4142135f},
                                   {"log", [](float x) { return math::log(x); }, 1.1754944e-38f}};
  for (const auto& [name, f, threshold] : cases) {
    float x = threshold;
    for (int i = 0; i < 20'000; ++i) x = std::nextafter(x, -kInf);
    float before = f(x);
    for (int i = 0; i < 40'000; ++i) {
      x = std::nextafter(x, kInf);
      const float now = f(x);
      // one ulp of the result is the resolution; more would be a step
      ASSERT_GE(now, std::nextafter(before, -kInf)) << name << "(" << std::hexfloat << x << ")";
      before = now;
    }
  }
}

TEST(Math, CosTurnsIsExactAtQuarterTurnsAndWithinFourUlp) {
  for (int quarter = -40; quarter <= 40; ++quarter) {
    const double expected = quarter % 4 == 0 ? 1 : quarter % 2 == 0 ? -1 : 0;
    EXPECT_EQ(math::cos_turns(quarter * 0.25), expected) << quarter << " quarter turns";
  }
  constexpr long double kPi = 3.14159265358979323846264338327950288L;
  Worst worst;
  std::mt19937_64 random(20110612);
  for (int i = 0; i < 1'000'000; ++i) {
    const double turns = static_cast<double>(random() >> 13) * 0x1p-50 - 1.0;  // [-1, 1)
    const long double t = turns - std::nearbyint(turns);
    const long double expected = std::sin(2 * kPi * (0.25L - std::abs(t)));
    const double ulp = ulp_error(math::cos_turns(turns), expected);
    if (!(ulp <= worst.ulp)) worst = {ulp, turns};
  }
  std::printf("cos_turns f64  %.4f ulp at %a\n", worst.ulp, worst.at);
  EXPECT_LE(worst.ulp, 4.0 + kJudge) << "at " << worst.at << " turns";
}

// The goal is one result for every compiler and machine: a hash of the bits of many results, as
// first computed.
TEST(Math, TheBitsAreTheOnesEveryMachineGives) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto take = [&hash](auto value) {
    hash = (hash ^ math::detail::to_bits(value)) * 0x100000001b3u;
  };
  for (std::uint32_t i = 0; i < (1u << 16); ++i) {
    const float x = std::bit_cast<float>(i * 65521u);
    if (std::isnan(x)) continue;
    take(math::exp(x));
    take(math::log(x));
    take(math::tanh(x));
    take(math::erf(x));
    const double wide = static_cast<double>(x) * 1.000000001;
    take(math::exp(wide));
    take(math::log(wide));
    take(math::tanh(wide));
    take(math::erf(wide));
    take(math::cos_turns(i * 0x1.8p-16));
  }
  EXPECT_EQ(hash, 0xc3ebfcfa83edd375u) << std::hex << hash;
}

}  // namespace
}  // namespace cucina
