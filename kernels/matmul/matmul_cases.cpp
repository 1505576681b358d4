// matmul's cases, and the space of them.
#include <algorithm>

#include "kernels/common/scratch.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

struct Setting {
  std::string name;
  ProductSizes sizes;  // {batch, m, n, k}; a batch of one is no dimension of its own
  MatmulParams params = {};
  bool bias = false;
};

Shape matrices(std::int64_t batch, std::int64_t rows, std::int64_t columns, bool transposed) {
  if (transposed) std::swap(rows, columns);
  return batch == 1 ? Shape{rows, columns} : Shape{batch, rows, columns};
}

bool keeps_before(const Setting& s) { return !differentiable_by_output(s.params.activation); }

std::vector<Operand> inputs_of(const Setting& s) {
  const auto [batch, m, n, k] = s.sizes;
  // A single product is the sum's only term: with factors away from 0 no kink is near.
  const Fill fill = k == 1 ? Fill::away_from_zero : Fill::uniform;
  std::vector<Operand> inputs{{"a", matrices(batch, m, k, s.params.transpose_a), fill},
                              {"b", matrices(batch, k, n, s.params.transpose_b), fill}};
  if (s.bias) inputs.push_back({"bias", {n}});
  return inputs;
}

Call multiply_call(Setting s) {
  if (s.sizes.k == 0) s.params.activation = Activation::none;
  const auto [batch, m, n, k] = s.sizes;
  const Shape c = matrices(batch, m, n, false);
  Call call{.entry = "multiply",
            .inputs = inputs_of(s),
            .outputs = {{"c", c}},
            .accumulates = s.params.activation == Activation::none,
            .run = {},
            .flops = s.sizes.flops()};
  if (keeps_before(s)) call.outputs.push_back({"before", c});
  call.run = [s](Backend backend, Device device, DType dtype, const Tensors& in, const Tensors& out,
                 Write write) {
    const MatmulOp* table = Backends<MatmulOp>::get().find(backend, device);
    if (table == nullptr || table->multiply == nullptr || !table->dtypes.contains(dtype)) {
      return false;
    }
    if (s.params.activation != Activation::none &&
        !table->fuses(s.params.activation, keeps_before(s), dtype)) {
      return false;
    }
    table->multiply(
        in[0], in[1], s.params,
        {.bias = s.bias ? in[2] : Tensor(), .before = keeps_before(s) ? out[1] : Tensor()}, write,
        out[0], make_scratch(table->multiply_scratch(s.sizes), in[0]));
    return true;
  };
  return call;
}

Call activate_call(const Shape& shape, Activation activation) {
  return {.entry = "activate",
          .inputs = {{"x", shape}},
          .outputs = {{"y", shape}},
          .run = run_entry(&MatmulOp::activate,
                           [activation](auto activate, const Tensors& in, const Tensors& out,
                                        Write) { activate(in[0], activation, out[0]); }),
          .flops = static_cast<double>(shape.elements())};
}

Call activation_gradient_call(const Shape& shape, Activation activation) {
  return {.entry = "activation_gradient",
          .inputs = {{"dy", shape}, {"saved", shape, Fill::away_from_zero}},
          .outputs = {{"dz", shape}},
          .run = run_entry(&MatmulOp::activation_gradient,
                           [activation](auto gradient, const Tensors& in, const Tensors& out,
                                        Write) { gradient(in[0], in[1], activation, out[0]); }),
          .flops = static_cast<double>(shape.elements())};
}

Call bias_gradient_call(std::int64_t rows, std::int64_t columns) {
  return {.entry = "bias_gradient",
          .inputs = {{"dy", {rows, columns}}},
          .outputs = {{"db", {columns}}},
          .accumulates = true,
          .run =
              [=](Backend backend, Device device, DType dtype, const Tensors& in,
                  const Tensors& out, Write write) {
                const MatmulOp* table = Backends<MatmulOp>::get().find(backend, device);
                if (table == nullptr || !table->bias_gradient || !table->dtypes.contains(dtype)) {
                  return false;
                }
                table->bias_gradient(
                    in[0], write, out[0],
                    make_scratch(table->bias_gradient_scratch(rows, columns), in[0]));
                return true;
              },
          .flops = static_cast<double>(rows) * static_cast<double>(columns)};
}

Case case_of(const Setting& s) {
  const auto [batch, m, n, k] = s.sizes;
  const Shape c = matrices(batch, m, n, false);
  Case result{.name = s.name, .calls = {multiply_call(s)}, .inputs = inputs_of(s)};
  if (s.params.activation != Activation::none) {
    result.calls.push_back(activate_call(c, s.params.activation));
    result.calls.push_back(activation_gradient_call(c, s.params.activation));
  }
  if (s.bias) result.calls.push_back(bias_gradient_call(batch * m, n));
  result.function = [s](const Tensors& in) {
    return matmul(in[0], in[1], s.params, s.bias ? in[2] : Tensor());
  };
  return result;
}

constexpr MatmulParams kTransposeA{.transpose_a = true};
constexpr MatmulParams kTransposeB{.transpose_b = true};
constexpr MatmulParams kTransposeBoth{.transpose_a = true, .transpose_b = true};
// What linear() is.
constexpr MatmulParams with(Activation activation) {
  return {.transpose_b = true, .activation = activation};
}

std::vector<Setting> checked_settings() {
  constexpr MatmulParams kRelu = with(Activation::relu), kGelu = with(Activation::gelu);
  return {
      {"one", {1, 1, 1, 1}},
      {"prime", {1, 67, 71, 37}},
      {"prime_transposed_a", {1, 71, 131, 19}, kTransposeA},
      {"prime_transposed_b", {1, 131, 67, 23}, kTransposeB},
      {"prime_transposed_both", {1, 73, 11, 67}, kTransposeBoth},
      {"long_inner", {1, 9, 33, 1031}},
      {"long_inner_transposed", {1, 13, 66, 1033}, kTransposeBoth},
      {"one_row", {1, 1, 257, 64}},
      {"one_column", {1, 131, 1, 40}, kTransposeA},
      {"whole_chunks", {1, 72, 88, 48}},
      {"whole_chunks_transposed_a", {1, 80, 72, 40}, kTransposeA},
      {"whole_chunks_transposed_b", {1, 136, 64, 24}, kTransposeB},
      {"whole_chunks_transposed_both", {1, 64, 72, 56}, kTransposeBoth},
      // Lines of one factor are not multiples of 16 bytes, those of the other are.
      {"ragged_lines_of_a", {1, 24, 40, 13}},
      {"ragged_lines_of_a_transposed", {1, 13, 40, 24}, kTransposeA},
      {"ragged_lines_of_b", {1, 24, 13, 40}},
      {"ragged_lines_of_b_transposed", {1, 24, 40, 13}, kTransposeBoth},
      {"empty", {1, 0, 4, 5}},
      {"empty_inner", {1, 3, 4, 0}},
      {"empty_inner_with_bias", {1, 3, 4, 0}, {}, true},
      {"empty_batch", {0, 3, 4, 5}},
      {"batch_of_ones", {5, 1, 1, 1}},
      {"batch_prime", {3, 37, 29, 19}},
      {"batch_transposed_a", {2, 40, 72, 24}, kTransposeA},
      {"batch_transposed_b", {2, 17, 66, 33}, kTransposeB, true},
      {"batch_long_inner", {2, 5, 12, 600}, {}, true},
      {"relu_outer_product", {1, 67, 33, 1}, {.activation = Activation::relu}},
      {"relu_bias", {1, 33, 71, 19}, kRelu, true},
      {"relu_bias_long_inner", {1, 24, 40, 712}, kRelu, true},
      {"gelu_bias", {1, 33, 71, 19}, kGelu, true},
      {"gelu_bias_long_inner", {1, 19, 36, 712}, kGelu, true},
      {"gelu_batch", {2, 16, 24, 40}, {.activation = Activation::gelu}},
      {"gelu_tanh", {1, 21, 32, 16}, with(Activation::gelu_tanh), true},
      {"silu", {1, 21, 32, 16}, with(Activation::silu), true},
      {"sigmoid", {1, 21, 31, 16}, with(Activation::sigmoid), true},
      {"linear_one", {1, 1, 1, 1}, kTransposeB, true},
      {"linear_prime", {1, 5, 37, 131}, kTransposeB, true},
      {"linear_empty", {1, 0, 3, 4}, kTransposeB, true},
      {"linear_many_rows", {1, 1500, 9, 4}, kTransposeB, true},
      {"many_tiles", {1, 580, 136, 8}},
  };
}

}  // namespace

std::vector<Case> MatmulOp::cases() {
  std::vector<Case> cases;
  for (const Setting& s : checked_settings()) cases.push_back(case_of(s));
  for (const Setting& s : std::vector<Setting>{
           {"linear_lenet", {1, 64, 120, 400}, with(Activation::relu), true},
           {"square", {1, 256, 256, 256}},
       }) {
    cases.push_back(case_of(s));
    cases.back().timed = Timed::everywhere;
  }
  for (const Setting& s : std::vector<Setting>{
           {"square_512", {1, 512, 512, 512}},
           {"square_512_transposed_b", {1, 512, 512, 512}, kTransposeB},
           {"square_512_transposed_a", {1, 512, 512, 512}, kTransposeA},
       }) {
    cases.push_back(case_of(s));
    cases.back().timed = Timed::everywhere;
    cases.back().checked = false;
  }
  for (const Setting& s : std::vector<Setting>{
           {"square_1024", {1, 1024, 1024, 1024}},
           {"square_4096", {1, 4096, 4096, 4096}},
           {"square_8192", {1, 8192, 8192, 8192}},
           {"classifier", {1, 512, 128, 9216}, with(Activation::relu), true},
           {"classifier_gelu", {1, 512, 128, 9216}, with(Activation::gelu), true},
           {"classifier_dw", {1, 128, 9216, 512}, kTransposeA},
           {"classifier_dx", {1, 512, 9216, 128}},
           {"muon_gram", {3, 256, 256, 2304}, kTransposeB},
       }) {
    cases.push_back(case_of(s));
    cases.back().timed = Timed::gpu;
    cases.back().checked = false;
  }
  return cases;
}

CaseSpace MatmulOp::space() {
  return {.axes = {{"batch", 0, 3},
                   {"m", 0, 150},
                   {"n", 0, 150},
                   {"k", 0, 150},
                   {"k_times", 1, 5},
                   {"multiple", 1, 8},
                   {"transpose_a", 0, 1},
                   {"transpose_b", 0, 1},
                   {"bias", 0, 1},
                   {"activation", 0, 6}},
          .make = [](std::span<const std::int64_t> point) -> std::optional<Case> {
            // Half the points have sizes that are multiples of 8: aligned loads are for those.
            const auto size = [&](std::int64_t i) {
              return point[5] <= 4 ? point[static_cast<std::size_t>(i)]
                                   : point[static_cast<std::size_t>(i)] / 8 * 8;
            };
            const Setting s{"random",
                            {point[0], size(1), size(2), size(3) * point[4]},
                            {.transpose_a = point[6] == 1,
                             .transpose_b = point[7] == 1,
                             .activation = static_cast<Activation>(point[9])},
                            point[8] == 1};
            Case c = case_of(s);
            // A finite difference across relu's kink is no derivative.
            if (s.params.activation == Activation::relu && (s.bias || s.sizes.k != 1)) {
              c.function = {};
            }
            return c;
          }};
}

}  // namespace cucina
