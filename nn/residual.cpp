// The blocks' forward ways, in terms of ops that bring their gradients.
#include "nn/residual.h"

#include "core/error.h"
#include "kernels/binary/binary.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/unary/unary.h"

namespace cucina::nn {

void Residual::set_shortcut(const std::string& name, std::shared_ptr<Module> shortcut) {
  add_child(name, shortcut);
  shortcut_ = std::move(shortcut);
}

Tensor Residual::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& layer : body_) y = layer->forward(y);
  return relu(add(y, shortcut_ ? shortcut_->forward(x) : x));
}

Shape Residual::output_shape(const Shape& x) const {
  Shape y = x;
  for (const auto& layer : body_) y = layer->output_shape(y);
  const Shape around = shortcut_ ? shortcut_->output_shape(x) : x;
  if (y != around)
    fail(
        "Residual: the body makes {} of {} but the shortcut {}; give the shortcut the body's "
        "stride and channels",
        to_string(y), to_string(x), to_string(around));
  return y;
}

std::string Residual::describe() const {
  return fmt::format("Residual of {}, {}", body_.size(),
                     shortcut_ ? shortcut_->describe() : "identity");
}

PadChannels::PadChannels(std::int64_t in, std::int64_t out, int stride)
    : in_(in), out_(out), stride_(stride) {
  if (in < 1 || out < in || (out - in) % 2 != 0 || stride < 1)
    fail(
        "PadChannels: {} channels to {} at stride {}; as many channels go on either side, and the "
        "stride is at least 1",
        in, out, stride);
  std::vector<float> ones(static_cast<std::size_t>(in * out));
  for (std::int64_t c = 0; c < in; ++c)
    ones[static_cast<std::size_t>(((out - in) / 2 + c) * in + c)] = 1;
  selection_ = Tensor::from(ones, {out, 1, 1, in});
}

Tensor PadChannels::forward(const Tensor& x) {
  if (selection_.device() != x.device()) selection_ = selection_.to(x.device());
  return conv2d(x, selection_, {}, {.stride = stride_});
}

Shape PadChannels::output_shape(const Shape& x) const {
  if (x.rank() != 4 || x[3] != in_)
    fail("PadChannels: x has shape {} but the layer takes {} channels", to_string(x), in_);
  return {x[0], (x[1] - 1) / stride_ + 1, (x[2] - 1) / stride_ + 1, out_};
}

std::string PadChannels::describe() const {
  return fmt::format("PadChannels {}->{}, stride {}", in_, out_, stride_);
}

}  // namespace cucina::nn
