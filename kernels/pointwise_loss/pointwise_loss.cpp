// The pointwise losses' front doors: checks, choice of backend, the recorded gradient; and their
// cases.
#include "kernels/pointwise_loss/pointwise_loss.h"

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/label_checks.h"

namespace cucina {
namespace {

using Kind = PointwiseLossParams::Kind;

void check_arguments(std::string_view op, const PointwiseLossInputs& in,
                     const PointwiseLossParams& params) {
  check_alike(op, "x", in.x, "target", in.target);
  if (in.x.shape() != in.target.shape()) {
    fail("{}: x is {} but target is {}; shapes must be equal", op, to_string(in.x.shape()),
         to_string(in.target.shape()));
  }
  if (in.x.elements() == 0) {
    fail("{}: x is {}; there is no loss of no elements", op, to_string(in.x.shape()));
  }
  check_no_gradient(op, "target", in.target);
  if (!(params.delta > 0 && std::isfinite(params.delta))) {
    fail("{}: delta is {} but must be finite and positive", op, params.delta);
  }
  const Tensor& weight = in.pos_weight;
  if (!weight.defined()) return;
  const DType wanted = compute_dtype(in.x.dtype());
  const std::int64_t c = in.x.shape().rank() == 0 ? 1 : in.x.size(-1);
  if (weight.dtype() != wanted || weight.device() != in.x.device() || weight.shape() != Shape{c}) {
    fail("{}: pos_weight is {} but must be {} ({}) on {} beside x, which is {}", op,
         describe(weight), name(wanted), c, name(in.x.device()), describe(in.x));
  }
  check_no_gradient(op, "pos_weight", weight);
}

Tensor apply(std::string_view op, const PointwiseLossInputs& in,
             const PointwiseLossParams& params) {
  check_arguments(op, in, params);
  const Tensor loss = Tensor::empty({}, compute_dtype(in.x.dtype()), in.x.device());
  choose(&PointwiseLossOp::forward, in.x)(in, params, PointwiseLossOp::scratch(in.x), loss);
  record(op, loss, {in.x}, {{"x", in.x}, {"target", in.target}, {"pos_weight", in.pos_weight}},
         [params](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&PointwiseLossOp::backward, dx)(
               dy, {saved[0].tensor, saved[1].tensor, saved[2].tensor}, params, write, dx);
         });
  return loss;
}

}  // namespace

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  return apply("mse_loss", {x, target, {}}, {.kind = Kind::mse, .reduction = reduction});
}

Tensor huber_loss(const Tensor& x, const Tensor& target, double delta, Reduction reduction) {
  return apply("huber_loss", {x, target, {}},
               {.kind = Kind::huber, .delta = delta, .reduction = reduction});
}

Tensor bce_with_logits(const Tensor& x, const Tensor& target, const Tensor& pos_weight,
                       Reduction reduction) {
  return apply("bce_with_logits", {x, target, pos_weight},
               {.kind = Kind::bce, .reduction = reduction});
}

Tensor PointwiseLossOp::scratch(const Tensor& x) {
  return Tensor::empty({(x.elements() + kChunk - 1) / kChunk}, compute_dtype(x.dtype()),
                       x.device());
}

namespace {

// One set of shapes and options.
struct Setting {
  std::string name;
  Shape shape;
  Kind kind = Kind::mse;
  bool pos_weight = false;
  Reduction reduction = Reduction::mean;
  double delta = 0.7;
};

Case make_case(const Setting& s) {
  const PointwiseLossParams params{.kind = s.kind, .delta = s.delta, .reduction = s.reduction};
  const Operand x{"x", s.shape};
  const Operand target{"target", s.shape, s.kind == Kind::bce ? Fill::positive : Fill::uniform};
  const Operand pos_weight{.name = "pos_weight",
                           .shape = {s.pos_weight ? s.shape[-1] : 0},
                           .fill = Fill::positive,
                           .wide = true};
  const auto inputs = [has_weight = s.pos_weight](const Tensors& in, std::size_t first) {
    return PointwiseLossInputs{in[first], in[first + 1], has_weight ? in[first + 2] : Tensor()};
  };
  const double n = static_cast<double>(s.shape.elements());
  return {
      .name = s.name,
      .calls = {{.entry = "forward",
                 .inputs = {x, target, pos_weight},
                 .outputs = {{.name = "loss", .shape = {}, .wide = true}},
                 .run = run_entry(&PointwiseLossOp::forward,
                                  [=](auto forward, const Tensors& in, const Tensors& out, Write) {
                                    forward(inputs(in, 0), params, PointwiseLossOp::scratch(in[0]),
                                            out[0]);
                                  }),
                 .flops = 4 * n},
                {.entry = "backward",
                 .inputs = {{.name = "dy", .shape = {}, .wide = true}, x, target, pos_weight},
                 .outputs = {{"dx", s.shape}},
                 .accumulates = true,
                 .run = run_entry(
                     &PointwiseLossOp::backward,
                     [=](auto backward, const Tensors& in, const Tensors& out, Write write) {
                       backward(in[0], inputs(in, 1), params, write, out[0]);
                     }),
                 .flops = 4 * n}},
      .inputs = {x},
      .function = [=](const Tensors& in) {
        const DType dtype = in[0].dtype();
        std::vector<double> targets(static_cast<std::size_t>(s.shape.elements()));
        for (std::size_t i = 0; i < targets.size(); ++i) {
          targets[i] = static_cast<double>(i * 7 % 11) / 10;
        }
        return apply(PointwiseLossOp::kName,
                     {in[0], Tensor::from(targets, s.shape).to(dtype),
                      s.pos_weight ? Tensor::full({s.shape[-1]}, 2.5, dtype) : Tensor()},
                     params);
      }};
}

}  // namespace

std::vector<Case> PointwiseLossOp::cases() {
  std::vector<Case> cases;
  for (const auto& [name, kind] :
       {std::pair("mse", Kind::mse), {"huber", Kind::huber}, {"bce", Kind::bce}}) {
    const auto named = [prefix = std::string(name)](const char* rest) { return prefix + rest; };
    for (const Setting& s : std::vector<Setting>{
             {named("_one"), {1}, kind},
             {named("_scalar"), Shape{}, kind},
             {named("_prime"), {7, 13}, kind},
             {named("_wider_than_block"), {1031}, kind, false, Reduction::sum},
             {named("_chunk"), {4, 32, 32}, kind},
             {named("_chunks_ragged"), {3, 2741}, kind},
         }) {
      cases.push_back(make_case(s));
    }
    cases.push_back(make_case({named("_image"), {64, 32, 32, 3}, kind}));
    cases.back().timed = Timed::everywhere;
    cases.push_back(make_case({named("_2p24"), {1 << 24}, kind}));
    cases.back().timed = Timed::gpu;
    cases.back().checked = false;
  }
  cases.push_back(make_case({"bce_pos_weight", {37, 10}, Kind::bce, true}));
  cases.push_back(make_case({"bce_pos_weight_one", {37, 1}, Kind::bce, true}));
  return cases;
}

CaseSpace PointwiseLossOp::space() {
  return {.axes = {{"rows", 1, 90},
                   {"columns", 1, 150},
                   {"kind", 0, 2},
                   {"pos_weight", 0, 1},
                   {"sum", 0, 1}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const auto kind = static_cast<Kind>(point[2]);
            if (point[3] == 1 && kind != Kind::bce) return std::nullopt;
            return make_case({"random",
                              {point[0], point[1]},
                              kind,
                              point[3] == 1,
                              point[4] == 1 ? Reduction::sum : Reduction::mean});
          }};
}

}  // namespace cucina
