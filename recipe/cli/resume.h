// What `cucina train --resume` goes on from.
#pragma once

#include <filesystem>
#include <optional>

#include "recipe/report/run_directory.h"
#include "recipe/skeleton/checkpoint.h"

namespace cucina::cli {

// The newest checkpoint of the run in `folder`; nothing when there is none and no finished model
// either, as when the run was stopped before its first. Other settings than those it was made with
// are refused, but for the number of epochs and where the data lie; another device, backend or
// version is a warning on stderr, as the bits may then differ.
//   throws   Error, exit code 2: other settings, or a finished run without checkpoints; 3: a
//   damaged
//            checkpoint
std::optional<skeleton::Checkpoint> checkpoint_of(const std::filesystem::path& folder,
                                                  const skeleton::Settings& settings);

}  // namespace cucina::cli
