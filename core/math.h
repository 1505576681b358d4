// exp, log, tanh, erf (and the cosine of turns) with the same bits on the host and on the GPU.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

// The bits agree because both compilers see one source made only of IEEE additions,
// multiplications, divisions and fused multiply-adds, rounded to nearest, subnormals kept, and
// never contracted
// (-ffp-contract=off, --fmad=false; no -ffast-math, no --use_fast_math): a multiply-add is fused
// where the source says so. A processor without such an instruction calls the C library's. Hence
// also:
//
// - constexpr: nvcc calls such functions in kernels without annotations (--expt-relaxed-constexpr);
// - selects, no branches: g++ -O3 vectorises a loop around them, and a warp does not diverge;
// - magic numbers: adding 1.5 * 2^23 (f64: 2^52) rounds, and leaves the integer in the lowest bits.
//
// NaN gives NaN, whose payload is not promised. tools/fit_math.py prints the coefficients.
namespace cucina::math {
namespace detail {

// a b + c, rounded once. std::fma is constexpr from C++23 on only; g++ evaluates its builtin at
// compile time, clang, which reads this for its warnings, does not.
template <std::floating_point Real>
constexpr Real fused(Real a, Real b, Real c) {
  if constexpr (sizeof(Real) == 4) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
}

template <std::floating_point Real>
constexpr Real polynomial(Real, Real last) {
  return last;
}

// c0 + c1 x + c2 x^2 + ... by Horner's rule.
template <std::floating_point Real, std::same_as<Real>... More>
constexpr Real polynomial(Real x, Real c0, Real c1, More... more) {
  return fused(x, polynomial(x, c1, more...), c0);
}

template <std::floating_point Real>
using Bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;

template <std::floating_point Real>
constexpr Bits<Real> to_bits(Real x) {
  return std::bit_cast<Bits<Real>>(x);
}

template <std::floating_point Real>
inline constexpr Bits<Real> kSignBit = to_bits(Real(-0.0));

template <std::floating_point Real>
constexpr Real absolute(Real x) {
  return std::bit_cast<Real>(to_bits(x) & ~kSignBit<Real>);
}

// `magnitude`, which is not negative, with the sign of `sign`.
template <std::floating_point Real>
constexpr Real with_sign(Real magnitude, Real sign) {
  return std::bit_cast<Real>(to_bits(magnitude) | (to_bits(sign) & kSignBit<Real>));
}

// condition ? yes : no, by masks: g++ would move the arithmetic of one side under the condition,
// and then, as it might trap there, not vectorise. For the same reason conditions compare bits, not
// floating-point numbers.
template <std::floating_point Real>
constexpr Real select(bool condition, Real yes, Real no) {
  const Bits<Real> mask = Bits<Real>(0) - static_cast<Bits<Real>>(condition);
  return std::bit_cast<Real>((to_bits(yes) & mask) | (to_bits(no) & ~mask));
}

// For magnitudes (sign bit clear), where the order of the bits is the order of the numbers, and NaN
// is above Inf.
template <std::floating_point Real>
constexpr bool less(Real a, Real b) {
  return to_bits(a) < to_bits(b);
}

// The smaller of a magnitude and a limit; NaN stays.
template <std::floating_point Real>
constexpr Real at_most(Real limit, Real magnitude) {
  constexpr Bits<Real> kInf = to_bits(std::numeric_limits<Real>::infinity());
  const bool beyond = to_bits(magnitude) - to_bits(limit) <= kInf - to_bits(limit);
  return select(beyond, limit, magnitude);
}

inline constexpr float kRound32 = 0x1.8p23f;
inline constexpr double kRound64 = 0x1.8p52;

// ln 2 as a sum: the high part times any exponent is exact.
inline constexpr float kLn2High32 = 0.693145752f, kLn2Low32 = 1.42860677e-06f;
inline constexpr double kLn2High64 = 0.69314718055966296, kLn2Low64 = 2.8235290563031577e-13;

// 2^k from k + kRound; -126 <= k <= 127.
constexpr float power_of_two(float k_plus_round) {
  return std::bit_cast<float>((detail::to_bits(k_plus_round) << 23) + 0x3f800000u);
}

// -1022 <= k <= 1023
constexpr double power_of_two(double k_plus_round) {
  return std::bit_cast<double>((detail::to_bits(k_plus_round) << 52) + 0x3ff0000000000000u);
}

// x as k ln2 + r with k the integer next to x / ln 2, and e^r = 1 + r + r^2 p(r).
template <std::floating_point Real>
struct ReducedExp {
  Real k;
  Real e_r;
};

template <std::floating_point Real>
constexpr ReducedExp<Real> reduced_exp(Real x, Real round, Real inverse_ln2, Real ln2_high,
                                       Real ln2_low, auto p) {
  const Real k = fused(x, inverse_ln2, round) - round;
  const Real r_high = fused(-k, ln2_high, x);  // exact
  const Real r = fused(-k, ln2_low, r_high);
  // 1 + r loses the last bits of r; they go in again with the small terms.
  const Real sum = Real(1) + r_high;
  const Real lost = fused(-k, ln2_low, (Real(1) - sum) + r_high);
  return {k, sum + fused(r * r, p(r), lost)};
}

constexpr ReducedExp<float> reduced_exp(float x) {
  return reduced_exp(x, kRound32, 1.44269502f, kLn2High32, kLn2Low32, [](float r) {
    return polynomial(r, 0.49999994f, 0.166665211f, 0.041668389f, 0.00836871658f, 0.00138146267f);
  });
}

constexpr ReducedExp<double> reduced_exp(double x) {
  return reduced_exp(x, kRound64, 1.4426950408889634, kLn2High64, kLn2Low64, [](double r) {
    return polynomial(r, 0.50000000000000111, 0.16666666666666413, 0.041666666666530155,
                      0.0083333333334943988, 0.0013888888943631085, 0.00019841269506688846,
                      2.4801493097828538e-05, 2.7557586290884422e-06, 2.7630248795880818e-07,
                      2.5000084425774371e-08);
  });
}

template <std::floating_point Real>
inline constexpr Real kRound = sizeof(Real) == 4 ? Real(kRound32) : Real(kRound64);

// exp(x) where it is neither 0 nor Inf, or a little beyond, or NaN.
template <std::floating_point Real>
constexpr Real scaled_exp(Real x) {
  const auto [k, e_r] = reduced_exp(x);
  // Two steps: 2^k alone may be out of range, and a subnormal result is rounded once.
  const Real half = fused(k, Real(0.5), kRound<Real>);
  const Real other_half = (k - (half - kRound<Real>)) + kRound<Real>;
  return e_r * power_of_two(half) * power_of_two(other_half);
}

// exp(x) for |x| <= 80, or NaN: the same bits, in fewer steps.
template <std::floating_point Real>
constexpr Real exp_of_moderate(Real x) {
  const auto [k, e_r] = reduced_exp(x);
  return e_r * power_of_two(k + kRound<Real>);
}

}  // namespace detail

// e^x. Overflows to Inf, underflows gradually to 0; exp(0) = 1.
//   error  0.78 ulp, over all f32; 0.70 where the result is not subnormal
constexpr float exp(float x) {
  // Beyond +-104 the result is 0 or Inf anyway.
  const float clamped = detail::with_sign(detail::at_most(104.0f, detail::absolute(x)), x);
  return detail::scaled_exp(clamped);
}

//   error  0.8 ulp, sampled
constexpr double exp(double x) {
  const double clamped = detail::with_sign(detail::at_most(746.0, detail::absolute(x)), x);
  return detail::scaled_exp(clamped);
}

// The natural logarithm. log(+-0) = -Inf, log(Inf) = Inf, log(x < 0) = NaN, log(1) = +0.
//   error  0.67 ulp, over all f32
constexpr float log(float x) {
  // x = 2^k m with sqrt(1/2) <= m < sqrt(2), log x = k ln2 + log m, f = m - 1 is exact.
  const bool subnormal = detail::less(detail::absolute(x), std::numeric_limits<float>::min());
  const float normal = x * detail::select(subnormal, 0x1p24f, 1.0f);
  constexpr std::uint32_t kOne = 0x3f800000u, kSqrtHalf = 0x3f3504f3u, kMantissa = 0x007fffffu;
  const std::uint32_t bits = detail::to_bits(normal) + (kOne - kSqrtHalf);
  const float f = std::bit_cast<float>((bits & kMantissa) + kSqrtHalf) - 1.0f;
  const float k = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 127) -
                  detail::select(subnormal, 24.0f, 0.0f);
  // log(1 + f) = f - f^2/2 + f^3 p(f). With f = upper + lower, where upper^2 is exact,
  // f^2/2 = upper^2/2 + lower (f + upper)/2; what the two large sums round off goes in again at
  // the end.
  const float upper = std::bit_cast<float>(detail::to_bits(f) & 0xfffff000u);
  const float square = 0.5f * upper * upper;
  const float head = f - square;
  const float head_lost = (f - head) - square;
  const float cubic =
      f * f * f *
      detail::polynomial(f, 0.333333135f, -0.250000089f, 0.200021192f, -0.166679963f, 0.142195538f,
                         -0.1240559f, 0.118881531f, -0.116756313f, 0.067466259f);
  const float tail = cubic - 0.5f * (f - upper) * (f + upper);
  const float whole = k * detail::kLn2High32;  // exact
  const float sum = whole + head;
  const float sum_lost = (whole - sum) + head;
  const float result = sum + (tail + (k * detail::kLn2Low32 + (head_lost + sum_lost)));

  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const float finite = detail::select(detail::less(x, kInf), result, kNan);  // less: not negative
  const float not_zero = detail::select(detail::to_bits(x) == detail::to_bits(kInf), kInf, finite);
  return detail::select(detail::to_bits(detail::absolute(x)) == 0, -kInf, not_zero);
}

//   error  0.7 ulp, sampled
constexpr double log(double x) {
  const bool subnormal = detail::less(detail::absolute(x), std::numeric_limits<double>::min());
  const double normal = x * detail::select(subnormal, 0x1p53, 1.0);
  constexpr std::uint64_t kOne = 0x3ff0000000000000u, kSqrtHalf = 0x3fe6a09e667f3bcdu;
  constexpr std::uint64_t kMantissa = 0x000fffffffffffffu, kTwo52 = 0x4330000000000000u;
  const std::uint64_t bits = detail::to_bits(normal) + (kOne - kSqrtHalf);
  const double f = std::bit_cast<double>((bits & kMantissa) + kSqrtHalf) - 1.0;
  // AVX2 converts no 64-bit integers: put the exponent into the lowest bits of 2^52, subtract 2^52.
  const double k = std::bit_cast<double>((bits >> 52) | kTwo52) - (0x1p52 + 1023.0) -
                   detail::select(subnormal, 53.0, 0.0);
  // With s = f / (2 + f), z = s^2: log(1 + f) = 2 s + s z p(z) and 2 s = f - f^2/2 + s f^2/2.
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double upper = std::bit_cast<double>(detail::to_bits(f) & 0xfffffffff8000000u);
  const double square = 0.5 * upper * upper;
  const double square_low = 0.5 * (f - upper) * (f + upper);
  const double head = f - square;
  const double head_lost = (f - head) - square;
  const double series =
      z * detail::polynomial(z, 0.6666666666666734, 0.39999999999416352, 0.28571428742027538,
                             0.22222198609146446, 0.18183562501714096, 0.15314096192090706,
                             0.14795502669634811);
  const double tail = s * (0.5 * f * f + series) - square_low;
  const double whole = k * detail::kLn2High64;  // exact
  const double sum = whole + head;
  const double sum_lost = (whole - sum) + head;
  const double result = sum + (tail + (k * detail::kLn2Low64 + (head_lost + sum_lost)));

  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const double finite = detail::select(detail::less(x, kInf), result, kNan);  // less: not negative
  const double not_zero = detail::select(detail::to_bits(x) == detail::to_bits(kInf), kInf, finite);
  return detail::select(detail::to_bits(detail::absolute(x)) == 0, -kInf, not_zero);
}

// The hyperbolic tangent; odd, also at -0; +-1 at +-Inf.
//   error  1.35 ulp, over all f32
constexpr float tanh(float x) {
  const float a = detail::at_most(10.0f, detail::absolute(x));  // tanh(10) rounds to 1
  const float z = a * a;
  const float small = a + a * z *
                              detail::polynomial(z, -0.333333313f, 0.133332059f, -0.0539467633f,
                                                 0.0217006989f, -0.00817738567f, 0.00214295113f);
  const float large = 1.0f - 2.0f / (detail::exp_of_moderate(2.0f * a) + 1.0f);
  return detail::with_sign(detail::select(detail::less(a, 0.625f), small, large), x);
}

//   error  1.4 ulp, sampled
constexpr double tanh(double x) {
  const double a = detail::at_most(20.0, detail::absolute(x));
  const double z = a * a;
  const double small = a + a * z *
                               detail::polynomial(z, -0.33333333333333315, 0.13333333333329742,
                                                  -0.053968253966058831, 0.02186948846871363,
                                                  -0.0088632343125537132, 0.0035921139996585509,
                                                  -0.0014557259468221996, 0.00058945179416774183,
                                                  -0.00023701171784058824, 9.155839121792693e-05,
                                                  -3.0187200360391649e-05, 6.042459525188529e-06);
  const double large = 1.0 - 2.0 / (detail::exp_of_moderate(2.0 * a) + 1.0);
  return detail::with_sign(detail::select(detail::less(a, 0.625), small, large), x);
}

// The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x. Odd, also at -0;
// +-1 at +-Inf.
//   error  1.32 ulp, over all f32
constexpr float erf(float x) {
  const float a = detail::at_most(4.0f, detail::absolute(x));  // erf(4) rounds to 1
  const float z = a * a;
  const float small =
      a + a * detail::polynomial(z, 0.128379166f, -0.37612626f, 0.112835854f, -0.0268538129f,
                                 0.00518832775f, -0.000801019196f, 7.853852e-05f);
  const float large = 1.0f - detail::exp_of_moderate(detail::polynomial(
                                 a - 1.0f, -1.84960556f, -2.6389668f, -0.843117595f, -0.041503489f,
                                 0.00989544392f, -0.00182937027f, 0.000186375313f));
  return detail::with_sign(detail::select(detail::less(a, 1.0f), small, large), x);
}

//   error  1.3 ulp, sampled
constexpr double erf(double x) {
  const double a = detail::at_most(6.0, detail::absolute(x));
  const double z = a * a;
  const double small = a + a * detail::polynomial(z, 0.12837916709551259, -0.37612638903183754,
                                                  0.11283791670955119, -0.026866170645129733,
                                                  0.005223977625422086, -0.00085483270218532012,
                                                  0.00012055332899357821, -1.4925647465110833e-05,
                                                  1.6462043407599716e-06, -1.6364614418249383e-07,
                                                  1.4792145719035806e-08, -1.2163041701482208e-09,
                                                  8.7037890631562092e-11, -4.2228949703044996e-12);
  const double large =
      1.0 - detail::exp_of_moderate(detail::polynomial(
                a - 1.0, -1.8496055099332482, -2.6389675142347908, -0.84310725635851191,
                -0.041561098045827451, 0.010033825424905567, -0.0019779029458201914,
                0.00023732431724076639, 2.6271754690523338e-05, -2.7144568393307813e-05,
                9.583619424683134e-06, -2.0270632348211132e-06, 1.1104406501279107e-07,
                1.2095027204815686e-07, -6.5014227032769063e-08, 2.0290323903235336e-08,
                -4.5010628596283404e-09, 7.2251035215230403e-10, -8.0314996294738728e-11,
                5.5396669209148726e-12, -1.7839488049738068e-13));
  return detail::with_sign(detail::select(detail::less(a, 1.0), small, large), x);
}

// cos(2 pi turns) for |turns| < 2^51; exact at every quarter turn. A sine is a quarter turn late:
// sin(2 pi turns) = cos_turns(turns - 0.25).
//   error  4 ulp for multiples of 2^-50, sampled
constexpr double cos_turns(double turns) {
  const double t = turns - ((turns + detail::kRound64) - detail::kRound64);  // -1/2 <= t <= 1/2
  const double quarter = 0.25 - detail::absolute(t);  // cos(2 pi t) = sin(2 pi quarter)
  return quarter * detail::polynomial(quarter * quarter, 6.2831853071795862, -41.341702240399755,
                                      81.605249276073408, -76.705859752798489, 42.058693923785015,
                                      -15.09464162050552, 3.8199270504298362, -0.71772357986893653,
                                      0.10085633003753049);
}

}  // namespace cucina::math
