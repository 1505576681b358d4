// add by cuDNN.
#include "kernels/add/add.h"
#include "kernels/common/vendor_cuda.h"

namespace cucina {
namespace {

using vendor_cuda::Blend;
using vendor_cuda::check;

cudnnOpTensorDescriptor_t sum_descriptor(DType dtype) {
  const auto create = [](cudnnDataType_t computed_in) {
    cudnnOpTensorDescriptor_t created = nullptr;
    check(cudnnCreateOpTensorDescriptor(&created), "cudnnCreateOpTensorDescriptor");
    check(
        cudnnSetOpTensorDescriptor(created, CUDNN_OP_TENSOR_ADD, computed_in, CUDNN_PROPAGATE_NAN),
        "cudnnSetOpTensorDescriptor");
    return created;
  };
  static const cudnnOpTensorDescriptor_t f32 = create(CUDNN_DATA_FLOAT);
  static const cudnnOpTensorDescriptor_t f64 = create(CUDNN_DATA_DOUBLE);
  return dtype == DType::f64 ? f64 : f32;
}

void run_forward(const Tensor& a, const Tensor& b, const Tensor& y) {
  if (a.elements() == 0) return;
  const auto shape = vendor_cuda::describe(a);
  const Blend blend(a.dtype(), Write::overwrite);
  check(cudnnOpTensor(vendor_cuda::cudnn(a.stream()), sum_descriptor(a.dtype()), blend.alpha(),
                      shape.get(), a.raw(), blend.alpha(), shape.get(), b.raw(), blend.beta(),
                      shape.get(), y.raw()),
        "add.forward");
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  if (dy.elements() == 0) return;
  const auto shape = vendor_cuda::describe(dy);
  const Blend blend(dy.dtype(), write);
  check(cudnnAddTensor(vendor_cuda::cudnn(dy.stream()), blend.alpha(), shape.get(), dy.raw(),
                       blend.beta(), shape.get(), dx.raw()),
        "add.backward");
}

}  // namespace

template <typename Target>
AddOp AddOp::vendor() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template AddOp AddOp::vendor<Gpu>();

}  // namespace cucina
