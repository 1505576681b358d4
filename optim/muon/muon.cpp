// muon's front door: checks and choice of backend; and its cases.
#include "optim/muon/muon.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/scratch.h"
#include "optim/common/checks.h"

namespace cucina {

MuonMatrix as_muon_matrix(std::int64_t offset, const Shape& shape) {
  if (shape.rank() < 2) {
    fail("muon: a parameter of shape {} is no matrix; it needs two dimensions or more",
         to_string(shape));
  }
  const std::int64_t rows = shape[0];
  return {.offset = offset, .rows = rows, .columns = rows == 0 ? 0 : shape.elements() / rows};
}

void check_muon_matrices(std::span<const MuonMatrix> matrices, std::int64_t elements) {
  for (const MuonMatrix& matrix : matrices) {
    const auto& [offset, rows, columns] = matrix;
    if (rows < 1 || columns < 1) {
      fail("muon: the matrix at {} is {} x {}; it must have elements", offset, rows, columns);
    }
    if (offset < 0 || columns > (elements - offset) / rows) {
      fail("muon: the matrix at {} is {} x {} but the arena has {} elements", offset, rows, columns,
           elements);
    }
  }
  std::vector<MuonMatrix> sorted(matrices.begin(), matrices.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const MuonMatrix& a, const MuonMatrix& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].offset < sorted[i - 1].offset + sorted[i - 1].elements()) {
      fail("muon: the matrices at {} and {} overlap", sorted[i - 1].offset, sorted[i].offset);
    }
  }
}

void muon_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
               std::span<const MuonMatrix> matrices, const StepState& state,
               const MuonParams& params, const Tensor& bf16_copy) {
  check_like_parameters("muon", "gradients", gradients, parameters);
  check_like_parameters("muon", "momentum_buffer", momentum_buffer, parameters);
  check_muon_matrices(matrices, parameters.elements());
  check_state("muon", state, parameters);
  check_bf16_copy("muon", bf16_copy, parameters);
  if (!(params.momentum >= 0 && params.momentum < 1)) {
    fail("muon: momentum is {} but must be in [0, 1)", params.momentum);
  }
  if (params.iterations < 1) {
    fail("muon: iterations is {} but must be at least 1", params.iterations);
  }
  check_not_negative("muon", "weight_decay", params.weight_decay);
  check_not_negative("muon", "eps", params.eps);
  const std::int64_t scratch = choose(&MuonOp::scratch, parameters)(matrices);
  choose(&MuonOp::step, parameters)(parameters, gradients, momentum_buffer, matrices, state, params,
                                    bf16_copy, make_scratch(scratch, parameters));
}

namespace {

// The matrices one after another, each from a multiple of 16 elements on.
std::vector<MuonMatrix> lay_out(const std::vector<Shape>& shapes) {
  std::vector<MuonMatrix> matrices;
  std::int64_t offset = 0;
  for (const Shape& shape : shapes) {
    matrices.push_back(as_muon_matrix(offset, shape));
    offset += (shape.elements() + 15) / 16 * 16;
  }
  return matrices;
}

// Of one matrix: 2 s^2 l for A and for the product with X, 2 s^3 for A A, s and l its sides.
double flops_of(const MuonMatrix& matrix, int iterations) {
  const auto s = static_cast<double>(std::min(matrix.rows, matrix.columns));
  const auto l = static_cast<double>(std::max(matrix.rows, matrix.columns));
  return iterations * (4 * s * s * l + 2 * s * s * s);
}

}  // namespace

std::vector<Case> MuonOp::cases() {
  struct Setting {
    std::string name;
    std::vector<Shape> shapes;
    MuonParams params = {};
    bool copies = false;
    Timed timed = Timed::nowhere;
  };
  const MuonParams three{.momentum = 0.6, .iterations = 3};
  const std::vector<Shape> airbench{{64, 3, 3, 24},   {64, 3, 3, 64},   {256, 3, 3, 64},
                                    {256, 3, 3, 256}, {256, 3, 3, 256}, {256, 3, 3, 256}};
  std::vector<Case> cases;
  for (const auto& [name, shapes, params, copies, timed] : {
           Setting{"one_element", {{1, 1}}},
           Setting{"row_and_column", {{1, 37}, {41, 1}}},
           Setting{"lying", {{7, 29}}},
           Setting{"standing", {{131, 17}}, {.weight_decay = 0.1}},
           Setting{"square", {{67, 67}}, {.momentum = 0.5, .nesterov = false}},
           Setting{"wider_than_a_tile", {{71, 193}}, three},
           Setting{"one_iteration", {{5, 11}}, {.iterations = 1, .eps = 0.25}},
           Setting{"filters", {{16, 3, 3, 8}, {16, 3, 3, 8}, {32, 3, 3, 16}, {10, 32}}, three},
           Setting{"more_than_a_launch_takes", std::vector<Shape>(70, Shape{3, 5}), three},
           Setting{"whole_chunks", {{24, 40}, {16, 3, 3, 12}, {132, 68}}, three},
           Setting{"no_matrix", {}},
           Setting{"bf16_copy", {{7, 29}}, {}, true},
           Setting{
               "resnet20_stage", {{32, 3, 3, 16}, {32, 3, 3, 32}}, {}, false, Timed::everywhere},
           Setting{"airbench", airbench, three, false, Timed::gpu},
       }) {
    const std::vector<MuonMatrix> matrices = lay_out(shapes);
    double flops = 0;
    // Some elements after the last matrix belong to none.
    std::int64_t n = 5;
    for (const MuonMatrix& matrix : matrices) {
      flops += flops_of(matrix, params.iterations);
      n = matrix.offset + matrix.elements() + 5;
    }
    const Shape shape{n};
    const Operand parameters{"parameters", shape}, buffer{"momentum_buffer", shape};
    const Operand step{"step", {1}, Fill::labels, DType::i32, 1000};
    const Operand arrivals{"arrivals", {1}, Fill::labels, DType::i32, 1};
    // In place: the case's outputs start as copies of its inputs.
    const auto run = [matrices, params, copies](Backend backend, Device device, DType dtype,
                                                const Tensors& in, const Tensors& out, Write) {
      const MuonOp* table = Backends<MuonOp>::get().find(backend, device);
      if (table == nullptr || table->step == nullptr || !table->dtypes.contains(dtype))
        return false;
      for (const std::size_t i : {0u, 1u, 2u, 3u}) out[i].copy_from(in[i]);
      if (copies) out[4].copy_from(in[0].to(DType::bf16));
      table->step(out[0], in[5], out[1], matrices,
                  {.lr = in[4], .step = out[2], .arrivals = out[3]}, params,
                  copies ? out[4] : Tensor(), make_scratch(table->scratch(matrices), in[0]));
      return true;
    };
    Call call{.entry = "step",
              .inputs = {parameters,
                         buffer,
                         step,
                         arrivals,
                         {"lr", {1}, Fill::positive, DType::f32},
                         {"gradients", shape}},
              .outputs = {parameters, buffer, step, arrivals},
              .run = run,
              .flops = flops};
    if (copies) call.outputs.push_back({"bf16_copy", shape, Fill::uniform, DType::bf16});
    cases.push_back(
        {.name = name, .calls = {call}, .timed = timed, .checked = timed != Timed::gpu});
  }
  return cases;
}

}  // namespace cucina
