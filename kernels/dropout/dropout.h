// dropout: zeroes elements at random.
#pragma once

#include <string_view>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct DropoutParams {
  float p = 0.5f;        // how likely an element is dropped; in [0, 1)
  bool training = true;  // false: dropout does nothing
  RandomStream random{0, "dropout"};
  // The training step: i32, one element, on x's device, so that a captured step draws another mask
  // each time. It must hold the same number until backward has run: the mask is not stored but
  // drawn again.
  Tensor step = {};
};

// y[i] = x[i] m[i] / (1 - p), where the mask m[i] is 0 with probability p, else 1, independently of
// the others: m[i] = random.uniform(step, i) >= p.
//   x        any shape; f32, f64 or bf16
//   returns  as x; x itself when training is false or p is 0
//   gradient dx = dy m / (1 - p)
//   NaN      stays NaN, and Inf becomes NaN, where it is dropped too: it is multiplied by 0
//   throws   Error when p is outside [0, 1), or step is missing or wrong
//   source   Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from
//            Overfitting"
Tensor dropout(const Tensor& x, const DropoutParams& params);

// What a backend provides.
struct DropoutOp {
  static constexpr std::string_view kName = "dropout";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                  const Tensor& y);
  void (*backward)(const Tensor& dy, const Tensor& step, float p, const RandomStream& random,
                   Write write, const Tensor& dx);

  static DropoutOp reference();
  template <typename Target>
  static DropoutOp hand();
  // The libraries draw numbers of their own and store them.
  template <typename Target>
  static DropoutOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
