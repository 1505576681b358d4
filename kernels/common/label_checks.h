// What the front doors of classifiers' losses and metrics check alike.
#pragma once

#include <string_view>

#include "core/tensor.h"

namespace cucina {

// Throws Error unless `labels` is (n) i32 beside `rows`, (n, classes), called `rows_name`; and, on
// the cpu, where looking costs no wait for the device, all are classes: else with exit code 3.
void check_labels(std::string_view op, const Tensor& labels, std::string_view rows_name,
                  const Tensor& rows);

// Throws Error unless `weights` is (classes), beside `rows`, and wants no gradient: it gets none.
void check_class_weights(std::string_view op, const Tensor& weights, std::string_view rows_name,
                         const Tensor& rows);

// Throws Error when `tensor` requires a gradient: the op gives it none.
void check_no_gradient(std::string_view op, std::string_view name, const Tensor& tensor);

}  // namespace cucina
