// The forced backend, and the sentences for when there is none.
#include "kernels/common/backends.h"

#include <cstdlib>

#include "core/error.h"

namespace cucina {
namespace {

std::optional<Backend>& forced() {
  static std::optional<Backend> value = [] {
    const char* text = std::getenv("CUCINA_BACKEND");
    return text == nullptr || *text == '\0' ? std::nullopt : parse_backend(text);
  }();
  return value;
}

}  // namespace

std::optional<Backend> forced_backend() { return forced(); }
void force_backend(std::optional<Backend> backend) { forced() = backend; }

std::optional<Backend> parse_backend(std::string_view text) {
  if (text == "auto") return std::nullopt;
  for (const Backend backend : {Backend::reference, Backend::hand, Backend::vendor}) {
    if (text == name(backend)) return backend;
  }
  fail("backend '{}' is unknown; choose auto, hand, vendor or reference", text);
}

std::span<const Backend> preference(std::optional<Backend> forced, bool hand_first) {
  static constexpr std::array kAutomatic{Backend::vendor, Backend::hand};
  static constexpr std::array kHand{Backend::hand};
  static constexpr std::array kReference{Backend::reference};
  static constexpr std::array kHandFirst{Backend::hand, Backend::vendor};
  if (forced == Backend::hand) return kHand;
  if (forced == Backend::reference) return kReference;
  return !forced && hand_first ? std::span<const Backend>(kHandFirst) : kAutomatic;
}

void throw_no_backend(std::string_view op, const Tensor& like) {
  const auto backend = forced_backend();
  fail("{}: backend {} has no kernel for {} on {}; choose another with --backend or CUCINA_BACKEND",
       op, backend ? name(*backend) : "auto", name(like.dtype()), name(like.device()));
}

void check_alike(std::string_view op, std::string_view a_name, const Tensor& a,
                 std::string_view b_name, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.device() != b.device()) {
    fail("{}: {} is {} but {} is {}; dtype and device must agree", op, a_name, describe(a), b_name,
         describe(b));
  }
}

}  // namespace cucina
