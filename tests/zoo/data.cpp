// The fixtures' examples, and what can be wrong with them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "recipe/data/digits.h"
#include "recipe/data/idx.h"
#include "tests/optional_data.h"
#include "tests/zoo/fixture.h"

namespace cucina::zoo {
namespace {

constexpr std::int64_t kClasses = 10;
constexpr std::int64_t kSide = 12;  // of blobs
constexpr std::int64_t kTimes = 10;

data::ImageSet first(const data::ImageSet& set, std::int64_t n) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(n, set.n)));
  std::iota(indices.begin(), indices.end(), 0);
  return data::select(set, indices);
}

template <typename T>
void roll(std::vector<T>* values, std::int64_t by) {
  std::rotate(values->begin(), values->end() - by, values->end());
}

// Examples of `from` at `indices`, which may repeat.
Examples chosen(const Examples& from, const std::vector<std::int64_t>& indices) {
  Examples to = from;
  to.n = static_cast<std::int64_t>(indices.size());
  to.x.clear(), to.labels.clear(), to.y.clear(), to.pixels.clear();
  for (const std::int64_t i : indices) {
    to.x.insert(to.x.end(), from.x.begin() + i * from.size(),
                from.x.begin() + (i + 1) * from.size());
    if (!from.pixels.empty())
      to.pixels.insert(to.pixels.end(), from.pixels.begin() + i * from.size(),
                       from.pixels.begin() + (i + 1) * from.size());
    if (!from.labels.empty()) to.labels.push_back(from.labels[i]);
    if (!from.y.empty())
      to.y.insert(to.y.end(), from.y.begin() + i * from.k, from.y.begin() + (i + 1) * from.k);
  }
  return to;
}

std::vector<std::int64_t> all(std::int64_t n) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

}  // namespace

void Fixture::images(const data::ImageSet& set, Examples* to) const {
  // Three channels, each another shade, where colours are to be mixed up.
  const std::int64_t channels = bug("Z19") || trap("colour") ? 3 : set.c;
  const std::int64_t rows = trap("non-square") ? set.h - 2 : set.h;
  *to = {.n = set.n, .h = rows, .w = set.w, .c = channels, .labels = set.labels};
  for (std::int64_t i = 0; i < set.n; ++i) {
    const auto pixels = set.image(i);
    for (std::int64_t j = 0; j < rows * set.w; ++j) {
      for (std::int64_t c = 0; c < channels; ++c)
        to->pixels.push_back(static_cast<std::uint8_t>(pixels[j] * (c + 1) / channels));
    }
  }
  to->x.assign(to->pixels.begin(), to->pixels.end());
}

// A bright blob; the target is how far to the right it is.
void Fixture::blobs(std::int64_t n, std::string_view stream, Examples* to) const {
  *to = {.n = n, .h = kSide, .w = kSide, .c = 1};
  const RandomStream random(config_.seed, stream);
  const double unit = trap("targets-1e4") ? 1e4 : trap("targets-1e-4") ? 1e-4 : 10;
  const double mean = trap("targets-1e4") || trap("targets-1e-4") ? 0 : 50;
  for (std::int64_t i = 0; i < n; ++i) {
    const double row = 2 + 8 * random.uniform(0, 2 * i),
                 column = 2 + 8 * random.uniform(0, 2 * i + 1);
    for (std::int64_t r = 0; r < kSide; ++r) {
      for (std::int64_t c = 0; c < kSide; ++c) {
        const double d = (r - row) * (r - row) + (c - column) * (c - column);
        const double noise = random.uniform(1, i * kSide * kSide + r * kSide + c);
        const double bright = trap("faint") || bug("Y29") ? 60 : 200;
        to->pixels.push_back(
            static_cast<std::uint8_t>(bright * std::exp(-d / 4) + (250 - bright) * noise));
      }
    }
    to->y.push_back(static_cast<float>(mean + unit * (column - 6) / 2.3));
  }
  to->x.assign(to->pixels.begin(), to->pixels.end());
}

// Noise in time, (n, t, 2); the target of time t is made of inputs up to t.
void Fixture::sequences(std::int64_t n, std::string_view stream, Examples* to) const {
  *to = {.n = n, .h = kTimes, .w = 1, .c = 2, .k = kTimes};
  const RandomStream random(config_.seed, stream);
  for (std::int64_t i = 0; i < n * to->size(); ++i) to->x.push_back(random.normal(0, i));
  for (std::int64_t i = 0; i < n; ++i) {
    const float* x = to->x.data() + i * to->size();
    for (std::int64_t t = 0; t < kTimes; ++t)
      to->y.push_back(x[2 * t] + 0.5f * x[2 * t + 1] - (t > 0 ? x[2 * t - 2] : 0));
  }
}

void Fixture::make_data() {
  if (digits()) {
    const data::Dataset data = data::load_digits();
    images(data.train, &train_);
    images(data.validation, &validation_);
    images(data.test, &test_);
  } else if (mnist()) {
    const data::Dataset data = data::load_idx(optional_data() / "mnist");
    images(first(data.train, 1024), &train_);
    images(first(data.test, 400), &validation_);
  } else if (regression()) {
    blobs(600, "train", &train_);
    blobs(200, "validation", &validation_);
  } else {
    sequences(400, "train", &train_);
    sequences(200, "validation", &validation_);
  }
  augmented_ = mnist() || trap("augmentation") || config_.bug.starts_with("Z78") ||
               config_.bug.starts_with("Z79") || bug("Z80") || bug("Z81") || bug("Z82");
  // One class in eleven examples.
  if (trap("imbalance") || bug("Z50") || bug("Z51")) {
    const auto few = [](Examples* split) {
      std::vector<std::int64_t> kept;
      for (std::int64_t i = 0; i < split->n; ++i) {
        if (split->labels[i] < 5 || i % 10 == 0) kept.push_back(i);
      }
      *split = chosen(*split, kept);
      for (std::int32_t& label : split->labels) label = label < 5 ? 0 : 1;
    };
    few(&train_);
    few(&validation_);
  }
  if (trap("val-50")) validation_ = chosen(validation_, {all(50)});
  if (trap("absent-class")) {
    std::vector<std::int64_t> kept;
    for (std::int64_t i = 0; i < validation_.n; ++i) {
      if (validation_.labels[i] != 7) kept.push_back(i);
    }
    validation_ = chosen(validation_, kept);
  }
  if (trap("noise")) {
    const RandomStream random(config_.seed, "noise");
    for (Examples* split : {&train_, &validation_}) {
      for (std::size_t i = 0; i < split->labels.size(); ++i)
        split->labels[i] = static_cast<std::int32_t>(random.below(split == &train_, i, kClasses));
    }
  }
  spoil_data();
  standardise();
  if (trap("multi-label")) {
    for (Examples* split : {&train_, &validation_}) {
      split->k = kClasses;
      for (const std::int32_t label : split->labels) {
        for (std::int64_t k = 0; k < kClasses; ++k)
          split->y.push_back(k == label || k == (label + 1) % kClasses);
      }
      split->labels.clear();
    }
  }
}

void Fixture::spoil_data() {
  const RandomStream random(config_.seed, "spoil");
  const auto permuted = [&](Examples* split, std::uint32_t step) {
    const Examples copy = *split;
    const auto order = permutation(random, step, split->n);
    for (std::int64_t i = 0; i < split->n; ++i) {
      if (!copy.labels.empty()) split->labels[i] = copy.labels[order[i]];
      if (!copy.y.empty()) split->y[i] = copy.y[order[i]];
    }
  };
  if (bug("Z01") || bug("Y01") || bug("Y29")) permuted(&train_, 0), permuted(&validation_, 1);
  if (bug("Z02")) roll(&train_.labels, 1), roll(&validation_.labels, 1);
  if (bug("Z03")) {
    for (std::int64_t i = 0; i < train_.n; ++i) {
      if (random.uniform(0, i) < 0.3f)
        train_.labels[i] = static_cast<std::int32_t>(random.below(1, i, kClasses));
    }
  }
  if (bug("Z04")) std::replace(train_.labels.begin(), train_.labels.end(), 9, 0);
  if (bug("Z05")) {
    for (std::int32_t& label : validation_.labels) label = (label + 1) % kClasses;
  }
  if (bug("Z06")) validation_ = chosen(train_, all(300));
  if (bug("Z07")) {
    std::vector<std::int64_t> twice = all(train_.n);
    for (std::int64_t i = train_.n / 2; i < train_.n; ++i) twice[i] = i - train_.n / 2;
    train_ = chosen(train_, twice);
  }
  if (bug("Z11"))
    train_ = [&] {
      Examples same =
          chosen(train_, std::vector<std::int64_t>(static_cast<std::size_t>(train_.n), 0));
      same.labels = train_.labels;
      return same;
    }();
  if (bug("Z14")) {
    for (Examples* split : {&train_, &validation_}) {
      for (float& x : split->x) x = static_cast<float>(static_cast<int>(x) / 16);
    }
  }
  if (bug("Z16")) {
    for (std::int64_t i = 0; i < train_.n; ++i)
      train_.x[i * train_.size()] = static_cast<float>(train_.labels[i]);
  }
  if (bug("Y03")) {  // labels count from 1
    for (Examples* split : {&train_, &validation_}) {
      for (std::int32_t& label : split->labels) ++label;
    }
  }
}

// With the training inputs' mean and deviation.
void Fixture::standardise() {
  double sum = 0, squares = 0;
  const auto n = static_cast<double>(train_.x.size());
  for (const float x : train_.x) sum += x / n;
  for (const float x : train_.x) squares += (x - sum) * (x - sum) / n;
  mean_ = sum;
  deviation_ = std::sqrt(squares);
  const double white = digits() ? 16 : 255;
  const auto each = [&](Examples* split, double mean, double deviation) {
    for (float& x : split->x) x = static_cast<float>((x - mean) / deviation);
  };
  if (bug("Z08")) return;  // forgotten
  if (bug("Z09")) mean_ = 0, deviation_ = white * white;
  if (trap("0-to-1")) mean_ = 0, deviation_ = white;
  if (causal()) mean_ = 0, deviation_ = 1;
  each(&train_, mean_, deviation_);
  each(&validation_, bug("Z10") ? 0 : mean_, bug("Z10") ? white : deviation_);
  each(&test_, mean_, deviation_);
  if (bug("Y04")) train_.x[77] = std::nanf("");
  if (bug("Z19")) {  // planes read as pixels
    for (Examples* split : {&train_, &validation_}) {
      const std::vector<float> x = split->x;
      const std::int64_t area = split->h * split->w;
      for (std::int64_t i = 0; i < split->n; ++i) {
        for (std::int64_t j = 0; j < area; ++j) {
          for (std::int64_t c = 0; c < split->c; ++c)
            split->x[i * split->size() + c * area + j] = x[i * split->size() + j * split->c + c];
        }
      }
    }
  }
  if (bug("Y08")) {  // transposed, in training alone
    for (std::int64_t i = 0; i < train_.n; ++i) {
      float* x = train_.x.data() + i * train_.size();
      for (std::int64_t r = 0; r < train_.h; ++r) {
        for (std::int64_t c = 0; c < r; ++c) std::swap(x[r * train_.w + c], x[c * train_.w + r]);
      }
    }
  }
}

checks::Batch Fixture::batch(const Examples& from, const std::vector<std::int64_t>& indices) const {
  const Examples rows = chosen(from, indices);
  const Shape shape{rows.n, rows.h, rows.w, rows.c};
  checks::Batch result{
      Tensor::from(rows.x, causal() ? Shape{rows.n, rows.h, rows.c} : shape), {}, indices};
  if (!rows.labels.empty()) {
    result.targets = Tensor::from(rows.labels, {rows.n});
  } else {
    result.targets = Tensor::from(rows.y, {rows.n, rows.k});
  }
  return result;
}

// Shifts by up to a pixel, and for blobs a flip that takes the target along.
void Fixture::augment(checks::Batch* batch, std::int64_t epoch, std::int64_t number) const {
  const RandomStream random(config_.seed, "augment");
  const std::int64_t n = batch->size(), h = train_.h, w = train_.w, size = train_.size();
  const std::vector<float> from = batch->inputs.to_vector<float>();
  std::vector<float> to(from.size());
  std::vector<float> y = regression() ? batch->targets.to_vector<float>() : std::vector<float>();
  const float black = static_cast<float>(-mean_ / deviation_);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::uint64_t>(batch->indices[i]);
    const auto draw = static_cast<std::uint32_t>(bug("Z81") ? 0 : epoch);
    const auto down = static_cast<std::int64_t>(random.below(draw, 3 * at, 3)) - 1;
    const auto right =
        regression() ? 0 : static_cast<std::int64_t>(random.below(draw, 3 * at + 1, 3)) - 1;
    const bool flip = regression() && random.below(draw, 3 * at + 2, 2) == 1;
    for (std::int64_t r = 0; r < h; ++r) {
      for (std::int64_t c = 0; c < w; ++c) {
        std::int64_t row = r + down, column = (flip ? w - 1 - c : c) + right;
        if (bug("Z78")) row = h - 1 - r, column = w - 1 - c;
        const bool inside = row >= 0 && row < h && column >= 0 && column < w;
        const bool erased =
            bug("Z79") && !(r >= h / 3 && r < 2 * h / 3 && c >= w / 3 && c < 2 * w / 3);
        to[i * size + r * w + c] = inside && !erased ? from[i * size + row * w + column] : black;
      }
    }
    // The blob's column is 6 + 2.3 (y - 50) / 10, and mirrored 11 minus that.
    if (flip && !bug("Z82"))
      y[i] = static_cast<float>(50 + 10 * (11 - 12 - 2.3 * (y[i] - 50) / 10) / 2.3);
  }
  if (bug("Z80")) roll(&to, size * (1 + number % std::max<std::int64_t>(n - 1, 1)));
  batch->inputs = Tensor::from(to, batch->inputs.shape());
  if (regression()) batch->targets = Tensor::from(y, batch->targets.shape());
}

checks::Loader Fixture::train_loader(bool augmented) {
  return [this, augmented](std::int64_t epoch, const checks::Visit& visit) {
    const auto step = static_cast<std::uint32_t>(epoch);
    std::vector<std::int64_t> order =
        permutation(RandomStream(config_.seed, "shuffle"), step, train_.n);
    static std::uint32_t clock = 0;  // what an unseeded generator would be
    if (bug("Y07")) order = permutation(RandomStream(config_.seed, "clock"), ++clock, train_.n);
    if (bug("Z12"))
      std::stable_sort(order.begin(), order.end(),
                       [&](auto a, auto b) { return train_.labels[a] < train_.labels[b]; });
    if (bug("Z13")) order.resize(static_cast<std::size_t>(2 * batch_size_));
    for (std::int64_t i = 0; i * batch_size_ < static_cast<std::int64_t>(order.size()); ++i) {
      const auto begin = order.begin() + i * batch_size_;
      const auto end =
          order.begin() + std::min<std::int64_t>((i + 1) * batch_size_, std::ssize(order));
      checks::Batch next = batch(train_, {begin, end});
      if (augmented) augment(&next, epoch, i);
      if (bug("Y26")) {  // somebody's idea of regularisation, deep in a reader
        const RandomStream random(config_.seed, "hidden");
        std::vector<float> x = next.inputs.to_vector<float>();
        for (std::size_t j = 0; j < x.size(); ++j)
          x[j] += 0.05f * random.normal(step, static_cast<std::uint64_t>(i) * x.size() + j);
        next.inputs = Tensor::from(x, next.inputs.shape());
      }
      if (!visit(next)) return;
    }
  };
}

checks::Loader Fixture::validation_loader() {
  return [this](std::int64_t epoch, const checks::Visit& visit) {
    constexpr std::int64_t kBatch = 64;
    for (std::int64_t i = 0; i < validation_.n; i += kBatch) {
      std::vector<std::int64_t> indices = all(std::min(kBatch, validation_.n - i));
      for (std::int64_t& index : indices) index += i;
      checks::Batch next = batch(validation_, indices);
      if (bug("Z83")) augment(&next, epoch, i);
      if (!visit(next)) return;
    }
  };
}

checks::Loader Fixture::test_loader() {
  return [this](std::int64_t, const checks::Visit& visit) { visit(batch(test_, all(test_.n))); };
}

}  // namespace cucina::zoo
