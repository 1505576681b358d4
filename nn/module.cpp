// Names, modes and traversal of modules.
#include "nn/module.h"

#include <fnmatch.h>

#include <algorithm>

#include "core/error.h"
#include "nn/fusion.h"

namespace cucina::nn {
namespace {

void append_prefixed(std::vector<NamedTensor>* to, const std::string& child,
                     std::vector<NamedTensor> tensors) {
  for (NamedTensor& tensor : tensors) {
    tensor.name = joined(child, tensor.name);
    to->push_back(std::move(tensor));
  }
}

}  // namespace

std::string joined(const std::string& parent, const std::string& child) {
  return parent.empty() ? child : parent + "." + child;
}

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> all = parameters_;
  for (const auto& [name, child] : children_) append_prefixed(&all, name, child->parameters());
  return all;
}

Tensor Module::forward_fused(const Tensor&, const Ending& ending) {
  fail("{}: cannot be fused with {}{}", describe(), name(ending.activation),
       ending.added.defined() ? " and a sum" : "");
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> all = buffers_;
  for (const auto& [name, child] : children_) append_prefixed(&all, name, child->buffers());
  return all;
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> all{this};
  for (const auto& [name, child] : children_) {
    const std::vector<Module*> below = child->modules();
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

void Module::train(bool training) {
  for (Module* module : modules()) module->training_ = training;
}

bool matches(const std::string& name, const std::string& pattern) {
  return name == pattern || name.starts_with(pattern + ".") ||
         ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

void Module::freeze(const std::string& pattern) const {
  bool found = false;
  for (NamedTensor& parameter : parameters()) {
    if (!matches(parameter.name, pattern)) continue;
    parameter.tensor.set_requires_grad(false);
    found = true;
  }
  if (!found)
    fail("freeze: no parameter is named '{}' or is below it; cucina models NAME lists them",
         pattern);
}

void Module::move_buffers(Device device) {
  for (const NamedTensor& buffer : buffers()) {
    const DType dtype = buffer.tensor.dtype();
    if (dtype != DType::f32 && dtype != DType::f64) continue;
    if (buffer.tensor.device() == device) continue;
    buffer.tensor.move_to(Storage::allocate(buffer.tensor.bytes(), device), 0);
  }
}

Shape Module::place(const std::string& name, const Shape& x,
                    std::vector<PlacedLayer>* layers) const {
  const Shape y = output_shape(x);
  layers->push_back({name, this, x, y});
  return y;
}

std::string Module::write_graph(const GraphInput& in) const {
  fail("export: {} ({}) does not say what it is in ONNX; write its write_graph()", in.name,
       describe());
}

Tensor Module::add_parameter(const std::string& name, const Shape& shape,
                             std::optional<Shape> channels_last) {
  Tensor tensor = Tensor::empty(shape);
  tensor.set_requires_grad(true);
  parameters_.push_back({name, tensor, channels_last});
  return tensor;
}

Tensor Module::add_buffer(const std::string& name, const Tensor& tensor) {
  buffers_.push_back({name, tensor});
  return tensor;
}

void Module::add_child(const std::string& name, std::shared_ptr<Module> child) {
  if (name.empty() || name.find('.') != std::string::npos)
    fail("module: '{}' cannot name a child; use a name without a dot", name);
  if (std::any_of(children_.begin(), children_.end(),
                  [&](const NamedModule& other) { return other.name == name; }))
    fail("module: two children are named '{}'; choose another name for one", name);
  children_.push_back({name, std::move(child)});
}

std::int64_t parameter_count(const Module& module) {
  std::int64_t count = 0;
  for (const NamedTensor& parameter : module.parameters()) count += parameter.tensor.elements();
  return count;
}

ScopedEvaluation::ScopedEvaluation(Module& module) : module_(module) {
  for (Module* each : module.modules()) {
    if (each->training()) training_.push_back(each);
  }
  module.train(false);
}

ScopedEvaluation::~ScopedEvaluation() {
  // modules() lists parents before children, so a child that was evaluating is set back after its
  // parent.
  for (Module* each : module_.modules()) {
    each->train(std::find(training_.begin(), training_.end(), each) != training_.end());
  }
}

Tensor Sequential::forward(const Tensor& x) {
  std::vector<Module*> layers;
  layers.reserve(children().size());
  for (const auto& [name, child] : children()) layers.push_back(child.get());
  return run_layers(layers, x);
}

Shape Sequential::output_shape(const Shape& x) const {
  Shape shape = x;
  for (const auto& [name, child] : children()) shape = child->output_shape(shape);
  return shape;
}

Shape Sequential::place(const std::string& name, const Shape& x,
                        std::vector<PlacedLayer>* layers) const {
  return place_layers(children(), name, x, layers);
}

std::string Sequential::write_graph(const GraphInput& in) const {
  GraphInput next = in;
  for (const auto& [name, child] : children()) {
    next.name = joined(in.name, name);
    next.x = child->write_graph(next);
    next.shape = child->output_shape(next.shape);
  }
  return next.x;
}

std::string Sequential::describe() const {
  return fmt::format("Sequential of {}", children().size());
}

}  // namespace cucina::nn
