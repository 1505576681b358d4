// conv2d's cases: the shapes and parameters that every driver runs, and the space of all.
#include <algorithm>
#include <cmath>

#include "kernels/common/scratch.h"
#include "kernels/conv2d/conv2d.h"

namespace cucina {
namespace {

// One set of shapes and options.
struct Setting {
  std::string name;
  Shape x, w;
  Conv2dParams params = {};
  bool prologue = false, prologue_relu = false;
  Timed timed = Timed::nowhere;
  bool checked = true;
};

Shape output_shape(const Setting& s) {
  const auto outputs = [&](int i) {
    const std::int64_t spanned = (s.w[i] - 1) * s.params.dilation + 1;
    return (s.x[i] + 2 * std::int64_t{s.params.pad} - spanned) / s.params.stride + 1;
  };
  return {s.x[0], outputs(1), outputs(2), s.w[0]};
}

// A call's `run` whose body gets the backend's whole table, as scratch needs two of its members.
template <typename Function, typename Body>
auto run_with_table(Function Conv2dOp::*entry, Body body) {
  return [entry, body](Backend backend, Device device, DType dtype, const Tensors& in,
                       const Tensors& out, Write write) {
    const Conv2dOp* table = Backends<Conv2dOp>::get().find(backend, device);
    if (table == nullptr || table->*entry == nullptr || !table->dtypes.contains(dtype)) {
      return false;
    }
    body(*table, in, out, write);
    return true;
  };
}

Operand scale_of(const Setting& s) {
  return {
      .name = "scale", .shape = {s.x[3]}, .fill = Fill::positive, .wide = true, .spreads = true};
}
Operand shift_of(const Setting& s) { return {.name = "shift", .shape = {s.x[3]}, .wide = true}; }
Operand windows_of(const Setting& s) {
  // Taps in the padding multiply zeros.
  return {.name = "w", .shape = s.w, .spreads = true};
}

// scale, shift at in[first] and in[first + 1]
Conv2dPrologue prologue_of(const Setting& s, const Tensors& in, std::size_t first) {
  return {in[first], in[first + 1], s.prologue_relu};
}

Call forward_call(const Setting& s, double flops) {
  Call call{.entry = s.prologue ? "forward_prologue" : "forward",
            .inputs = {{"x", s.x}, windows_of(s), {"b", {s.w[0]}}},
            .outputs = {{"y", output_shape(s)}},
            .run = {},
            .flops = flops};
  if (s.prologue) {
    call.inputs.push_back(scale_of(s));
    call.inputs.push_back(shift_of(s));
    call.run = run_entry(&Conv2dOp::forward_prologue,
                         [s](auto forward, const Tensors& in, const Tensors& out, Write) {
                           forward(in[0], prologue_of(s, in, 3), in[1], in[2], s.params, out[0]);
                         });
  } else {
    call.run = run_entry(&Conv2dOp::forward,
                         [s](auto forward, const Tensors& in, const Tensors& out, Write) {
                           forward(in[0], in[1], in[2], s.params, out[0]);
                         });
  }
  return call;
}

Call backward_input_call(const Setting& s, double flops) {
  return {.entry = "backward_input",
          .inputs = {{"dy", output_shape(s)}, windows_of(s)},
          .outputs = {{"dx", s.x}},
          .accumulates = true,
          .run = run_entry(&Conv2dOp::backward_input,
                           [s](auto backward, const Tensors& in, const Tensors& out, Write write) {
                             backward(in[0], in[1], s.params, write, out[0]);
                           }),
          .flops = flops};
}

Call backward_weight_call(const Setting& s, double flops) {
  Call call{.entry = s.prologue ? "backward_weight_prologue" : "backward_weight",
            .inputs = {{.name = "dy", .shape = output_shape(s), .spreads = true}, {"x", s.x}},
            .outputs = {{"dw", s.w}},
            .accumulates = true,
            .run = {},
            .flops = flops};
  if (s.prologue) {
    call.inputs.push_back(scale_of(s));
    call.inputs.push_back(shift_of(s));
    call.run = run_with_table(
        &Conv2dOp::backward_weight_prologue,
        [s](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
          const auto size = table.backward_weight_prologue_scratch(in[0], in[1], s.params, s.w);
          table.backward_weight_prologue(in[0], in[1], prologue_of(s, in, 2), s.params, write,
                                         out[0], make_scratch(size, in[0]));
        });
  } else {
    call.run = run_with_table(
        &Conv2dOp::backward_weight,
        [s](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
          const auto size = table.backward_weight_scratch(in[0], in[1], s.params, s.w);
          table.backward_weight(in[0], in[1], s.params, write, out[0], make_scratch(size, in[0]));
        });
  }
  return call;
}

Call backward_bias_call(const Setting& s) {
  const Shape y = output_shape(s);
  return {.entry = "backward_bias",
          .inputs = {{"dy", y}},
          .outputs = {{"db", {s.w[0]}}},
          .accumulates = true,
          .run = run_with_table(
              &Conv2dOp::backward_bias,
              [y](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
                table.backward_bias(in[0], write, out[0],
                                    make_scratch(table.backward_bias_scratch(y), in[0]));
              }),
          .flops = static_cast<double>(y.elements())};
}

Call backward_relu_call(const Setting& s) {
  const Shape y = output_shape(s);
  return {.entry = "backward_relu",
          .inputs = {{"dy", y}, {"y", y, Fill::away_from_zero}},
          .outputs = {{"dz", y}},
          .run = run_entry(&Conv2dOp::backward_relu,
                           [](auto backward, const Tensors& in, const Tensors& out, Write) {
                             backward(in[0], in[1], out[0]);
                           }),
          .flops = static_cast<double>(y.elements())};
}

// Leaves out gradients so near relu's kink that rounding decides whether they pass.
// in: da, x, scale, shift
void avoid_kink(Tensors& in) {
  constexpr double kNear = 1e-2;
  const std::vector<double> x = in[1].to_vector<double>();
  const std::vector<double> scale = in[2].to_vector<double>(), shift = in[3].to_vector<double>();
  std::vector<float> da = in[0].to_vector<float>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % scale.size();
    if (std::fabs(scale[c] * x[i] + shift[c]) < kNear) da[i] = 0;
  }
  in[0] = Tensor::from(da, in[0].shape()).to(in[0].dtype());
}

Call backward_prologue_call(const Setting& s) {
  const Shape channels{s.x[3]};
  Call call{.entry = "backward_prologue",
            .inputs = {{"da", s.x}, {"x", s.x}, scale_of(s), shift_of(s)},
            .outputs = {{"dx", s.x},
                        {.name = "dscale", .shape = channels, .wide = true},
                        {.name = "dshift", .shape = channels, .wide = true}},
            .accumulates = true,
            .run = run_with_table(
                &Conv2dOp::backward_prologue,
                [s](const Conv2dOp& table, const Tensors& in, const Tensors& out, Write write) {
                  const Conv2dPrologueGradients to{out[0], write, out[1], write, out[2], write};
                  table.backward_prologue(
                      in[0], in[1], prologue_of(s, in, 2), to,
                      make_scratch(table.backward_prologue_scratch(s.x), in[0]));
                }),
            .flops = 5.0 * static_cast<double>(s.x.elements())};
  if (s.prologue_relu) call.prepare = avoid_kink;
  return call;
}

Case case_of(const Setting& s) {
  const double flops = 2.0 * static_cast<double>(output_shape(s).elements()) *
                       static_cast<double>(s.w[1] * s.w[2] * s.w[3]);
  Case result{.name = s.name,
              .calls = {forward_call(s, flops), backward_input_call(s, flops),
                        backward_weight_call(s, flops), backward_bias_call(s)},
              .inputs = {{"x", s.x}, {"w", s.w}, {"b", {s.w[0]}}},
              .function =
                  [s](const Tensors& in) {
                    return conv2d(in[0], in[1], in[2], s.params,
                                  s.prologue ? prologue_of(s, in, 3) : Conv2dPrologue{});
                  },
              .timed = s.timed,
              .checked = s.checked};
  if (s.params.relu) result.calls.push_back(backward_relu_call(s));
  if (s.prologue) {
    result.calls.push_back(backward_prologue_call(s));
    result.inputs.push_back({.name = "scale", .shape = {s.x[3]}, .fill = Fill::positive});
    result.inputs.push_back({.name = "shift", .shape = {s.x[3]}});
  }
  return result;
}

}  // namespace

std::vector<Case> Conv2dOp::cases() {
  constexpr bool kPrologue = true, kRelu = true;
  std::vector<Setting> settings{
      {"one", {1, 1, 1, 1}, {1, 1, 1, 1}},
      {"prime", {3, 7, 11, 5}, {13, 3, 2, 5}, {.pad = 1}},
      {"stride2_pad1_odd", {2, 9, 12, 3}, {7, 3, 3, 3}, {.stride = 2, .pad = 1}},
      {"stride3_leaves_rows", {2, 11, 12, 4}, {5, 2, 3, 4}, {.stride = 3}},
      {"stride_beyond_window", {1, 10, 9, 2}, {3, 2, 2, 2}, {.stride = 4}},
      {"pad_beyond_window", {1, 3, 4, 2}, {3, 2, 3, 2}, {.pad = 4}},
      {"window_is_image", {5, 4, 3, 6}, {11, 4, 3, 6}},
      {"empty", {0, 5, 5, 3}, {4, 3, 3, 3}, {.pad = 1}},
      {"pointwise", {3, 6, 7, 40}, {35, 1, 1, 40}},
      {"pointwise_stride2", {2, 7, 6, 32}, {64, 1, 1, 32}, {.stride = 2}},
      {"many_channels", {2, 9, 9, 67}, {37, 3, 3, 67}, {.pad = 1}},
      {"many_channels_stride2", {2, 11, 9, 35}, {66, 3, 3, 35}, {.stride = 2, .pad = 1}},
      {"whole_chunks_stride2", {2, 12, 9, 32}, {40, 3, 3, 32}, {.stride = 2, .pad = 1}},
      {"valid", {2, 9, 8, 32}, {72, 3, 3, 32}},
      {"few_out_of_many", {2, 9, 8, 64}, {3, 3, 3, 64}, {.pad = 1}},
      {"many_out_of_few", {2, 9, 8, 3}, {64, 3, 3, 3}, {.pad = 1}},
      {"many_small_images", {70, 6, 6, 2}, {3, 3, 3, 2}, {.pad = 1}},
      {"many_pixels", {3, 41, 37, 3}, {9, 3, 3, 3}, {.pad = 1}},
      {"eight_channels", {2, 15, 13, 8}, {16, 5, 5, 8}, {.pad = 2}},
      {"many_images", {150, 5, 4, 2}, {3, 3, 3, 2}, {.pad = 1}},
      {"dilated", {2, 12, 11, 4}, {5, 3, 3, 4}, {.pad = 2, .dilation = 2}},
      {"dilated_stride2", {2, 13, 12, 3}, {4, 3, 2, 3}, {.stride = 2, .pad = 1, .dilation = 2}},
      {"dilated_stride4", {2, 15, 14, 20}, {40, 3, 3, 20}, {.stride = 4, .pad = 3, .dilation = 6}},
      {"dilated3_stride2", {1, 13, 12, 17}, {34, 3, 2, 17}, {.stride = 2, .pad = 3, .dilation = 3}},
      {"groups", {2, 9, 7, 24}, {36, 3, 3, 12}, {.pad = 1, .groups = 2}},
      {"groups_stride2", {2, 9, 8, 32}, {48, 3, 3, 16}, {.stride = 2, .pad = 1, .groups = 2}},
      {"small_groups", {2, 8, 7, 12}, {20, 3, 3, 3}, {.pad = 1, .groups = 4}},
      {"depthwise", {2, 9, 8, 37}, {37, 3, 3, 1}, {.pad = 1, .groups = 37}},
      {"depthwise_wide_stride2",
       {2, 11, 9, 72},
       {72, 5, 5, 1},
       {.stride = 2, .pad = 2, .groups = 72}},
      {"depthwise_dilated", {1, 9, 10, 16}, {16, 3, 3, 1}, {.pad = 2, .dilation = 2, .groups = 16}},
      {"depthwise_multiplied", {2, 7, 6, 5}, {15, 3, 3, 1}, {.pad = 1, .groups = 5}},
      {"depthwise_many_pixels", {3, 19, 17, 8}, {8, 3, 3, 1}, {.pad = 1, .groups = 8}},
      {"relu", {2, 7, 8, 3}, {10, 3, 3, 3}, {.pad = 1, .relu = true}},
      {"relu_many_channels", {2, 7, 8, 32}, {40, 3, 3, 32}, {.pad = 1, .relu = true}},
      {"prologue", {2, 7, 8, 5}, {6, 3, 3, 5}, {.pad = 1}, kPrologue},
      {"prologue_relu", {2, 9, 8, 32}, {40, 3, 3, 32}, {.pad = 1, .relu = true}, kPrologue, kRelu},
      {"prologue_odd", {2, 7, 8, 33}, {35, 3, 3, 33}, {.stride = 2, .pad = 1}, kPrologue, kRelu},
      {"prologue_pointwise", {2, 7, 8, 24}, {40, 1, 1, 24}, {}, kPrologue, kRelu},
      {"prologue_depthwise",
       {2, 7, 8, 12},
       {12, 3, 3, 1},
       {.pad = 1, .groups = 12},
       kPrologue,
       kRelu},
      {"prologue_groups", {1, 7, 8, 12}, {8, 3, 3, 3}, {.pad = 1, .groups = 4}, kPrologue, kRelu},
      {"prologue_empty", {0, 5, 5, 3}, {4, 3, 3, 3}, {.pad = 1}, kPrologue, kRelu},
      {"lenet_first", {64, 28, 28, 1}, {6, 5, 5, 1}, {.pad = 2}},
      {"lenet_second", {64, 14, 14, 6}, {16, 5, 5, 6}},
      {"resnet_block", {2, 16, 16, 64}, {64, 3, 3, 64}, {.pad = 1}}};
  // Timed alone: PERFORMANCE.md, section 5.
  const auto timed = [&](std::string name, const Shape& x, const Shape& w,
                         const Conv2dParams& params, Timed where, bool prologue = false) {
    settings.push_back({std::move(name), x, w, params, prologue, prologue, where, false});
  };
  const Conv2dParams padded{.pad = 1}, padded_relu{.pad = 1, .relu = true};
  timed("mnist_3x3", {64, 28, 28, 1}, {32, 3, 3, 1}, padded, Timed::everywhere);
  timed("lenet_5x5", {64, 14, 14, 6}, {16, 5, 5, 6}, {}, Timed::everywhere);
  timed("resnet20_first", {128, 32, 32, 16}, {16, 3, 3, 16}, padded, Timed::everywhere);
  timed("resnet20_last", {128, 8, 8, 64}, {64, 3, 3, 64}, padded, Timed::everywhere);
  timed("resnet20_last_prologue", {128, 8, 8, 64}, {64, 3, 3, 64}, padded, Timed::everywhere, true);
  timed("resnet20_down", {128, 16, 16, 32}, {64, 3, 3, 32}, {.stride = 2, .pad = 1},
        Timed::everywhere);
  timed("depthwise_3x3", {32, 28, 28, 64}, {64, 3, 3, 1}, {.pad = 1, .groups = 64},
        Timed::everywhere);
  timed("resnet18_stem", {512, 32, 32, 3}, {64, 3, 3, 3}, padded, Timed::gpu);
  timed("resnet18_block", {512, 32, 32, 64}, {64, 3, 3, 64}, padded, Timed::gpu);
  timed("resnet18_block_relu", {512, 32, 32, 64}, {64, 3, 3, 64}, padded_relu, Timed::gpu);
  timed("resnet18_block_prologue", {512, 32, 32, 64}, {64, 3, 3, 64}, padded, Timed::gpu, true);
  timed("resnet18_down", {512, 32, 32, 64}, {128, 3, 3, 64}, {.stride = 2, .pad = 1}, Timed::gpu);
  timed("airbench_whiten", {2000, 32, 32, 3}, {24, 2, 2, 3}, {}, Timed::gpu);
  timed("airbench_24_64", {2000, 31, 31, 24}, {64, 3, 3, 24}, padded, Timed::gpu);
  timed("airbench_64_64", {2000, 15, 15, 64}, {64, 3, 3, 64}, padded, Timed::gpu);
  timed("airbench_64_256", {2000, 15, 15, 64}, {256, 3, 3, 64}, padded, Timed::gpu);
  timed("airbench_256_256", {2000, 7, 7, 256}, {256, 3, 3, 256}, padded, Timed::gpu);
  timed("pointwise_256", {256, 14, 14, 256}, {256, 1, 1, 256}, {}, Timed::gpu);
  timed("depthwise_large", {256, 56, 56, 128}, {128, 3, 3, 1}, {.pad = 1, .groups = 128},
        Timed::gpu);
  std::vector<Case> cases;
  for (const Setting& setting : settings) cases.push_back(case_of(setting));
  return cases;
}

CaseSpace Conv2dOp::space() {
  return {.axes = {{"n", 0, 3},
                   {"h", 1, 14},
                   {"w", 1, 14},
                   {"groups", 1, 6},
                   {"c_per_group", 1, 40},
                   {"k_per_group", 1, 40},
                   {"r", 1, 5},
                   {"s", 1, 5},
                   {"stride", 1, 4},
                   {"pad", 0, 3},
                   {"dilation", 1, 3},
                   {"options", 0, 3}},  // relu; a prologue: without, with relu
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            const std::int64_t groups = point[3];
            const std::int64_t options = point[11];
            const Setting s{.name = "random",
                            .x = {point[0], point[1], point[2], groups * point[4]},
                            .w = {groups * point[5], point[6], point[7], point[4]},
                            .params = {.stride = static_cast<int>(point[8]),
                                       .pad = static_cast<int>(point[9]),
                                       .dilation = static_cast<int>(point[10]),
                                       .groups = static_cast<int>(groups),
                                       .relu = options == 1},
                            .prologue = options >= 2,
                            .prologue_relu = options == 3};
            for (const int i : {1, 2}) {
              if ((s.w[i] - 1) * s.params.dilation + 1 > s.x[i] + 2 * s.params.pad)
                return std::nullopt;
            }
            const Shape y = output_shape(s);
            if (y[0] * y[1] * y[2] * s.w.elements() > 2'000'000) return std::nullopt;  // too slow
            return case_of(s);
          }};
}

}  // namespace cucina
