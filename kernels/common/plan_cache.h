// Plans of vendor libraries, made once for each shape: creating one can take longer than using it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "core/shape.h"

namespace cucina {

// What a plan was made for: the entry's name and everything its making depended on, in order:
// shapes, numbers, enumerators.
class PlanKey {
 public:
  template <typename... Parts>
  explicit PlanKey(std::string_view entry, const Parts&... parts) : bytes_(entry) {
    (append(parts), ...);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void append(const Shape& shape) {
    append(shape.rank());
    for (const std::int64_t size : shape.sizes()) append(size);
  }
  template <typename Number>
  requires(std::is_integral_v<Number> || std::is_enum_v<Number>) void append(Number number) {
    const auto wide = static_cast<std::int64_t>(number);
    bytes_.append(reinterpret_cast<const char*>(&wide), sizeof(wide));
  }

  std::string bytes_;
};

// A thread's plans of one type. Each thread has its own, as oneDNN's share scratch memory of the
// thread that made them. A member, because simt takes a function's thread-locals for its kernels'
// shared memory.
template <typename Plan>
struct PlansOfThread {
  static thread_local std::unordered_map<std::string, std::shared_ptr<const Plan>> plans;
};
template <typename Plan>
thread_local std::unordered_map<std::string, std::shared_ptr<const Plan>>
    PlansOfThread<Plan>::plans;

// What make() returned the first time this thread asked for `key`. At most kMostPlans of each type
// are kept; then all go, which random tests alone bring about.
template <typename Make>
auto cached(const PlanKey& key, Make make) {
  using Plan = std::remove_cvref_t<decltype(make())>;
  constexpr std::size_t kMostPlans = 1024;
  auto& plans = PlansOfThread<Plan>::plans;
  const auto found = plans.find(key.bytes());
  if (found != plans.end()) return found->second;
  auto plan = std::make_shared<const Plan>(make());
  if (plans.size() >= kMostPlans) plans.clear();
  plans.emplace(key.bytes(), plan);
  return plan;
}

}  // namespace cucina
