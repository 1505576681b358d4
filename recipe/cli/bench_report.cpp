// Formats what the benchmarks measured.
#include "recipe/cli/bench_report.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "core/config.h"
#include "core/cuda_runtime.h"
#include "kernels/common/versions.h"
#include "recipe/report/color.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::ordered_json;

// 1.23, 12.3, 123: three digits.
std::string three_digits(double value) {
  if (value >= 99.95) return fmt::format("{:.0f}", value);
  return fmt::format(fmt::runtime(value >= 9.995 ? "{:.1f}" : "{:.2f}"), value);
}

double share_of_floor(const BenchRow& row) { return row.floor.seconds / row.seconds.median; }

std::string rate(const BenchRow& row) {
  const double work = row.floor.by_arithmetic ? row.flops : row.bytes;
  return fmt::format("{} {}", three_digits(work / row.seconds.median / 1e9),
                     row.floor.by_arithmetic ? "GFLOP/s" : "GB/s   ");
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json gpu_json() {
  if (!cuda_available()) return nullptr;
  const CudaRuntime& cuda = *cuda_runtime();
  const CudaDeviceInfo info = cuda.device_info(0);
  return {{"name", info.name},
          {"compute_capability", fmt::format("{}.{}", info.major, info.minor)},
          {"multiprocessors", info.multiprocessors},
          {"memory_bytes", info.memory},
          {"l2_bytes", info.l2_bytes},
          {"megahertz", info.hertz / 1e6},
          {"cuda_runtime", cuda.runtime_version},
          {"cuda_driver", cuda.driver_version()}};
}

}  // namespace

std::vector<BenchRow> make_rows(const OpEntry& op, const Case& c, const Call& call, Device device,
                                drivers::Format format, const drivers::Peaks& peaks,
                                std::vector<drivers::Samples> samples) {
  std::vector<BenchRow> rows;
  std::optional<double> vendor;
  for (drivers::Samples& each : samples) {
    BenchRow row{.op = std::string(op.name),
                 .name = c.name,
                 .entry = call.entry,
                 .format = format,
                 .device = device,
                 .flops = call.flops,
                 .bytes = drivers::least_bytes(call, format.dtype),
                 .shapes = {},
                 .floor = drivers::floor_of(call, format, peaks),
                 .samples = std::move(each),
                 .seconds = {}};
    row.seconds = drivers::quartiles(row.samples.seconds);
    for (const auto* operands : {&call.inputs, &call.outputs}) {
      for (const Operand& operand : *operands) row.shapes.emplace_back(operand.name, operand.shape);
    }
    if (row.samples.backend == Backend::vendor) vendor = row.seconds.median;
    rows.push_back(std::move(row));
  }
  for (BenchRow& row : rows) {
    if (vendor && row.samples.backend != Backend::vendor)
      row.vendor_ratio = *vendor / row.seconds.median;
  }
  return rows;
}

std::string short_seconds(double seconds) {
  if (seconds >= 0.9995) return three_digits(seconds) + " s";
  if (seconds >= 0.9995e-3) return three_digits(seconds * 1e3) + " ms";
  if (seconds >= 0.9995e-6) return three_digits(seconds * 1e6) + " us";
  return three_digits(seconds * 1e9) + " ns";
}

std::string bar(double share) {
  constexpr int kCells = 10;
  const int filled = std::clamp(static_cast<int>(std::lround(share * kCells)), 0, kCells);
  std::string text;
  for (int i = 0; i < kCells; ++i) text += i < filled ? "━" : "─";
  return text;
}

std::string table_head() {
  return fmt::format("{:<26} {:<24} {:<5} {:<9} {:>8} {:>6}  {:>7} {:<7}  {:>17}  {}\n", "case",
                     "entry", "dtype", "backend", "median", "IQR", "rate", "", "% of floor",
                     "x vendor");
}

std::string table_line(const BenchRow& row, bool color) {
  const double share = share_of_floor(row);
  const double spread = (row.seconds.high - row.seconds.low) / row.seconds.median;
  const report::Style style = share >= 0.8   ? report::Style::green
                              : share >= 0.4 ? report::Style::yellow
                                             : report::Style::red;
  return fmt::format("{:<26} {:<24} {:<5} {:<9} {:>8} {:>4.0f} %  {:>15}  {} {:>4.0f} %  {}{}\n",
                     row.name, row.entry, name(row.format), name(row.samples.backend),
                     short_seconds(row.seconds.median), 100 * spread, rate(row),
                     report::paint(bar(share), style, color), 100 * share,
                     row.vendor_ratio ? fmt::format("{:.2f}", *row.vendor_ratio) : "",
                     row.samples.cold ? "" : "  (in cache)");
}

Json to_json(const BenchRow& row) {
  // Enough for a test of ranks, evenly taken.
  constexpr std::size_t kMost = 101;
  const std::vector<double>& all = row.samples.seconds;
  std::vector<double> kept;
  const std::size_t n = std::min(all.size(), kMost);
  for (std::size_t i = 0; i < n; ++i) kept.push_back(all[i * all.size() / n]);
  Json shapes = Json::object();
  for (const auto& [name, shape] : row.shapes)
    shapes[name] = std::vector<std::int64_t>(shape.sizes().begin(), shape.sizes().end());
  return {{"op", row.op},
          {"case", row.name},
          {"entry", row.entry},
          {"dtype", name(row.format)},
          {"backend", name(row.samples.backend)},
          {"device", name(row.device)},
          {"shapes", shapes},
          {"median_seconds", row.seconds.median},
          {"low_quartile_seconds", row.seconds.low},
          {"high_quartile_seconds", row.seconds.high},
          {"flops", row.flops},
          {"bytes", row.bytes},
          {"floor_seconds", row.floor.seconds},
          {"floor", row.floor.by_arithmetic ? "arithmetic" : "memory"},
          {"share_of_floor", share_of_floor(row)},
          {"vendor_ratio", row.vendor_ratio ? Json(*row.vendor_ratio) : Json(nullptr)},
          {"cold", row.samples.cold},
          {"graph", row.samples.graph},
          {"samples", all.size()},
          {"samples_seconds", kept}};
}

Json to_json(const drivers::Peaks& peaks) {
  return {{"copy_bytes_per_second", peaks.copy},
          {"f32_flops", peaks.f32},
          {"f64_flops", peaks.f64},
          {"tf32_flops", peaks.tf32},
          {"bf16_flops", peaks.bf16},
          {"start_seconds", peaks.start},
          {"cache_bytes", peaks.cache_bytes},
          {"how", peaks.how}};
}

Json machine_json() {
  double load = 0;
  ::getloadavg(&load, 1);
  return {{"cpu", cpu_name()},
          {"threads", omp_get_max_threads()},
          {"load_average", load},
          {"cucina", kVersion},
          {"compiler", kCompiler},
          {"build_type", kBuildType},
          {"onednn", text_or_null(onednn_version())},
          {"cudnn", text_or_null(cudnn_version())},
          {"cublas_lt", text_or_null(cublas_lt_version())},
          {"gpu", gpu_json()}};
}

}  // namespace cucina::cli
