// Initial values of the first and the last layer that follow from the training data.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "nn/init.h"

namespace cucina::nn {
namespace {

// A symmetric matrix, row by row; its eigenvectors are the rows of `axes`, in no order.
struct Eigen {
  std::vector<double> values;
  std::vector<std::vector<double>> axes;
};

// Jacobi's method: rotations that each make one element off the diagonal zero.
//   source   Golub & Van Loan 2013, "Matrix Computations", section 8.5
Eigen eigen_of(std::vector<std::vector<double>> a) {
  const std::size_t n = a.size();
  std::vector<std::vector<double>> axes(n, std::vector<double>(n, 0.0));
  for (std::size_t i = 0; i < n; ++i) axes[i][i] = 1;
  constexpr int kSweeps = 30;  // it converges quadratically: about 8 are needed
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p][q] == 0) continue;
        const double tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t), s = t * c;
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = c * kp - s * kq;
          a[k][q] = s * kp + c * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = c * pk - s * qk;
          a[q][k] = s * pk + c * qk;
          const double axis_p = axes[p][k], axis_q = axes[q][k];
          axes[p][k] = c * axis_p - s * axis_q;
          axes[q][k] = s * axis_p + c * axis_q;
        }
      }
    }
  }
  Eigen result{.values = {}, .axes = std::move(axes)};
  for (std::size_t i = 0; i < n; ++i) result.values.push_back(a[i][i]);
  return result;
}

// The mean of x x^T over all patches x of the images, in the order of a filter's numbers.
std::vector<std::vector<double>> patch_moments(const Tensor& images, std::int64_t window) {
  const Shape& shape = images.shape();
  const std::int64_t h = shape[1], w = shape[2], c = shape[3];
  const std::vector<float> pixels = images.to_vector<float>();
  const auto length = static_cast<std::size_t>(window * window * c);
  std::vector<std::vector<double>> moments(length, std::vector<double>(length, 0.0));
  std::vector<float> patch(length);
  double patches = 0;
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t y = 0; y + window <= h; ++y)
      for (std::int64_t x = 0; x + window <= w; ++x, ++patches) {
        for (std::int64_t r = 0; r < window; ++r) {
          const auto row = pixels.begin() + ((n * h + y + r) * w + x) * c;
          std::copy(row, row + window * c, patch.begin() + r * window * c);
        }
        for (std::size_t i = 0; i < length; ++i)
          for (std::size_t j = 0; j <= i; ++j)
            moments[i][j] += static_cast<double>(patch[i]) * patch[j];
      }
  for (std::size_t i = 0; i < length; ++i)
    for (std::size_t j = 0; j <= i; ++j) moments[j][i] = moments[i][j] = moments[i][j] / patches;
  return moments;
}

void check_bias(const Linear& head) {
  if (!head.bias().defined())
    fail("init_head: the layer has no bias; make it with one, to hold the class frequencies");
}

void set_bias(const Linear& head, const std::vector<float>& bias) {
  head.weight().zero();
  head.bias().copy_from(Tensor::from(bias, head.bias().shape()));
}

// The columns' means.
std::vector<double> means(const std::vector<double>& values, std::size_t columns) {
  std::vector<double> sums(columns, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) sums[i % columns] += values[i];
  const auto rows = static_cast<double>(values.size() / columns);
  for (double& sum : sums) sum /= rows;
  return sums;
}

}  // namespace

void whiten(const Conv2d& layer, const Tensor& images, double eps) {
  const Shape& shape = layer.weight().shape();
  const std::int64_t length = shape.elements() / shape[0];
  if (shape[0] != 2 * length)
    fail("whiten: {} filters of {} numbers; twice as many filters as numbers are needed", shape[0],
         length);
  if (images.shape().rank() != 4 || images.size(3) != shape[3] || images.size(0) == 0 ||
      std::min(images.size(1), images.size(2)) < shape[1])
    fail(
        "whiten: images of shape {} for filters {}; (n, h, w, c) with the filters' channels and at "
        "least one window are needed",
        to_string(images.shape()), to_string(shape));
  const Eigen eigen = eigen_of(patch_moments(images, shape[1]));
  std::vector<std::size_t> order(eigen.values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return eigen.values[a] > eigen.values[b]; });
  std::vector<float> filters;
  for (const double sign : {1.0, -1.0})
    for (const std::size_t i : order) {
      const double scale = sign / std::sqrt(std::max(eigen.values[i], 0.0) + eps);
      for (const double each : eigen.axes[i]) filters.push_back(static_cast<float>(scale * each));
    }
  layer.weight().copy_from(Tensor::from(filters, shape));
}

void init_head(const Linear& head, std::span<const std::int64_t> class_counts) {
  const auto outputs = head.weight().size(0);
  check_bias(head);
  if (static_cast<std::int64_t>(class_counts.size()) != outputs)
    fail("init_head: {} class counts for a layer of {} outputs", class_counts.size(), outputs);
  double total = 0;
  for (const std::int64_t count : class_counts) total += std::max(0.5, static_cast<double>(count));
  std::vector<float> logs;
  for (const std::int64_t count : class_counts)
    logs.push_back(
        static_cast<float>(math::log(std::max(0.5, static_cast<double>(count)) / total)));
  set_bias(head, logs);
}

void init_head(const Linear& head, const Tensor& targets) {
  check_bias(head);
  const auto outputs = static_cast<std::size_t>(head.weight().size(0));
  const bool classes = targets.dtype() == DType::i32 && targets.shape().rank() == 1;
  const bool rows = (targets.dtype() == DType::f32 || targets.dtype() == DType::u8) &&
                    targets.shape().rank() == 2 && targets.size(1) == head.weight().size(0);
  if ((!classes && !rows) || targets.elements() == 0)
    fail(
        "init_head: targets are {} for a layer of {} outputs; give i32 (n) classes, f32 (n, {}) "
        "values or u8 (n, {}) flags",
        describe(targets), outputs, outputs, outputs);
  const std::vector<double> values = targets.to_vector<double>();
  if (classes) {
    std::vector<std::int64_t> counts(outputs, 0);
    for (const double value : values) {
      if (value < 0 || value >= static_cast<double>(outputs))
        fail("init_head: a class of {} for a layer of {} outputs; classes count from 0", value,
             outputs);
      ++counts[static_cast<std::size_t>(value)];
    }
    return init_head(head, counts);
  }
  std::vector<float> bias;
  const auto n = static_cast<double>(targets.size(0));
  for (const double mean : means(values, outputs)) {
    if (!std::isfinite(mean)) fail("init_head: values with a mean of {}; look at the data", mean);
    if (targets.dtype() == DType::f32) {
      bias.push_back(static_cast<float>(mean));
      continue;
    }
    const double p = (mean * n + 0.5) / (n + 1);
    if (p >= 1) fail("init_head: flags with a mean of {}; each must be 0 or 1", mean);
    bias.push_back(static_cast<float>(math::log(p / (1 - p))));
  }
  set_bias(head, bias);
}

void zero_head(const Linear& head) {
  head.weight().zero();
  if (head.bias().defined()) head.bias().zero();
}

}  // namespace cucina::nn
