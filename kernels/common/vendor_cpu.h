// oneDNN, wrapped: the engine and stream, tensors as memories, and what differs between its
// versions 2 and 3.
#pragma once

#include <dnnl.hpp>
#include <initializer_list>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/backends.h"
#include "kernels/common/plan_cache.h"

namespace cucina::onednn {

inline constexpr int kVersion = DNNL_VERSION_MAJOR;

dnnl::engine& engine();
dnnl::stream& stream();

// What oneDNN computes on this CPU: f32, and bf16 where the CPU has AVX-512, without which oneDNN
// refuses it.
DTypes dtypes();

// A dense memory description of `dims` in oneDNN's logical order (n, c, h, w / o, i, h, w) stored
// as `tag` says.
dnnl::memory::desc describe(const dnnl::memory::dims& dims, dnnl::memory::format_tag tag,
                            DType dtype = DType::f32);

// A primitive and what its tensors look like. Creating one takes longer than most of our calls
// do, so keep it: onednn::cached(PlanKey("unary.forward", x.shape(), x.dtype()), [&] { ... }).
using cucina::cached;

// A tensor's elements as a oneDNN memory.
dnnl::memory wrap(const dnnl::memory::desc& description, const Tensor& tensor);

// A primitive's description, whichever version of oneDNN is here: version 2 goes through an
// operation descriptor.
template <typename Primitive, typename... Args>
typename Primitive::primitive_desc primitive(Args&&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine(), std::forward<Args>(args)...);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(std::forward<Args>(args)...),
                                            engine());
#endif
}

// The same for a backward primitive, which wants its forward as a hint.
template <typename Primitive, typename Hint, typename... Args>
typename Primitive::primitive_desc backward_primitive(const Hint& hint, Args&&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine(), std::forward<Args>(args)..., hint);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(std::forward<Args>(args)...),
                                            engine(), hint);
#endif
}

// While one lives, work that is too little to be worth waking other threads stays on this one: both
// where a primitive is made and where it runs.
class Threads {
 public:
  // `flops` of the work to be done.
  explicit Threads(double flops);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;  // 0 where nothing was changed
};

// A primitive and memories for its arguments, all made once: a call only says where the elements
// are. Not for two threads at a time, nor are the plans that cached() keeps.
class Prepared {
 public:
  struct Argument {
    int index;  // DNNL_ARG_...
    dnnl::memory::desc description;
  };
  Prepared() = default;
  Prepared(const dnnl::primitive& primitive, const std::vector<Argument>& arguments);

  // Runs it on the elements at `data`, in the order of the arguments, and waits; failures throw
  // Error naming `what`.
  void run(const char* what, std::initializer_list<void*> data) const;

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

// Runs a primitive and waits; failures throw Error naming `what`.
void execute(const char* what, const dnnl::primitive& primitive,
             const std::unordered_map<int, dnnl::memory>& arguments);

// `compute(to)` fills a tensor; with Write::accumulate it fills a scratch tensor that is then added
// to `target`, as oneDNN's backward primitives only overwrite.
template <typename Compute>
void deliver(const Tensor& target, Write write, Compute compute);
void add_into(const Tensor& from, const Tensor& to);

template <typename Compute>
void deliver(const Tensor& target, Write write, Compute compute) {
  if (write == Write::overwrite) {
    compute(target);
    return;
  }
  const Tensor scratch = Tensor::empty(target.shape(), target.dtype(), target.device());
  compute(scratch);
  add_into(scratch, target);
}

}  // namespace cucina::onednn
