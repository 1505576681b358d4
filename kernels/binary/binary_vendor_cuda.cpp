// binary by cuDNN.
#include "kernels/binary/binary.h"
#include "kernels/common/vendor_cuda.h"

namespace cucina {
namespace {

using vendor_cuda::check;
using vendor_cuda::TensorDescriptor;

cudnnOpTensorDescriptor_t descriptor_of(Binary kind, DType dtype) {
  const auto create = [](cudnnOpTensorOp_t op, cudnnDataType_t computed_in) {
    cudnnOpTensorDescriptor_t created = nullptr;
    check(cudnnCreateOpTensorDescriptor(&created), "cudnnCreateOpTensorDescriptor");
    check(cudnnSetOpTensorDescriptor(created, op, computed_in, CUDNN_PROPAGATE_NAN),
          "cudnnSetOpTensorDescriptor");
    return created;
  };
  static const cudnnOpTensorDescriptor_t descriptors[2][2] = {
      {create(CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT),
       create(CUDNN_OP_TENSOR_ADD, CUDNN_DATA_DOUBLE)},
      {create(CUDNN_OP_TENSOR_MUL, CUDNN_DATA_FLOAT),
       create(CUDNN_OP_TENSOR_MUL, CUDNN_DATA_DOUBLE)}};
  return descriptors[kind == Binary::mul][dtype == DType::f64];
}

// (rows, columns) as an image of `columns` channels.
TensorDescriptor describe_rows(const Tensor& like, std::int64_t rows, std::int64_t columns) {
  return vendor_cuda::describe(like.dtype(), vendor_cuda::to_int(rows, "binary"), 1, 1,
                               vendor_cuda::to_int(columns, "binary"));
}

void run_forward(const Tensor& a, const Tensor& b, Binary kind, const Tensor& y) {
  if (a.elements() == 0) return;
  const std::int64_t columns = b.elements();
  const auto big = describe_rows(a, a.elements() / columns, columns);
  const auto small = describe_rows(b, 1, columns);
  const float one32 = 1, zero32 = 0, sign32 = kind == Binary::sub ? -1.f : 1.f;
  const double one64 = 1, zero64 = 0, sign64 = kind == Binary::sub ? -1. : 1.;
  const bool wide = a.dtype() == DType::f64;
  const auto pick = [wide](const double& as64, const float& as32) {
    return wide ? static_cast<const void*>(&as64) : static_cast<const void*>(&as32);
  };
  check(cudnnOpTensor(vendor_cuda::cudnn(a.stream()), descriptor_of(kind, a.dtype()),
                      pick(one64, one32), big.get(), a.raw(), pick(sign64, sign32), small.get(),
                      b.raw(), pick(zero64, zero32), big.get(), y.raw()),
        "binary.forward");
}

}  // namespace

// Gradients are copies, or sums that other vendor calls do not beat: ours.
template <typename Target>
BinaryOp BinaryOp::vendor() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .backward_a = nullptr,
          .backward_b = nullptr,
          .backward_b_scratch = nullptr};
}
template BinaryOp BinaryOp::vendor<Gpu>();

}  // namespace cucina
