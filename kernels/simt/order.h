// The order a schedule visits n things in, without storing it.
#pragma once

#include <cstdint>
#include <numeric>

#include "kernels/simt/options.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

inline std::uint64_t splitmix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// at(0), ..., at(n - 1) is 0, ..., n - 1 forward, the same backwards, or a permutation i -> a i + b
// mod n, which jumps about enough to part neighbours.
class Order {
 public:
  Order(Schedule schedule, std::uint64_t n, std::uint64_t seed) : n_(n) {
    if (schedule == Schedule::reverse) {
      step_ = n - 1;
      first_ = n - 1;
    } else if (schedule == Schedule::shuffled && n > 1) {
      // Both below 2^32, so that step * i does not overflow for the n a grid can have.
      step_ = splitmix(seed) % (n < 0xffffffffu ? n : 0xffffffffu);
      while (std::gcd(step_, n) != 1) step_ = step_ + 1 < n ? step_ + 1 : 1;
      first_ = splitmix(seed + 1) % n;
    }
  }
  std::uint64_t at(std::uint64_t i) const {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(step_) * i + first_) % n_);
  }

 private:
  std::uint64_t n_;
  std::uint64_t step_ = 1;
  std::uint64_t first_ = 0;
};

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
