// The CUDA runtime behind core's table of calls.
#include "core/cuda_runtime.h"

#include <cuda_runtime_api.h>

#include <memory>
#include <type_traits>

#include "core/error.h"

namespace cucina {
namespace {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  fail(status == cudaErrorMemoryAllocation ? ExitCode::no_resources : ExitCode::run_failed,
       "{} failed: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status));
}

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // an absent driver is an answer, not a failure to remember
    return 0;
  }
  return count;
}

CudaDeviceInfo device_info(int index) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  int kilohertz = 0;
  check(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, index), "cudaDeviceGetAttribute");
  return {.name = properties.name,
          .major = properties.major,
          .minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .memory = properties.totalGlobalMem,
          .l2_bytes = static_cast<std::size_t>(properties.l2CacheSize),
          .hertz = 1e3 * kilohertz};
}

int driver_version() {
  int version = 0;
  check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  return version;
}

void* create_stream() {
  // Freed blocks stay with the pool: giving them to the system at every synchronisation costs more
  // than it saves.
  cudaMemPool_t memory_pool = nullptr;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetDefaultMemPool(&memory_pool, device), "cudaDeviceGetDefaultMemPool");
  std::uint64_t keep = UINT64_MAX;
  check(cudaMemPoolSetAttribute(memory_pool, cudaMemPoolAttrReleaseThreshold, &keep),
        "cudaMemPoolSetAttribute");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

void synchronize(void* stream) {
  check(cudaStreamSynchronize(as_stream(stream)), "cudaStreamSynchronize");
}

void* allocate(std::size_t bytes, void* stream) {
  void* data = nullptr;
  const cudaError_t status = cudaMallocAsync(&data, bytes, as_stream(stream));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // reported by the caller, with the sizes
    return nullptr;
  }
  check(status, "cudaMallocAsync");
  return data;
}

void free_block(void* data, void* stream) { cudaFreeAsync(data, as_stream(stream)); }

void free_and_total(std::size_t* free, std::size_t* total) {
  check(cudaMemGetInfo(free, total), "cudaMemGetInfo");
}

void trim() {
  cudaMemPool_t memory_pool = nullptr;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetDefaultMemPool(&memory_pool, device), "cudaDeviceGetDefaultMemPool");
  check(cudaMemPoolTrimTo(memory_pool, 0), "cudaMemPoolTrimTo");
}

void* capture(void* stream, const std::function<void()>& work) {
  check(cudaStreamBeginCapture(as_stream(stream), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(as_stream(stream), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // what broke the capture is what is thrown
    throw;
  }
  check(cudaStreamEndCapture(as_stream(stream), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  // Memory taken within the graph and not given back there is free again when it next starts.
  const cudaError_t status =
      cudaGraphInstantiate(&executable, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return executable;
}

void launch_graph(void* graph, void* stream) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), as_stream(stream)), "cudaGraphLaunch");
}

void destroy_graph(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

void copy(void* to, const void* from, std::size_t bytes, void* stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, as_stream(stream)), "cudaMemcpyAsync");
}

void zero(void* data, std::size_t bytes, void* stream) {
  check(cudaMemsetAsync(data, 0, bytes, as_stream(stream)), "cudaMemsetAsync");
}

bool is_capturing_on(void* stream) {
  cudaStreamCaptureStatus status{};
  check(cudaStreamIsCapturing(as_stream(stream), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

struct EventDestroyer {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, EventDestroyer>;

Event create_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Event(event);
}

double seconds(void* stream, const std::function<void()>& work) {
  const Event begin = create_event(), end = create_event();
  check(cudaEventRecord(begin.get(), as_stream(stream)), "cudaEventRecord");
  work();
  check(cudaEventRecord(end.get(), as_stream(stream)), "cudaEventRecord");
  check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace

const CudaRuntime* cuda_runtime() {
  static const CudaRuntime table{.device_count = device_count,
                                 .device_info = device_info,
                                 .runtime_version = CUDART_VERSION,
                                 .driver_version = driver_version,
                                 .create_stream = create_stream,
                                 .synchronize = synchronize,
                                 .allocate = allocate,
                                 .free = free_block,
                                 .free_and_total = free_and_total,
                                 .trim = trim,
                                 .capture = capture,
                                 .launch_graph = launch_graph,
                                 .destroy_graph = destroy_graph,
                                 .copy = copy,
                                 .zero = zero,
                                 .is_capturing = is_capturing_on,
                                 .seconds = seconds};
  return &table;
}

}  // namespace cucina
