// LayerNorm and GroupNorm: checks when they are made, and calls of the ops' front doors.
#include "nn/normalization.h"

#include "core/error.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"

namespace cucina::nn {

LayerNorm::LayerNorm(std::int64_t features, double eps, bool affine)
    : features_(features), eps_(eps) {
  if (features < 1) fail("LayerNorm: {} features; at least 1 is needed", features);
  if (!affine) return;
  weight_ = add_parameter("weight", {features});
  bias_ = add_parameter("bias", {features});
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, {features_}, weight_, bias_, eps_);
}

Shape LayerNorm::output_shape(const Shape& x) const {
  if (x.rank() < 1 || x[-1] != features_)
    fail("LayerNorm: x has shape {} but its last dimension must be {}", to_string(x), features_);
  return x;
}

std::string LayerNorm::describe() const {
  return fmt::format("LayerNorm {}{}", features_, weight_.defined() ? "" : ", not affine");
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps, bool affine)
    : groups_(groups), channels_(channels), eps_(eps) {
  if (groups < 1 || channels < 1 || channels % groups != 0)
    fail("GroupNorm: {} groups of {} channels; groups must divide channels", groups, channels);
  if (!affine) return;
  weight_ = add_parameter("weight", {channels});
  bias_ = add_parameter("bias", {channels});
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, weight_, bias_, {.groups = groups_, .eps = eps_});
}

Shape GroupNorm::output_shape(const Shape& x) const {
  if (x.rank() != 4)
    fail("GroupNorm: x has shape {} of rank {}; rank 4 is needed", to_string(x), x.rank());
  if (x[3] != channels_)
    fail("GroupNorm: x has {} channels but the layer takes {}", x[3], channels_);
  return x;
}

std::string GroupNorm::describe() const {
  return fmt::format("GroupNorm {} of {}{}", groups_, channels_,
                     weight_.defined() ? "" : ", not affine");
}

}  // namespace cucina::nn
