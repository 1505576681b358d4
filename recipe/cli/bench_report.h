// What `cucina bench` measured, as lines of a table and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/drivers/peaks.h"
#include "kernels/drivers/timing.h"

namespace cucina::cli {

// One call on one backend.
struct BenchRow {
  std::string op, name, entry;  // name: of the case
  drivers::Format format;
  Device device = Device::cpu;
  double flops = 0, bytes = 0;
  std::vector<std::pair<std::string, Shape>> shapes;  // of inputs and outputs
  drivers::Floor floor;
  drivers::Samples samples;
  drivers::Quartiles seconds;                         // of the samples
  std::optional<double> vendor_ratio = std::nullopt;  // the vendor's time over this one's
};

// The rows of one call, each with its ratio to the vendor's where that was timed.
std::vector<BenchRow> make_rows(const OpEntry& op, const Case& c, const Call& call, Device device,
                                drivers::Format format, const drivers::Peaks& peaks,
                                std::vector<drivers::Samples> samples);

// "123 us": three digits.
std::string short_seconds(double seconds);
// "━━━━──────": the share of ten cells.
std::string bar(double share);

std::string table_head();
std::string table_line(const BenchRow& row, bool color);

nlohmann::ordered_json to_json(const BenchRow& row);
nlohmann::ordered_json to_json(const drivers::Peaks& peaks);
// Processor, GPU and its driver, compiler, libraries, threads, load.
nlohmann::ordered_json machine_json();

}  // namespace cucina::cli
