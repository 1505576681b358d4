// --augment: how training images are changed at random.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "kernels/augment/augment.h"
#include "kernels/mix/mix.h"
#include "recipe/report/run_directory.h"

namespace cucina::cli {

// A list such as "crop,flip,cutout=8,border=zero,mixup": names of what Augmentation and Mixing
// have, each with its strength or the usual one.
struct AugmentOption {
  Augmentation how = {};
  bool usual_crop = false;    // an eighth of the shorter side
  bool usual_cutout = false;  // a quarter of it
  Mixing mixing = {};

  // What the list means for images of that size.
  //   throws   Error, exit code 2, when it does not suit them
  Augmentation for_images(std::int64_t h, std::int64_t w, std::int64_t c) const;
};

// Adds --augment LIST; a wrong list throws Error, exit code 2.
void add_augment(CLI::App& app, AugmentOption* option);

// The section of config.toml: settings that have an effect, none when all is off.
report::Section section(const Augmentation& how, const Mixing& mixing);

}  // namespace cucina::cli
