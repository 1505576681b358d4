// The process's oneDNN engine and stream.
#include "kernels/common/vendor_cpu.h"

#include <omp.h>

#include "core/error.h"
#include "kernels/common/channel_rows.h"

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

DTypes dtypes() {
  // Each instruction set is the bits of all it includes; their order as numbers means nothing.
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  static const auto has = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (has & kNeeded) == kNeeded ? DTypes{kF32.bits | 1u << static_cast<unsigned>(DType::bf16)}
                                    : kF32;
}

dnnl::memory::desc describe(const dnnl::memory::dims& dims, dnnl::memory::format_tag tag,
                            DType dtype) {
  using Type = dnnl::memory::data_type;
  return {dims, dtype == DType::bf16 ? Type::bf16 : Type::f32, tag};
}

dnnl::memory wrap(const dnnl::memory::desc& description, const Tensor& tensor) {
  return {description, engine(), tensor.raw()};
}

Threads::Threads(double flops) : before_(0) {
  constexpr double kWorthThreads = 2e6;  // about 50 us of one thread
  if (flops >= kWorthThreads || omp_get_max_threads() == 1) return;
  before_ = omp_get_max_threads();
  omp_set_num_threads(1);
}

Threads::~Threads() {
  if (before_ > 0) omp_set_num_threads(before_);
}

Prepared::Prepared(const dnnl::primitive& primitive, const std::vector<Argument>& arguments)
    : primitive_(primitive) {
  for (const auto& [index, description] : arguments) {
    memories_.emplace_back(description, engine(), nullptr);
    arguments_.push_back({index, memories_.back().get()});
  }
}

void Prepared::run(const char* what, std::initializer_list<void*> data) const {
  dnnl_status_t status = dnnl_success;
  auto memory = memories_.begin();
  for (void* elements : data) {
    status = dnnl_memory_set_data_handle(memory++->get(), elements);
    if (status != dnnl_success) break;
  }
  if (status == dnnl_success)
    status = dnnl_primitive_execute(primitive_.get(), stream().get(),
                                    static_cast<int>(arguments_.size()), arguments_.data());
  if (status == dnnl_success) status = dnnl_stream_wait(stream().get());
  if (status != dnnl_success)
    fail(ExitCode::run_failed, "{}: oneDNN failed (status {})", what, static_cast<int>(status));
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

namespace {

template <typename T>
void add(const Tensor& from, const Tensor& to) {
  const T* a = from.data<T>();
  T* b = to.data<T>();
  const std::int64_t n = to.elements();
#pragma omp parallel for if (n > kWorthThreads)
  for (std::int64_t i = 0; i < n; i += kTile) {
    const std::int64_t width = std::min<std::int64_t>(kTile, n - i);
    float own[kTile];
    float* sum = lanes_of(b + i, own);
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j)
      sum[j] = static_cast<float>(b[i + j]) + static_cast<float>(a[i + j]);
    round_lanes(own, width, b + i);
  }
}

}  // namespace

void add_into(const Tensor& from, const Tensor& to) {
  to.dtype() == DType::bf16 ? add<bfloat16>(from, to) : add<float>(from, to);
}

}  // namespace cucina::onednn
