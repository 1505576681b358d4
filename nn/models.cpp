// Builds the known models layer by layer.
#include "nn/models.h"

#include <algorithm>

#include "core/error.h"
#include "nn/init.h"
#include "nn/resnet.h"

namespace cucina::nn {
namespace {

constexpr std::int64_t kMnistSide = 28;
constexpr std::int64_t kHidden = 128;

// The shape of one image after all layers so far: (h, w, c).
Shape image_after(const Model& model) {
  const Shape shape = model.net->output_shape({1, model.spec.h, model.spec.w, model.spec.c});
  return {shape[1], shape[2], shape[3]};
}

// LeNet-5 as it is trained today: relu and maximum pooling instead of tanh, trained subsampling and
// partial connections. Images under 28 pixels pad the second convolution too: it would not fit.
//   source   LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
//            recognition", figure 2
void add_lenet5(Model* model) {
  const ModelSpec& spec = model->spec;
  const bool small = std::min(spec.h, spec.w) < kMnistSide;
  Sequential& net = *model->net;
  net.make<Conv2d>("conv1", spec.c, 6, 5, Conv2dOptions{.pad = 2});
  net.make<ReLU>("relu1");
  net.make<MaxPool2d>("pool1");
  net.make<Conv2d>("conv2", 6, 16, 5, Conv2dOptions{.pad = small ? 2 : 0});
  net.make<ReLU>("relu2");
  net.make<MaxPool2d>("pool2");
  const Shape image = image_after(*model);
  net.make<Flatten>("flatten");
  net.make<Linear>("fc1", image, 120);
  net.make<ReLU>("relu3");
  net.make<Linear>("fc2", 120, 84);
  net.make<ReLU>("relu4");
  model->head = net.make<Linear>("fc3", 84, spec.classes);
}

// Three convolutions, each halving the image but the first. They have no bias, as the normalisation
// behind each would subtract it. Dropout stands behind all of them: before one it would shift the
// variance it sees (Li et al. 2018, arXiv:1801.05134).
void add_bn_cnn(Model* model) {
  const ModelSpec& spec = model->spec;
  Sequential& net = *model->net;
  std::int64_t in = spec.c;
  int number = 1;
  for (const auto& [out, stride] : {std::pair{16, 1}, std::pair{32, 2}, std::pair{64, 2}}) {
    const std::string suffix = std::to_string(number++);
    net.make<Conv2d>("conv" + suffix, in, out, 3,
                     Conv2dOptions{.stride = stride, .pad = 1, .bias = false});
    net.make<BatchNorm2d>("bn" + suffix, out);
    net.make<ReLU>("relu" + suffix);
    in = out;
  }
  if (spec.dropout > 0) net.make<Dropout2d>("dropout", static_cast<float>(spec.dropout));
  net.make<GlobalAvgPool>("pool");
  model->head = net.make<Linear>("fc", in, spec.classes);
}

void add_mlp(Model* model) {
  const ModelSpec& spec = model->spec;
  Sequential& net = *model->net;
  net.make<Flatten>("flatten");
  net.make<Linear>("fc1", Shape{spec.h, spec.w, spec.c}, kHidden);
  net.make<ReLU>("relu");
  model->head = net.make<Linear>("fc2", kHidden, spec.classes);
}

void add_linear(Model* model) {
  const ModelSpec& spec = model->spec;
  model->net->make<Flatten>("flatten");
  model->head = model->net->make<Linear>("fc", Shape{spec.h, spec.w, spec.c}, spec.classes);
}

template <int kBlocks, Shortcut kShortcut>
void add_cifar(Model* model) {
  add_cifar_resnet(model, kBlocks, kShortcut);
}

struct Recipe {
  KnownModel known;
  void (*add)(Model* model);
  std::int64_t smallest;  // side of an image
  bool dropout;
};

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all{
      {{"lenet5", "LeNet-5 with relu and max pooling"}, &add_lenet5, 4, false},
      {{"bn_cnn", "three 3x3 convolutions with batch norm, global average pooling"},
       &add_bn_cnn,
       2,
       true},
      {{"mlp", "one hidden layer of 128"}, &add_mlp, 1, false},
      {{"linear", "softmax regression"}, &add_linear, 1, false},
      {{"resnet20", "ResNet-20 for CIFAR, shortcuts without parameters (option A)"},
       &add_cifar<3, Shortcut::pad>,
       4,
       false},
      {{"resnet32", "ResNet-32 for CIFAR"}, &add_cifar<5, Shortcut::pad>, 4, false},
      {{"resnet44", "ResNet-44 for CIFAR"}, &add_cifar<7, Shortcut::pad>, 4, false},
      {{"resnet56", "ResNet-56 for CIFAR"}, &add_cifar<9, Shortcut::pad>, 4, false},
      {{"resnet20b", "ResNet-20 for CIFAR, shortcuts by projection (option B)"},
       &add_cifar<3, Shortcut::projection>,
       4,
       false},
      {{"resnet18", "ResNet-18 as torchvision's; a stem for small images up to 64 pixels"},
       [](Model* model) { add_resnet(model, kResNet18); },
       8,
       false},
      {{"resnet34", "ResNet-34 likewise"},
       [](Model* model) { add_resnet(model, kResNet34); },
       8,
       false},
      {{"resnet50", "ResNet-50 likewise, of bottlenecks"},
       [](Model* model) { add_resnet(model, kResNet50); },
       8,
       false},
  };
  return all;
}

}  // namespace

const std::vector<KnownModel>& known_models() {
  static const std::vector<KnownModel> known = [] {
    std::vector<KnownModel> all;
    for (const Recipe& recipe : recipes()) all.push_back(recipe.known);
    return all;
  }();
  return known;
}

Model build_model(const ModelSpec& spec) {
  const auto recipe = std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& each) {
    return each.known.name == spec.name;
  });
  if (recipe == recipes().end()) {
    std::string names;
    for (const KnownModel& known : known_models())
      names += (names.empty() ? "" : ", ") + std::string(known.name);
    fail("model '{}' is unknown; choose one of {}", spec.name, names);
  }
  if (std::min(spec.h, spec.w) < recipe->smallest || spec.c < 1 || spec.classes < 1)
    fail("model {}: images of {}x{}x{} and {} classes; it takes images from {}x{}x1 and 1 class on",
         spec.name, spec.h, spec.w, spec.c, spec.classes, recipe->smallest, recipe->smallest);
  if (!(spec.dropout >= 0 && spec.dropout < 1))
    fail("model {}: dropout is {}; it must be in [0, 1)", spec.name, spec.dropout);
  if (spec.dropout > 0 && !recipe->dropout)
    fail("model {}: has no dropout but {} is asked for; take bn_cnn, or 0", spec.name,
         spec.dropout);
  Model model{.spec = spec, .net = std::make_shared<Sequential>(), .head = nullptr};
  recipe->add(&model);
  return model;
}

Model make_model(const ModelSpec& spec, std::uint64_t seed) {
  Model model = build_model(spec);
  initialise(*model.net, seed);
  return model;
}

Model make_model(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c,
                 int classes, std::uint64_t seed) {
  return make_model(ModelSpec{.name = name, .h = h, .w = w, .c = c, .classes = classes}, seed);
}

namespace {

std::string summary_line(std::string_view name, std::string_view layer, std::string_view output,
                         std::string_view parameters) {
  return fmt::format("{:<18} {:<36} {:<20} {:>12}\n", name, layer, output, parameters);
}

// The lines of `module`'s children, those of a Sequential below its own; `shape` goes through.
std::string summary_of(const Module& module, const std::string& prefix, Shape* shape) {
  std::string text;
  for (const auto& [name, child] : module.children()) {
    const std::int64_t count = parameter_count(*child);
    if (dynamic_cast<const Sequential*>(child.get()) != nullptr) {
      text += summary_of(*child, prefix + name + ".", shape);
      continue;
    }
    *shape = child->output_shape(*shape);
    text += summary_line(prefix + name, child->describe(), to_string(*shape),
                         count == 0 ? "" : std::to_string(count));
  }
  return text;
}

}  // namespace

std::string summary(const Model& model) {
  Shape shape{1, model.spec.h, model.spec.w, model.spec.c};
  std::string text = summary_line("name", "layer", "output", "parameters");
  text += summary_line("", "image", to_string(shape), "");
  text += summary_of(*model.net, "", &shape);
  return text + summary_line("total", "", "", std::to_string(parameter_count(*model.net)));
}

bool has_batch_norm(Module& module) {
  const std::vector<Module*> all = module.modules();
  return std::any_of(all.begin(), all.end(), [](const Module* each) {
    return dynamic_cast<const BatchNorm2d*>(each) != nullptr;
  });
}

}  // namespace cucina::nn
