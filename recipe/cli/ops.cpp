// `cucina ops`: every op, who computes it where, in which dtypes, and how many cases hold it.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "optim/all_rooms.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::ordered_json;

Json dtypes_of(const DTypes& dtypes) {
  Json names = Json::array();
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::u8}) {
    if (dtypes.contains(dtype)) names.push_back(name(dtype));
  }
  return names;
}

// {"cpu": {"hand": ["f32", "f64"], ...}, "cuda": {}}: backends without a dtype are left out.
Json backends_of(const OpEntry& op) {
  Json devices = Json::object();
  for (const Device device : {Device::cpu, Device::cuda}) {
    Json backends = Json::object();
    for (const Backend backend : {Backend::reference, Backend::hand, Backend::vendor}) {
      const Json dtypes = dtypes_of(op.dtypes(backend, device));
      if (!dtypes.empty()) backends[std::string(name(backend))] = dtypes;
    }
    devices[std::string(name(device))] = backends;
  }
  return devices;
}

Json collect() {
  Json list = Json::array();
  for (const OpEntry& op : all_rooms()) {
    const std::vector<Case> cases = op.cases();
    std::size_t differentiable = 0, timed = 0;
    for (const Case& c : cases) {
      differentiable += c.function ? 1 : 0;
      timed += c.timed != Timed::nowhere ? 1 : 0;
    }
    list.push_back({{"op", op.name},
                    {"backends", backends_of(op)},
                    {"tensor_cores", op.tensor_cores},
                    {"cases", cases.size()},
                    {"differentiable_cases", differentiable},
                    {"timed_cases", timed},
                    {"random_shapes", op.space != nullptr}});
  }
  return list;
}

std::string dtypes_text(const Json& op, const char* device, const char* backend) {
  const Json& backends = op["backends"][device];
  if (!backends.contains(backend)) return "-";
  std::string text;
  for (const Json& dtype : backends[backend])
    text += (text.empty() ? "" : " ") + dtype.get<std::string>();
  return text;
}

std::string to_text(const Json& list) {
  constexpr const char* kLine = "{:<24}{:<16}{:<16}{:<16}{:<16}{:>6}{:>7}\n";
  std::string text = fmt::format(fmt::runtime(kLine), "op", "cpu hand", "cpu vendor", "cuda hand",
                                 "cuda vendor", "cases", "timed");
  for (const Json& op : list) {
    text += fmt::format(fmt::runtime(kLine), op["op"].get<std::string>(),
                        dtypes_text(op, "cpu", "hand"), dtypes_text(op, "cpu", "vendor"),
                        dtypes_text(op, "cuda", "hand"), dtypes_text(op, "cuda", "vendor"),
                        op["cases"].get<std::size_t>(), op["timed_cases"].get<std::size_t>());
  }
  return text + fmt::format("{} ops; all have a reference on the cpu\n", list.size());
}

// What no build may be without: kernels of our own.
void check_all_have_hand(const Json& list) {
  for (const Json& op : list) {
    if (!op["backends"]["cpu"].contains("hand"))
      fail(ExitCode::run_failed, "ops: {} has no hand-written kernels; write its .cu",
           op["op"].get<std::string>());
  }
}

}  // namespace

Run add_ops(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "Print JSON");
  return [json] {
    const Json list = collect();
    print(*json ? list.dump() + "\n" : to_text(list));
    check_all_have_hand(list);
    return 0;
  };
}

}  // namespace cucina::cli
