// grad_norm's front doors: checks and choice of backend; and its cases.
#include "optim/grad_norm/grad_norm.h"

#include "core/error.h"

namespace cucina {
namespace {

Tensor norm_for(const Tensor& gradients) {
  return Tensor::empty({1}, compute_dtype(gradients.dtype()), gradients.device());
}

Tensor scratch_of(std::int64_t elements, Device device) {
  return elements == 0 ? Tensor() : Tensor::empty({elements}, DType::f64, device);
}

Tensor scratch_for(const Tensor& gradients) {
  return scratch_of(choose(&GradNormOp::scratch, gradients)(gradients.elements()),
                    gradients.device());
}

void check_positive(std::string_view name, double value) {
  if (!(value > 0)) fail("grad_norm: {} is {} but must be above 0", name, value);
}

}  // namespace

Tensor gradient_norm(const Tensor& gradients) {
  const Tensor norm = norm_for(gradients);
  choose(&GradNormOp::norm, gradients)(gradients, norm, scratch_for(gradients));
  return norm;
}

Tensor clip_gradient_norm(const Tensor& gradients, double max_norm) {
  check_positive("max_norm", max_norm);
  const Tensor norm = norm_for(gradients);
  choose(&GradNormOp::clip, gradients)(gradients, max_norm, norm, scratch_for(gradients));
  return norm;
}

void clip_gradient_value(const Tensor& gradients, double limit) {
  check_positive("limit", limit);
  choose(&GradNormOp::clip_value, gradients)(gradients, limit);
}

std::vector<Case> GradNormOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    double max_norm = 1;
    Timed timed = Timed::nowhere;
  };
  // Scratch as the backend that runs wants it.
  const auto run_with_scratch = [](auto entry, auto body) {
    return [entry, body](Backend backend, Device device, DType dtype, const Tensors& in,
                         const Tensors& out, Write) {
      const GradNormOp* table = Backends<GradNormOp>::get().find(backend, device);
      if (table == nullptr || table->*entry == nullptr || !table->dtypes.contains(dtype))
        return false;
      body(table->*entry, in, out, scratch_of(table->scratch(in[0].elements()), device));
      return true;
    };
  };
  std::vector<Case> cases;
  for (const auto& [name, n, max_norm, timed] :
       {Setting{"one", 1}, Setting{"prime", 257}, Setting{"not_clipped", 1031, 1e3},
        Setting{"two_blocks", 16'411}, Setting{"empty", 0},
        Setting{"lenet", 61'706, 1, Timed::everywhere}, Setting{"many_blocks", 150'001},
        Setting{"more_blocks_than_threads", 1'100'003},
        Setting{"resnet18", 11'173'962, 1, Timed::gpu}}) {
    const Operand gradients{"gradients", {n}};
    const Operand norm{.name = "norm", .shape = {1}, .wide = true};
    const auto elements = static_cast<double>(n);
    const auto traffic = [elements](double passes) {
      return [bytes = elements * passes](DType dtype) {
        return bytes * static_cast<double>(size_of(dtype));
      };
    };
    // In place: the outputs start as copies of the gradients.
    cases.push_back(
        {.name = name,
         .calls = {{.entry = "norm",
                    .inputs = {gradients},
                    .outputs = {norm},
                    .run = run_with_scratch(
                        &GradNormOp::norm,
                        [](auto function, const Tensors& in, const Tensors& out,
                           const Tensor& scratch) { function(in[0], out[0], scratch); }),
                    .flops = 2 * elements},
                   {.entry = "clip",
                    .inputs = {gradients},
                    .outputs = {gradients, norm},
                    .run = run_with_scratch(&GradNormOp::clip,
                                            [max_norm](auto function, const Tensors& in,
                                                       const Tensors& out, const Tensor& scratch) {
                                              out[0].copy_from(in[0]);
                                              function(out[0], max_norm, out[1], scratch);
                                            }),
                    .flops = 3 * elements,
                    .bytes = traffic(3)},
                   {.entry = "clip_value",
                    .inputs = {gradients},
                    .outputs = {gradients},
                    .run =
                        run_entry(&GradNormOp::clip_value,
                                  [](auto function, const Tensors& in, const Tensors& out, Write) {
                                    out[0].copy_from(in[0]);
                                    function(out[0], 0.5);
                                  }),
                    .flops = 2 * elements}},
         .timed = timed,
         .checked = timed != Timed::gpu});
  }
  return cases;
}

}  // namespace cucina
