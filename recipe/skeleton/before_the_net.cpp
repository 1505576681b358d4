// Tip 10, visualise just before the net: the very numbers that the first layer reads are looked at,
// and known images are found in them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "recipe/check/check.h"
#include "recipe/check/first_layer.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kTrain = 512;
constexpr std::int64_t kValidation = 256;
// Deviation of all inputs: 1 when standardised, 0.3 when divided by 255, 73 when not at all.
constexpr double kSmallest = 0.03;
constexpr double kLargest = 4;
constexpr std::size_t kFewLevels = 4;
constexpr double kMostAlike = 0.5;
// Of the training inputs' deviation; augmentation and small splits move some.
constexpr double kMeanApart = 0.35;
constexpr double kDeviationApart = 1.5;  // ratio
constexpr double kDecibels = 30;

Moments of(const Rows& rows) { return moments(std::vector<double>(rows.x.begin(), rows.x.end())); }

void numbers(const Rows& rows, const char* split, Findings* findings) {
  const bool finite =
      std::all_of(rows.x.begin(), rows.x.end(), [](float v) { return std::isfinite(v); });
  if (!finite) {
    findings->add(failed("not-finite", fmt::format("{} inputs hold NaN or Inf", split),
                         "look at the reader and at divisions by a deviation of 0"));
    return;
  }
  const Moments all = of(rows);
  if (!(all.deviation >= kSmallest && all.deviation <= kLargest))
    findings->add(
        failed("not-scaled",
               fmt::format("{} inputs are not scaled as networks want them (deviation)", split),
               "standardise once: (pixel - mean) / deviation", all.deviation));
  std::set<float> levels;
  for (const float value : rows.x) {
    levels.insert(value);
    if (levels.size() > kFewLevels) break;
  }
  if (levels.size() <= kFewLevels && rows.d >= 16)
    findings->add(
        failed("few-levels", fmt::format("{} inputs have next to no grey levels (count)", split),
               "divide as floating-point numbers, not as integers", double(levels.size())));
  std::int64_t alike = 0;
  for (std::int64_t i = 1; i < rows.n; ++i)
    alike += std::equal(rows.row(i).begin(), rows.row(i).end(), rows.row(0).begin());
  if (double(alike) > kMostAlike * double(rows.n - 1) && rows.n > 1)
    findings->add(failed("inputs-alike", fmt::format("{} inputs are all the same (share)", split),
                         "the loader repeats one example", double(alike) / double(rows.n - 1)));
}

Verdict parity(const Rows& train, const Rows& validation) {
  const Moments a = of(train), b = of(validation);
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "inputs of both splits are alike (deviation)",
                  .measured = b.deviation,
                  .expected = a.deviation};
  verdict.evidence = {fmt::format("training {:.4g} ± {:.4g}, validation {:.4g} ± {:.4g}", a.mean,
                                  a.deviation, b.mean, b.deviation)};
  const double ratio = b.deviation / a.deviation;
  if (std::abs(a.mean - b.mean) <= kMeanApart * a.deviation && ratio < kDeviationApart &&
      ratio > 1 / kDeviationApart)
    return verdict;
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"splits-differ"};
  verdict.found = "training and validation inputs are prepared differently (deviation)";
  verdict.hint = "standardise both with the training statistics";
  return verdict;
}

Verdict golden(const Task& task) {
  if (task.golden.empty() || task.mean.empty()) return skipped("no known images are declared");
  const std::vector<GoldenSeen> seen = find_golden(task);
  if (seen.empty()) return skipped("none of the known images is delivered");
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "known images arrive as they are (least PSNR, dB)",
                  .measured = seen.front().decibels};
  for (const GoldenSeen& each : seen) {
    verdict.measured = std::min(verdict.measured, each.decibels);
    const bool is_image = each.decibels >= kDecibels;
    if (is_image && each.label_is_right) continue;  // NaN is not
    verdict.outcome = Outcome::fail;
    verdict.reasons = {is_image ? "not-the-label" : "not-the-image"};
    verdict.evidence.push_back(fmt::format("image {}: {:.1f} dB, label {}", each.golden->index,
                                           each.decibels, each.label_is_right ? "right" : "wrong"));
  }
  if (verdict.outcome == Outcome::pass) return verdict;
  verdict.found = "known images do not arrive as they are (least PSNR, dB)";
  verdict.hint =
      "look for planes read as pixels (CHW as HWC), channels or axes exchanged, and for a "
      "standardisation done twice";
  return verdict;
}

// Is what the loader delivers what the first layer reads, bit for bit?
Verdict first_read(const Task& task) {
  if (!task.step) return skipped("there is no step");
  if (task.mixes_targets) return skipped("the step mixes examples before a layer reads them");
  const FirstRead read = read_by_a_layer(task, batches(task.train, 1).front());
  if (read.ops == 0 || task.rounding > 1e-7) return skipped("the step's ops cannot be watched");
  if (!read.op.empty())
    return {.outcome = Outcome::pass,
            .found = "a layer reads what the loader delivers",
            .evidence = {fmt::format("{} reads it, bit for bit", read.op)}};
  return {.outcome = Outcome::warn,
          .reasons = {"changed-in-the-step"},
          .found = "no layer reads what the loader delivers: the step changes it first",
          .hint =
              "do in the loader what is done to inputs, once, so that training and evaluation "
              "have the same"};
}

// The weights that training begins with expect the inputs that they were made for.
Verdict as_pretrained(const Task& task) {
  if (task.pretrained_mean.empty() || task.mean.empty())
    return skipped("training begins with no weights made for other inputs");
  Verdict verdict{.outcome = Outcome::pass, .found = "inputs are normalised as the weights expect"};
  const std::size_t channels = task.mean.size();
  bool same = task.pretrained_mean.size() == channels &&
              task.pretrained_stddev.size() == task.stddev.size();
  for (std::size_t c = 0; same && c < channels; ++c) {
    const double unit = 0.01 * task.pretrained_stddev[c];
    same = std::abs(task.mean[c] - task.pretrained_mean[c]) <= unit &&
           std::abs(task.stddev[c] - task.pretrained_stddev[c]) <= unit;
    verdict.evidence.push_back(fmt::format(
        "channel {}: {:.4g} ± {:.4g} here, {:.4g} ± {:.4g} where the weights were made", c,
        task.mean[c], task.stddev[c], task.pretrained_mean[c], task.pretrained_stddev[c]));
  }
  if (same) return verdict;
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"not-as-pretrained"};
  verdict.found = "inputs are normalised otherwise than the weights expect";
  verdict.hint = "normalise with the mean and deviation in the weights' metadata";
  return verdict;
}

Verdict run(const Task& task) {
  Findings findings;
  const Rows train = rows_of(task.train, kTrain);
  numbers(train, "training", &findings);
  if (task.validation && !findings.any_fails()) {
    const Rows validation = rows_of(task.validation, kValidation);
    numbers(validation, "validation", &findings);
    if (!findings.any_fails()) findings.add(parity(train, validation));
  }
  findings.add(golden(task));
  findings.add(as_pretrained(task));
  findings.add(first_read(task));
  Verdict verdict = findings.verdict();
  const Batch first = batches(task.train, 1, kTrain).front();
  verdict.evidence.push_back(fmt::format("first batch {}, SHA-256 {}",
                                         to_string(first.inputs.shape()),
                                         hash_of(first.inputs).substr(0, 16)));
  return verdict;
}

}  // namespace

Check before_the_net() {
  return {
      "before_the_net", "10: visualise just before the net",
      "Takes the tensors that forward() is given. They must be finite, of a deviation between "
      "0.03 and 4, have more than\nfour levels, differ from example to example, and be alike in "
      "both splits: means within 0.35 deviations,\ndeviations within a factor of 1.5. Known "
      "images, turned back into pixels, must arrive with 30 dB and their label.\nIn a step some "
      "layer "
      "must read, bit for bit, what the loader delivered; weights that others made want their "
      "mean\nand deviation, to 1 %. The evidence has the hash of the first batch.\nSource: "
      "Karpathy 2019, \"visualize just before the "
      "net\".",
      &run};
}

}  // namespace cucina::checks
