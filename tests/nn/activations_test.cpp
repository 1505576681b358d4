// Activations and dropout as layers: that each calls its function, and that every dropout of a
// network draws numbers of its own.
#include "nn/activations.h"

#include <gtest/gtest.h>

#include <memory>

#include "kernels/unary/unary.h"
#include "nn/layers.h"
#include "tests/error_of.h"

namespace cucina::nn {
namespace {

TEST(Activations, LayersAreTheirFunctions) {
  const Tensor x = Tensor::from<float>({-2, -0.5f, 0, 0.25f, 3}, {5});
  EXPECT_EQ(GELU().forward(x).to_vector<float>(), gelu(x).to_vector<float>());
  EXPECT_EQ(GELU(true).forward(x).to_vector<float>(), gelu_tanh(x).to_vector<float>());
  EXPECT_EQ(SiLU().forward(x).to_vector<float>(), silu(x).to_vector<float>());
  EXPECT_EQ(Sigmoid().forward(x).to_vector<float>(), sigmoid(x).to_vector<float>());
  EXPECT_EQ(Tanh().forward(x).to_vector<float>(), tanh(x).to_vector<float>());
  EXPECT_EQ(GELU(true).describe(), "GELU tanh");
  EXPECT_EQ(SiLU().output_shape({2, 3}), (Shape{2, 3}));
}

TEST(Activations, EveryDropoutOfANetworkDrawsItsOwnNumbersWhileTraining) {
  Sequential net;
  const auto first = net.make<Dropout>("first", 0.5f);
  const auto second = net.make<Dropout>("second", 0.5f);
  const Tensor step = Tensor::full({1}, 3, DType::i32);
  use_random(net, RandomStream(1, "dropout"), step);
  const Tensor x = Tensor::full({64}, 1.0);
  net.train();
  const std::vector<float> y = first->forward(x).to_vector<float>();
  EXPECT_EQ(first->forward(x).to_vector<float>(), y);
  EXPECT_NE(second->forward(x).to_vector<float>(), y);
  step.fill(4);
  EXPECT_NE(first->forward(x).to_vector<float>(), y);
  net.train(false);
  EXPECT_TRUE(first->forward(x).same(x));
}

TEST(Activations, DropoutRefusesAProbabilityOfOne) {
  EXPECT_EQ(testing::error_of([] { const Dropout layer(1); }),
            "Dropout: p is 1; it must be in [0, 1)");
}

}  // namespace
}  // namespace cucina::nn
