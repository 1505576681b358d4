// Every front door against PyTorch: outputs, gradients and optimisers' trajectories, from the
// vectors of make_vectors.py; writes the table of agreement.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/drivers/operands.h"
#include "optim/all_rooms.h"
#include "tests/rooms/registration.h"
#include "tests/torch/front_doors.h"

namespace cucina::testing {
namespace {

// The vectors are f64, our kernels f32: as for the reference in f64, some 80 ulp in the norm. A
// hundred steps of an optimiser stay within it too, since each rounds a few times.
constexpr double kTolerance = 1e-5;

// One row of the table of agreement.
struct Row {
  int cases = 0;
  std::map<Backend, double> worst;  // relative error over all cases, outputs and gradients
};
std::map<std::string, Row>& table() {
  static std::map<std::string, Row> rows;
  return rows;
}

bool has_f32(const std::string& room, Backend backend) {
  for (const OpEntry& entry : all_rooms()) {
    if (entry.name == room) return entry.dtypes(backend, Device::cpu).contains(DType::f32);
  }
  fail("there is no room {}", room);
}

// Compares and keeps the error for the table.
std::string judge(const std::string& what, const Tensor& out, const Tensor& expected,
                  double& worst) {
  if (out.shape() != expected.shape()) {
    return fmt::format("{} has shape {}, PyTorch's {}", what, to_string(out.shape()),
                       to_string(expected.shape()));
  }
  worst = std::max(worst, drivers::relative_error(out, expected));
  const std::string bad = drivers::compare(out, expected, kTolerance);
  return bad.empty() ? "" : fmt::format("{}: {}", what, bad);
}

std::string check_vector(const Vector& vector, Backend backend, double& worst) {
  const ScopedBackend forced(backend);
  std::map<std::string, Tensor> in;
  for (const auto& [name, tensor] : vector.under("in/")) {
    in[name] = tensor.clone();
    if (vector.has("grad/" + name)) in[name].set_requires_grad(true);
  }
  const Tensor y = front_doors().at(vector.op).call(vector.params, Inputs(in));
  if (std::string bad = judge("the output", y, vector.at("out"), worst); !bad.empty()) return bad;
  if (vector.has("seed")) backward(y, {}, vector.at("seed"));
  for (const auto& [name, gradient] : vector.under("grad/")) {
    const std::string what = "the gradient of " + name;
    if (!in[name].grad().defined()) return what + " is missing";
    if (std::string bad = judge(what, in[name].grad(), gradient, worst); !bad.empty()) return bad;
  }
  for (const auto& [name, after] : vector.under("after/")) {
    if (std::string bad = judge(name + " afterwards", in[name], after, worst); !bad.empty()) {
      return bad;
    }
  }
  return "";
}

void add_vector_tests(const Vector& vector) {
  const auto door = front_doors().find(vector.op);
  if (door == front_doors().end()) {
    add_test(vector.op, vector.name,
             [op = vector.op] { return fmt::format("tests/torch/front_doors.cpp has no {}", op); });
    return;
  }
  ++table()[vector.op].cases;
  for (const Backend backend : {Backend::hand, Backend::vendor}) {
    if (!has_f32(door->second.room, backend)) continue;
    double& worst = table()[vector.op].worst[backend];
    add_test(vector.op, fmt::format("{}/{}", vector.name, name(backend)),
             [vector, backend, &worst] { return check_vector(vector, backend, worst); });
  }
}

// build/torch_agreement.json, and the same as Markdown for docs/numbers.md.
void write_table(const std::filesystem::path& path, const std::string& torch) {
  nlohmann::json rows = nlohmann::json::array();
  std::string markdown =
      "| op | cases | hand, worst relative error | vendor |\n| --- | ---: | ---: | ---: |\n";
  for (const auto& [op, row] : table()) {
    nlohmann::json entry{{"op", op}, {"cases", row.cases}};
    markdown += fmt::format("| {} | {} |", op, row.cases);
    for (const Backend backend : {Backend::hand, Backend::vendor}) {
      const auto worst = row.worst.find(backend);
      entry[std::string(name(backend))] =
          worst != row.worst.end() ? nlohmann::json(worst->second) : nlohmann::json();
      markdown += worst != row.worst.end() ? fmt::format(" {:.1e} |", worst->second) : " |";
    }
    markdown += "\n";
    rows.push_back(entry);
  }
  const nlohmann::json all{{"torch", torch}, {"tolerance", kTolerance}, {"rows", rows}};
  std::ofstream(path) << all.dump(1) << "\n";
  std::ofstream(std::filesystem::path(path).replace_extension(".md")) << markdown;
}

}  // namespace

int run_torch_tests() {
  const std::filesystem::path build = CUCINA_BINARY_DIR;
  const std::vector<Vector> vectors = read_vectors(build / "torch_vectors");
  if (vectors.empty()) {
    add_test("Torch", "agreement", []() -> std::string {
      [] {
        GTEST_SKIP() << "no vectors of PyTorch here: tests/torch/make_vectors.py --install makes "
                        "them";
      }();
      return "";
    });
    return run_all();
  }
  for (const Vector& vector : vectors) add_vector_tests(vector);
  const int result = run_all();
  if (result == 0 && ::testing::GTEST_FLAG(filter) == "*") {
    write_table(build / "torch_agreement.json", vectors.front().torch);
  }
  return result;
}

}  // namespace cucina::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return cucina::testing::run_torch_tests();
}
