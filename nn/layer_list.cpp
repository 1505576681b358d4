// Reads lists of layers, which come from users and from files: every value is checked.
#include "nn/layer_list.h"

#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "nn/activations.h"
#include "nn/normalization.h"
#include "nn/residual.h"

namespace cucina::nn {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 16;                 // lists within lists
constexpr std::int64_t kLargest = 1 << 16;   // of one size
constexpr std::size_t kMostLayers = 10'000;  // in all lists

// The options of one layer; remembers which are known, to refuse the others.
class Options {
 public:
  Options(const Json& layer, std::string where) : layer_(layer), where_(std::move(where)) {}

  const std::string& where() const { return where_; }

  std::int64_t integer(const char* key, std::int64_t least, std::optional<std::int64_t> otherwise) {
    const Json* value = find(key);
    if (value == nullptr) {
      if (!otherwise) fail("{}: {} is missing; give a whole number", where_, key);
      return *otherwise;
    }
    if (!value->is_number_integer() || *value < least || *value > kLargest)
      fail("{}: {} is {}; give a whole number from {} to {}", where_, key, shown(*value), least,
           kLargest);
    return value->get<std::int64_t>();
  }

  int small(const char* key, int least, int otherwise) {
    return static_cast<int>(integer(key, least, otherwise));
  }

  double number(const char* key, std::optional<double> otherwise) {
    const Json* value = find(key);
    if (value == nullptr) {
      if (!otherwise) fail("{}: {} is missing; give a number", where_, key);
      return *otherwise;
    }
    if (!value->is_number() || !std::isfinite(value->get<double>()))
      fail("{}: {} is {}; give a number", where_, key, shown(*value));
    return value->get<double>();
  }

  bool flag(const char* key, bool otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) fail("{}: {} is {}; give true or false", where_, key, shown(*value));
    return value->get<bool>();
  }

  // A list of layers; null when there is none.
  const Json* list(const char* key) {
    const Json* value = find(key);
    if (value != nullptr && !value->is_array())
      fail("{}: {} is {}; give a list of layers", where_, key, shown(*value));
    return value;
  }

  std::string text(const char* key, const std::string& otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) fail("{}: {} is {}; give a text", where_, key, shown(*value));
    return value->get<std::string>();
  }

  void refuse_others() const {
    for (const auto& item : layer_.items()) {
      if (known_.count(item.key()) == 0)
        fail("{}: '{}' is unknown; it takes {}", where_, item.key().substr(0, 40),
             fmt::join(known_, ", "));
    }
  }

  static std::string shown(const Json& value) {
    return value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40);
  }

 private:
  const Json* find(const char* key) {
    known_.insert(key);
    const auto found = layer_.find(key);
    return found == layer_.end() ? nullptr : &*found;
  }

  const Json& layer_;
  std::string where_;
  std::set<std::string> known_;
};

// Builds lists, following the shape of what goes through.
class Builder {
 public:
  explicit Builder(const ModelSpec& spec) : spec_(spec), shape_{1, spec.h, spec.w, spec.c} {}

  void add_to(Sequential* net, const Json& list, const std::string& where, int depth = 0) {
    each(list, where, depth, [&](const std::string& name, std::shared_ptr<Module> layer) {
      net->add(name, std::move(layer));
    });
  }

  const Shape& shape() const { return shape_; }
  const std::shared_ptr<Linear>& head() const { return head_; }

 private:
  using Add = std::function<void(const std::string& name, std::shared_ptr<Module> layer)>;

  void each(const Json& list, const std::string& where, int depth, const Add& add) {
    if (depth > kDeepest)
      fail("{}: lists within lists more than {} deep; take them apart", where, kDeepest);
    std::size_t place = 0;
    for (const Json& layer : list) {
      const std::string here = fmt::format("{}{}", where.empty() ? "layer " : where + ".", place);
      if (++layers_ > kMostLayers) fail("{}: more than {} layers", here, kMostLayers);
      if (!layer.is_object())
        fail("{}: {} is no layer; give a table with a type", here, Options::shown(layer));
      add_one(layer, here, std::to_string(place++), depth, add);
    }
  }

  void add_one(const Json& layer, const std::string& here, const std::string& place, int depth,
               const Add& add) {
    Options unnamed(layer, here);
    const std::string type = unnamed.text("type", "");
    Options options(layer,
                    fmt::format("{} ({})", here, type.empty() ? "no type" : type.substr(0, 40)));
    options.text("type", "");
    const std::string name = options.text("name", place);
    // What is wrong with a layer is told by the layer; where it stands is known here.
    const auto at_home = [&](const auto& action) {
      try {
        action();
      } catch (const Error& error) {
        const std::string text = error.what();
        if (text.starts_with("layer ")) throw;
        fail("{}: {}", options.where(), text);
      }
    };
    std::shared_ptr<Module> made;
    at_home([&] { made = make(type, options, here, depth); });
    options.refuse_others();
    at_home([&] {
      shape_ = made->output_shape(shape_);
      add(name, made);
    });
  }

  std::shared_ptr<Module> make(const std::string& type, Options& options, const std::string& here,
                               int depth) {
    const auto make_one = makers().find(type);
    if (make_one == makers().end()) {
      std::vector<std::string> names;
      for (const auto& maker : makers()) names.push_back(maker.first);
      fail("{}: choose one of {}", type.empty() ? "its type is missing" : "this type is unknown",
           fmt::join(names, ", "));
    }
    return (this->*make_one->second)(options, here, depth);
  }

  using Make = std::shared_ptr<Module> (Builder::*)(Options&, const std::string&, int);
  static const std::map<std::string, Make>& makers() {
    static const std::map<std::string, Make> all{
        {"avg_pool2d", &Builder::pool<AvgPool2d>},
        {"batch_norm2d", &Builder::batch_norm2d},
        {"conv2d", &Builder::conv2d},
        {"dropout", &Builder::dropping<Dropout>},
        {"dropout2d", &Builder::dropping<Dropout2d>},
        {"flatten", &Builder::flatten},
        {"gelu", &Builder::gelu},
        {"global_avg_pool", &Builder::plain<GlobalAvgPool>},
        {"group_norm", &Builder::group_norm},
        {"layer_norm", &Builder::layer_norm},
        {"linear", &Builder::linear},
        {"max_pool2d", &Builder::pool<MaxPool2d>},
        {"relu", &Builder::plain<ReLU>},
        {"residual", &Builder::residual},
        {"scale", &Builder::scale},
        {"sequential", &Builder::sequential},
        {"sigmoid", &Builder::plain<Sigmoid>},
        {"silu", &Builder::plain<SiLU>},
        {"tanh", &Builder::plain<Tanh>},
    };
    return all;
  }

  std::int64_t channels() const { return shape_[-1]; }

  template <typename Layer>
  std::shared_ptr<Module> plain(Options&, const std::string&, int) {
    return std::make_shared<Layer>();
  }

  std::shared_ptr<Module> conv2d(Options& options, const std::string&, int) {
    const std::int64_t out = options.integer("out", 1, std::nullopt);
    const std::int64_t window = options.integer("window", 1, std::nullopt);
    const Conv2dOptions how{.stride = options.small("stride", 1, 1),
                            .pad = options.small("pad", 0, 0),
                            .bias = options.flag("bias", true),
                            .dilation = options.small("dilation", 1, 1),
                            .groups = options.small("groups", 1, 1)};
    return std::make_shared<Conv2d>(channels(), out, window, how);
  }

  std::shared_ptr<Module> linear(Options& options, const std::string&, int) {
    const std::int64_t out = options.integer("out", 1, spec_.classes);
    const bool bias = options.flag("bias", true);
    if (shape_.rank() != 2)
      fail("it reads rows, and here are {}; put a flatten or a global_avg_pool before it",
           to_string(shape_));
    head_ = flattened_ ? std::make_shared<Linear>(*flattened_, out, bias)
                       : std::make_shared<Linear>(channels(), out, bias);
    flattened_.reset();
    return head_;
  }

  std::shared_ptr<Module> flatten(Options&, const std::string&, int) {
    if (shape_.rank() == 4) flattened_ = Shape{shape_[1], shape_[2], shape_[3]};
    return std::make_shared<Flatten>();
  }

  std::shared_ptr<Module> batch_norm2d(Options& options, const std::string&, int) {
    const double momentum = options.number("momentum", 0.1);
    if (momentum < 0 || momentum > 1) fail("momentum is {}; it must be from 0 to 1", momentum);
    return std::make_shared<BatchNorm2d>(channels(), static_cast<float>(momentum), eps(options));
  }

  std::shared_ptr<Module> layer_norm(Options& options, const std::string&, int) {
    // PyTorch would flatten in another order, and its weights come in that.
    if (flattened_) fail("it stands behind a flatten; put it before the flatten");
    const double smallest = eps(options);
    return std::make_shared<LayerNorm>(channels(), smallest, options.flag("affine", true));
  }

  std::shared_ptr<Module> group_norm(Options& options, const std::string&, int) {
    const std::int64_t groups = options.integer("groups", 1, std::nullopt);
    const double smallest = eps(options);
    return std::make_shared<GroupNorm>(groups, channels(), smallest, options.flag("affine", true));
  }

  static double eps(Options& options) {
    const double eps = options.number("eps", 1e-5);
    if (eps <= 0) fail("eps is {}; it must be above 0", eps);
    return eps;
  }

  std::shared_ptr<Module> gelu(Options& options, const std::string&, int) {
    return std::make_shared<GELU>(options.flag("tanh", false));
  }

  template <typename Layer>
  std::shared_ptr<Module> pool(Options& options, const std::string&, int) {
    const int window = options.small("window", 1, 2);
    return std::make_shared<Layer>(Pool2dParams{.window = window,
                                                .stride = options.small("stride", 1, window),
                                                .pad = options.small("pad", 0, 0)});
  }

  template <typename Layer>
  std::shared_ptr<Module> dropping(Options& options, const std::string&, int) {
    return std::make_shared<Layer>(static_cast<float>(options.number("p", 0.5)));
  }

  std::shared_ptr<Module> scale(Options& options, const std::string&, int) {
    return std::make_shared<Scale>(options.number("factor", std::nullopt));
  }

  std::shared_ptr<Module> sequential(Options& options, const std::string& here, int depth) {
    auto layers = std::make_shared<Sequential>();
    const Shape before = shape_;
    if (const Json* list = options.list("layers")) add_to(layers.get(), *list, here, depth + 1);
    shape_ = before;
    return layers;
  }

  std::shared_ptr<Module> residual(Options& options, const std::string& here, int depth) {
    auto block = std::make_shared<Residual>(options.flag("relu", true));
    const Shape before = shape_;
    if (const Json* list = options.list("layers"))
      each(*list, here, depth + 1, [&](const std::string& name, std::shared_ptr<Module> layer) {
        block->add(name, std::move(layer));
      });
    if (const Json* list = options.list("shortcut")) {
      shape_ = before;
      auto shortcut = std::make_shared<Sequential>();
      add_to(shortcut.get(), *list, here + " shortcut", depth + 1);
      block->set_shortcut("shortcut", shortcut);
    }
    shape_ = before;
    return block;
  }

  const ModelSpec& spec_;
  Shape shape_;                     // of what the next layer reads
  std::optional<Shape> flattened_;  // the image a flatten made rows of, until a linear reads them
  std::shared_ptr<Linear> head_;    // the last so far
  std::size_t layers_ = 0;
};

}  // namespace

Model build_from_layers(const ModelSpec& spec) {
  const Json list = Json::parse(spec.layers, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.empty())
    fail("model {}: its layers are no list of tables", spec.name);
  Model model{.spec = spec, .net = std::make_shared<Sequential>(), .head = nullptr};
  Builder builder(spec);
  try {
    builder.add_to(model.net.get(), list, "");
    model.head = builder.head();
    const Shape logits{1, spec.classes};
    if (builder.shape() != logits || model.head == nullptr)
      fail("its last layer makes {} of an image, and {} are due; end with a linear layer",
           to_string(builder.shape()), to_string(logits));
  } catch (const Error& error) {
    fail("model {}: {}", spec.name, error.what());
  }
  return model;
}

}  // namespace cucina::nn
