// The checks of normalisations' front doors.
#include "kernels/common/norm_checks.h"

#include <cmath>

#include "core/error.h"

namespace cucina {

namespace {

void check_dtype_beside(std::string_view op, std::string_view name, const Tensor& tensor,
                        const Tensor& x) {
  const DType wanted = compute_dtype(x.dtype());
  if (tensor.dtype() != wanted || tensor.device() != x.device()) {
    fail("{}: {} is {} but must be {} on {} beside x, which is {}", op, name, describe(tensor),
         cucina::name(wanted), cucina::name(x.device()), describe(x));
  }
}

}  // namespace

void check_channel_vector(std::string_view op, std::string_view name, const Tensor& vector,
                          const Tensor& x) {
  check_dtype_beside(op, name, vector, x);
  const std::int64_t c = x.size(-1);
  if (vector.shape() != Shape{c}) {
    fail("{}: {} is {} but x {} has {} channels; it must be ({})", op, name,
         to_string(vector.shape()), to_string(x.shape()), c, c);
  }
}

void check_beside(std::string_view op, std::string_view name, const Tensor& tensor,
                  const Shape& shape, const Tensor& x) {
  check_dtype_beside(op, name, tensor, x);
  if (tensor.shape() != shape) {
    fail("{}: {} is {} but must be {}, as what is normalised", op, name, to_string(tensor.shape()),
         to_string(shape));
  }
}

void check_eps(std::string_view op, double eps) {
  if (!(eps >= 0 && std::isfinite(eps))) {
    fail("{}: eps is {} but must be finite and not negative", op, eps);
  }
}

}  // namespace cucina
