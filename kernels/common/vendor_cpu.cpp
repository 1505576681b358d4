// The process's oneDNN engine and stream.
#include "kernels/common/vendor_cpu.h"

#include "core/error.h"

namespace cucina::onednn {

// Never destroyed: the library's own globals may go first at exit.
dnnl::engine& engine() {
  static dnnl::engine& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream() {
  static dnnl::stream& stream = *new dnnl::stream(engine());
  return stream;
}

dnnl::memory wrap(const dnnl::memory::desc& description, const Tensor& tensor) {
  return {description, engine(), tensor.raw()};
}

void execute(const char* what, const dnnl::primitive& primitive,
             const std::unordered_map<int, dnnl::memory>& arguments) {
  try {
    primitive.execute(stream(), arguments);
    stream().wait();
  } catch (const dnnl::error& error) {
    fail(ExitCode::run_failed, "{}: oneDNN failed: {} (status {})", what, error.what(),
         static_cast<int>(error.status));
  }
}

void add_into(const Tensor& from, const Tensor& to) {
  const float* a = from.data<float>();
  float* b = to.data<float>();
  const std::int64_t n = to.elements();
#pragma omp parallel for simd if (n > 1 << 16)
  for (std::int64_t i = 0; i < n; ++i) b[i] += a[i];
}

}  // namespace cucina::onednn
