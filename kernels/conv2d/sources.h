// How conv2d's kernels read their images: as they are, or through a prologue.
#pragma once

#include "kernels/common/image_taps.h"
#include "kernels/conv2d/kernels.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// f(source) for the source that the call's images want.
template <typename F>
void with_source(const Tensor& images, const Conv2dPrologue& prologue, F&& f) {
  for_floating("conv2d", images.dtype(), [&]<typename T>() {
    if (prologue.defined()) {
      f(PrologueSource<T>{images.data<T>(), prologue.scale.data<Compute<T>>(),
                          prologue.shift.data<Compute<T>>(), prologue.relu});
    } else {
      f(PlainSource<T>{images.data<T>()});
    }
  });
}

}  // namespace
}  // namespace cucina
