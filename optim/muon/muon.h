// muon: momentum whose update is orthogonalised, for parameters that are matrices.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "optim/common/step_state.h"

namespace cucina {

// Where a matrix lies in the arena: row-major, from element `offset` on.
struct MuonMatrix {
  std::int64_t offset = 0;
  std::int64_t rows = 0, columns = 0;

  std::int64_t elements() const { return rows * columns; }
};

// A parameter as Muon sees it: (rows, columns) as it is, filters (k, r, s, c) as (k, r s c).
//   throws   Error when `shape` has fewer than two dimensions
MuonMatrix as_muon_matrix(std::int64_t offset, const Shape& shape);

// Throws Error unless each matrix has elements, lies within `elements`, and overlaps no other.
void check_muon_matrices(std::span<const MuonMatrix> matrices, std::int64_t elements);

struct MuonParams {
  double momentum = 0.95;
  bool nesterov = true;
  int iterations = 5;  // of Newton and Schulz; 3 are enough for short runs
  double weight_decay = 0;
  double eps = 1e-7;
};

// One step, in place, over the matrices of an arena; what else is in the arena stays as it is.
//   step += 1
//   b = momentum b + (1 - momentum) g
//   u = momentum b + (1 - momentum) g with nesterov, else b
//   X = u / (|u|_F + eps), lying: transposed where rows > columns
//   iterations times:  X = 3.4445 X + (-4.7750 A + 2.0315 A A) X  with  A = X X^T
//   w *= 1 - lr weight_decay
//   w -= lr sqrt(max(1, rows / columns)) X, standing again where it was transposed
// After five iterations singular values of X lie near [0.7, 1.2], wherever they were within
// [0.01, 1]. All matrices share launches, whatever their shapes: 2 + 3 iterations of them for
// every 32 matrices.
//   parameters       w, any shape, f32 or f64; updated
//   gradients        g, as parameters
//   momentum_buffer  b, as parameters; updated; zeros at first
//   bf16_copy        the matrices' new elements rounded to bf16, written in the same pass;
//   undefined:
//                    not wanted
//   formats          f32 products are exact, or multiplied as tf32 on tensor cores where
//                    float32_precision() says so and the sides of all matrices are multiples of 4
//   NaN              or Inf in a gradient makes its matrix NaN
//   throws           Error when shapes, dtypes or devices differ, a matrix is empty, not within the
//                    arena or overlaps another, iterations is below 1, momentum is outside [0, 1),
//                    or weight_decay or eps is negative
//   source   Jordan, Jin, Boza, You, Cesista, Newhouse & Bernstein 2024, "Muon: An optimizer for
//            hidden layers in neural networks", which computes in bf16 where we use the parameters'
//            dtype; Bernstein & Newhouse 2024, arXiv:2409.20325, section 3
void muon_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
               std::span<const MuonMatrix> matrices, const StepState& state,
               const MuonParams& params = {}, const Tensor& bf16_copy = {});

// What a backend provides.
struct MuonOp {
  static constexpr std::string_view kName = "muon";
  static constexpr bool kTensorCores = true;
  // The polynomial of an iteration: its slope at 0 is steep, and it stays near 1 from 0.7 on.
  static constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  DTypes dtypes;
  // `scratch` holds scratch(matrices) elements of the parameters' dtype.
  void (*step)(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
               std::span<const MuonMatrix> matrices, const StepState& state,
               const MuonParams& params, const Tensor& bf16_copy, const Tensor& scratch);
  std::int64_t (*scratch)(std::span<const MuonMatrix> matrices);

  static MuonOp reference();
  template <typename Target>
  static MuonOp hand();
  // The vendors' libraries have no optimisers.
  template <typename Target>
  static MuonOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
