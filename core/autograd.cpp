// The tape: recording nodes and running them backwards.
#include "core/autograd.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "core/op_watcher.h"
#include "core/stream.h"
#include "core/tensor_impl.h"

namespace cucina {
namespace {

thread_local bool enabled = true;
thread_local bool detecting = false;
OpWatcher* watcher = nullptr;
thread_local OpRun::Time watched_since;
std::atomic<std::uint64_t> next_id{1};

bool differentiable(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16;
}

bool requires_grad_now(const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }

// The places of one node's input gradients.
class NodeGradients : public Gradients {
 public:
  explicit NodeGradients(const Node& node) : node_(node) {}

  bool wants(int i) const override { return input(i) != nullptr; }

  Slot slot(int i) override {
    GradRecord* x = input(i);
    if (x == nullptr) fail("{}: nobody wants the gradient of input {}", node_.name, i);
    const Shape& shape = node_.input_shapes[static_cast<std::size_t>(i)];
    const auto seen = [&] { return x->grad.reshape(shape).detach(); };
    if (x->grad.defined()) return {seen(), Write::accumulate};
    x->grad =
        x->grad_buffer.defined() ? x->grad_buffer : Tensor::empty(x->shape, x->dtype, x->device);
    return {seen(), Write::overwrite};
  }

 private:
  GradRecord* input(int i) const {
    const auto index = static_cast<std::size_t>(i);
    if (index >= node_.inputs.size()) fail("{}: no input {}", node_.name, i);
    return node_.inputs[index].get();
  }

  const Node& node_;
};

// All nodes `from` depends on, the last recorded first: every consumer comes before what it
// consumed.
std::vector<std::shared_ptr<Node>> nodes_behind(const std::shared_ptr<Node>& from) {
  std::vector<std::shared_ptr<Node>> found{from};
  std::unordered_set<const Node*> seen{from.get()};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::vector<std::shared_ptr<GradRecord>> inputs = found[i]->inputs;
    for (const auto& input : inputs) {
      if (input != nullptr && input->node != nullptr && seen.insert(input->node.get()).second) {
        found.push_back(input->node);
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->id > b->id; });
  return found;
}

// "conv1.weight", or "input 1".
std::string input_name(const Node& node, std::size_t i) {
  const GradRecord* input = node.inputs[i].get();
  return input == nullptr || input->name.empty() ? fmt::format("input {}", i) : input->name;
}

void check_gradients(const Node& node) {
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == nullptr || !node.inputs[i]->grad.defined()) continue;
    check_finite(fmt::format("{}: the gradient of {}", node.name, input_name(node, i)),
                 node.inputs[i]->grad);
  }
}

// Results of ops before this one were looked at when those were recorded.
void check_forward(const Node& node, const std::vector<Tensor>& inputs, const Tensor& y) {
  std::string parameters;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    if (node.inputs[i] != nullptr && !node.inputs[i]->name.empty())
      parameters += (parameters.empty() ? " with " : ", ") + node.inputs[i]->name;
    if (node_of(inputs[i]) == nullptr)
      check_finite(fmt::format("{}: its {}", node.name, input_name(node, i)), inputs[i]);
  }
  check_finite(fmt::format("{}{}: its result", node.name, parameters), y);
}

// Tells the watcher of what has run since `begin`, a backward where there are no operands; returns
// when that was over.
OpRun::Time tell(OpWatcher* watcher, const Node& node, const std::vector<Tensor>* operands,
                 OpRun::Time begin) {
  std::vector<bool> wanted;
  for (const auto& input : node.inputs) wanted.push_back(input != nullptr);
  const auto output = node.output.lock();
  if (output != nullptr) Stream::current(output->device).synchronize();
  const auto end = std::chrono::steady_clock::now();
  watcher->ran({.name = node.name,
                .backward = operands == nullptr,
                .inputs = node.input_shapes,
                .output = node.output_shape,
                .dtype = node.output_dtype,
                .wanted = std::move(wanted),
                .begin = begin,
                .end = end,
                .operands = operands});
  return std::chrono::steady_clock::now();
}

void run(Node& node, const BackwardOptions& options) {
  const std::shared_ptr<GradRecord> output = node.output.lock();
  if (output == nullptr || !output->grad.defined()) return;  // nothing flowed back to here
  NodeGradients gradients(node);
  const auto begin = std::chrono::steady_clock::now();
  node.backward(output->grad, node.saved, gradients);
  if (watcher != nullptr) watched_since = tell(watcher, node, nullptr, begin);
  if (!output->retain) output->grad = {};
  if (options.detect_anomaly || detecting) check_gradients(node);
  if (!options.retain_graph) {
    node.saved.clear();
    node.backward = nullptr;
  }
}

}  // namespace

GradRecord& record_of(const Tensor& tensor) {
  auto& record = tensor.impl()->record;
  if (record == nullptr) {
    record = std::make_shared<GradRecord>();
    record->shape = tensor.shape();
    record->dtype = tensor.dtype();
    record->device = tensor.device();
  }
  return *record;
}

bool recording(const std::vector<Tensor>& inputs) {
  return enabled && std::any_of(inputs.begin(), inputs.end(), requires_grad_now);
}

void record(std::string_view name, const Tensor& y, const std::vector<Tensor>& inputs, Saved saved,
            Backward backward) {
  if (!recording(inputs)) return;
  auto node = std::make_shared<Node>();
  node->name = name;
  node->id = next_id++;
  for (const Tensor& input : inputs) {
    node->inputs.push_back(requires_grad_now(input) ? input.impl()->record : nullptr);
    node->input_shapes.push_back(input.defined() ? input.shape() : Shape{});
  }
  for (SavedTensor& s : saved) {
    if (s.tensor.defined()) s.tensor = s.tensor.detach();
  }
  node->saved = std::move(saved);
  node->backward = std::move(backward);
  node->output_shape = y.shape();
  node->output_dtype = y.dtype();
  GradRecord& output = record_of(y);
  node->output = y.impl()->record;
  if (watcher != nullptr) watched_since = tell(watcher, *node, &inputs, watched_since);
  if (detecting) check_forward(*node, inputs, y);
  output.node = std::move(node);
}

void backward(const Tensor& loss, const BackwardOptions& options, const Tensor& seed) {
  const auto node =
      loss.defined() && loss.impl()->record != nullptr ? loss.impl()->record->node : nullptr;
  if (node == nullptr) {
    fail(
        "backward: {} is not the result of a recorded op; does an input require a gradient, and is "
        "NoGrad off?",
        describe(loss));
  }
  if (!seed.defined() && loss.elements() != 1) {
    fail(
        "backward: {} is not a scalar; give the gradient of the objective with respect to it as "
        "seed",
        describe(loss));
  }
  if (seed.defined() && (seed.shape() != loss.shape() || seed.dtype() != loss.dtype())) {
    fail("backward: seed is {} but the result is {}", describe(seed), describe(loss));
  }
  const std::vector<std::shared_ptr<Node>> nodes = nodes_behind(node);
  for (const auto& n : nodes) {
    if (n->backward == nullptr) {
      fail(
          "backward: the graph behind {} was freed by an earlier backward; pass retain_graph to "
          "run it twice",
          n->name);
    }
  }
  GradRecord& root = record_of(loss);
  root.grad = (seed.defined() ? seed.to(loss.device()).clone()
                              : Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.device()))
                  .reshape(root.shape)
                  .detach();
  const NoGrad no_grad;
  for (const auto& n : nodes) run(*n, options);
}

bool Tensor::requires_grad() const {
  const auto& record = defined_impl().record;
  return record != nullptr && record->requires_grad();
}

Tensor& Tensor::set_requires_grad(bool value) {
  if (value && !differentiable(dtype())) {
    fail("requires_grad: {} has no gradient; only f32, f64 and bf16 do", describe(*this));
  }
  GradRecord& record = record_of(*this);
  if (record.node != nullptr) {
    fail("requires_grad: {} is the result of {}; only leaves can be parameters", describe(*this),
         record.node->name);
  }
  record.leaf = value;
  return *this;
}

Tensor Tensor::grad() const {
  const auto& record = defined_impl().record;
  if (record == nullptr || !record->grad.defined()) return {};
  return record->grad.reshape(shape()).detach();
}

void Tensor::set_grad_buffer(const Tensor& buffer) const {
  if (buffer.shape() != shape() || buffer.dtype() != dtype() || buffer.device() != device()) {
    fail("set_grad_buffer: {} cannot hold the gradient of {}", describe(buffer), describe(*this));
  }
  GradRecord& record = record_of(*this);
  record.grad_buffer = buffer.reshape(record.shape).detach();
  record.grad = {};
}

void Tensor::clear_grad() const {
  if (defined_impl().record != nullptr) defined_impl().record->grad = {};
}

void Tensor::retain_grad() const { record_of(*this).retain = true; }

std::shared_ptr<const Node> node_of(const Tensor& tensor) {
  return tensor.impl()->record == nullptr ? nullptr : tensor.impl()->record->node;
}

std::string to_dot(const Tensor& tensor) {
  std::string text =
      "digraph autograd {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n";
  const auto root = tensor.impl()->record == nullptr ? nullptr : tensor.impl()->record->node;
  if (root == nullptr) return text + "}\n";
  std::unordered_map<const GradRecord*, std::size_t>
      leaves;  // numbered as they are met: equal graphs, equal text
  for (const auto& node : nodes_behind(root)) {
    std::string saved;
    for (const SavedTensor& s : node->saved) {
      if (s.tensor.defined()) saved += fmt::format("\\nsaved {}: {}", s.name, describe(s.tensor));
    }
    text += fmt::format("  n{} [label=\"{} #{}\\n{} {}{}\"];\n", node->id, node->name, node->id,
                        name(node->output_dtype), to_string(node->output_shape), saved);
    for (const auto& input : node->inputs) {
      if (input == nullptr) continue;
      if (input->node != nullptr) {
        text += fmt::format("  n{} -> n{};\n", input->node->id, node->id);
        continue;
      }
      const auto [leaf, first] = leaves.try_emplace(input.get(), leaves.size());
      if (first) {
        text +=
            fmt::format("  leaf{} [label=\"leaf\\n{} {}\", style=filled, fillcolor=lightblue];\n",
                        leaf->second, name(input->dtype), to_string(input->shape));
      }
      text += fmt::format("  leaf{} -> n{};\n", leaf->second, node->id);
    }
  }
  return text + "}\n";
}

NoGrad::NoGrad() : before_(enabled) { enabled = false; }
NoGrad::~NoGrad() { enabled = before_; }
bool grad_enabled() { return enabled; }

DetectAnomaly::DetectAnomaly() : before_(detecting) { detecting = true; }
DetectAnomaly::~DetectAnomaly() { detecting = before_; }

void check_finite(const std::string& what, const Tensor& tensor) {
  if (!differentiable(tensor.dtype())) return;
  const std::vector<float> values = tensor.to_vector<float>();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad == values.end()) return;
  fail(ExitCode::diverged, "{} {} is {} at element {}", what, to_string(tensor.shape()), *bad,
       bad - values.begin());
}

void set_name(const Tensor& leaf, const std::string& name) { record_of(leaf).name = name; }

OpWatcher* op_watcher() { return watcher; }
void set_op_watcher(OpWatcher* watching) {
  watcher = watching;
  watched_since = std::chrono::steady_clock::now();
}

}  // namespace cucina
