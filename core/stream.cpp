// Streams, and whether there is a GPU at all.
#include "core/stream.h"

#include "core/cuda_runtime.h"
#include "core/error.h"

namespace cucina {

bool cuda_available() {
  static const bool available = cuda_runtime() != nullptr && cuda_runtime()->device_count() > 0;
  return available;
}

void require_cuda() {
  if (cuda_available()) return;
  if (cuda_runtime() == nullptr) {
    fail(ExitCode::no_resources,
         "device cuda: this cucina was built without CUDA; install the CUDA toolkit and build "
         "again, or use --device cpu");
  }
  if (cuda_runtime()->driver_version() == 0) {
    fail(ExitCode::no_resources,
         "device cuda: no NVIDIA driver answers on this machine; `cucina doctor` says more, "
         "--device cpu works without");
  }
  fail(ExitCode::no_resources,
       "device cuda: the NVIDIA driver finds no usable GPU; `cucina doctor` says more, --device "
       "cpu works without");
}

Stream Stream::current(Device device) {
  if (device == Device::cpu) return {};
  require_cuda();
  static const Stream cuda(Device::cuda, cuda_runtime()->create_stream());
  return cuda;
}

bool is_capturing(const Stream& stream) {
  return stream.device() == Device::cuda && cuda_runtime()->is_capturing(stream.native());
}

double gpu_seconds(const Stream& stream, const std::function<void()>& work) {
  return cuda_runtime()->seconds(stream.native(), work);
}

CudaGraph::CudaGraph(const std::function<void()>& work)
    : stream_(Stream::current(Device::cuda).native()),
      graph_(cuda_runtime()->capture(stream_, work)) {}
CudaGraph::~CudaGraph() { cuda_runtime()->destroy_graph(graph_); }
void CudaGraph::launch() const { cuda_runtime()->launch_graph(graph_, stream_); }

void Stream::synchronize() const {
  if (device_ == Device::cuda) cuda_runtime()->synchronize(native_);
}

}  // namespace cucina
