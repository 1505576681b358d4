// Builds the known models layer by layer.
#include "nn/models.h"

#include <algorithm>

#include "core/error.h"
#include "nn/cifar_nets.h"
#include "nn/init.h"
#include "nn/layer_list.h"
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

// The fast MNIST network: 99 % after one epoch.
//   source   github.com/tuomaso/train_mnist_fast, 8_Final_00s76.ipynb
void add_mnist_fast(Model* model) {
  const ModelSpec& spec = model->spec;
  Sequential& net = *model->net;
  net.make<Conv2d>("conv1", spec.c, 24, 5);
  net.make<MaxPool2d>("pool1");
  net.make<ReLU>("relu1");
  net.make<Conv2d>("conv2", 24, 32, 3);
  net.make<MaxPool2d>("pool2");
  net.make<ReLU>("relu2");
  const Shape image = image_after(*model);
  net.make<Flatten>("flatten");
  net.make<Linear>("fc1", image, 256);
  net.make<ReLU>("relu3");
  model->head = net.make<Linear>("fc2", 256, spec.classes);
}

// The network of PyTorch's MNIST example in its version with dropout2d (until 2021). Its second
// dropout2d stands behind a linear layer, where a channel is one number: dropout.
//   source   github.com/pytorch/examples, mnist/main.py
void add_mnist_dropout2d(Model* model) {
  const ModelSpec& spec = model->spec;
  Sequential& net = *model->net;
  net.make<Conv2d>("conv1", spec.c, 32, 3);
  net.make<ReLU>("relu1");
  net.make<Conv2d>("conv2", 32, 64, 3);
  net.make<ReLU>("relu2");
  net.make<MaxPool2d>("pool");
  net.make<Dropout2d>("dropout1", 0.25f);
  const Shape image = image_after(*model);
  net.make<Flatten>("flatten");
  net.make<Linear>("fc1", image, kHidden);
  net.make<ReLU>("relu3");
  net.make<Dropout>("dropout2", 0.5f);
  model->head = net.make<Linear>("fc2", kHidden, spec.classes);
}

struct Recipe {
  KnownModel known;
  void (*add)(Model* model);
  std::int64_t smallest;  // side of an image
  bool dropout = false;
  void (*start)(const Model& model) = nullptr;  // initial values of its own, over those of all
};

const Shape kMnist{28, 28, 1}, kCifar{32, 32, 3}, kImageNet{224, 224, 3};

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all{
      {{"lenet5", "LeNet-5 with relu and max pooling", kMnist, 10,
        "99.05 % on MNIST (LeCun et al. 1998, with tanh and subsampling)"},
       &add_lenet5,
       4},
      {{"bn_cnn", "three 3x3 convolutions with batch norm, global average pooling", kMnist, 10},
       &add_bn_cnn,
       2,
       true},
      {{"mlp", "one hidden layer of 128", kMnist, 10}, &add_mlp, 1},
      {{"linear", "softmax regression", kMnist, 10,
        "88.0 % on MNIST (LeCun et al. 1998, linear classifier)"},
       &add_linear,
       1},
      {{"mnist-fast", "two convolutions and a wide hidden layer, for one epoch", kMnist, 10,
        "99.04 % on MNIST in one epoch (github.com/tuomaso/train_mnist_fast)"},
       &add_mnist_fast,
       10},
      {{"mnist-dropout2d", "the CNN of PyTorch's MNIST example, with dropout2d", kMnist, 10,
        "99.19 % on MNIST in 14 epochs (github.com/tuomaso/train_mnist_fast)"},
       &add_mnist_dropout2d,
       6},
      {{"resnet20", "ResNet-20 for CIFAR, shortcuts without parameters (option A)", kCifar, 10,
        "91.25 % on CIFAR-10 (He et al. 2016, table 6)"},
       &add_cifar<3, Shortcut::pad>,
       4},
      {{"resnet32", "ResNet-32 for CIFAR", kCifar, 10,
        "92.49 % on CIFAR-10 (He et al. 2016, table 6)"},
       &add_cifar<5, Shortcut::pad>,
       4},
      {{"resnet44", "ResNet-44 for CIFAR", kCifar, 10,
        "92.83 % on CIFAR-10 (He et al. 2016, table 6)"},
       &add_cifar<7, Shortcut::pad>,
       4},
      {{"resnet56", "ResNet-56 for CIFAR", kCifar, 10,
        "93.03 % on CIFAR-10 (He et al. 2016, table 6)"},
       &add_cifar<9, Shortcut::pad>,
       4},
      {{"resnet20b", "ResNet-20 for CIFAR, shortcuts by projection (option B)", kCifar, 10},
       &add_cifar<3, Shortcut::projection>,
       4},
      {{"resnet32b", "ResNet-32 for CIFAR, option B", kCifar, 10},
       &add_cifar<5, Shortcut::projection>,
       4},
      {{"resnet44b", "ResNet-44 for CIFAR, option B", kCifar, 10},
       &add_cifar<7, Shortcut::projection>,
       4},
      {{"resnet56b", "ResNet-56 for CIFAR, option B", kCifar, 10},
       &add_cifar<9, Shortcut::projection>,
       4},
      {{"resnet9", "Page's ResNet-9", kCifar, 10,
        "94 % on CIFAR-10 in 24 epochs (Page 2018, myrtle.ai)"},
       &add_resnet9,
       8},
      {{"airbench94", "whitening, then three groups of two convolutions", kCifar, 10,
        "94.01 % on CIFAR-10 in 9.9 epochs (Jordan 2024, arXiv:2404.00498)"},
       &add_airbench94,
       9,
       false,
       &start_airbench94},
      {{"resnet18", "ResNet-18 as torchvision's; a stem for small images up to 64 pixels",
        kImageNet, 1000, "69.76 % on ImageNet (torchvision, IMAGENET1K_V1)"},
       [](Model* model) { add_resnet(model, kResNet18); },
       8},
      {{"resnet34", "ResNet-34 likewise", kImageNet, 1000,
        "73.31 % on ImageNet (torchvision, IMAGENET1K_V1)"},
       [](Model* model) { add_resnet(model, kResNet34); },
       8},
      {{"resnet50", "ResNet-50 likewise, of bottlenecks", kImageNet, 1000,
        "76.13 % on ImageNet (torchvision, IMAGENET1K_V1)"},
       [](Model* model) { add_resnet(model, kResNet50); },
       8},
  };
  return all;
}

const Recipe& recipe_of(const std::string& name) {
  const auto recipe = std::find_if(recipes().begin(), recipes().end(),
                                   [&](const Recipe& each) { return each.known.name == name; });
  if (recipe != recipes().end()) return *recipe;
  std::string names;
  for (const KnownModel& known : known_models())
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  fail("model '{}' is unknown; choose one of {}", name, names);
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

const KnownModel& known_model(const std::string& name) { return recipe_of(name).known; }

Model build_model(const ModelSpec& spec) {
  if (!spec.layers.empty()) {
    if (spec.dropout > 0)
      fail("model {}: dropout is {}, but its layers say what is dropped; leave --dropout out",
           spec.name, spec.dropout);
    return build_from_layers(spec);
  }
  const Recipe& recipe = recipe_of(spec.name);
  if (std::min(spec.h, spec.w) < recipe.smallest || spec.c < 1 || spec.classes < 1)
    fail("model {}: images of {}x{}x{} and {} classes; it takes images from {}x{}x1 and 1 class on",
         spec.name, spec.h, spec.w, spec.c, spec.classes, recipe.smallest, recipe.smallest);
  if (!(spec.dropout >= 0 && spec.dropout < 1))
    fail("model {}: dropout is {}; it must be in [0, 1)", spec.name, spec.dropout);
  if (spec.dropout > 0 && !recipe.dropout)
    fail("model {}: has no dropout but {} is asked for; take bn_cnn, or 0", spec.name,
         spec.dropout);
  Model model{.spec = spec, .net = std::make_shared<Sequential>(), .head = nullptr};
  recipe.add(&model);
  return model;
}

Model make_model(const ModelSpec& spec, std::uint64_t seed, const Initial& initial) {
  Model model = build_model(spec);
  initialise(*model.net, seed, initial);
  if (!spec.layers.empty()) return model;
  if (const auto start = recipe_of(spec.name).start) start(model);
  return model;
}

Model make_model(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c,
                 int classes, std::uint64_t seed) {
  return make_model(ModelSpec{.name = name, .h = h, .w = w, .c = c, .classes = classes}, seed);
}

bool has_batch_norm(Module& module) {
  const std::vector<Module*> all = module.modules();
  return std::any_of(all.begin(), all.end(), [](const Module* each) {
    return dynamic_cast<const BatchNorm2d*>(each) != nullptr;
  });
}

}  // namespace cucina::nn
