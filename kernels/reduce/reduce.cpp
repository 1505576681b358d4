// reduce's front doors: axes, output shapes, choice of backend, the recorded gradients; and its
// cases.
#include "kernels/reduce/reduce.h"

#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/scratch.h"

namespace cucina {
namespace {

// Which axes are reduced.
using Axes = std::array<bool, Shape::kMaxRank>;

Axes reduced_axes(std::string_view op, const Shape& x, const std::vector<int>& axes) {
  Axes reduced{};
  if (axes.empty()) reduced.fill(true);
  for (const int axis : axes) {
    const int from_start = axis < 0 ? axis + x.rank() : axis;
    if (from_start < 0 || from_start >= x.rank()) {
      fail("{}: axis {} of x {}, which has {}", op, axis, to_string(x), x.rank());
    }
    bool& there = reduced[static_cast<std::size_t>(from_start)];
    if (there) fail("{}: axis {} of x {} is named twice", op, axis, to_string(x));
    there = true;
  }
  return reduced;
}

bool is_reduced(const Axes& axes, int axis) { return axes[static_cast<std::size_t>(axis)]; }

Shape output_shape(const Shape& x, const Axes& axes, bool keepdim) {
  std::vector<std::int64_t> sizes;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!is_reduced(axes, axis)) {
      sizes.push_back(x[axis]);
    } else if (keepdim) {
      sizes.push_back(1);
    }
  }
  return Shape(sizes);
}

ReduceGeometry geometry_of(const Shape& x, const Axes& axes) {
  ReduceGeometry geometry;
  std::size_t group = 0;  // of the axes seen last: kept[group], then reduced[group]
  bool after_reduced = false;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] == 1) continue;
    const bool reduced = is_reduced(axes, axis);
    if (!reduced && after_reduced) ++group;
    after_reduced = reduced;
    (reduced ? geometry.reduced[group] : geometry.kept[group]) *= x[axis];
  }
  return geometry;
}

Tensor add_up(std::string_view op, const Tensor& x, const std::vector<int>& axes, bool keepdim,
              bool average) {
  const Axes reduced = reduced_axes(op, x.shape(), axes);
  const ReduceGeometry geometry = geometry_of(x.shape(), reduced);
  const Tensor y = Tensor::empty(output_shape(x.shape(), reduced, keepdim), x.dtype(), x.device());
  const Tensor scratch = make_scratch(choose(&ReduceOp::scratch, x)(geometry), x);
  choose(&ReduceOp::sum_forward, x)(x, geometry, average, scratch, y);
  record(op, y, {x}, {}, [=](const Tensor& dy, const Saved&, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    choose(&ReduceOp::sum_backward, dy)(dy, geometry, average, write, dx);
  });
  return y;
}

Tensor index_scratch_like(const Tensor& scratch) {
  return scratch.defined() ? Tensor::empty(scratch.shape(), DType::i32, scratch.device())
                           : Tensor();
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  return add_up("sum", x, axes, keepdim, false);
}

Tensor mean(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  return add_up("mean", x, axes, keepdim, true);
}

Tensor max(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  const Axes reduced = reduced_axes("max", x.shape(), axes);
  const ReduceGeometry geometry = geometry_of(x.shape(), reduced);
  if (geometry.length() == 0) {
    fail("max: x is {}, so there is no element to choose from", to_string(x.shape()));
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (geometry.length() * geometry.kept[1] * geometry.kept[2] * geometry.kept[3] > kMost) {
    fail("max: x is {}, and at most {} elements may lie in one reduction's span of memory",
         to_string(x.shape()), kMost);
  }
  const Shape shape = output_shape(x.shape(), reduced, keepdim);
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  const Tensor index = Tensor::empty(shape, DType::i32, x.device());
  const Tensor scratch = make_scratch(choose(&ReduceOp::max_scratch, x)(geometry), x);
  choose(&ReduceOp::max_forward, x)(x, geometry, scratch, index_scratch_like(scratch), y, index);
  record("max", y, {x}, {{"index", index}},
         [geometry](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&ReduceOp::max_backward, dy)(dy, saved[0].tensor, geometry, write, dx);
         });
  return y;
}

namespace {

// A call's `run`, whose body gets the backend's whole table, as scratch needs two of its members.
template <typename Entry, typename Body>
auto run_table(Entry ReduceOp::*entry, Body body) {
  return [entry, body](Backend backend, Device device, DType dtype, const Tensors& in,
                       const Tensors& out, Write write) {
    const ReduceOp* table = Backends<ReduceOp>::get().find(backend, device);
    if (table == nullptr || table->*entry == nullptr || !table->dtypes.contains(dtype))
      return false;
    body(*table, in, out, write);
    return true;
  };
}

struct Sizes {
  std::string name;
  Shape x;
  std::vector<int> axes;
};

Case sum_case(const Sizes& sizes, bool average) {
  const auto& [name, shape, axes] = sizes;
  const Axes reduced = reduced_axes("sum", shape, axes);
  const ReduceGeometry geometry = geometry_of(shape, reduced);
  const Shape results = output_shape(shape, reduced, false);
  const Operand x{"x", shape};
  const double n = static_cast<double>(shape.elements());
  return {.name = (average ? "mean_" : "sum_") + name,
          .calls = {{.entry = "sum_forward",
                     .inputs = {x},
                     .outputs = {{"y", results}},
                     .run = run_table(
                         &ReduceOp::sum_forward,
                         [=](const ReduceOp& table, const Tensors& in, const Tensors& out, Write) {
                           const Tensor scratch = make_scratch(table.scratch(geometry), in[0]);
                           table.sum_forward(in[0], geometry, average, scratch, out[0]);
                         }),
                     .flops = n},
                    {.entry = "sum_backward",
                     .inputs = {{"dy", results}},
                     .outputs = {{"dx", shape}},
                     .accumulates = true,
                     .run = run_table(&ReduceOp::sum_backward,
                                      [=](const ReduceOp& table, const Tensors& in,
                                          const Tensors& out, Write write) {
                                        table.sum_backward(in[0], geometry, average, write, out[0]);
                                      }),
                     .flops = n}},
          .inputs = {x},
          .function = [=](const Tensors& in) {
            return average ? mean(in[0], axes) : sum(in[0], axes);
          }};
}

Case max_case(const Sizes& sizes) {
  const auto& [name, shape, axes] = sizes;
  const Axes reduced = reduced_axes("max", shape, axes);
  const ReduceGeometry geometry = geometry_of(shape, reduced);
  const Shape results = output_shape(shape, reduced, false);
  const Operand x{"x", shape, Fill::distinct};
  const Operand index{"index", results, Fill::uniform, DType::i32};
  const double n = static_cast<double>(shape.elements());
  const auto find_index = [geometry, results](Tensors& in) {
    in[2] = Tensor::empty(results, DType::i32);
    ReduceOp::reference().max_forward(in[1].to(DType::f64), geometry, {}, {},
                                      Tensor::empty(results, DType::f64), in[2]);
  };
  return {
      .name = "max_" + name,
      .calls = {{.entry = "max_forward",
                 .inputs = {x},
                 .outputs = {{"y", results}, index},
                 .run = run_table(
                     &ReduceOp::max_forward,
                     [=](const ReduceOp& table, const Tensors& in, const Tensors& out, Write) {
                       const Tensor scratch = make_scratch(table.max_scratch(geometry), in[0]);
                       table.max_forward(in[0], geometry, scratch, index_scratch_like(scratch),
                                         out[0], out[1]);
                     }),
                 .flops = n},
                {.entry = "max_backward",
                 .inputs = {{"dy", results}, x, {"index", results, Fill::labels, DType::i32, 1}},
                 .outputs = {{"dx", shape}},
                 .accumulates = true,
                 .run = run_table(&ReduceOp::max_backward,
                                  [=](const ReduceOp& table, const Tensors& in, const Tensors& out,
                                      Write write) {
                                    table.max_backward(in[0], in[2], geometry, write, out[0]);
                                  }),
                 .prepare = find_index,
                 .flops = n}},
      .inputs = {x},
      .function = [=](const Tensors& in) { return max(in[0], axes); }};
}

}  // namespace

std::vector<Case> ReduceOp::cases() {
  std::vector<Case> cases;
  for (const Sizes& sizes : std::vector<Sizes>{{"one", {1}, {}},
                                               {"of_no_axis", {5, 1}, {1}},
                                               {"prime", {257}, {}},
                                               {"all", {3, 5, 7, 11}, {}},
                                               {"in_chunks", {40'000}, {}},
                                               {"rows", {7, 1031}, {1}},
                                               {"short_rows", {1301, 10}, {-1}},
                                               {"rows_of_packs", {67, 64}, {1}},
                                               {"columns", {1031, 7}, {0}},
                                               {"columns_of_packs", {331, 24}, {0}},
                                               {"columns_wider_than_block", {19, 2056}, {0}},
                                               {"columns_in_chunks", {9001, 3}, {0}},
                                               {"middle", {3, 37, 5}, {1}},
                                               {"channels", {4, 9, 7, 6}, {0, 1, 2}},
                                               {"pixels", {4, 9, 7, 6}, {1, 2}},
                                               {"ends", {5, 6, 7}, {0, 2}},
                                               {"every_other", {3, 4, 5, 2, 3, 7}, {1, 3, 5}},
                                               {"every_other_too", {3, 4, 5, 2, 3, 7}, {0, 2, 4}},
                                               {"results_empty", {0, 4}, {1}}}) {
    cases.push_back(sum_case(sizes, false));
    cases.push_back(max_case(sizes));
  }
  cases.push_back(sum_case({"empty", {0, 4}, {0}}, false));
  for (const Sizes& sizes :
       std::vector<Sizes>{{"rows", {7, 1031}, {1}}, {"channels", {4, 9, 7, 6}, {0, 1, 2}}}) {
    cases.push_back(sum_case(sizes, true));
  }
  for (const Sizes& sizes :
       std::vector<Sizes>{{"channels_64x28x28x16", {64, 28, 28, 16}, {0, 1, 2}},
                          {"all_64x28x28x16", {64, 28, 28, 16}, {}},
                          {"rows_16384x10", {16384, 10}, {1}}}) {
    for (Case timed : {sum_case(sizes, false), max_case(sizes)}) {
      timed.timed = Timed::everywhere;
      timed.checked = false;
      cases.push_back(std::move(timed));
    }
  }
  for (const Sizes& sizes :
       std::vector<Sizes>{{"channels_256x26x26x64", {256, 26, 26, 64}, {0, 1, 2}},
                          {"all_512x32x32x64", {512, 32, 32, 64}, {}},
                          {"rows_16384x1000", {16384, 1000}, {1}}}) {
    for (Case timed : {sum_case(sizes, false), max_case(sizes)}) {
      timed.timed = Timed::gpu;
      timed.checked = false;
      cases.push_back(std::move(timed));
    }
  }
  return cases;
}

CaseSpace ReduceOp::space() {
  return {.axes = {{"outer", 0, 40},
                   {"length", 1, 700},
                   {"inner", 1, 60},
                   {"second_length", 1, 9},
                   {"innermost", 1, 9},
                   {"kind", 0, 2}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const Sizes sizes{"random", {point[0], point[1], point[2], point[3], point[4]}, {1, 3}};
            if (sizes.x.elements() > 300'000) return std::nullopt;
            return point[5] == 2 ? max_case(sizes) : sum_case(sizes, point[5] == 1);
          }};
}

}  // namespace cucina
