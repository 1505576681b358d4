// binary by oneDNN.
#include "kernels/binary/binary.h"
#include "kernels/common/vendor_cpu.h"

namespace cucina {
namespace {

using Tag = dnnl::memory::format_tag;

// y = a op b, by oneDNN's binary; y may be a.
void compute(const char* name, const Tensor& a, const Tensor& b, dnnl::algorithm algorithm,
             const Tensor& y) {
  if (a.elements() == 0) return;
  const std::int64_t columns = b.elements(), rows = a.elements() / columns;
  struct Plan {
    dnnl::memory::desc big, small;
    dnnl::binary primitive;
  };
  const auto plan = onednn::cached(PlanKey("binary", rows, columns, a.dtype(), algorithm), [&] {
    const auto big = onednn::describe({rows, columns}, Tag::ab, a.dtype());
    const auto small = onednn::describe({1, columns}, Tag::ab, a.dtype());
    return Plan{big, small,
                dnnl::binary(onednn::primitive<dnnl::binary>(algorithm, big, small, big))};
  });
  onednn::execute(name, plan->primitive,
                  {{DNNL_ARG_SRC_0, onednn::wrap(plan->big, a)},
                   {DNNL_ARG_SRC_1, onednn::wrap(plan->small, b)},
                   {DNNL_ARG_DST, onednn::wrap(plan->big, y)}});
}

void run_forward(const Tensor& a, const Tensor& b, Binary kind, const Tensor& y) {
  using dnnl::algorithm;
  compute("binary.forward", a, b,
          kind == Binary::add   ? algorithm::binary_add
          : kind == Binary::sub ? algorithm::binary_sub
                                : algorithm::binary_mul,
          y);
}

// to (+)= from
void deliver(const char* name, const Tensor& from, Write write, const Tensor& to) {
  if (write == Write::accumulate) {
    compute(name, to, from, dnnl::algorithm::binary_add, to);
  } else {
    to.copy_from(from);
  }
}

void run_backward_a(const Tensor& dy, const Tensor& b, Binary kind, Write write, const Tensor& da) {
  if (kind != Binary::mul) {
    deliver("binary.backward_a", dy, write, da);
    return;
  }
  onednn::deliver(da, write, [&](const Tensor& to) {
    compute("binary.backward_a", dy, b, dnnl::algorithm::binary_mul, to);
  });
}

}  // namespace

template <typename Target>
BinaryOp BinaryOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .forward = run_forward,
          .backward_a = run_backward_a,
          // oneDNN's reduction is a plain loop: 35 to 55 times slower than `hand`.
          .backward_b = nullptr,
          .backward_b_scratch = nullptr};
}
template BinaryOp BinaryOp::vendor<Host>();

}  // namespace cucina
