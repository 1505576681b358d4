// The checks of classifiers' front doors.
#include "kernels/common/label_checks.h"

#include "core/error.h"

namespace cucina {
namespace {

void check_values(std::string_view op, const Tensor& labels, std::string_view rows_name,
                  std::int64_t classes) {
  const std::int32_t* label = labels.data<std::int32_t>();
  for (std::int64_t row = 0; row < labels.elements(); ++row) {
    if (label[row] < 0 || label[row] >= classes) {
      fail(ExitCode::bad_file, "{}: row {} has label {} but {} has {} classes: 0 to {}", op, row,
           label[row], rows_name, classes, classes - 1);
    }
  }
}

}  // namespace

void check_labels(std::string_view op, const Tensor& labels, std::string_view rows_name,
                  const Tensor& rows) {
  if (labels.dtype() != DType::i32 || labels.shape().rank() != 1) {
    fail("{}: labels is {} but must be i32 of rank 1: (n)", op, describe(labels));
  }
  if (labels.size(0) != rows.size(0)) {
    fail("{}: labels has {} rows but {} has {}", op, labels.size(0), rows_name, rows.size(0));
  }
  if (labels.device() != rows.device()) {
    fail("{}: labels is on {} but {} is on {}", op, name(labels.device()), rows_name,
         name(rows.device()));
  }
  if (labels.device() == Device::cpu) check_values(op, labels, rows_name, rows.size(1));
}

void check_class_weights(std::string_view op, const Tensor& weights, std::string_view rows_name,
                         const Tensor& rows) {
  const DType wanted = compute_dtype(rows.dtype());
  if (weights.dtype() != wanted || weights.device() != rows.device() ||
      weights.shape() != Shape{rows.size(1)}) {
    fail("{}: class_weights is {} but must be {} ({}) on {} beside {}, which is {}", op,
         describe(weights), name(wanted), rows.size(1), name(rows.device()), rows_name,
         describe(rows));
  }
  check_no_gradient(op, "class_weights", weights);
}

void check_no_gradient(std::string_view op, std::string_view name, const Tensor& tensor) {
  if (tensor.requires_grad()) {
    fail("{}: {} requires a gradient but gets none; give {}.detach()", op, name, name);
  }
}

}  // namespace cucina
