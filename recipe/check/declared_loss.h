// What a declared loss must be: computed again in f64 from outputs, of the best constant guess, and
// at its lowest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "recipe/check/task.h"

namespace cucina::checks {

// Of every example; outputs (n, ...), targets as Batch has them, in host memory or not.
//   throws   Error for LossKind::other, or when shapes do not fit each other
std::vector<double> declared_losses(const DeclaredLoss& declared, const Tensor& outputs,
                                    const Tensor& targets);

// Their mean, sum or weighted mean, as declared.
double declared_loss(const DeclaredLoss& declared, const Tensor& outputs, const Tensor& targets);

// The mean loss, per example, of the best outputs that are the same for all: for a classification
// without smoothing the entropy of its labels, for squared error the targets' variance.
double constant_guess(const DeclaredLoss& declared, const Tensor& targets, int classes);

// The lowest loss of an example whose output is free: 0, or the entropy of a smoothed label.
double floor_of(const DeclaredLoss& declared, int classes);

// The lowest that softmax before a softmax cross entropy can reach: ln(e + classes - 1) - 1.
double double_softmax_floor(int classes);

}  // namespace cucina::checks
