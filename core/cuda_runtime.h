// The few calls of the CUDA runtime core needs, as a table that is null in a build without CUDA.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/stream.h"

namespace cucina {

struct CudaDeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;    // bytes
  std::size_t l2_bytes = 0;  // of the level-2 cache
  double hertz = 0;          // of a multiprocessor, at most
};

// Every call throws Error naming the CUDA function when it fails.
struct CudaRuntime {
  int (*device_count)();  // 0 when there is no driver or no GPU; never throws
  CudaDeviceInfo (*device_info)(int index);
  int runtime_version;       // 13000 = 13.0, as compiled
  int (*driver_version)();   // 0 without a driver
  void* (*create_stream)();  // non-blocking
  void (*synchronize)(void* stream);
  void* (*allocate)(std::size_t bytes, void* stream);  // null when out of memory
  void (*free)(void* data, void* stream);              // never throws
  void (*free_and_total)(std::size_t* free, std::size_t* total);
  void (*trim)();  // gives the pool's unused memory back
  // What `work` puts on the stream, as a graph to launch; none of it is done yet.
  void* (*capture)(void* stream, const std::function<void()>& work);
  void (*launch_graph)(void* graph, void* stream);
  void (*destroy_graph)(void* graph);  // never throws
  void (*copy)(void* to, const void* from, std::size_t bytes, void* stream);
  void (*zero)(void* data, std::size_t bytes, void* stream);
  bool (*is_capturing)(void* stream);
  // Between two events around what `work` puts on the stream; waits for it.
  double (*seconds)(void* stream, const std::function<void()>& work);
};

// Null when cucina was built without CUDA.
const CudaRuntime* cuda_runtime();

// True when this process can compute on a GPU.
bool cuda_available();
// Throws Error (exit code 4) saying why there is no GPU to compute on; returns when there is one.
void require_cuda();

// Work that was recorded once, to be launched again and again: all its kernels for the price of one
// call.
class CudaGraph {
 public:
  // Records what `work` puts on the stream of cuda's ops; none of it is done yet. Memory that
  // `work` takes it must give back.
  //   throws   what `work` throws; Error when it waits for the device, copies from or to the
  //            host, or does anything else that cannot be recorded
  explicit CudaGraph(const std::function<void()>& work);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  // Puts all of it on the stream.
  void launch() const;

 private:
  void* const stream_;
  void* const graph_;
};

// Is work on this stream recorded into a graph rather than done? Never on the cpu.
bool is_capturing(const Stream& stream);
// How long the GPU takes for what `work` puts on `stream`, a stream of a GPU that is not capturing.
// Waits for it.
double gpu_seconds(const Stream& stream, const std::function<void()>& work);

}  // namespace cucina
