// A product of matrices in words.
#include "kernels/common/product_sizes.h"

#include "core/error.h"

namespace cucina {

std::string product_question(std::string_view name, DType dtype, bool transpose_a, bool transpose_b,
                             bool aligned, const ProductSizes& sizes) {
  return fmt::format("{} {} {}{}{} {}x{}x{}x{}", name, cucina::name(dtype), transpose_a ? 't' : 'n',
                     transpose_b ? 't' : 'n', aligned ? "" : " unaligned", sizes.batch, sizes.m,
                     sizes.n, sizes.k);
}

}  // namespace cucina
