// Check: one thing that can be silently wrong with a training set-up, and how to see it. Lists of
// them are run over a Task, and leave no trace.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "recipe/check/task.h"
#include "recipe/check/verdict.h"

namespace cucina::checks {

struct Check {
  std::string_view name;  // "loss_at_init"
  std::string_view tip;   // "4: verify loss at init"; of the essay
  std::string_view what;  // paragraphs for --explain: what it does, what it finds, by which numbers
  // May change whatever a Snapshot holds.
  std::function<Verdict(const Task& task)> run;
};

// One per tip and group, in the essay's order, each in a file of its name.
//   source   Karpathy 2019, "A Recipe for Training Neural Networks"
Check fix_random_seed();      // 1
Check simplify();             // 2
Check evaluation_recount();   // 3: add significant digits
Check loss_at_init();         // 4
Check loss_properties();      // 4
Check init_well();            // 5
Check activations();          // 5
Check human_baseline();       // 6
Check input_independent();    // 7
Check overfit_one_batch();    // 8
Check step_audit();           // 8
Check gradient_scale();       // 8
Check decreasing_loss();      // 9
Check before_the_net();       // 10
Check door_probe();           // 10
Check epoch_audit();          // stage 1, as delivered
Check prediction_dynamics();  // 11
Check dependency_map();       // 12
Check gradcheck();            // 13
Check optimizer_rule();       // 13, 15
Check schedule_audit();       // 17
Check augmentation_audit();   // 19
Check dropout_scale();        // 26
Check early_stopping();       // 28
Check test_split();           // 3, 31

// All of them.
const std::vector<Check>& all_checks();

struct Selection {
  std::vector<std::string> only = {};  // names; empty: all
  std::vector<std::string> skip = {};
};

// The checks of `from` that are selected, in its order.
//   throws   Error, exit code 2, naming a word that no check has for a name
std::vector<Check> select(const std::vector<Check>& from, const Selection& selection);

struct Result {
  std::string check;
  std::string tip;
  Verdict verdict;
};

// Runs one check and brings everything back to what it was; an exception that the task's own
// functions throw is a failure, "threw".
//   throws   Error, exit code 1, when the task was not brought back (a bug of ours)
Result run_check(const Check& check, const Task& task);

// Runs them one after the other; `seen` is called after each and may be null.
std::vector<Result> run_checks(const std::vector<Check>& checks, const Task& task,
                               const std::function<void(const Result&)>& seen = nullptr);

bool any_failed(const std::vector<Result>& results);

}  // namespace cucina::checks
