// Module: a part of a network, with named parameters, buffers and children.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/activation.h"
#include "nn/graph.h"

namespace cucina::nn {

// A parameter or buffer. Names are those of PyTorch's state_dict: "conv1.weight",
// "bn1.running_mean".
struct NamedTensor {
  std::string name;
  Tensor tensor;
  // Set where PyTorch orders the elements otherwise: ours are (o, h, w, c) of these four sizes, its
  // are (o, c, h, w). So it is for filters, and for the columns of a Linear that reads a flattened
  // image.
  std::optional<Shape> channels_last = std::nullopt;
};

class Module;

struct NamedModule {
  std::string name;
  std::shared_ptr<Module> module;
};

// A layer where it stands in a network.
struct PlacedLayer {
  std::string name;  // "layer1.0.conv1"
  const Module* layer;
  Shape x, y;  // what goes in, what comes out
  // The layer whose op computes this one, too, where it is another (nn/fusion.h).
  std::string computed_in = "";
};

// What a layer's op does to its result besides, in place of what stands behind it.
struct Ending {
  Tensor added = {};  // first; undefined: nothing
  Activation activation = Activation::none;
};

// A module is made in training mode, its parameters uninitialised and on the cpu (nn/init.h fills
// them, nn/parameter_arena.h moves them).
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  virtual Tensor forward(const Tensor& x) = 0;
  Tensor operator()(const Tensor& x) { return forward(x); }

  // The activation that this layer is and nothing besides; none for every other layer.
  virtual Activation activation() const { return Activation::none; }
  // Can forward_fused() do so? Not where only the activation is none.
  virtual bool fuses(Activation, bool /*added*/) const { return false; }
  // forward, then what `ending` says, in one op; nn/fusion.h decides when.
  //   throws   Error where fuses() says no
  virtual Tensor forward_fused(const Tensor& x, const Ending& ending);

  // The shape of forward's result, without computing it; throws Error where forward would.
  virtual Shape output_shape(const Shape& x) const = 0;
  // "Conv2d 1->6, 5x5, pad 2"
  virtual std::string describe() const = 0;
  // Multiplications and additions of forward, counted apart: of convolutions and matrix products,
  // beside which the rest is little.
  virtual double flops(const Shape&) const { return 0; }
  // Writes what forward does outside training in ONNX's operators; returns the name of its result.
  //   throws   Error where a module of one's own does not say how
  virtual std::string write_graph(const GraphInput& in) const;
  // Appends every layer in the order of forward, those below this module in its place where it
  // only runs them; returns the shape of the result.
  virtual Shape place(const std::string& name, const Shape& x,
                      std::vector<PlacedLayer>* layers) const;

  // Own ones first, then the children's, prefixed with the child's name and a dot.
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  const std::vector<NamedModule>& children() const { return children_; }
  // The module itself and all below it, depth first.
  std::vector<Module*> modules();

  bool training() const { return training_; }
  // Sets the mode of this module and all below it.
  void train(bool training = true);

  // Ends the training of the parameter of that name ("conv1.weight"), or of all below it
  // ("layer1"): they get no gradient and keep their values. Statistics of normalisations still
  // follow the data. Before a ParameterArena is made.
  //   throws   Error when there is none
  void freeze(const std::string& name) const;

  // Moves every floating-point buffer; the parameters are moved by their arena.
  void move_buffers(Device device);

 protected:
  // Registers a trainable f32 tensor whose elements are not set.
  Tensor add_parameter(const std::string& name, const Shape& shape,
                       std::optional<Shape> channels_last = std::nullopt);
  Tensor add_buffer(const std::string& name, const Tensor& tensor);
  // throws   Error when the name is empty, holds a dot, or is taken
  void add_child(const std::string& name, std::shared_ptr<Module> child);

 private:
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<NamedModule> children_;
  bool training_ = true;
};

// "layer1" and "conv1" are "layer1.conv1".
std::string joined(const std::string& parent, const std::string& child);

// Is a parameter meant by a pattern: its name, that of a module it is below ("layer1"), or a
// pattern of the shell ("*.bias")?
bool matches(const std::string& name, const std::string& pattern);

// The number of trainable elements.
std::int64_t parameter_count(const Module& module);

// While one lives, the module and all below it are in evaluation mode; then each returns to the
// mode it was in.
class ScopedEvaluation {
 public:
  explicit ScopedEvaluation(Module& module);
  ~ScopedEvaluation();
  ScopedEvaluation(const ScopedEvaluation&) = delete;
  ScopedEvaluation& operator=(const ScopedEvaluation&) = delete;

 private:
  std::vector<Module*> training_;  // those that were
  Module& module_;
};

// Children run one after the other.
class Sequential : public Module {
 public:
  Sequential() = default;
  // Appends a child; its parameters are named "name.weight", ...
  void add(const std::string& name, std::shared_ptr<Module> child) {
    add_child(name, std::move(child));
  }
  // Appends a new Layer(args...) and returns it.
  template <typename Layer, typename... Args>
  std::shared_ptr<Layer> make(const std::string& name, Args&&... args) {
    auto layer = std::make_shared<Layer>(std::forward<Args>(args)...);
    add_child(name, layer);
    return layer;
  }

  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  Shape place(const std::string& name, const Shape& x,
              std::vector<PlacedLayer>* layers) const override;
  std::string write_graph(const GraphInput& in) const override;
};

}  // namespace cucina::nn
