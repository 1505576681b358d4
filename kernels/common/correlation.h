// Correlation: the geometry of a two-dimensional convolution and of its input's gradient, as
// kernels see both: results that are sums of taps over an image.
#pragma once

#include <cstdint>

namespace cucina {

// Results along one side (rows, or columns) and what they read: tap t of result i is at
// i * stride + t * step + first of the image, and is 0 where that is outside.
struct Phase {
  int results = 0;
  int taps = 0;
  int stride = 1, step = 1, first = 0;
  int to = 0, to_step = 1;    // result i is at to + i * to_step of the output
  int tap = 0, tap_step = 1;  // tap t is at tap + t * tap_step of the window
};

// One side of a correlation. Forward it has one phase. The gradient of the input at position h sums
// over taps r and positions p of dy with p * stride + r * dilation = h + pad: which taps take part
// depends on h modulo stride, and within one such phase they are evenly spaced, so that no
// multiplication is wasted on the zeros between dy's rows (Dumoulin & Visin 2016, arXiv:1603.07285,
// relation 14, insert those zeros).
struct Side {
  static constexpr int kMostStride = 65535;

  int image = 0;   // the size of what is read
  int output = 0;  // of what is written
  int window = 0;
  int stride = 1, pad = 0, dilation = 1;  // of the convolution
  bool backward = false;
  int shared = 1;   // the greatest common divisor of stride and dilation
  int inverse = 0;  // of dilation / shared, modulo stride / shared

  static constexpr Side forward_of(std::int64_t image, std::int64_t output, std::int64_t window,
                                   int stride, int pad, int dilation) {
    Side side;
    side.image = static_cast<int>(image);
    side.output = static_cast<int>(output);
    side.window = static_cast<int>(window);
    side.stride = stride;
    side.pad = pad;
    side.dilation = dilation;
    return side;
  }
  // Reads dy, of size `image`, and writes dx, of size `output`.
  static constexpr Side backward_of(std::int64_t image, std::int64_t output, std::int64_t window,
                                    int stride, int pad, int dilation) {
    Side side = forward_of(image, output, window, stride, pad, dilation);
    side.backward = true;
    std::int64_t a = stride, b = dilation;
    while (b != 0) {
      const std::int64_t rest = a % b;
      a = b;
      b = rest;
    }
    side.shared = static_cast<int>(a);
    side.inverse = inverse_of(dilation / side.shared, stride / side.shared);
    return side;
  }

  constexpr int phases() const {
    if (!backward) return 1;
    return stride < output ? stride : output > 0 ? output : 1;
  }
  constexpr int most_results() const {
    return backward ? (output + phases() - 1) / phases() : output;
  }
  constexpr int most_taps() const {
    const int apart = stride / shared;
    return backward ? window / apart + (window % apart != 0 ? 1 : 0) : window;
  }
  constexpr int step() const { return backward ? dilation / shared : dilation; }

  constexpr Phase phase(int number) const {
    if (!backward)
      return {.results = output, .taps = window, .stride = stride, .step = dilation, .first = -pad};
    Phase phase{.results = output > number ? (output - 1 - number) / stride + 1 : 0,
                .to = number,
                .to_step = stride};
    // In 32 bits, as a division of 64 is a call on a GPU: at is a position of the padded image, and
    // stride at most kMostStride.
    const auto at = static_cast<unsigned>(number + pad), common = static_cast<unsigned>(shared);
    const int apart = stride / shared;
    if (at % common != 0) return phase;
    // The lowest tap with tap * dilation = at, modulo stride.
    const auto modulus = static_cast<unsigned>(apart);
    const auto lowest =
        static_cast<int>(at / common % modulus * static_cast<unsigned>(inverse) % modulus);
    if (lowest >= window) return phase;
    phase.taps = (window - 1 - lowest) / apart + 1;
    // The highest comes first, so that steps are positive.
    const int highest = lowest + (phase.taps - 1) * apart;
    phase.tap = highest;
    phase.tap_step = -apart;
    phase.step = dilation / shared;
    phase.first = (number + pad - highest * dilation) / stride;
    return phase;
  }

 private:
  // By Euclid's algorithm; 0 for modulus 1.
  static constexpr int inverse_of(std::int64_t a, std::int64_t modulus) {
    std::int64_t r0 = modulus, r1 = a % modulus, t0 = 0, t1 = 1;
    while (r1 != 0) {
      const std::int64_t quotient = r0 / r1, r2 = r0 - quotient * r1, t2 = t0 - quotient * t1;
      r0 = r1;
      r1 = r2;
      t0 = t1;
      t1 = t2;
    }
    return static_cast<int>((t0 % modulus + modulus) % modulus);
  }
};

// Images (n, rows.image, columns.image, groups c) correlated with windows give
// (n, rows.output, columns.output, groups k). Channels of a group see those of the same group only.
struct Correlation {
  int n = 0, groups = 1;
  int c = 0, k = 0;  // per group
  Side rows, columns;
  // Element (k, r, s, c) of a group's windows is at k window_out + r window_row + s window_column +
  // c window_in from where the group's begin, window_group apart.
  std::int64_t window_out = 0, window_row = 0, window_column = 0, window_in = 1, window_group = 0;

  // The most results of one phase.
  constexpr std::int64_t most_pixels() const {
    return std::int64_t{n} * rows.most_results() * columns.most_results();
  }
  constexpr std::int64_t most_taps() const {
    return std::int64_t{rows.most_taps()} * columns.most_taps();
  }
  // Every tap of every result is inside the image: no padding, or a 1 x 1 window.
  constexpr bool inside() const {
    const auto side_inside = [](const Side& side) {
      return side.pad == 0 && (!side.backward || (side.window == 1 && side.stride == 1));
    };
    return side_inside(rows) && side_inside(columns);
  }
};

}  // namespace cucina
