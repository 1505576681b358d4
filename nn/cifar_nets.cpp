// Builds the fast CIFAR networks layer by layer.
#include "nn/cifar_nets.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "nn/activations.h"
#include "nn/init.h"
#include "nn/residual.h"

namespace cucina::nn {
namespace {

constexpr Conv2dOptions kSameSize{.stride = 1, .pad = 1, .bias = false};
// torch counts the other way round: it keeps 0.6 of the running statistics.
constexpr float kAirbenchMomentum = 0.4f;
constexpr double kAirbenchEps = 1e-12;

// Convolution, batch norm, relu; maximum pooling where asked for.
std::shared_ptr<Sequential> conv_bn(std::int64_t in, std::int64_t out, bool pool = false) {
  auto layers = std::make_shared<Sequential>();
  layers->make<Conv2d>("conv", in, out, 3, kSameSize);
  layers->make<BatchNorm2d>("bn", out);
  layers->make<ReLU>("relu");
  if (pool) layers->make<MaxPool2d>("pool");
  return layers;
}

std::shared_ptr<Residual> two_conv_bn(std::int64_t channels) {
  auto block = std::make_shared<Residual>(/*relu=*/false);
  block->add("res1", conv_bn(channels, channels));
  block->add("res2", conv_bn(channels, channels));
  return block;
}

// The shape of an image behind all layers so far.
Shape image_behind(const Model& model) {
  const Shape shape = model.net->output_shape({1, model.spec.h, model.spec.w, model.spec.c});
  return {shape[1], shape[2], shape[3]};
}

// Pools windows of `window`, or of the whole image where that is smaller; then the flattened image.
std::shared_ptr<Linear> add_pooled_head(Model* model, Sequential* pool_into, const char* pool,
                                        const char* head, std::int64_t window) {
  const Shape before = image_behind(*model);
  const auto side = static_cast<int>(std::min({window, before[0], before[1]}));
  pool_into->make<MaxPool2d>(pool, Pool2dParams{.window = side, .stride = side});
  const Shape image = image_behind(*model);
  model->net->make<Flatten>("flatten");
  return model->net->make<Linear>(head, image, model->spec.classes, /*bias=*/false);
}

std::shared_ptr<BatchNorm2d> airbench_norm(std::int64_t channels) {
  auto norm = std::make_shared<BatchNorm2d>(channels, kAirbenchMomentum, kAirbenchEps);
  norm->freeze("weight");
  return norm;
}

std::shared_ptr<Sequential> airbench_group(std::int64_t in, std::int64_t out) {
  auto group = std::make_shared<Sequential>();
  group->make<Conv2d>("conv1", in, out, 3, kSameSize);
  group->make<MaxPool2d>("pool");
  group->add("norm1", airbench_norm(out));
  group->make<GELU>("activ1");
  group->make<Conv2d>("conv2", out, out, 3, kSameSize);
  group->add("norm2", airbench_norm(out));
  group->make<GELU>("activ2");
  return group;
}

}  // namespace

void add_resnet9(Model* model) {
  Sequential& net = *model->net;
  net.add("prep", conv_bn(model->spec.c, 64));
  const auto layer1 = conv_bn(64, 128, true);
  layer1->add("residual", two_conv_bn(128));
  net.add("layer1", layer1);
  net.add("layer2", conv_bn(128, 256, true));
  const auto layer3 = conv_bn(256, 512, true);
  layer3->add("residual", two_conv_bn(512));
  net.add("layer3", layer3);
  model->head = add_pooled_head(model, &net, "pool", "linear", 4);
  net.make<Scale>("classifier", 0.125);
}

void add_airbench94(Model* model) {
  Sequential& net = *model->net;
  constexpr std::int64_t kWindow = 2;
  const std::int64_t patch = model->spec.c * kWindow * kWindow;
  model->whitening = net.make<Conv2d>("whiten", model->spec.c, 2 * patch, kWindow);
  model->whitening->freeze("weight");
  const auto layers = net.make<Sequential>("layers");
  layers->make<GELU>("0");
  layers->add("1", airbench_group(2 * patch, 64));
  layers->add("2", airbench_group(64, 256));
  layers->add("3", airbench_group(256, 256));
  model->head = add_pooled_head(model, layers.get(), "4", "head", 3);
  net.make<Scale>("scale", 1.0 / 256);
}

void start_airbench94(const Model& model) {
  for (const NamedTensor& parameter : model.net->parameters()) {
    const Shape& shape = parameter.tensor.shape();
    if (shape.rank() != 4 || !parameter.tensor.requires_grad()) continue;
    dirac(parameter.tensor.rows(0, std::min(shape[0], shape[3])));
  }
  const Tensor& head = model.head->weight();
  std::vector<float> weights = head.to_vector<float>();
  double sum = 0, squares = 0;
  for (const float weight : weights) sum += weight;
  const auto n = static_cast<double>(weights.size());
  for (const float weight : weights) squares += (weight - sum / n) * (weight - sum / n);
  const double deviation = std::sqrt(squares / (n - 1));
  for (float& weight : weights) weight = static_cast<float>(weight / deviation);
  head.copy_from(Tensor::from(weights, head.shape()));
}

}  // namespace cucina::nn
