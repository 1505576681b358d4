// group_norm's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/group_norm/group_norm.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/column_chunks.h"
#include "kernels/common/norm_checks.h"

namespace cucina {
namespace {

void check_arguments(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                     const GroupNormParams& params) {
  const Shape& shape = x.shape();
  if (shape.rank() != 2 && shape.rank() != 4) {
    fail("group_norm: x is {} but must be (n, h, w, c) or (n, c)", to_string(shape));
  }
  for (int i = 1; i < shape.rank(); ++i) {
    if (shape[i] == 0) fail("group_norm: x is {}: its examples are empty", to_string(shape));
  }
  if (params.groups < 1 || shape[-1] % params.groups != 0) {
    fail("group_norm: {} groups do not divide the {} channels of x {}", params.groups, shape[-1],
         to_string(shape));
  }
  for (const auto& [name, vector] : {std::pair("gamma", gamma), {"beta", beta}}) {
    if (vector.defined()) check_channel_vector("group_norm", name, vector, x);
  }
  check_eps("group_norm", params.eps);
}

GroupNormGradients wanted(Gradients& gradients) {
  GroupNormGradients to;
  const auto take = [&](int input, Tensor& tensor, Write& write) {
    if (!gradients.wants(input)) return;
    const auto slot = gradients.slot(input);
    tensor = slot.dx;
    write = slot.write;
  };
  take(0, to.dx, to.dx_write);
  take(1, to.dgamma, to.dgamma_write);
  take(2, to.dbeta, to.dbeta_write);
  return to;
}

}  // namespace

Tensor group_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const GroupNormParams& params) {
  check_arguments(x, gamma, beta, params);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const auto statistic = [&] {
    return Tensor::empty({x.size(0), params.groups}, compute_dtype(x.dtype()), x.device());
  };
  const Tensor mean = statistic(), inv_std = statistic();
  choose(&GroupNormOp::forward, x)(x, gamma, beta, params, GroupNormOp::scratch(x, params.groups),
                                   y, mean, inv_std);
  record("group_norm", y, {x, gamma, beta},
         {{"x", x}, {"gamma", gamma}, {"mean", mean}, {"inv_std", inv_std}},
         [groups = params.groups](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const GroupNormSaved state{.x = saved[0].tensor,
                                      .gamma = saved[1].tensor,
                                      .mean = saved[2].tensor,
                                      .inv_std = saved[3].tensor};
           choose(&GroupNormOp::backward, dy)(dy, state, GroupNormOp::scratch(state.x, groups),
                                              wanted(gradients));
         });
  return y;
}

Tensor GroupNormOp::scratch(const Tensor& x, std::int64_t groups) {
  const std::int64_t n = x.size(0), c = x.size(-1);
  const ColumnChunks chunks = column_chunks(n, n == 0 ? 0 : x.elements() / n / c, c);
  return Tensor::empty({chunks.scratch() + 2 * n * groups}, compute_dtype(x.dtype()), x.device());
}

namespace {

// Which gradients a case asks for, in the order of its outputs.
struct Wanted {
  bool dx = true, dgamma = true, dbeta = true;
};

// One set of shapes and options.
struct Setting {
  std::string name;
  Shape shape;
  std::int64_t groups = 1;
  bool affine = true;
  Wanted wanted = {};
  float eps = 1e-5f;
  Fill fill = Fill::uniform;  // of x
};

GroupNormGradients deliver_to(const Wanted& wanted, const Tensors& out, Write write) {
  GroupNormGradients to;
  to.dx_write = to.dgamma_write = to.dbeta_write = write;
  std::size_t next = 0;
  if (wanted.dx) to.dx = out[next++];
  if (wanted.dgamma) to.dgamma = out[next++];
  if (wanted.dbeta) to.dbeta = out[next];
  return to;
}

Case make_case(const Setting& s) {
  const Shape channels{s.shape[-1]}, groups{s.shape[0], s.groups};
  const GroupNormParams params{.groups = s.groups, .eps = s.eps};
  const Operand x{"x", s.shape, s.fill};
  const Operand gamma{.name = "gamma",
                      .shape = s.affine ? channels : Shape{0},
                      .fill = Fill::positive,
                      .wide = true,
                      .spreads = true};
  const Operand beta{.name = "beta", .shape = s.affine ? channels : Shape{0}, .wide = true};
  const Operand mean{.name = "mean", .shape = groups, .wide = true};
  const Operand inv_std{.name = "inv_std", .shape = groups, .fill = Fill::positive, .wide = true};
  std::vector<Operand> gradients;
  if (s.wanted.dx) gradients.push_back({"dx", s.shape});
  if (s.wanted.dgamma) gradients.push_back({.name = "dgamma", .shape = channels, .wide = true});
  if (s.wanted.dbeta) gradients.push_back({.name = "dbeta", .shape = channels, .wide = true});
  const auto bytes = [n = static_cast<double>(s.shape.elements())](double passes) {
    return [=](DType dtype) { return n * passes * static_cast<double>(size_of(dtype)); };
  };
  const double n = static_cast<double>(s.shape.elements());
  Case c{.name = s.name,
         .calls = {{.entry = "forward",
                    .inputs = {x, gamma, beta},
                    .outputs = {{"y", s.shape}, mean, inv_std},
                    .run = run_entry(&GroupNormOp::forward,
                                     [params, affine = s.affine](auto entry, const Tensors& in,
                                                                 const Tensors& out, Write) {
                                       entry(in[0], affine ? in[1] : Tensor(),
                                             affine ? in[2] : Tensor(), params,
                                             GroupNormOp::scratch(in[0], params.groups), out[0],
                                             out[1], out[2]);
                                     }),
                    .flops = 7 * n,
                    // x is read twice: its statistics come first.
                    .bytes = bytes(3)},
                   {.entry = "backward",
                    .inputs = {{"dy", s.shape}, x, gamma, mean, inv_std},
                    .outputs = gradients,
                    .accumulates = true,
                    .run = run_entry(
                        &GroupNormOp::backward,
                        [s](auto entry, const Tensors& in, const Tensors& out, Write write) {
                          const GroupNormSaved saved{.x = in[1],
                                                     .gamma = s.affine ? in[2] : Tensor(),
                                                     .mean = in[3],
                                                     .inv_std = in[4]};
                          entry(in[0], saved, GroupNormOp::scratch(in[1], s.groups),
                                deliver_to(s.wanted, out, write));
                        }),
                    .prepare =
                        [params](Tensors& in) {
                          const Tensor wide = in[1].to(DType::f64), mean = in[3].to(DType::f64),
                                       inv_std = in[4].to(DType::f64);
                          GroupNormOp::reference().forward(wide, Tensor(), Tensor(), params,
                                                           Tensor(), wide.clone(), mean, inv_std);
                          in[3] = mean.to(in[3].dtype());
                          in[4] = inv_std.to(in[4].dtype());
                        },
                    .flops = 9 * n,
                    .bytes = bytes(s.wanted.dx ? 5 : 2)}},
         .inputs = {x},
         .function = [params, affine = s.affine](const Tensors& in) {
           return group_norm(in[0], affine ? in[1] : Tensor(), affine ? in[2] : Tensor(), params);
         }};
  if (s.affine) {
    c.inputs.push_back({"gamma", channels, Fill::positive});
    c.inputs.push_back({"beta", channels});
  }
  return c;
}

}  // namespace

std::vector<Case> GroupNormOp::cases() {
  const Shape small{3, 5, 4, 12};
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{
           {.name = "one", .shape = {1, 1}},
           {.name = "rows", .shape = {37, 10}, .groups = 5},
           {.name = "prime", .shape = {3, 7, 11, 5}},
           {.name = "one_channel_per_group", .shape = {2, 9, 7, 6}, .groups = 6},
           {.name = "odd_groups", .shape = {5, 6, 7, 21}, .groups = 3},
           {.name = "whole_packs", .shape = {2, 8, 8, 32}, .groups = 4},
           {.name = "many_channels", .shape = {3, 2, 2, 1038}, .groups = 2},
           {.name = "wider_than_block", .shape = {1, 1, 3, 2056}},
           {.name = "many_rows", .shape = {2, 61, 67, 2}, .groups = 2},
           {.name = "plain",
           .shape = small,
           .groups = 4,
           .affine = false,
           .wanted = {true, false, false}},
           {.name = "only_dx", .shape = small, .groups = 4, .wanted = {true, false, false}},
           {.name = "only_dgamma", .shape = small, .groups = 4, .wanted = {false, true, false}},
           {.name = "only_dbeta", .shape = small, .groups = 4, .wanted = {false, false, true}},
           {.name = "empty", .shape = {0, 4, 4, 6}, .groups = 2},
       }) {
    cases.push_back(make_case(s));
  }
  cases.push_back(make_case({.name = "block", .shape = {32, 16, 16, 16}, .groups = 4}));
  cases.back().timed = Timed::everywhere;
  cases.push_back(make_case({.name = "128x32x32x64", .shape = {128, 32, 32, 64}, .groups = 8}));
  cases.back().timed = Timed::gpu;
  cases.back().checked = false;
  return cases;
}

CaseSpace GroupNormOp::space() {
  return {.axes = {{"n", 0, 12},
                   {"h", 1, 12},
                   {"w", 1, 12},
                   {"groups", 1, 16},
                   {"width", 1, 12},
                   {"affine", 0, 1}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const bool affine = point[5] == 1;
            // As in batch_norm: far from cancellation, which rounding alone decides.
            return make_case({.name = "random",
                              .shape = {point[0], point[1], point[2], point[3] * point[4]},
                              .groups = point[3],
                              .affine = affine,
                              .wanted = {true, affine, affine},
                              .eps = 0.1f,
                              .fill = Fill::positive});
          }};
}

}  // namespace cucina
