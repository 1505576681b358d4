// Elementwise ops and reductions of `hand` on the host beside a copy of memory, in bytes read and
// written per second. Outputs are there before the clock starts: what a fresh page costs is the
// system's.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cstring>
#include <functional>
#include <string>

#include "core/random.h"
#include "kernels/binary/binary.h"
#include "kernels/cast/cast.h"
#include "kernels/dropout/dropout.h"
#include "kernels/reduce/reduce.h"
#include "kernels/unary/unary.h"

namespace cucina {
namespace {

constexpr std::int64_t kElements = 1 << 24;

Tensor uniform(const Shape& shape, std::uint64_t seed, DType dtype = DType::f32) {
  const Tensor x = Tensor::empty(shape);
  const RandomStream random(seed, "bench");
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    x.data<float>()[i] = 2 * random.uniform(0, static_cast<std::uint64_t>(i)) - 1;
  }
  return x.to(dtype);
}

// `call` runs once per iteration and moves `bytes`.
void add_case(const std::string& name, double bytes, std::function<void()> call) {
  benchmark::RegisterBenchmark(name.c_str(), [bytes, call](benchmark::State& state) {
    call();
    for (auto _ : state) call();
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
  })->UseRealTime();
}

double bytes_of(std::initializer_list<Tensor> tensors) {
  double bytes = 0;
  for (const Tensor& tensor : tensors) bytes += static_cast<double>(tensor.bytes());
  return bytes;
}

void copy(const Tensor& from, const Tensor& to, int threads) {
  const std::size_t part = from.bytes() / static_cast<std::size_t>(threads);
#pragma omp parallel for num_threads(threads)
  for (int i = 0; i < threads; ++i) {
    const std::size_t at = part * static_cast<std::size_t>(i);
    std::memcpy(static_cast<char*>(to.raw()) + at, static_cast<char*>(from.raw()) + at, part);
  }
}

void add_copies(const Tensor& x, const Tensor& y) {
  add_case("memcpy/one_core", bytes_of({x, y}), [=] { copy(x, y, 1); });
  add_case("memcpy/all_cores", bytes_of({x, y}), [=] { copy(x, y, omp_get_max_threads()); });
}

void add_unary(const std::string& name, const UnaryParams& params, const Tensor& x,
               const Tensor& y) {
  const UnaryOp op = UnaryOp::hand<Host>();
  add_case("unary/" + name, bytes_of({x, y}), [=] { op.forward(x, params, y); });
}

void add_maps(const Tensor& x, const Tensor& z, const Tensor& y) {
  add_unary("relu", {.activation = Activation::relu}, x, y);
  add_unary("scale", {.kind = UnaryKind::scale, .a = 2, .b = 1}, x, y);
  add_unary("clamp", {.kind = UnaryKind::clamp, .a = -0.5, .b = 0.5}, x, y);
  for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::silu,
                                      Activation::sigmoid, Activation::tanh}) {
    add_unary(std::string(name(activation)), {.activation = activation}, x, y);
  }
  const BinaryOp binary = BinaryOp::hand<Host>();
  add_case("binary/add", bytes_of({x, z, y}), [=] { binary.forward(x, z, Binary::add, y); });
  for (const std::int64_t channels : {6, 64}) {
    const Shape shape{kElements / 64 / channels * 64, channels};
    const Tensor images =
        Tensor::over(Storage::allocate(x.bytes(), Device::cpu), 0, shape, x.dtype());
    images.zero();
    const Tensor bias = uniform({channels}, 3), result = Tensor::zeros(shape);
    const std::string suffix = std::to_string(channels) + "_channels";
    add_case("binary/add_" + suffix, bytes_of({images, result}),
             [=] { binary.forward(images, bias, Binary::add, result); });
    const Tensor scratch = Tensor::empty({binary.backward_b_scratch(shape, bias.shape()) + 1});
    add_case("binary/bias_gradient_" + suffix, bytes_of({images}),
             [=] { binary.backward_b(images, {}, Binary::add, Write::overwrite, bias, scratch); });
  }
  const CastOp cast = CastOp::hand<Host>();
  const Tensor narrow = x.to(DType::bf16);
  add_case("cast/f32_to_bf16", bytes_of({x, narrow}), [=] { cast.forward(x, narrow); });
  add_case("cast/bf16_to_f32", bytes_of({x, narrow}), [=] { cast.forward(narrow, y); });
  const Tensor narrow_result = narrow.clone();
  const UnaryOp unary = UnaryOp::hand<Host>();
  add_case("unary/relu_bf16", bytes_of({narrow, narrow_result}),
           [=] { unary.forward(narrow, {.activation = Activation::relu}, narrow_result); });
  const DropoutOp dropout = DropoutOp::hand<Host>();
  const Tensor step = Tensor::full({1}, 3, DType::i32);
  const RandomStream random(1, "bench");
  add_case("dropout", bytes_of({x, y}), [=] { dropout.forward(x, step, 0.5f, random, y); });
}

void add_reductions(const Tensor& x) {
  const ReduceOp op = ReduceOp::hand<Host>();
  struct Sizes {
    std::string name;
    ReduceGeometry geometry;
  };
  for (const auto& [name, geometry] :
       {Sizes{"all", {.reduced = {kElements, 1, 1}}},
        Sizes{"rows_of_1024", {.kept = {kElements / 1024, 1, 1, 1}, .reduced = {1024, 1, 1}}},
        Sizes{"rows_of_16", {.kept = {kElements / 16, 1, 1, 1}, .reduced = {16, 1, 1}}},
        Sizes{"64_columns", {.kept = {1, 64, 1, 1}, .reduced = {kElements / 64, 1, 1}}},
        Sizes{"4096_columns", {.kept = {1, 4096, 1, 1}, .reduced = {kElements / 4096, 1, 1}}}}) {
    const Tensor y = Tensor::zeros({geometry.results()});
    const Tensor index = Tensor::zeros({geometry.results()}, DType::i32);
    const Tensor scratch = Tensor::zeros({op.scratch(geometry) + 1});
    const Tensor index_scratch = Tensor::zeros(scratch.shape(), DType::i32);
    add_case("reduce/sum_" + name, bytes_of({x, y}),
             [=, geometry = geometry] { op.sum_forward(x, geometry, false, scratch, y); });
    add_case("reduce/max_" + name, bytes_of({x, y, index}), [=, geometry = geometry] {
      op.max_forward(x, geometry, scratch, index_scratch, y, index);
    });
    add_case("reduce/sum_backward_" + name, bytes_of({x, y}),
             [=, geometry = geometry, dx = x.clone()] {
               op.sum_backward(y, geometry, false, Write::overwrite, dx);
             });
  }
}

void add_all() {
  const Tensor x = uniform({kElements}, 1), z = uniform({kElements}, 2);
  const Tensor y = Tensor::zeros({kElements});
  add_copies(x, y);
  add_maps(x, z, y);
  add_reductions(x);
}

}  // namespace
}  // namespace cucina

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  cucina::add_all();
  benchmark::RunSpecifiedBenchmarks();
}
