// The blocks' forward ways, in terms of ops that bring their gradients.
#include "nn/residual.h"

#include <limits>

#include "core/error.h"
#include "kernels/binary/binary.h"
#include "kernels/cast/cast.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/unary/unary.h"
#include "nn/fusion.h"

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
  const Tensor around = shortcut_ ? shortcut_->forward(x) : x;
  std::vector<Module*> layers;
  for (const auto& layer : body_) layers.push_back(layer.get());
  if (!sums_in_last_layer()) {
    const Tensor sum = cucina::add(run_layers(layers, x), around);
    return relu_ ? relu(sum) : sum;
  }
  layers.pop_back();
  return body_.back()->forward_fused(run_layers(layers, x),
                                     {.added = around, .activation = activation_of_sum()});
}

bool Residual::sums_in_last_layer() const {
  return fusion() && !body_.empty() && body_.back()->fuses(activation_of_sum(), true);
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
  std::vector<NamedModule> body;
  for (const NamedModule& child : children())
    if (child.module != shortcut_) body.push_back(child);
  if (!sums_in_last_layer()) {
    place_layers(body, name, x, layers);
  } else {  // which then is fused with nothing else
    const Shape before = place_layers(std::span(body).first(body.size() - 1), name, x, layers);
    body.back().module->place(joined(name, body.back().name), before, layers);
  }
  for (const NamedModule& child : children())
    if (child.module == shortcut_) child.module->place(joined(name, child.name), x, layers);
  layers->push_back({name, this, x, output_shape(x)});
  if (sums_in_last_layer()) layers->back().computed_in = joined(name, body.back().name);
  return layers->back().y;
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
  return conv2d(x, cast(selection_, x.dtype()), {}, {.stride = stride_});
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
