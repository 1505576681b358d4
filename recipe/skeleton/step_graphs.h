// A training's steps on the GPU as CUDA graphs: what takes a hundred launches becomes one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/cuda_runtime.h"
#include "core/tensor.h"
#include "recipe/data/loader.h"

namespace cucina::skeleton {

// Images of one training step and what the model made of them.
struct StepOutcome {
  Tensor losses;   // one per image
  Tensor correct;  // i32, 1 or 0
};

// One graph for each size of batch. The first step of a size runs as it is: libraries make plans
// and kernels are measured, which no graph can hold. The second is recorded, and launched from then
// on.
class StepGraphs {
 public:
  // What a step does once its images are chosen (Loader::choose). What differs from step to step it
  // must read from the device's memory.
  using Work = std::function<StepOutcome(const Tensor& choice)>;

  // `counters` (i32, one element each) are what `work` counts in the host's memory: a launch counts
  // as far as the recorded step did.
  StepGraphs(Work work, std::vector<Tensor> counters);

  // A step of these images. The outcome is overwritten by the next step of as many.
  StepOutcome run(const data::Loader& loader, std::span<const std::int64_t> indices);

  // Why steps run without a graph, once that was tried; else empty.
  const std::string& refusal() const { return refusal_; }

 private:
  struct Plan {
    bool has_run = false;
    Tensor choice;
    StepOutcome outcome;
    std::unique_ptr<CudaGraph> graph;
    std::vector<std::int32_t> counts;  // what each counter grows by
  };

  void record(Plan& plan);

  const Work work_;
  const std::vector<Tensor> counters_;
  std::map<std::size_t, Plan> plans_;  // by the number of images
  std::string refusal_;
};

}  // namespace cucina::skeleton
