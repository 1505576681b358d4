// The tape, driven with small ops written here, so that core is tested without kernels.
#include "core/autograd.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

void write_to(Gradients& gradients, int input, const std::vector<float>& values) {
  if (!gradients.wants(input)) return;
  const auto [dx, write] = gradients.slot(input);
  float* to = dx.data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    to[i] = write == Write::accumulate ? to[i] + values[i] : values[i];
  }
}

// y = a * b, element by element; counts how often each input's gradient was computed.
int gradients_computed = 0;
Tensor multiply(const Tensor& a, const Tensor& b) {
  const Tensor y = Tensor::empty(a.shape());
  for (std::int64_t i = 0; i < y.elements(); ++i) {
    y.data<float>()[i] = a.data<float>()[i] * b.data<float>()[i];
  }
  record("multiply", y, {a, b}, {{"a", a}, {"b", b}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           for (int input = 0; input < 2; ++input) {
             if (!gradients.wants(input)) continue;
             ++gradients_computed;
             const Tensor& other = saved[static_cast<std::size_t>(1 - input)].tensor;
             std::vector<float> values = dy.to_vector<float>();
             for (std::size_t i = 0; i < values.size(); ++i) values[i] *= other.data<float>()[i];
             write_to(gradients, input, values);
           }
         });
  return y;
}

// The sum of all elements.
Tensor sum(const Tensor& x) {
  double total = 0;
  for (const float v : x.to_vector<float>()) total += v;
  const Tensor y = Tensor::full({}, total);
  record("sum", y, {x}, {},
         [n = x.elements()](const Tensor& dy, const Saved&, Gradients& gradients) {
           write_to(gradients, 0,
                    std::vector<float>(static_cast<std::size_t>(n), static_cast<float>(dy.item())));
         });
  return y;
}

Tensor parameter(std::vector<float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, {n}).set_requires_grad(true);
}

using testing::error_of;

TEST(Autograd, GradientOfAProductOfSharedInputs) {
  const Tensor a = parameter({2, 3});
  const Tensor b = parameter({5, 7});
  backward(sum(multiply(multiply(a, b), a)));  // sum a^2 b
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{20, 42}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{4, 9}));
}

TEST(Autograd, GradientsAccumulateUntilCleared) {
  const Tensor a = parameter({1, 2});
  backward(sum(a.reshape({2, 1})));
  backward(sum(a));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{2, 2}));
  a.clear_grad();
  EXPECT_FALSE(a.grad().defined());
  backward(sum(a));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{1, 1}));
}

TEST(Autograd, AViewsGradientIsAViewOfItsBases) {
  const Tensor a = parameter({1, 2, 3, 4});
  const Tensor y = multiply(a, a);
  y.retain_grad();
  const Tensor view = y.reshape({2, 2});
  backward(sum(view));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{2, 4, 6, 8}));
  EXPECT_EQ(view.grad().shape(), (Shape{2, 2}));
  EXPECT_EQ(view.grad().raw(), y.grad().raw());
}

TEST(Autograd, AnOpOnAViewWritesItsGradientInTheViewsShape) {
  const Tensor a = parameter({1, 2, 3, 4});
  const Tensor y = multiply(a, a);
  const Tensor view = y.reshape({2, 2});
  std::vector<Shape> seen;
  const auto observe = [&](const Tensor& x) {
    const Tensor z = Tensor::full({}, 0);
    record("observe", z, {x}, {}, [&seen](const Tensor&, const Saved&, Gradients& gradients) {
      seen.push_back(gradients.slot(0).dx.shape());
      write_to(gradients, 0, {1, 1, 1, 1});
    });
    return z;
  };
  const Tensor first = observe(view), second = observe(y);
  backward(multiply(first, second));
  EXPECT_EQ(seen, (std::vector<Shape>{{4}, {2, 2}}));  // the view's is added to y's
  seen.clear();
  backward(observe(a.reshape({4, 1})));
  EXPECT_EQ(seen, (std::vector<Shape>{{4, 1}}));
  EXPECT_EQ(a.grad().shape(), (Shape{4}));
}

TEST(Autograd, AGradientNobodyWantsIsNotComputed) {
  const Tensor a = parameter({1});
  const Tensor constant = Tensor::full({1}, 3);
  gradients_computed = 0;
  backward(sum(multiply(a, constant)));
  EXPECT_EQ(gradients_computed, 1);
  EXPECT_FALSE(constant.grad().defined());
}

TEST(Autograd, IntermediateGradientsOnRequestOnly) {
  const Tensor a = parameter({2});
  const Tensor kept = multiply(a, a);
  kept.retain_grad();
  const Tensor dropped = multiply(kept, a);
  backward(sum(dropped));
  EXPECT_EQ(kept.grad().to_vector<float>(), (std::vector<float>{2}));
  EXPECT_FALSE(dropped.grad().defined());
}

TEST(Autograd, GraphIsFreedUnlessKept) {
  const Tensor a = parameter({3});
  const Tensor y = sum(multiply(a, a));
  EXPECT_EQ(node_of(y)->name, "sum");
  backward(y, {.retain_graph = true});
  backward(y);
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{12}));
  EXPECT_EQ(error_of([&] { backward(y); }),
            "backward: the graph behind sum was freed by an earlier backward; pass retain_graph to "
            "run it twice");
}

TEST(Autograd, SavedTensorsAreVisibleAndFreed) {
  const Tensor a = parameter({3});
  const Tensor y = multiply(a, a);
  const auto node = node_of(y);
  ASSERT_EQ(node->saved.size(), 2u);
  EXPECT_EQ(node->saved[0].name, "a");
  EXPECT_EQ(node->saved[0].tensor.to_vector<float>(), (std::vector<float>{3}));
  backward(sum(y));
  EXPECT_TRUE(node->saved.empty());
}

TEST(Autograd, ANodeThatSavesItsOutputDoesNotKeepItselfAlive) {
  const std::size_t before = memory_statistics(Device::cpu).in_use;
  {
    const Tensor a = parameter(std::vector<float>(1000, 1));
    const Tensor y = Tensor::empty({1000});
    record("identity", y, {a}, {{"y", y}}, [](const Tensor&, const Saved&, Gradients&) {});
  }
  EXPECT_EQ(memory_statistics(Device::cpu).in_use, before);
}

TEST(Autograd, MemoryComesBackAfterBackward) {
  const Tensor a = parameter(std::vector<float>(1000, 1));
  backward(sum(multiply(a, a)));  // makes a's gradient
  const std::size_t before = memory_statistics(Device::cpu).in_use;
  for (int i = 0; i < 3; ++i) backward(sum(multiply(multiply(a, a), a)));
  EXPECT_EQ(memory_statistics(Device::cpu).in_use, before);
}

TEST(Autograd, NoGradAndDetachRecordNothing) {
  const Tensor a = parameter({3});
  {
    const NoGrad no_grad;
    EXPECT_EQ(node_of(multiply(a, a)), nullptr);
    EXPECT_FALSE(grad_enabled());
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_EQ(node_of(sum(a.detach())), nullptr);
  EXPECT_EQ(a.detach().raw(), a.raw());
}

TEST(Autograd, GradientsGoToTheBufferTheyWereGiven) {
  const Tensor a = parameter({1, 2});
  const Tensor arena = Tensor::full({4}, 77);
  a.set_grad_buffer(arena.rows(2, 4));
  backward(sum(multiply(a, a)));
  EXPECT_EQ(arena.to_vector<float>(), (std::vector<float>{77, 77, 2, 4}));
  backward(sum(multiply(a, a)));
  EXPECT_EQ(arena.to_vector<float>(), (std::vector<float>{77, 77, 4, 8}));
}

TEST(Autograd, SeedIsTheGradientOfTheObjective) {
  const Tensor a = parameter({1, 2});
  backward(multiply(a, a), {}, Tensor::from(std::vector<float>{10, 100}, {2}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{20, 400}));
}

TEST(Autograd, DotNamesNodesShapesAndLeaves) {
  const Tensor a = parameter({1, 2});
  const std::string dot = to_dot(sum(multiply(a, a)));
  EXPECT_EQ(dot.rfind("digraph", 0), 0u);
  for (const char* part :
       {"multiply #", "sum #", "f32 (2)", "leaf0 -> n", "saved a: f32 (2) on cpu"}) {
    EXPECT_NE(dot.find(part), std::string::npos) << part << " is missing in\n" << dot;
  }
  EXPECT_EQ(dot.find("leaf1"), std::string::npos) << "a is one leaf, not two";
}

TEST(Autograd, AnomalyDetectionNamesTheOp) {
  const Tensor a = parameter({std::numeric_limits<float>::infinity(), 0});
  const Tensor b = parameter({0, 1});
  try {
    backward(sum(multiply(multiply(a, b), b)), {.detect_anomaly = true});
    FAIL() << "no Error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::diverged);
    EXPECT_NE(std::string(error.what()).find("multiply: the gradient of input 1 (2)"),
              std::string::npos)
        << error.what();
  }
}

TEST(Autograd, MisuseIsOneSentence) {
  const Tensor a = parameter({1, 2});
  EXPECT_EQ(error_of([&] { backward(multiply(a, a)); }),
            "backward: f32 (2) on cpu is not a scalar; give the gradient of the objective with "
            "respect to it as seed");
  EXPECT_NE(error_of([&] { backward(Tensor::zeros({})); }).find("not the result of a recorded op"),
            std::string::npos);
  EXPECT_NE(error_of([&] { multiply(a, a).set_requires_grad(true); }).find("only leaves"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              Tensor::zeros({1}, DType::i32).set_requires_grad(true);
            }).find("i32 (1) on cpu has no gradient"),
            std::string::npos);
  EXPECT_NE(
      error_of([&] { a.set_grad_buffer(Tensor::zeros({3})); }).find("cannot hold the gradient"),
      std::string::npos);
}

}  // namespace
}  // namespace cucina
