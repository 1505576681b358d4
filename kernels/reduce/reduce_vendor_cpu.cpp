// reduce by oneDNN.
#include <limits>

#include "kernels/common/vendor_cpu.h"
#include "kernels/reduce/reduce.h"

namespace cucina {
namespace {

using Dims = dnnl::memory::dims;

Dims all_dims(const ReduceGeometry& g) {
  return {g.kept[0], g.reduced[0], g.kept[1], g.reduced[1], g.kept[2], g.reduced[2], g.kept[3]};
}

void run_sum_forward(const Tensor& x, const ReduceGeometry& geometry, bool average, const Tensor&,
                     const Tensor& y) {
  if (y.elements() == 0) return;
  if (x.elements() == 0) {
    y.fill(average ? std::numeric_limits<double>::quiet_NaN() : 0);
    return;
  }
  if (geometry.length() == 1) {  // oneDNN refuses to reduce nothing
    y.copy_from(x.reshape(y.shape()).detach());
    return;
  }
  struct Plan {
    dnnl::memory::desc from, to;
    dnnl::reduction primitive;
  };
  const Shape key_shape{geometry.kept[0],    geometry.reduced[0], geometry.kept[1],
                        geometry.reduced[1], geometry.kept[2],    geometry.reduced[2]};
  const auto plan = onednn::cached(
      PlanKey("reduce", key_shape, geometry.kept[3], x.dtype(), average ? 1 : 0), [&] {
        // Axes of size 1 only slow it down.
        const Dims all = all_dims(geometry);
        Dims from, to;
        for (std::size_t i = 0; i < all.size(); ++i) {
          if (all[i] == 1) continue;
          from.push_back(all[i]);
          to.push_back(i % 2 == 1 ? 1 : all[i]);
        }
        const auto describe = [&](const Dims& dims) {
          Dims strides(dims.size(), 1);
          for (std::size_t i = dims.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * dims[i];
          const auto type = x.dtype() == DType::bf16 ? dnnl::memory::data_type::bf16
                                                     : dnnl::memory::data_type::f32;
          return dnnl::memory::desc(dims, type, strides);
        };
        const auto algorithm =
            average ? dnnl::algorithm::reduction_mean : dnnl::algorithm::reduction_sum;
        return Plan{describe(from), describe(to),
                    dnnl::reduction(onednn::primitive<dnnl::reduction>(algorithm, describe(from),
                                                                       describe(to), 0.f, 0.f))};
      });
  onednn::execute(
      "reduce.sum_forward", plan->primitive,
      {{DNNL_ARG_SRC, onednn::wrap(plan->from, x)}, {DNNL_ARG_DST, onednn::wrap(plan->to, y)}});
}

std::int64_t no_scratch(const ReduceGeometry&) { return 0; }

}  // namespace

template <typename Target>
ReduceOp ReduceOp::vendor() {
  return {.dtypes = onednn::dtypes(),
          .scratch = no_scratch,
          .sum_forward = run_sum_forward,
          .sum_backward = nullptr,
          .max_scratch = nullptr,
          // oneDNN's maximum skips NaN and does not say where it is.
          .max_forward = nullptr,
          .max_backward = nullptr};
}
template ReduceOp ReduceOp::vendor<Host>();

}  // namespace cucina
