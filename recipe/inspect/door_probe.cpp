// Stage 1: do labels belong to their images? The check of that name, on the data set as it is.
#include <algorithm>

#include "core/random.h"
#include "recipe/data/loader.h"
#include "recipe/inspect/inspection.h"

namespace cucina::inspect {
namespace {

constexpr std::int64_t kBatch = 256;

// The images in random order, as a set may be sorted by class.
checks::Loader shuffled(const data::ImageSet& set, const data::ChannelStats& statistics) {
  return [&set, statistics](std::int64_t, const checks::Visit& visit) {
    const data::Loader loader(set, statistics, kBatch, Device::cpu);
    const std::vector<std::int64_t> order = permutation(RandomStream(1, "inspect.door"), 0, set.n);
    for (std::int64_t begin = 0; begin < set.n; begin += kBatch) {
      const std::vector<std::int64_t> indices(order.begin() + begin,
                                              order.begin() + std::min(begin + kBatch, set.n));
      data::Batch batch = loader.gather(indices);
      if (!visit({batch.images, batch.labels, indices})) return;
    }
  };
}

Found run(const Subject& subject) {
  const data::Dataset& data = subject.data;
  if (data.train.classes < 2) return {checks::skipped("there is one class")};
  const data::ChannelStats statistics = data::standardisation(data.train);
  checks::Task task;
  task.name = data.name;
  task.classes = data.train.classes;
  task.train = shuffled(data.train, statistics);
  if (data.validation.n > 0) task.validation = shuffled(data.validation, statistics);
  return {checks::door_probe().run(task)};
}

}  // namespace

Inspection door_probe() {
  static const checks::Check check = checks::door_probe();
  return {check.name, check.tip, check.what, &run};
}

}  // namespace cucina::inspect
