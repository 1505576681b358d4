// The one list of checks, in the order in which they run: what is cheap and explains others first.
#include "recipe/check/check.h"

namespace cucina::checks {

const std::vector<Check>& all_checks() {
  static const std::vector<Check> all{
      epoch_audit(),        before_the_net(),  door_probe(),          simplify(),
      fix_random_seed(),    loss_at_init(),    loss_properties(),     init_well(),
      activations(),        dependency_map(),  gradcheck(),           step_audit(),
      optimizer_rule(),     gradient_scale(),  evaluation_recount(),  overfit_one_batch(),
      input_independent(),  decreasing_loss(), prediction_dynamics(), schedule_audit(),
      augmentation_audit(), dropout_scale(),   early_stopping(),      test_split(),
      human_baseline(),
  };
  return all;
}

}  // namespace cucina::checks
