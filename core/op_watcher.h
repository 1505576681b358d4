// OpWatcher: is told of every recorded op as it runs, to profile a program without a change to it.
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

#include "core/autograd.h"

namespace cucina {

// An op, forward or backward. On cuda all work before each of the two times is done.
struct OpRun {
  using Time = std::chrono::steady_clock::time_point;

  std::string_view name;  // "conv2d"
  bool backward = false;
  const std::vector<Shape>& inputs;
  const Shape& output;
  DType dtype;               // of the output
  std::vector<bool> wanted;  // backward: which inputs get a gradient
  Time begin, end;
  // Forward: the inputs themselves, while ran() runs; null in backward.
  const std::vector<Tensor>* operands = nullptr;
};

class OpWatcher {
 public:
  virtual ~OpWatcher() = default;
  // On the thread that called the op.
  virtual void ran(const OpRun& run) = 0;
};

// Null: nobody watches, which costs a comparison per op.
OpWatcher* op_watcher();
// A forward op begins, as far as a watcher is told, when the op before it ended, or here.
void set_op_watcher(OpWatcher* watcher);

}  // namespace cucina
