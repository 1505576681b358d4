// Stage 1: the images that a trained model gets most wrong.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "nn/layers.h"
#include "recipe/data/loader.h"
#include "recipe/inspect/inspection.h"

namespace cucina::inspect {
namespace {

constexpr std::int64_t kBatch = 256;
constexpr std::size_t kListed = 200;
constexpr std::size_t kShown = 96;
constexpr std::size_t kEvidence = 20;

struct Mistake {
  std::int64_t index = 0;
  double loss = 0;  // in nats
  int predicted = 0;
  double probability = 0;  // of that
};

std::vector<Mistake> judge_all(const Judged& judged, const data::ImageSet& set) {
  const nn::ModelSpec& spec = judged.model->spec;
  if (set.h != spec.h || set.w != spec.w || set.c != spec.c || set.classes > spec.classes)
    fail(ExitCode::bad_file,
         "inspect: the data are {}x{}x{} in {} classes but model {} takes {}x{}x{} in {}; give the "
         "data "
         "it was trained on",
         set.h, set.w, set.c, set.classes, spec.name, spec.h, spec.w, spec.c, spec.classes);
  const nn::ScopedEvaluation evaluation(*judged.model->net);
  const NoGrad no_grad;
  const data::Loader loader(set, judged.statistics, kBatch, Device::cpu);
  std::vector<Mistake> all;
  const auto classes = static_cast<std::size_t>(spec.classes);
  for (std::int64_t i = 0; i < loader.batches(); ++i) {
    const std::vector<float> logits = (*judged.model)(loader.in_order(i).images).to_vector<float>();
    for (std::size_t at = 0; at < logits.size(); at += classes) {
      const auto row = logits.begin() + std::int64_t(at), end = row + std::int64_t(classes);
      const auto best = std::max_element(row, end);
      double sum = 0;
      for (auto each = row; each != end; ++each) sum += std::exp(double(*each) - *best);
      const auto label = set.labels[all.size()];
      all.push_back({.index = std::int64_t(all.size()),
                     .loss = std::log(sum) + *best - row[label],
                     .predicted = int(best - row),
                     .probability = 1 / sum});
    }
  }
  return all;
}

Found run(const Subject& subject) {
  const Judged& judged = subject.judged;
  if (judged.model == nullptr) return {checks::skipped("no model is given: --model-dir")};
  const data::ImageSet& set = subject.set(judged.split);
  if (set.n == 0) return {checks::skipped(fmt::format("{} has no images", name(judged.split)))};
  std::vector<Mistake> all = judge_all(judged, set);
  std::int64_t wrong = 0;
  for (const Mistake& each : all)
    wrong += each.predicted != set.labels[static_cast<std::size_t>(each.index)] ? 1 : 0;
  std::stable_sort(all.begin(), all.end(),
                   [](const Mistake& a, const Mistake& b) { return a.loss > b.loss; });
  Found found;
  found.verdict.outcome = checks::Outcome::pass;
  found.verdict.found = fmt::format("{} of {} images of {} are mispredicted (share)", wrong, set.n,
                                    name(judged.split));
  found.verdict.measured = double(wrong) / double(set.n);
  auto& list = found.details["highest_losses"] = nlohmann::ordered_json::array();
  std::vector<Tile> tiles;
  for (std::size_t i = 0; i < std::min(kListed, all.size()); ++i) {
    const Mistake& each = all[i];
    const Ref image{judged.split, each.index};
    const std::string &label = subject.class_name(subject.label(image)),
                      &predicted = subject.class_name(each.predicted);
    nlohmann::ordered_json json = subject.to_json(image);
    json["predicted"] = predicted;
    json["probability"] = each.probability;
    json["loss"] = each.loss;
    list.push_back(json);
    if (i < kEvidence)
      found.verdict.evidence.push_back(
          fmt::format("{}: {}, predicted {} with p {:.3f}, loss {:.2f}", subject.describe(image),
                      label, predicted, each.probability, each.loss));
    if (i < kShown) tiles.push_back({image, fmt::format("{:.3}>{:.3}", label, predicted)});
  }
  found.sheets.push_back({.name = "mispredictions",
                          .title = "The highest losses first: label > prediction",
                          .rows = in_rows(tiles)});
  return found;
}

}  // namespace

Inspection mispredictions() {
  return {
      "mispredictions", "stage 1: become one with the data",
      "With --model-dir: lists the images of --split by their loss, the highest first, with the "
      "model's prediction and its\nprobability. Wrong labels, ambiguous images and what the model "
      "cannot do stand at the top.",
      &run};
}

}  // namespace cucina::inspect
