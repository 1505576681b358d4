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

void column_sum(const char* what, const Tensor& x, Write write, const Tensor& out) {
  const std::int64_t columns = out.elements();
  if (columns == 0) return;
  const std::int64_t rows = x.elements() / columns;
  if (rows <= 1) {  // oneDNN refuses to reduce nothing
    if (write == Write::overwrite) out.zero();
    if (rows == 1) add_into(x, out);
    return;
  }
  using Tag = dnnl::memory::format_tag;
  const auto from = describe({rows, columns}, Tag::ab);
  const auto to = describe({1, columns}, Tag::ab);
  const auto description =
      primitive<dnnl::reduction>(dnnl::algorithm::reduction_sum, from, to, 0.f, 0.f);
  deliver(out, write, [&](const Tensor& sums) {
    execute(what, dnnl::reduction(description),
            {{DNNL_ARG_SRC, wrap(from, x)}, {DNNL_ARG_DST, wrap(to, sums)}});
  });
}

}  // namespace cucina::onednn
