// Options of lists of checks.
#include "recipe/cli/selection_option.h"

#include <vector>

namespace cucina::cli {
namespace {

void add_names(CLI::App& app, const std::string& name, std::vector<std::string>* names,
               const std::string& help) {
  app.add_option(name, *names, help)->type_name("CHECK")->delimiter(',')->expected(1, -1);
}

}  // namespace

void add_selection(CLI::App& app, checks::Selection* selection, std::string* explain) {
  add_names(app, "--only", &selection->only, "Run these checks alone");
  add_names(app, "--skip", &selection->skip, "Leave these checks out");
  app.add_option("--explain", *explain,
                 "Tell what a check does, why, and by which numbers; all: of every check")
      ->type_name("CHECK");
}

}  // namespace cucina::cli
