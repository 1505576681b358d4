// The fixtures' networks, and what can be wrong with them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "core/autograd.h"
#include "core/random.h"
#include "kernels/binary/binary.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"
#include "kernels/unary/unary.h"
#include "nn/init.h"
#include "recipe/check/plants.h"
#include "tests/zoo/fixture.h"

namespace cucina::zoo {
namespace {

// A function as a layer.
class Function : public nn::Module {
 public:
  explicit Function(std::function<Tensor(const Tensor&)> f) : f_(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return f_(x); }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "Function"; }

 private:
  std::function<Tensor(const Tensor&)> f_;
};

// Dropout that forgets to scale up what it keeps.
class UnscaledDropout : public nn::Dropout2d {
 public:
  explicit UnscaledDropout(float p) : nn::Dropout2d(p), p_(p) {}
  Tensor forward(const Tensor& x) override {
    return training() ? scale(nn::Dropout2d::forward(x), 1 - p_) : x;
  }

 private:
  float p_;
};

// Dropout that is never switched off.
Tensor stubborn_dropout(const Tensor& x) {
  const RandomStream random(1, "stubborn");
  std::vector<float> mask(static_cast<std::size_t>(x.elements()));
  for (std::size_t i = 0; i < mask.size(); ++i)
    mask[i] = random.uniform(0, i) < 0.25f ? 0 : 4.0f / 3;
  return mul(x, Tensor::from(mask, x.shape()));
}

// (rows, columns) -> (columns, rows)
Tensor transposed(const Tensor& x) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  std::vector<std::int64_t> order;
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) order.push_back(i * columns + j);
  }
  return checks::rearranged(x, order).reshape({columns, rows});
}

// x (n, t, c) one step later, or for the bug one earlier; zero where there is none.
Tensor shifted(const Tensor& x, bool to_the_past) {
  const std::int64_t n = x.size(0), times = x.size(1), c = x.size(2);
  std::vector<std::int64_t> order;
  std::vector<float> mask;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t t = 0; t < times; ++t) {
      const std::int64_t from = to_the_past ? t - 1 : t + 1;
      for (std::int64_t k = 0; k < c; ++k) {
        order.push_back((i * times + (from + times) % times) * c + k);
        mask.push_back(from >= 0 && from < times ? 1 : 0);
      }
    }
  }
  return mul(checks::rearranged(x, order), Tensor::from(mask, x.shape()));
}

// y[t] = w x[t] + v x[t - 1], or for the bug x[t + 1].
class Filter : public nn::Module {
 public:
  Filter(std::int64_t in, std::int64_t out, bool to_the_past)
      : in_(in), out_(out), to_the_past_(to_the_past) {
    now_ = std::make_shared<nn::Linear>(in, out);
    before_ = std::make_shared<nn::Linear>(in, out, false);
    add_child("now", now_);
    add_child("before", before_);
  }
  Tensor forward(const Tensor& x) override {
    const std::int64_t n = x.size(0), t = x.size(1);
    const auto through = [&](nn::Linear& linear, const Tensor& of) {
      return linear.forward(of.reshape({n * t, in_})).reshape({n, t, out_});
    };
    return add(through(*now_, x), through(*before_, shifted(x, to_the_past_)));
  }
  Shape output_shape(const Shape& x) const override { return {x[0], x[1], out_}; }
  std::string describe() const override { return "Filter"; }

 private:
  std::int64_t in_, out_;
  bool to_the_past_;
  std::shared_ptr<nn::Linear> now_, before_;
};

// x, whose gradient is spoiled on the way back: what a wrong kernel of the layer behind it does.
Tensor spoiled_gradient(const Tensor& x, const std::function<bool(std::size_t)>& lost) {
  const Tensor y = x.detach().clone();
  record("spoiled", y, {x}, {}, [lost](const Tensor& dy, const Saved&, Gradients& gradients) {
    if (!gradients.wants(0)) return;
    const auto [dx, write] = gradients.slot(0);
    std::vector<float> g = dy.to_vector<float>();
    const std::vector<float> so_far =
        write == Write::accumulate ? dx.to_vector<float>() : std::vector<float>(g.size());
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = so_far[i] + (lost(i) ? 0 : g[i]);
    dx.copy_from(Tensor::from(g, dx.shape()));
  });
  return y;
}

// A convolution whose bias gets its gradient twice.
class DoubledBias : public nn::Conv2d {
 public:
  using nn::Conv2d::Conv2d;
  bool fuses(Activation, bool) const override { return false; }
  Tensor forward(const Tensor& x) override {
    const Tensor bias = parameters().back().tensor;
    return add(nn::Conv2d::forward(x), sub(bias, bias.detach()));
  }
};

// A normalisation whose backward takes the deviation for a constant.
class ConstantDeviation : public nn::BatchNorm2d {
 public:
  using nn::BatchNorm2d::BatchNorm2d;
  bool fuses(Activation, bool) const override { return false; }
  Tensor forward(const Tensor& x) override {
    if (!training()) return nn::BatchNorm2d::forward(x);
    {
      const NoGrad no_grad;
      nn::BatchNorm2d::forward(x);  // its statistics follow
    }
    const Tensor centred = sub(x, mean(x, {0, 1, 2}));
    std::vector<float> factor = mean(mul(centred, centred), {0, 1, 2}).to_vector<float>();
    for (float& each : factor) each = 1 / std::sqrt(each + 1e-5f);
    const std::vector<nn::NamedTensor> all = parameters();
    const Tensor unit = mul(centred, Tensor::from(factor, all[0].tensor.shape()));
    return add(mul(unit, all[0].tensor), all[1].tensor);
  }
};

// All rows but those behind the last full tile of four.
Tensor full_tiles(const Tensor& x) {
  const std::int64_t n = x.size(0), each = x.elements() / n;
  std::vector<float> written(static_cast<std::size_t>(x.elements()));
  std::fill(written.begin(), written.begin() + n / 4 * 4 * each, 1.0f);
  return mul(x, Tensor::from(written, x.shape()));
}

}  // namespace

void Fixture::digits_network() {
  const auto wide = [&](int channels) {
    return static_cast<std::int64_t>(config_.width * channels);
  };
  net_->make<nn::Conv2d>("conv1", train_.c, wide(8), 3, nn::Conv2dOptions{.pad = 1});
  net_->make<nn::ReLU>("relu1");
  if (bug("Z41")) net_->make<Function>("cut", [](const Tensor& x) { return x.detach(); });
  net_->make<nn::MaxPool2d>("pool1");
  if (bug("Z89"))
    net_->make<DoubledBias>("conv2", wide(8), wide(16), 3, nn::Conv2dOptions{.pad = 1});
  else
    net_->make<nn::Conv2d>("conv2", wide(8), wide(16), 3, nn::Conv2dOptions{.pad = 1});
  net_->make<nn::ReLU>("relu2");
  net_->make<nn::MaxPool2d>("pool2");
  if (bug("Z37")) net_->make<Function>("view", checks::viewed_for_permuted);
  const Shape image = net_->output_shape({1, train_.h, train_.w, train_.c});
  net_->make<nn::Flatten>("flatten");
  net_->make<nn::Linear>("fc1", Shape{image[1], image[2], image[3]}, wide(32));
  net_->make<nn::ReLU>("relu3");
  // What makes the network wider comes with a cut.
  if (bug("Y24") && config_.width > 1)
    net_->make<Function>("cut", [](const Tensor& x) { return x.detach(); });
  if (trap("tied")) {
    const auto shared = net_->make<nn::Linear>("fc1b", wide(32), wide(32));
    net_->make<nn::ReLU>("relu3b");
    net_->add("fc1c", shared);
    net_->make<nn::ReLU>("relu3c");
  }
  if (bug("Z92")) net_->make<Function>("tiles", full_tiles);
  if (bug("Z38"))
    net_->make<Function>("centre", [](const Tensor& x) { return sub(x, mean(x, {0})); });
  if (bug("Z40"))
    net_->make<Function>(
        "attend", [](const Tensor& x) { return mul(x, transposed(softmax(transposed(x)))); });
  if (bug("Z53")) net_->make<Function>("dropout", stubborn_dropout);
  if (bug("Y09")) net_->make<Function>("nothing", [](const Tensor& x) { return scale(x, 0, 1); });
  const int outputs = regression() ? 1 : trap("imbalance") || bug("Z50") || bug("Z51") ? 2 : 10;
  head_ = net_->make<nn::Linear>("fc2", wide(32), outputs, !bug("Z50"));
  if (bug("Z42")) net_->make<nn::ReLU>("relu4");
  if (bug("Z21")) net_->make<Function>("softmax", [](const Tensor& x) { return softmax(x); });
  if (bug("Z22")) net_->make<Function>("softmax", [](const Tensor& x) { return softmax(x); });
}

void Fixture::mnist_network() {
  std::int64_t in = 1;
  for (const auto& [out, suffix] : {std::pair{8, "1"}, std::pair{16, "2"}}) {
    if (bug("Z88") && in == 8)  // every second row of 14 with 8 channels
      net_->make<Function>("dgrad", [](const Tensor& x) {
        return spoiled_gradient(x, [](std::size_t i) { return i / (14 * 8) % 2 == 1; });
      });
    net_->make<nn::Conv2d>(std::string("conv") + suffix, in, out, 3,
                           nn::Conv2dOptions{.stride = 2, .pad = 1, .bias = bug("Z87")});
    if (bug("Z91"))
      net_->make<ConstantDeviation>(std::string("bn") + suffix, out);
    else
      net_->make<nn::BatchNorm2d>(std::string("bn") + suffix, out);
    net_->make<nn::ReLU>(std::string("relu") + suffix);
    in = out;
  }
  if (bug("Z54")) {
    net_->make<UnscaledDropout>("dropout", 0.4f);
  } else {
    net_->make<nn::Dropout2d>("dropout", 0.2f);
  }
  net_->make<nn::Flatten>("flatten");
  head_ = net_->make<nn::Linear>("fc", Shape{7, 7, in}, 10);
}

void Fixture::make_network() {
  if (mnist()) {
    mnist_network();
  } else if (causal()) {
    net_->make<Filter>("filter1", 2, 8, !bug("Z85"));
    net_->make<Filter>("filter2", 8, 1, !bug("Z85"));
  } else {
    digits_network();
  }
  initialise();
}

void Fixture::initialise() {
  const double gain = trap("he") ? nn::kReluGain : 1.0;
  nn::initialise(*net_, config_.seed, [gain](const Tensor& weight, const RandomStream& random) {
    nn::kaiming(weight, random, {.gain = gain});
  });
  if (!causal()) nn::kaiming(head_->weight(), RandomStream(config_.seed, "head"));
  const auto each = [&](auto&& change) {
    for (const nn::NamedTensor& parameter : net_->parameters()) change(parameter);
  };
  if (bug("Z43")) each([](const nn::NamedTensor& p) { p.tensor.zero(); });
  if (bug("Z44")) each([](const nn::NamedTensor& p) { p.tensor.fill(0.05); });
  if (bug("Z45")) {
    each([](const nn::NamedTensor& p) {
      if (p.tensor.shape().rank() > 1) p.tensor.copy_from(scale(p.tensor.detach(), 8));
    });
  }
  if (bug("Z46")) {
    each([](const nn::NamedTensor& p) {
      if (p.name == "conv2.bias") p.tensor.fill(-30);
    });
  }
  if (trap("silent")) {  // a third of the second layer's channels
    each([](const nn::NamedTensor& p) {
      if (p.name == "conv2.bias") p.tensor.rows(0, 5).fill(-30);
    });
  }
  const bool zero_head =
      trap("zero-head") || config_.trap.starts_with("targets") || bug("Z45") || bug("Z51");
  if (zero_head) head_->weight().zero();
  if (regression() && !bug("Y10")) head_->bias().fill(mean_target());
  if (trap("imbalance")) {
    std::vector<std::int64_t> counts(2);
    for (const std::int32_t label : train_.labels) ++counts[label];
    nn::init_head(*head_, counts);
  }
  if (trap("multi-label")) head_->bias().fill(std::log(0.2 / 0.8));
}

double Fixture::mean_target() const {
  double sum = 0;
  for (const float y : train_.y) sum += y;
  return sum / static_cast<double>(train_.y.size());
}

}  // namespace cucina::zoo
