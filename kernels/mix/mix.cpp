// mix's front door: checks and the choice of backend; and its cases.
#include "kernels/mix/mix.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace cucina {
namespace {

void check_alpha(const char* name, float alpha) {
  if (!(alpha >= 0 && std::isfinite(alpha)))
    fail("mix: {} is {} but must be 0 or a positive number", name, alpha);
}

void check(const Tensor& x, const Tensor& labels, int classes, const MixParams& params) {
  if (!x.defined() || x.shape().rank() != 4 ||
      x.shape().elements() / std::max<std::int64_t>(1, x.size(0)) < 1)
    fail("mix: x is {} but must be of rank 4: (n, h, w, c), with h, w, c at least 1",
         x.defined() ? describe(x) : "missing");
  if (x.elements() / std::max<std::int64_t>(1, x.size(0)) >
      std::numeric_limits<std::int32_t>::max())
    fail("mix: x is {} but an image may have 2^31 - 1 elements at most", describe(x));
  const auto check_i32 = [&](const char* name, const Tensor& tensor, std::int64_t size) {
    if (!tensor.defined() || tensor.dtype() != DType::i32 || tensor.shape() != Shape{size} ||
        tensor.device() != x.device())
      fail("mix: {} {} but must be i32 ({}) on {}, where x is", name,
           tensor.defined() ? "is " + describe(tensor) : "is missing", size,
           cucina::name(x.device()));
  };
  check_i32("labels", labels, x.size(0));
  check_i32("step", params.step, 1);
  if (classes < 1) fail("mix: classes is {} but must be at least 1", classes);
  check(params.how);
}

}  // namespace

void check(const Mixing& how) {
  check_alpha("mixup", how.mixup);
  check_alpha("cutmix", how.cutmix);
}

MixedBatch mix(const Tensor& x, const Tensor& labels, int classes, const MixParams& params) {
  check(x, labels, classes, params);
  const MixedBatch mixed{
      .images = Tensor::empty(x.shape(), x.dtype(), x.device()),
      .targets = Tensor::empty({x.size(0), classes}, compute_dtype(x.dtype()), x.device())};
  choose(&MixOp::batch, x)(x, labels, params, mixed);
  return mixed;
}

std::vector<Case> MixOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n, h, w, c;
    int classes;
    Mixing how = {};
    Timed timed = Timed::nowhere;
    bool checked = true;
  };
  std::vector<Case> cases;
  for (const Setting& s : {
           Setting{"one", 1, 1, 1, 1, 1, {.mixup = 1}},
           Setting{"one_pasted", 1, 1, 1, 1, 2, {.cutmix = 1}},
           Setting{"off", 3, 4, 5, 3, 7},
           Setting{"mixup", 7, 5, 3, 11, 5, {.mixup = 0.2f}},
           Setting{"mixup_of_two", 2, 8, 8, 4, 3, {.mixup = 1}},
           Setting{"mixup_near_half", 13, 3, 5, 3, 4, {.mixup = 8}},
           Setting{"mixup_all_or_nothing", 13, 3, 5, 3, 4, {.mixup = 0.001f}},
           Setting{"cutmix", 17, 11, 13, 3, 10, {.cutmix = 1}},
           Setting{"cutmix_packed", 17, 8, 12, 4, 10, {.cutmix = 0.5f}},
           Setting{"both", 23, 7, 9, 3, 10, {.mixup = 0.3f, .cutmix = 1}},
           Setting{"classes_wider_than_block", 3, 2, 2, 1, 300, {.mixup = 1}},
           // more than one block an image
           Setting{"wider_than_block", 3, 53, 47, 3, 10, {.mixup = 1, .cutmix = 1}},
           Setting{"empty", 0, 4, 4, 3, 10, {.mixup = 1}},
           Setting{"cifar", 16, 32, 32, 3, 10, {.mixup = 0.2f, .cutmix = 1}},
           Setting{"cifar_512",
                   512,
                   32,
                   32,
                   3,
                   10,
                   {.mixup = 0.2f, .cutmix = 1},
                   Timed::everywhere,
                   false},
           Setting{"imagenet_64",
                   64,
                   224,
                   224,
                   3,
                   1000,
                   {.mixup = 0.2f, .cutmix = 1},
                   Timed::gpu,
                   false},
       }) {
    const Operand x{"x", {s.n, s.h, s.w, s.c}};
    const Operand labels{.name = "labels",
                         .shape = {s.n},
                         .fill = Fill::labels,
                         .dtype = DType::i32,
                         .classes = s.classes};
    const Operand step{"step", {1}, Fill::labels, DType::i32, 1000};
    cases.push_back(
        {.name = s.name,
         .calls = {{.entry = "batch",
                    .inputs = {x, labels, step},
                    .outputs = {{"images", x.shape},
                                {.name = "targets", .shape = {s.n, s.classes}, .wide = true}},
                    .run = run_entry(
                        &MixOp::batch,
                        [how = s.how](auto batch, const Tensors& in, const Tensors& out, Write) {
                          batch(in[0], in[1],
                                {.how = how, .random = RandomStream(7, "cases"), .step = in[2]},
                                {out[0], out[1]});
                        }),
                    .flops = static_cast<double>(3 * x.shape.elements())}},
         .timed = s.timed,
         .checked = s.checked});
  }
  return cases;
}

}  // namespace cucina
