// The activations as layers, with PyTorch's names; ReLU is among the layers (nn/layers.h).
#pragma once

#include <string>

#include "nn/module.h"

namespace cucina::nn {

// x Phi(x); with `tanh` its approximation, PyTorch's approximate="tanh".
class GELU : public Module {
 public:
  explicit GELU(bool tanh = false) : tanh_(tanh) {}
  Tensor forward(const Tensor& x) override;
  Activation activation() const override {
    return tanh_ ? Activation::gelu_tanh : Activation::gelu;
  }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return tanh_ ? "GELU tanh" : "GELU"; }
  std::string write_graph(const GraphInput& in) const override;

 private:
  bool tanh_;
};

// x sigmoid(x)
class SiLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Activation activation() const override { return Activation::silu; }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "SiLU"; }
  std::string write_graph(const GraphInput& in) const override;
};

class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Activation activation() const override { return Activation::sigmoid; }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "Sigmoid"; }
  std::string write_graph(const GraphInput& in) const override;
};

class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Activation activation() const override { return Activation::tanh; }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "Tanh"; }
  std::string write_graph(const GraphInput& in) const override;
};

}  // namespace cucina::nn
