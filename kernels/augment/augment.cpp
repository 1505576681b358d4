// augment's front door: checks and the choice of backend; and its cases.
#include "kernels/augment/augment.h"

#include <limits>

#include "core/error.h"

namespace cucina {
namespace {

void check_range(const char* name, double value, double most) {
  if (!(value >= 0 && value <= most))
    fail("augment: {} is {} but must be in [0, {}]", name, value, most);
}

void check_colour(const char* name, float value, std::int64_t c, bool needs_rgb) {
  check_range(name, value, 1);
  if (value == 0 || c == 3 || (c == 1 && !needs_rgb)) return;
  fail("augment: {} needs images of {}3 channels but they have {}", name, needs_rgb ? "" : "1 or ",
       c);
}

// That `tensor` is a vector of `size` elements of that dtype, where the images are.
void check_vector(const char* name, const Tensor& tensor, std::int64_t size, DType dtype,
                  const Tensor& images) {
  if (!tensor.defined())
    fail("augment: {} is missing; give {} ({}) on {}", name, cucina::name(dtype), size,
         cucina::name(images.device()));
  if (tensor.dtype() != dtype || tensor.shape().rank() != 1 || tensor.size(0) != size ||
      tensor.device() != images.device())
    fail("augment: {} is {} but must be {} ({}) on {}, where the images are", name,
         describe(tensor), cucina::name(dtype), size, cucina::name(images.device()));
}

void check(const AugmentInputs& in, const AugmentParams& params) {
  const Tensor& images = in.images;
  if (!images.defined() || images.dtype() != DType::u8 || images.shape().rank() != 4)
    fail("augment: images are {} but must be u8 of rank 4: (N, h, w, c)",
         images.defined() ? describe(images) : "missing");
  if (images.elements() / std::max<std::int64_t>(1, images.size(0)) >
      std::numeric_limits<std::int32_t>::max())
    fail("augment: images are {} but one may have 2^31 - 1 elements at most", describe(images));
  if (!in.indices.defined() || in.indices.shape().rank() != 1)
    fail("augment: indices are {} but must be i32 (n)",
         in.indices.defined() ? describe(in.indices) : "missing");
  check_vector("indices", in.indices, in.indices.size(0), DType::i32, images);
  check_vector("mean", in.mean, images.size(3), compute_dtype(params.dtype), images);
  check_vector("stddev", in.stddev, images.size(3), compute_dtype(params.dtype), images);
  check(params.how, images.size(1), images.size(2), images.size(3));
  if (params.step.defined() || is_random(params.how))
    check_vector("step", params.step, 1, DType::i32, images);
}

}  // namespace

bool is_random(const Augmentation& how) { return how != Augmentation{.border = how.border}; }

void check(const Augmentation& how, std::int64_t h, std::int64_t w, std::int64_t c) {
  const std::int64_t side = std::min(h, w);
  if (how.crop < 0 || (how.crop > 0 && how.crop >= side))
    fail("augment: crop is {} but must be from 0 to {}, less than a side of {}x{} images", how.crop,
         std::max<std::int64_t>(0, side - 1), h, w);
  check_range("flip", how.flip, 1);
  check_range("rotate", how.rotate, 180);
  check_range("scale", how.scale, 0.9f);
  check_colour("brightness", how.brightness, c, false);
  check_colour("contrast", how.contrast, c, false);
  check_colour("saturation", how.saturation, c, true);
  if (how.cutout < 0 || how.cutout > std::max(h, w))
    fail("augment: cutout is {} but must be from 0 to {}, the longer side of {}x{} images",
         how.cutout, std::max(h, w), h, w);
}

Tensor augment(const AugmentInputs& in, const AugmentParams& params) {
  check(in, params);
  const Shape& images = in.images.shape();
  const Tensor y = Tensor::empty({in.indices.size(0), images[1], images[2], images[3]},
                                 params.dtype, in.images.device());
  choose(&AugmentOp::gather, y)(in, params, y);
  return y;
}

std::vector<Case> AugmentOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t set, n, h, w, c;
    Augmentation how = {};
    Timed timed = Timed::nowhere;
    bool checked = true;
  };
  const Augmentation all{.crop = 2,
                         .flip = 0.5f,
                         .rotate = 30,
                         .scale = 0.3f,
                         .brightness = 0.4f,
                         .contrast = 0.5f,
                         .saturation = 0.6f,
                         .cutout = 3};
  Augmentation all_gray = all;
  all_gray.saturation = 0;
  Augmentation over_zero = all;
  over_zero.border = Border::zero;
  const Augmentation usual{.crop = 4, .flip = 0.5f, .cutout = 8};
  std::vector<Case> cases;
  for (const Setting& s : {
           Setting{"one", 1, 1, 1, 1, 1, {.flip = 1, .rotate = 180, .cutout = 1}},
           Setting{"standardised", 5, 7, 6, 4, 3},
           Setting{"channels", 3, 4, 5, 7, 5, {.crop = 3, .flip = 0.5f, .rotate = 90}},
           Setting{"crop_reflect", 11, 13, 7, 5, 3, {.crop = 4}},
           Setting{"crop_zero", 11, 13, 7, 5, 1, {.crop = 4, .border = Border::zero}},
           Setting{"flip", 11, 13, 7, 6, 3, {.flip = 0.5f}},
           Setting{"cutout_odd", 11, 13, 9, 7, 3, {.cutout = 5}},
           Setting{"cutout_all", 3, 2, 4, 4, 1, {.cutout = 4}},
           Setting{"rotate", 5, 6, 9, 13, 1, {.rotate = 180}},
           Setting{"scale_zero", 5, 6, 13, 9, 3, {.scale = 0.9f, .border = Border::zero}},
           Setting{"scale_reflect", 5, 6, 9, 13, 3, {.scale = 0.9f}},
           Setting{"brightness", 5, 4, 5, 5, 3, {.brightness = 1}},
           Setting{"contrast", 5, 4, 19, 23, 3, {.contrast = 1}},
           Setting{"contrast_gray", 5, 4, 19, 23, 1, {.contrast = 1}},
           Setting{"saturation", 5, 4, 5, 5, 3, {.saturation = 1}},
           Setting{"all", 17, 19, 11, 13, 3, all},
           Setting{"all_gray", 17, 19, 11, 13, 1, all_gray},
           Setting{"all_zero_border", 17, 19, 11, 13, 3, over_zero},
           // more than one block an image
           Setting{"wider_than_block", 3, 3, 53, 47, 3, all},
           Setting{"one_line", 5, 5, 1, 37, 1, {.flip = 0.5f, .rotate = 20}},
           Setting{"empty_batch", 4, 0, 6, 6, 3, usual},
           Setting{"cifar", 64, 16, 32, 32, 3, usual},
           Setting{"cifar_512", 2048, 512, 32, 32, 3, usual, Timed::everywhere, false},
           Setting{"imagenet_64", 256, 64, 224, 224, 3, all, Timed::gpu, false},
       }) {
    const Operand images{.name = "images", .shape = {s.set, s.h, s.w, s.c}, .fill = Fill::bytes};
    const Operand indices{.name = "indices",
                          .shape = {s.n},
                          .fill = Fill::labels,
                          .dtype = DType::i32,
                          .classes = static_cast<int>(s.set)};
    const Operand mean{.name = "mean", .shape = {s.c}, .wide = true};
    const Operand stddev{.name = "stddev", .shape = {s.c}, .fill = Fill::positive, .wide = true};
    const Operand step{"step", {1}, Fill::labels, DType::i32, 1000};
    const Shape result{s.n, s.h, s.w, s.c};
    cases.push_back(
        {.name = s.name,
         .calls = {{.entry = "gather",
                    .inputs = {images, indices, mean, stddev, step},
                    .outputs = {{"y", result}},
                    .run = run_entry(
                        &AugmentOp::gather,
                        [how = s.how](auto gather, const Tensors& in, const Tensors& out, Write) {
                          gather({in[0], in[1], in[2], in[3]},
                                 {.how = how,
                                  .dtype = out[0].dtype(),
                                  .random = RandomStream(7, "cases"),
                                  .step = in[4]},
                                 out[0]);
                        }),
                    .flops = static_cast<double>(2 * result.elements()),
                    .bytes =
                        [elements = static_cast<double>(result.elements())](DType dtype) {
                          return elements * static_cast<double>(1 + size_of(dtype));
                        }}},
         .timed = s.timed,
         .checked = s.checked});
  }
  return cases;
}

}  // namespace cucina
