// Labelled images in host memory: one split (ImageSet), a whole data set (Dataset), and their
// statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cucina::data {

// n images of h x w pixels with c channels, stored (n, h, w, c), and the class 0..classes-1 of
// each.
struct ImageSet {
  std::int64_t n = 0;
  std::int64_t h = 0;
  std::int64_t w = 0;
  std::int64_t c = 0;
  int classes = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels;
  // Where each came from: the file, relative to the data set, or else the row of its source; empty
  // where nothing is known, or row i is image i.
  std::vector<std::string> files = {};
  std::vector<std::int64_t> rows = {};

  std::size_t image_bytes() const { return static_cast<std::size_t>(h * w * c); }
  std::span<const std::uint8_t> image(std::int64_t i) const {
    return {pixels.data() + static_cast<std::size_t>(i) * image_bytes(), image_bytes()};
  }
};

// The three splits of one source.
struct Dataset {
  std::string name;
  std::vector<std::string> class_names;
  ImageSet train;
  ImageSet validation;
  ImageSet test;
  int max_value = 255;  // what a white pixel holds: 255, or 16 for digits
  std::string sha256;   // of the source's contents, unzipped, in the order the reader names
};

struct ChannelStats {
  std::vector<double> mean;    // one per channel, in the units of the stored pixels
  std::vector<double> stddev;  // of the whole population: divided by the count
};

// Mean and standard deviation of each channel over every pixel of a non-empty set.
ChannelStats channel_stats(const ImageSet& set);

// How many images each class has.
std::vector<std::int64_t> class_counts(const ImageSet& set);

// The images at `indices`, in that order.
ImageSet select(const ImageSet& set, std::span<const std::int64_t> indices);

}  // namespace cucina::data
