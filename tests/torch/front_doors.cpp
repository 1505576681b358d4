// The front doors by name, for the vectors made with PyTorch.
#include "tests/torch/front_doors.h"

#include <stdexcept>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/nll_loss/nll_loss.h"
#include "kernels/pointwise_loss/pointwise_loss.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "optim/optimizer.h"

namespace cucina::testing {
namespace {

using Json = nlohmann::json;

Pool2dParams pool2d_params(const Json& params) {
  return {.window = params.at("window"), .stride = params.at("stride"), .pad = params.at("pad")};
}

Tensor call_batch_norm(const Json& params, const Inputs& in) {
  return batch_norm(in["x"], in["gamma"], in["beta"], in["running_mean"], in["running_var"],
                    {.momentum = params.at("momentum"),
                     .eps = params.at("eps"),
                     .training = params.at("training")});
}

Tensor call_layer_norm(const Json& params, const Inputs& in) {
  const auto sizes = params.at("normalized").get<std::vector<std::int64_t>>();
  return layer_norm(in["x"], Shape(sizes), in["gamma"], in["beta"], params.at("eps"));
}

Tensor call_group_norm(const Json& params, const Inputs& in) {
  return group_norm(in["x"], in["gamma"], in["beta"],
                    {.groups = params.at("groups"), .eps = params.at("eps")});
}

Reduction reduction_of(const Json& params) {
  return params.value("reduction", "mean") == std::string("sum") ? Reduction::sum : Reduction::mean;
}

Tensor call_cross_entropy(const Json& params, const Inputs& in) {
  return softmax_cross_entropy(in["logits"], in["targets"],
                               {.label_smoothing = params.value("label_smoothing", 0.0),
                                .reduction = reduction_of(params)},
                               in["weights"])
      .loss;
}

Tensor call_huber(const Json& params, const Inputs& in) {
  return huber_loss(in["x"], in["target"], params.at("delta"), reduction_of(params));
}

Activation activation_of(const Json& params) {
  const std::string wanted = params.value("activation", "none");
  for (int i = 0; i <= static_cast<int>(Activation::tanh); ++i) {
    if (name(static_cast<Activation>(i)) == wanted) return static_cast<Activation>(i);
  }
  throw std::runtime_error("no activation " + wanted);
}

// The values after each step along given gradients: (steps, elements).
template <typename Optimizer, typename Options>
Tensor trajectory(const Inputs& in, const Options& options) {
  const Tensor values = in["start"].clone();
  const Tensor& gradients = in["gradients"];
  const Tensor gradient = Tensor::empty(values.shape(), values.dtype());
  Optimizer optimizer({.values = values, .gradients = gradient, .decayed = values.elements()},
                      options);
  const Tensor all = Tensor::empty(gradients.shape(), values.dtype());
  for (std::int64_t step = 0; step < gradients.size(0); ++step) {
    gradient.copy_from(gradients.rows(step, step + 1).reshape(values.shape()));
    optimizer.step();
    all.rows(step, step + 1).copy_from(values.reshape({1, values.elements()}));
  }
  return all;
}

Tensor call_adam(const Json& params, const Inputs& in) {
  const std::vector<double> betas = params.value("betas", std::vector<double>{0.9, 0.999});
  return trajectory<optim::Adam>(
      in, optim::AdamOptions{.learning_rate = params.at("lr"),
                             .beta1 = betas[0],
                             .beta2 = betas[1],
                             .eps = params.value("eps", 1e-8),
                             .weight_decay = params.value("weight_decay", 0.0)});
}

Tensor call_sgd(const Json& params, const Inputs& in) {
  return trajectory<optim::Sgd>(in,
                                optim::SgdOptions{.learning_rate = params.at("lr"),
                                                  .momentum = params.value("momentum", 0.0),
                                                  .weight_decay = params.value("weight_decay", 0.0),
                                                  .nesterov = params.value("nesterov", false)});
}

}  // namespace

const std::map<std::string, FrontDoor>& front_doors() {
  static const std::map<std::string, FrontDoor> doors{
      {"adam", {"adam", call_adam}},
      {"avg_pool2d",
       {"pool2d", [](const Json& params,
                     const Inputs& in) { return avg_pool2d(in["x"], pool2d_params(params)); }}},
      {"batch_norm", {"batch_norm", call_batch_norm}},
      {"conv2d",
       {"conv2d",
        [](const Json& params, const Inputs& in) {
          return conv2d(in["x"], in["w"], in["b"],
                        {.stride = params.value("stride", 1),
                         .pad = params.value("pad", 0),
                         .dilation = params.value("dilation", 1),
                         .groups = params.value("groups", 1),
                         .relu = params.value("relu", false)});
        }}},
      {"global_avg_pool",
       {"pool2d", [](const Json&, const Inputs& in) { return global_avg_pool(in["x"]); }}},
      {"linear",
       {"matmul", [](const Json&, const Inputs& in) { return linear(in["x"], in["w"], in["b"]); }}},
      {"matmul",
       {"matmul",
        [](const Json& params, const Inputs& in) {
          return matmul(in["a"], in["b"],
                        {.transpose_a = params.value("transpose_a", false),
                         .transpose_b = params.value("transpose_b", false),
                         .activation = activation_of(params)},
                        in["bias"]);
        }}},
      {"max_pool2d",
       {"pool2d", [](const Json& params,
                     const Inputs& in) { return max_pool2d(in["x"], pool2d_params(params)); }}},
      {"sgd", {"sgd", call_sgd}},
      {"softmax", {"softmax", [](const Json&, const Inputs& in) { return softmax(in["x"]); }}},
      {"log_softmax",
       {"softmax", [](const Json&, const Inputs& in) { return log_softmax(in["x"]); }}},
      {"softmax_cross_entropy", {"softmax_cross_entropy", call_cross_entropy}},
      {"layer_norm", {"layer_norm", call_layer_norm}},
      {"group_norm", {"group_norm", call_group_norm}},
      {"nll_loss",
       {"nll_loss",
        [](const Json& params, const Inputs& in) {
          return nll_loss(in["log_probs"], in["targets"], reduction_of(params), in["weights"]);
        }}},
      {"mse_loss",
       {"pointwise_loss",
        [](const Json& params, const Inputs& in) {
          return mse_loss(in["x"], in["target"], reduction_of(params));
        }}},
      {"huber_loss", {"pointwise_loss", call_huber}},
      {"bce_with_logits",
       {"pointwise_loss",
        [](const Json& params, const Inputs& in) {
          return bce_with_logits(in["x"], in["target"], in["weight"], reduction_of(params));
        }}},
  };
  return doors;
}

}  // namespace cucina::testing
