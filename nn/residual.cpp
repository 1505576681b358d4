// The blocks' forward ways, in terms of ops that bring their gradients.
#include "nn/residual.h"

#include <limits>

#include "core/error.h"
#include "kernels/binary/binary.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/unary/unary.h"

namespace cucina::nn {

void Residual::add(const std::string& name, std::shared_ptr<Module> layer) {
  add_child(name, layer);
  body_.push_back(std::move(layer));
}

void Residual::set_shortcut(const std::string& name, std::shared_ptr<Module> shortcut) {
  add_child(name, shortcut);
  shortcut_ = std::move(shortcut);
}

Tensor Residual::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& layer : body_) y = layer->forward(y);
  const Tensor sum = cucina::add(y, shortcut_ ? shortcut_->forward(x) : x);
  return relu_ ? relu(sum) : sum;
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
  return fmt::format("Residual of {}, {}{}", body_.size(),
                     shortcut_ ? shortcut_->describe() : "identity", relu_ ? "" : ", no relu");
}

Shape Residual::place(const std::string& name, const Shape& x,
                      std::vector<PlacedLayer>* layers) const {
  const Shape y = output_shape(x);
  Shape shape = x;
  for (const auto& [child_name, child] : children()) {
    const bool around = child == shortcut_;
    const Shape after = child->place(joined(name, child_name), around ? x : shape, layers);
    if (!around) shape = after;
  }
  layers->push_back({name, this, x, y});
  return y;
}

std::string Residual::write_graph(const GraphInput& in) const {
  GraphInput next = in;
  std::string around = in.x;
  for (const auto& [name, child] : children()) {
    if (child == shortcut_) {
      around = child->write_graph({in.graph, joined(in.name, name), in.x, in.shape});
      continue;
    }
    next.name = joined(in.name, name);
    next.x = child->write_graph(next);
    next.shape = child->output_shape(next.shape);
  }
  const std::string sum = in.graph->add("Add", {next.x, around});
  return relu_ ? in.graph->add("Relu", {sum}) : sum;
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

std::string PadChannels::write_graph(const GraphInput& in) const {
  Graph& graph = *in.graph;
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  const std::string pixels =
      graph.add("Slice", {in.x, graph.sizes({0, 0}), graph.sizes({kEnd, kEnd}), graph.sizes({2, 3}),
                          graph.sizes({stride_, stride_})});
  const std::int64_t side = (out_ - in_) / 2;
  return graph.add("Pad", {pixels, graph.sizes({0, side, 0, 0, 0, side, 0, 0})});
}

}  // namespace cucina::nn
