// The tape: reverse-mode automatic differentiation, define-by-run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace cucina {

// Where a backward function delivers the gradients of a node's inputs.
class Gradients {
 public:
  // A place for one input's gradient: `dx` has the input's shape, dtype and device. With
  // Write::overwrite its elements are not initialised, with Write::accumulate the gradient is to be
  // added to them.
  struct Slot {
    Tensor dx;
    Write write;
  };

  virtual ~Gradients() = default;
  // False when nobody wants the gradient of input `i`: then do not compute it.
  virtual bool wants(int i) const = 0;
  // The place for input i's gradient; call it once per wanted input and write there.
  virtual Slot slot(int i) = 0;
};

// What a forward leaves for its backward. Stored outside the graph, so that a node that saves its
// own output does not keep itself alive.
struct SavedTensor {
  std::string name;
  Tensor tensor;
};
using Saved = std::vector<SavedTensor>;

// Receives dy, the gradient of the node's output, and what record() was given as `saved`, in that
// order; writes the gradients of the node's inputs. It must not capture tensors of the graph: those
// belong in `saved`.
using Backward = std::function<void(const Tensor& dy, const Saved& saved, Gradients& gradients)>;

struct GradRecord;

// One recorded op.
struct Node {
  std::string name;                                 // "conv2d"
  std::uint64_t id = 0;                             // order of recording
  std::vector<std::shared_ptr<GradRecord>> inputs;  // null where no gradient is wanted
  std::vector<Shape> input_shapes;                  // as the op saw them: a view's, not its base's
  Saved saved;                                      // emptied when the graph is freed
  Backward backward;                                // null once freed
  Shape output_shape;
  DType output_dtype = DType::f32;
  std::weak_ptr<GradRecord> output;
};

// Records `y = name(inputs)`, unless gradients are off or no input requires one. An undefined input
// stands for an optional one that was absent.
void record(std::string_view name, const Tensor& y, const std::vector<Tensor>& inputs, Saved saved,
            Backward backward);

// True when a new op over `inputs` would be recorded: a front door saves extra results only then.
bool recording(const std::vector<Tensor>& inputs);

struct BackwardOptions {
  bool retain_graph = false;  // keep saved tensors, so that backward can run again
  bool detect_anomaly =
      false;  // throw Error (exit code 5) naming the first node whose gradient holds a NaN or Inf
};

// Adds d loss / d leaf to the gradient of every leaf that requires one.
//   loss     one element, or any shape with `seed` = d objective / d loss of the same shape
//   throws   Error when loss is not part of a graph, is not a scalar without seed, or its graph was
//   freed
void backward(const Tensor& loss, const BackwardOptions& options = {}, const Tensor& seed = {});

// While one lives, every recorded op and every backward() looks for NaN and Inf: the first op that
// has one in a leaf it reads, in its result or in a gradient throws Error (exit code 5) naming op
// and tensor. Slow, as every result is read once more.
class DetectAnomaly {
 public:
  DetectAnomaly();
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

 private:
  bool before_;
};

// Throws Error (exit code 5), "`what` (6, 5, 5, 1) is nan at element 3", unless all is finite.
void check_finite(const std::string& what, const Tensor& tensor);

// What messages call this leaf: "conv1.weight".
void set_name(const Tensor& leaf, const std::string& name);

// The node that made `tensor`; null for leaves. For a view, the node of its base.
std::shared_ptr<const Node> node_of(const Tensor& tensor);

// The graph behind `tensor` as Graphviz dot text: `dot -Tsvg`.
std::string to_dot(const Tensor& tensor);

// While one lives, no op is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
bool grad_enabled();

}  // namespace cucina
