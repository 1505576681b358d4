// Sorts parameters into groups and gives each an optimiser.
#include "recipe/skeleton/optimizers.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "optim/groups.h"

namespace cucina::skeleton {
namespace {

// Adam's learning rate for what Muon leaves to it: 3e-4 beside Muon's usual 0.02.
constexpr double kAdamOverMuon = 0.015;

// Group 0 has what no group of the options names.
std::size_t group_of(const TrainOptions& options, const std::string& name) {
  for (std::size_t i = 0; i < options.groups.size(); ++i)
    if (nn::matches(name, options.groups[i].name)) return i + 1;
  return 0;
}

void check_groups(const nn::Module& module, const TrainOptions& options) {
  const std::vector<nn::NamedTensor> parameters = module.parameters();
  for (std::size_t i = 0; i < options.groups.size(); ++i) {
    const ParameterGroup& group = options.groups[i];
    if (!(group.lr_ratio > 0) || !std::isfinite(group.lr_ratio))
      fail("group '{}': lr is {}; it must be finite and above 0 (freeze what is not to move)",
           group.name, group.lr_ratio);
    if (std::none_of(parameters.begin(), parameters.end(), [&](const nn::NamedTensor& each) {
          return each.tensor.requires_grad() && group_of(options, each.name) == i + 1;
        }))
      fail(
          "group '{}': no parameter that is trained and in no group before has such a name; cucina "
          "models NAME lists them",
          group.name);
  }
}

// What training does with one group.
struct GroupSettings {
  double lr_ratio;
  double weight_decay;
  bool decays_all;  // not the weights alone
};

GroupSettings settings_of(const nn::ParameterArena::Segment& segment, const TrainOptions& options) {
  if (segment.group == 0) return {1, options.weight_decay, false};
  const ParameterGroup& group = options.groups[segment.group - 1];
  return {group.lr_ratio, group.weight_decay.value_or(options.weight_decay),
          group.weight_decay.has_value()};
}

// Muon is for hidden layers: by its authors' advice neither for the first nor for the last.
std::vector<MuonMatrix> hidden_matrices(const nn::Module& module, const nn::ParameterArena& arena,
                                        const nn::ParameterArena::Segment& segment) {
  std::vector<Tensor> weights;
  for (const nn::NamedTensor& parameter : module.parameters())
    if (parameter.tensor.shape().rank() >= 2) weights.push_back(parameter.tensor);
  std::vector<MuonMatrix> hidden;
  for (const nn::ParameterArena::Slot& slot : arena.slots()) {
    const Tensor& each = slot.parameter;
    if (each.shape().rank() < 2 || slot.offset < segment.begin || slot.offset >= segment.end)
      continue;
    if (each.same(weights.front()) || each.same(weights.back())) continue;
    hidden.push_back(as_muon_matrix(slot.offset - segment.begin, each.shape()));
  }
  return hidden;
}

void check_muon(const nn::Module& module, const nn::ParameterArena& arena) {
  const auto& segments = arena.segments();
  if (std::any_of(segments.begin(), segments.end(), [&](const auto& segment) {
        return !hidden_matrices(module, arena, segment).empty();
      }))
    return;
  const auto& slots = arena.slots();
  fail(
      "optimizer muon: the model has {} weight matrices, and none to train between the first and "
      "the last; choose adam",
      std::count_if(slots.begin(), slots.end(),
                    [](const auto& slot) { return slot.parameter.shape().rank() >= 2; }));
}

std::unique_ptr<optim::Optimizer> one_group(const nn::Model& model, const nn::ParameterArena& arena,
                                            const nn::ParameterArena::Segment& segment,
                                            const TrainOptions& options) {
  const GroupSettings settings = settings_of(segment, options);
  const double rate = options.learning_rate * settings.lr_ratio;
  const optim::Flat flat{
      .values = arena.values().rows(segment.begin, segment.end),
      .gradients = arena.gradients().rows(segment.begin, segment.end),
      .decayed = (settings.decays_all ? segment.end : segment.weights_end) - segment.begin,
      .alignment = arena.alignment()};
  if (options.optimizer == "sgd")
    return std::make_unique<optim::Sgd>(flat,
                                        optim::SgdOptions{.learning_rate = rate,
                                                          .momentum = options.momentum,
                                                          .weight_decay = settings.weight_decay,
                                                          .nesterov = options.nesterov});
  const bool muon = options.optimizer == "muon";
  const optim::AdamOptions adam{.learning_rate = muon ? rate * kAdamOverMuon : rate,
                                .weight_decay = settings.weight_decay};
  if (muon)
    return std::make_unique<optim::Muon>(
        flat, hidden_matrices(*model.net, arena, segment),
        optim::MuonOptions{
            .learning_rate = rate, .weight_decay = settings.weight_decay, .rest = adam});
  return std::make_unique<optim::Adam>(flat, adam);
}

}  // namespace

nn::ParameterArena make_arena(const nn::Model& model, const TrainOptions& options) {
  check_groups(*model.net, options);
  nn::ParameterArena arena(*model.net, options.device,
                           [&](const std::string& name) { return group_of(options, name); });
  if (arena.segments().empty()) fail("train: every parameter is frozen; leave some to be trained");
  return arena;
}

std::unique_ptr<optim::Optimizer> make_optimizer(const nn::Model& model,
                                                 const nn::ParameterArena& arena,
                                                 const TrainOptions& options) {
  if (options.optimizer != "adam" && options.optimizer != "sgd" && options.optimizer != "muon")
    fail("optimizer '{}' is unknown; choose adam, sgd or muon", options.optimizer);
  if (options.optimizer == "muon") check_muon(*model.net, arena);
  const auto& segments = arena.segments();
  if (segments.size() == 1 && segments[0].group == 0)
    return one_group(model, arena, segments[0], options);
  std::vector<optim::Group> groups;
  for (const auto& segment : segments)
    groups.push_back({.begin = segment.begin,
                      .rate_ratio = settings_of(segment, options).lr_ratio,
                      .optimizer = one_group(model, arena, segment, options)});
  const std::int64_t trained = segments.back().end;
  return std::make_unique<optim::Groups>(
      optim::Flat{.values = arena.values().rows(0, trained),
                  .gradients = arena.gradients().rows(0, trained)},
      std::move(groups), options.learning_rate);
}

std::string describe_groups(const nn::ParameterArena& arena, const TrainOptions& options) {
  struct Count {
    std::int64_t tensors = 0, values = 0;
    void add(const Tensor& tensor) {
      ++tensors;
      values += tensor.elements();
    }
  };
  std::string text;
  Count frozen;
  for (const auto& slot : arena.slots())
    if (!slot.parameter.requires_grad()) frozen.add(slot.parameter);
  for (const auto& segment : arena.segments()) {
    const GroupSettings settings = settings_of(segment, options);
    Count decayed, others;
    for (const auto& slot : arena.slots()) {
      if (slot.offset < segment.begin || slot.offset >= segment.end) continue;
      const bool decays =
          settings.weight_decay > 0 && (settings.decays_all || slot.offset < segment.weights_end);
      (decays ? decayed : others).add(slot.parameter);
    }
    text += fmt::format(
        "group {}: lr {}, weight decay {} on {} parameters ({} values), none on {} "
        "({})\n",
        segment.group == 0 ? "of all others" : options.groups[segment.group - 1].name,
        options.learning_rate * settings.lr_ratio, settings.weight_decay, decayed.tensors,
        decayed.values, others.tensors, others.values);
  }
  if (frozen.tensors > 0)
    text += fmt::format("frozen: {} parameters ({} values)\n", frozen.tensors, frozen.values);
  return text;
}

}  // namespace cucina::skeleton
