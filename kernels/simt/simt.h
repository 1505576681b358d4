// The front door of simt: what a .cu file includes to be compiled by nvcc for the GPU and by g++
// for the host.
//
//   Target                      `Gpu` under nvcc, `Host` under g++
//   launch(name, kernel, {.grid, .block, .shared_bytes, .stream}, args...)
//                               runs the kernel; on Host it returns when the grid is done
//     throws   Error when the configuration is not one a GPU takes (checked on both targets), when
//     the stream is of
//              the other target, or when CUDA refuses the launch; on Host also Report (report.h)
//   dynamic_shared<T>()         the block's dynamic shared memory, 16-byte aligned
//
// Kernels live in an anonymous namespace inside `cucina`, so that the two compilations do not
// collide.
#pragma once

#include "kernels/simt/launch.h"

#ifdef __CUDACC__
#include "kernels/simt/gpu.h"
#else
#include "kernels/simt/host.h"
#endif
