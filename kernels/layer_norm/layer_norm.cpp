// layer_norm's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/layer_norm/layer_norm.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/column_chunks.h"
#include "kernels/common/norm_checks.h"

namespace cucina {
namespace {

void check_arguments(const Tensor& x, const Shape& normalized, const Tensor& gamma,
                     const Tensor& beta, double eps) {
  const int rank = normalized.rank(), outer = x.shape().rank() - rank;
  bool last = rank > 0 && outer >= 0;
  for (int i = 0; last && i < rank; ++i) last = x.size(outer + i) == normalized[i];
  if (!last) {
    fail("layer_norm: x is {} but its last dimensions must be those normalised, {}",
         to_string(x.shape()), to_string(normalized));
  }
  if (normalized.elements() == 0) {
    fail("layer_norm: normalised are {}: there is no mean of nothing", to_string(normalized));
  }
  for (const auto& [name, vector] : {std::pair("gamma", gamma), {"beta", beta}}) {
    if (vector.defined()) check_beside("layer_norm", name, vector, normalized, x);
  }
  check_eps("layer_norm", eps);
}

// x as rows of what is normalised together.
Tensor rows_of(const Tensor& x, std::int64_t columns) {
  return x.reshape({x.elements() / columns, columns});
}

Tensor flat(const Tensor& vector) {
  return vector.defined() ? vector.reshape({vector.elements()}) : Tensor();
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized, const Tensor& gamma, const Tensor& beta,
                  double eps) {
  check_arguments(x, normalized, gamma, beta, eps);
  const std::int64_t columns = normalized.elements();
  const Tensor rows = rows_of(x, columns);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const auto statistic = [&] {
    return Tensor::empty({rows.size(0)}, compute_dtype(x.dtype()), x.device());
  };
  const Tensor mean = statistic(), inv_std = statistic();
  choose(&LayerNormOp::forward, x)(rows, flat(gamma), flat(beta), eps, rows_of(y, columns), mean,
                                   inv_std);
  record("layer_norm", y, {x, gamma, beta},
         {{"x", x}, {"gamma", gamma}, {"mean", mean}, {"inv_std", inv_std}},
         [columns](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const LayerNormSaved state{.x = rows_of(saved[0].tensor, columns),
                                      .gamma = flat(saved[1].tensor),
                                      .mean = saved[2].tensor,
                                      .inv_std = saved[3].tensor};
           const Tensor rows = rows_of(dy, columns);
           if (gradients.wants(0)) {
             const auto [dx, write] = gradients.slot(0);
             choose(&LayerNormOp::backward_input, dy)(rows, state, write, rows_of(dx, columns));
           }
           if (!gradients.wants(1) && !gradients.wants(2)) return;
           Gradients::Slot dgamma = {}, dbeta = {};
           if (gradients.wants(1)) dgamma = gradients.slot(1);
           if (gradients.wants(2)) dbeta = gradients.slot(2);
           choose(&LayerNormOp::backward_affine, dy)(rows, state, LayerNormOp::scratch(rows),
                                                     dgamma.write, flat(dgamma.dx), dbeta.write,
                                                     flat(dbeta.dx));
         });
  return y;
}

Tensor LayerNormOp::scratch(const Tensor& x) {
  return Tensor::empty({column_chunks(1, x.size(0), x.size(1)).scratch()}, compute_dtype(x.dtype()),
                       x.device());
}

namespace {

// One set of shapes and options.
struct Setting {
  std::string name;
  std::int64_t rows, columns;
  bool gamma = true, beta = true;
  float eps = 1e-5f;
  Fill fill = Fill::uniform;  // of x
};

// in: x (or dy, then x), gamma, beta. An operand that is not there has no elements.
Tensor given(const Tensor& tensor) { return tensor.elements() > 0 ? tensor : Tensor(); }

Case make_case(const Setting& s) {
  const Shape shape{s.rows, s.columns}, columns{s.columns}, rows{s.rows};
  const Operand x{"x", shape, s.fill}, dy{"dy", shape};
  const Operand gamma{
      .name = "gamma", .shape = s.gamma ? columns : Shape{0}, .fill = Fill::positive, .wide = true};
  const Operand beta{.name = "beta", .shape = s.beta ? columns : Shape{0}, .wide = true};
  const Operand mean{.name = "mean", .shape = rows, .wide = true};
  const Operand inv_std{.name = "inv_std", .shape = rows, .fill = Fill::positive, .wide = true};
  const double n = static_cast<double>(s.rows * s.columns);
  const double eps = s.eps;
  const auto saved = [](const Tensors& in) {
    return LayerNormSaved{.x = in[1], .gamma = given(in[2]), .mean = in[3], .inv_std = in[4]};
  };
  const auto prepare = [eps](Tensors& in) {
    const auto wide = [](const Tensor& t) { return t.to(DType::f64); };
    const Tensor mean = wide(in[3]), inv_std = wide(in[4]), values = wide(in[1]);
    LayerNormOp::reference().forward(values, Tensor(), Tensor(), eps, values.clone(), mean,
                                     inv_std);
    in[3] = mean.to(in[3].dtype());
    in[4] = inv_std.to(in[4].dtype());
  };
  Case c{
      .name = s.name,
      .calls = {{.entry = "forward",
                 .inputs = {x, gamma, beta},
                 .outputs = {{"y", shape}, mean, inv_std},
                 .run = run_entry(&LayerNormOp::forward,
                                  [eps](auto entry, const Tensors& in, const Tensors& out, Write) {
                                    entry(in[0], given(in[1]), given(in[2]), eps, out[0], out[1],
                                          out[2]);
                                  }),
                 .flops = 8 * n},
                {.entry = "backward_input",
                 .inputs = {dy, x, gamma, mean, inv_std},
                 .outputs = {{"dx", shape}},
                 .accumulates = true,
                 .run = run_entry(&LayerNormOp::backward_input,
                                  [saved](auto entry, const Tensors& in, const Tensors& out,
                                          Write write) { entry(in[0], saved(in), write, out[0]); }),
                 .prepare = prepare,
                 .flops = 9 * n}},
      .inputs = {x},
      .function = [columns, s, eps](const Tensors& in) {
        return layer_norm(in[0], columns, s.gamma ? in[1] : Tensor(), s.beta ? in.back() : Tensor(),
                          eps);
      }};
  std::vector<Operand> affine;
  if (s.gamma) affine.push_back({.name = "dgamma", .shape = columns, .wide = true});
  if (s.beta) affine.push_back({.name = "dbeta", .shape = columns, .wide = true});
  if (!affine.empty()) {
    c.calls.push_back(
        {.entry = "backward_affine",
         .inputs = {dy, x, gamma, mean, inv_std},
         .outputs = affine,
         .accumulates = true,
         .run =
             run_entry(&LayerNormOp::backward_affine,
                       [saved, s](auto entry, const Tensors& in, const Tensors& out, Write write) {
                         entry(in[0], saved(in), LayerNormOp::scratch(in[1]), write,
                               s.gamma ? out[0] : Tensor(), write, s.beta ? out.back() : Tensor());
                       }),
         .prepare = prepare,
         .flops = 5 * n});
  }
  if (s.gamma) c.inputs.push_back({"gamma", columns, Fill::positive});
  if (s.beta) c.inputs.push_back({"beta", columns});
  return c;
}

}  // namespace

std::vector<Case> LayerNormOp::cases() {
  std::vector<Case> cases;
  for (const Setting& s : std::vector<Setting>{
           {"one", 1, 1},
           {"two", 3, 2, true, true, 0.1f},
           {"short_rows", 131, 10},
           {"prime", 13, 37},
           {"as_a_lane", 5, 32},
           {"many_rows", 1033, 33},
           {"whole_parts", 9, 64},
           {"wider_than_warp", 7, 1031},
           {"wider_than_block", 3, 2056},
           {"wider_than_block_prime", 2, 2467},
           {"only_gamma", 7, 36, true, false},
           {"only_beta", 7, 35, false, true},
           {"plain", 11, 40, false, false},
           {"empty", 0, 12},
       }) {
    cases.push_back(make_case(s));
  }
  cases.push_back(make_case({"block", 256, 384}));
  cases.back().timed = Timed::everywhere;
  for (const Setting& s :
       std::vector<Setting>{{"16384x768", 16384, 768}, {"8192x4096", 8192, 4096}}) {
    cases.push_back(make_case(s));
    cases.back().timed = Timed::gpu;
    cases.back().checked = false;
  }
  return cases;
}

CaseSpace LayerNormOp::space() {
  return {.axes = {{"rows", 0, 60}, {"columns", 1, 2500}, {"gamma", 0, 1}, {"beta", 0, 1}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            // As in batch_norm: far from cancellation, which rounding alone decides.
            return make_case(
                {"random", point[0], point[1], point[2] == 1, point[3] == 1, 0.1f, Fill::positive});
          }};
}

}  // namespace cucina
