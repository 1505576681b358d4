// What main() knows of a subcommand.
#pragma once

#include <CLI/App.hpp>
#include <functional>

namespace cucina::cli {

// A subcommand adds its options to `app` and returns what to do once they are parsed; that returns
// the exit code, or throws Error.
using Run = std::function<int()>;

Run add_train(CLI::App& app);
Run add_eval(CLI::App& app);
Run add_inspect(CLI::App& app);
Run add_check(CLI::App& app);
Run add_import(CLI::App& app);
Run add_export(CLI::App& app);
Run add_models(CLI::App& app);
Run add_ops(CLI::App& app);
Run add_gradcheck(CLI::App& app);
Run add_bench(CLI::App& app);
Run add_doctor(CLI::App& app);

}  // namespace cucina::cli
