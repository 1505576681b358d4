// oneDNN, wrapped: the engine and stream, tensors as memories, and what differs between its
// versions 2 and 3.
#pragma once

#include <dnnl.hpp>

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
