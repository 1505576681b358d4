// Learning rates over time. Time is counted in steps, never in epochs, so that a schedule cannot
// silently mean something else with another batch size or data set (tip 17).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cucina::optim {

enum class ScheduleKind : std::uint8_t { constant, cosine, linear, one_cycle, step };

// throws   Error, exit code 2, when there is no such kind
ScheduleKind parse_schedule(std::string_view name);
// "one-cycle"
std::string_view name(ScheduleKind kind);
std::vector<std::string> schedule_names();

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  double learning_rate = 3e-4;    // the highest
  std::int64_t total_steps = 0;   // constant and step do without
  std::int64_t warmup_steps = 0;  // not for one_cycle, which has its own
  double final_ratio = 0;         // cosine, linear: the end's rate over the highest
  std::int64_t step_every = 0;    // step: multiplied by `step_factor` after so many steps
  double step_factor = 0.1;
};

// The rate of every step, a pure function of the step's number. With L the highest rate, w the
// steps of warm-up, T all steps and t = (s - w) / (T - w) for step s, counted from 0:
//   warm-up    L (s + 1) / w                                   s < w, before each of these
//   constant   L
//   cosine     L (f + (1 - f) (1 + cos(pi t)) / 2)             f the final ratio
//   linear     L (1 - (1 - f) t)
//   step       L factor^floor((s - w) / every)
//   one_cycle  up by half a cosine from L / 25 to L over 30 % of the steps, down by another to
//              L / 250,000
// After T steps cosine, linear and one_cycle stay where they ended.
//   source   Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5; Smith & Topin 2018,
//            arXiv:1708.07120, with the numbers of torch.optim.lr_scheduler.OneCycleLR
class Schedule {
 public:
  //   throws   Error when a number is out of range: no steps where they are needed, more warm-up
  //            than steps, a final ratio outside [0, 1], a factor outside (0, 1]
  explicit Schedule(const ScheduleOptions& options);

  double at(std::int64_t step) const;
  const ScheduleOptions& options() const { return options_; }

  // What a reader should see before a training of `steps` steps begins: the rates at 0, 10, 25, 50,
  // 75 and 100 %, and their mean over the highest.
  //   "cosine, lr 0.001 at step 1, 0.00098 at 10 %, ... 0 at 100 %, mean 0.5 of the highest"
  std::string audit(std::int64_t steps) const;

 private:
  ScheduleOptions options_;
};

}  // namespace cucina::optim
