// muon's hand-written kernels: each launch does its part for all matrices, whatever their shapes.
#include <algorithm>

#include "kernels/common/block_sum.h"
#include "kernels/common/matrix_loader.h"
#include "kernels/common/mma_tile.h"
#include "kernels/common/precision.h"
#include "kernels/common/product_tile.h"
#include "optim/muon/muon.h"

namespace cucina {
namespace {

constexpr std::size_t kMostMatrices = 32;  // of a launch: its parameters hold their places
constexpr int kThreads = 128;
constexpr std::int64_t kChunk = 4096;  // elements of a block where there is no product
constexpr int kTile = 64;

__host__ __device__ constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// A matrix of the arena, and its scratch memory: X and the next X, lying (s, l); A and its
// polynomial (s, s); and the norms of chunks of X.
struct Item {
  std::int64_t offset, scratch;
  std::int32_t rows, columns;

  __device__ bool standing() const { return rows > columns; }
  __host__ __device__ std::int64_t s() const { return rows < columns ? rows : columns; }
  __host__ __device__ std::int64_t l() const { return rows < columns ? columns : rows; }
  __host__ __device__ std::int64_t elements() const { return s() * l(); }
  __host__ __device__ std::int64_t chunks() const { return divide_up(elements(), kChunk); }
  __device__ std::int64_t x(int which) const { return scratch + which * elements(); }
  __device__ std::int64_t a() const { return scratch + 2 * elements(); }
  __device__ std::int64_t polynomial() const { return a() + s() * s(); }
  __device__ std::int64_t norms() const { return polynomial() + s() * s(); }
  // A multiple of 16 bytes, as all that lies before the norms is where the sides are.
  std::int64_t scratch_elements() const {
    return divide_up(2 * elements() + 2 * s() * s() + chunks(), 4) * 4;
  }
};

template <typename Real>
struct Job {
  Item items[kMostMatrices];
  int count;
  Real* parameters;
  const Real* gradients;
  Real* momentum_buffer;
  bfloat16* bf16_copy;  // null: not wanted
  Real* scratch;
  const float* lr;
  std::int32_t* step;  // null in all launches but the one that counts
  Real momentum, one_minus_momentum;
  bool nesterov;
  double eps, weight_decay;
};

// Which matrix this block works on, and as which of its blocks; blocks_of(item) says how many an
// item has.
struct Place {
  int item;
  std::int64_t block;
};

template <typename Real, typename BlocksOf>
__device__ Place place_of_block(const Job<Real>& job, BlocksOf blocks_of) {
  Place place{0, blockIdx.x};
  while (place.item < job.count) {
    const std::int64_t blocks = blocks_of(job.items[place.item]);
    if (place.block < blocks) break;
    place.block -= blocks;
    ++place.item;
  }
  return place;
}

struct ChunksOf {
  __host__ __device__ std::int64_t operator()(const Item& item) const { return item.chunks(); }
};

// Tiles of the (s, s) or (s, l) products.
struct TilesOf {
  bool square;
  __host__ __device__ std::int64_t operator()(const Item& item) const {
    return divide_up(item.s(), kTile) * divide_up(square ? item.s() : item.l(), kTile);
  }
};

// b, u as the first X, and the norms of u's chunks.
template <typename Real>
__global__ void __launch_bounds__(kThreads) momentum_kernel(const __grid_constant__ Job<Real> job) {
  __shared__ BlockSum<kThreads> block_sum;
  if (job.step != nullptr && blockIdx.x == 0 && threadIdx.x == 0) *job.step += 1;
  const Place place = place_of_block(job, ChunksOf{});
  if (place.item == job.count) return;  // a step of no matrix
  const Item& item = job.items[place.item];
  Real* const x = job.scratch + item.x(0);
  const Real* const gradients = job.gradients + item.offset;
  Real* const buffer = job.momentum_buffer + item.offset;
  const std::int64_t begin = place.block * kChunk;
  const std::int64_t end = begin + kChunk < item.elements() ? begin + kChunk : item.elements();
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const Real added = job.one_minus_momentum * gradients[i];
    const Real b = fma(job.momentum, buffer[i], added);
    buffer[i] = b;
    const Real u = job.nesterov ? fma(job.momentum, b, added) : b;
    x[item.standing() ? i % item.columns * item.rows + i / item.columns : i] = u;
    sum = fma(static_cast<double>(u), static_cast<double>(u), sum);
  }
  const double all = block_sum.add(sum);
  // Not the square: it would overflow in f32 long before the norm does.
  if (threadIdx.x == 0) {
    job.scratch[item.norms() + place.block] = static_cast<Real>(sqrt(all));
  }
}

template <typename Real>
__global__ void __launch_bounds__(kThreads)
    normalise_kernel(const __grid_constant__ Job<Real> job) {
  __shared__ BlockSum<kThreads> block_sum;
  const Place place = place_of_block(job, ChunksOf{});
  const Item& item = job.items[place.item];
  const Real* const norms = job.scratch + item.norms();
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < item.chunks(); i += kThreads) {
    const double norm = norms[i];
    sum = fma(norm, norm, sum);
  }
  const Real divisor = static_cast<Real>(sqrt(block_sum.add(sum)) + job.eps);
  Real* const x = job.scratch + item.x(0);
  const std::int64_t begin = place.block * kChunk;
  const std::int64_t end = begin + kChunk < item.elements() ? begin + kChunk : item.elements();
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) x[i] /= divisor;
}

// Rows [first, size) of a factor whose inner dimension is its contiguous one.
template <typename Real>
struct Rows {
  static constexpr Along kAlong = Along::inner;
  const Real* data;
  std::int64_t inner_size;
  std::int64_t first, size;
  __device__ std::int64_t inner(std::int64_t i) const { return i; }
  __device__ Real operator()(int outer, std::int64_t i) const {
    return first + outer < size ? data[(first + outer) * inner_size + i] : Real(0);
  }
};

// Columns [first, size) of a factor whose outer dimension is its contiguous one.
template <typename Real>
struct Columns {
  static constexpr Along kAlong = Along::outer;
  const Real* data;
  std::int64_t first, size;
  __device__ std::int64_t inner(std::int64_t i) const { return i; }
  __device__ Real operator()(int outer, std::int64_t i) const {
    return first + outer < size ? data[i * size + first + outer] : Real(0);
  }
};

enum class Product : std::uint8_t {
  gram,        // A = X X^T
  polynomial,  // kB A + kC A A
  next,        // the next X = kA X + polynomial X
  last,        // likewise, and the parameters are updated with it
};

// w *= 1 - lr weight_decay; w -= lr scale x, for x at (row, column) of the lying matrix.
template <typename Real>
struct UpdateParameter {
  const Job<Real>& job;
  const Item& item;
  Real keep, rate;

  __device__ UpdateParameter(const Job<Real>& job, const Item& item) : job(job), item(item) {
    const double lr = *job.lr;
    const double ratio = static_cast<double>(item.rows) / static_cast<double>(item.columns);
    keep = static_cast<Real>(1 - lr * job.weight_decay);
    rate = static_cast<Real>(lr * sqrt(ratio > 1 ? ratio : 1.0));
  }
  __device__ void operator()(std::int64_t row, std::int64_t column, Real x) const {
    const std::int64_t i =
        item.offset + (item.standing() ? column * item.columns + row : row * item.columns + column);
    const Real w = job.parameters[i] * keep - rate * x;
    job.parameters[i] = w;
    if (job.bf16_copy != nullptr) job.bf16_copy[i] = bfloat16(static_cast<float>(w));
  }
};

using TensorCoreTile = MmaTile<simt::MmaFormat::tf32, kTile, kTile, 32, 32>;
// Multiplied exactly, or rounded to tf32 on tensor cores, where sides are multiples of 16 bytes.
template <typename Real, bool kTensorCores>
using TileOf = std::conditional_t<kTensorCores, TensorCoreTile, ProductTile<Real, kTile, kTile>>;

template <typename Real, bool kTensorCores>
__device__ auto rows_of(const Real* x, std::int64_t inner_size, std::int64_t first,
                        std::int64_t size) {
  if constexpr (kTensorCores) {
    return MatrixLoader<Real, Along::inner, true>{x, inner_size, first, size};
  } else {
    return Rows<Real>{x, inner_size, first, size};
  }
}
template <typename Real, bool kTensorCores>
__device__ auto columns_of(const Real* x, std::int64_t first, std::int64_t size) {
  if constexpr (kTensorCores) {
    return MatrixLoader<Real, Along::outer, true>{x, size, first, size};
  } else {
    return Columns<Real>{x, first, size};
  }
}

// One tile of a product; X is the `which`-th.
template <typename Real, Product kProduct, bool kTensorCores>
__global__ void __launch_bounds__(TileOf<Real, kTensorCores>::kThreads)
    product_kernel(const __grid_constant__ Job<Real> job, int which) {
  using Tile = TileOf<Real, kTensorCores>;
  __shared__ typename Tile::Shared shared;
  constexpr bool kSquare = kProduct == Product::gram || kProduct == Product::polynomial;
  const Place place = place_of_block(job, TilesOf{kSquare});
  const Item& item = job.items[place.item];
  const std::int64_t s = item.s(), l = item.l();
  const std::int64_t columns = kSquare ? s : l;
  const std::int64_t across = divide_up(columns, kTile);
  const std::int64_t row = place.block / across * kTile, column = place.block % across * kTile;
  const Real* const x = job.scratch + item.x(which);
  const Real* const a = job.scratch + item.a();
  const Real* const polynomial = job.scratch + item.polynomial();
  const auto rows = [](const Real* of, std::int64_t inner_size, std::int64_t first,
                       std::int64_t size) {
    return rows_of<Real, kTensorCores>(of, inner_size, first, size);
  };

  Tile tile;
  if constexpr (kProduct == Product::gram) {
    tile.accumulate(shared, rows(x, l, row, s), rows(x, l, column, s), 0, l);
  } else if constexpr (kProduct == Product::polynomial) {
    // A is its own transpose.
    tile.accumulate(shared, rows(a, s, row, s), rows(a, s, column, s), 0, s);
  } else {
    tile.accumulate(shared, rows(polynomial, s, row, s),
                    columns_of<Real, kTensorCores>(x, column, l), 0, s);
  }

  constexpr auto kA = static_cast<Real>(MuonOp::kA), kB = static_cast<Real>(MuonOp::kB),
                 kC = static_cast<Real>(MuonOp::kC);
  const auto write = [&](auto store) {
    const auto write_one = [&](int i, int j, Real sum) {
      if (row + i < s && column + j < columns) store(row + i, column + j, sum);
    };
    if constexpr (kTensorCores) {
      tile.for_each_pair([&](int i, int j, Real left, Real right) {
        write_one(i, j, left);
        write_one(i, j + 1, right);
      });
    } else {
      tile.for_each_row([&](int i, int j, const Real* sums) {
        for (int offset = 0; offset < kOuter; ++offset) write_one(i, j + offset, sums[offset]);
      });
    }
  };
  if constexpr (kProduct == Product::gram) {
    Real* const to = job.scratch + item.a();
    write([&](std::int64_t i, std::int64_t j, Real sum) { to[i * s + j] = sum; });
  } else if constexpr (kProduct == Product::polynomial) {
    Real* const to = job.scratch + item.polynomial();
    write([&](std::int64_t i, std::int64_t j, Real sum) {
      to[i * s + j] = fma(kC, sum, kB * a[i * s + j]);
    });
  } else if constexpr (kProduct == Product::next) {
    Real* const to = job.scratch + item.x(1 - which);
    write([&](std::int64_t i, std::int64_t j, Real sum) {
      to[i * l + j] = fma(kA, x[i * l + j], sum);
    });
  } else {
    const UpdateParameter<Real> update(job, item);
    write([&](std::int64_t i, std::int64_t j, Real sum) {
      update(i, j, fma(kA, x[i * l + j], sum));
    });
  }
}

Item item_of(const MuonMatrix& matrix, std::int64_t scratch) {
  return {.offset = matrix.offset,
          .scratch = scratch,
          .rows = static_cast<std::int32_t>(matrix.rows),
          .columns = static_cast<std::int32_t>(matrix.columns)};
}

// Rounds of a step come one after another and use the same memory.
std::int64_t scratch_elements(std::span<const MuonMatrix> matrices) {
  std::int64_t most = 0;
  for (std::size_t first = 0; first < matrices.size(); first += kMostMatrices) {
    std::int64_t round = 0;
    for (std::size_t i = first; i < std::min(first + kMostMatrices, matrices.size()); ++i) {
      round += item_of(matrices[i], 0).scratch_elements();
    }
    most = std::max(most, round);
  }
  return most;
}

template <typename Real, typename BlocksOf>
unsigned blocks_of_all(const Job<Real>& job, BlocksOf blocks_of) {
  std::int64_t blocks = 0;
  for (int i = 0; i < job.count; ++i) blocks += blocks_of(job.items[i]);
  return static_cast<unsigned>(blocks);
}

// Do tensor cores multiply this job's matrices? Copies of 16 bytes want their sides to be multiples
// of that.
template <typename Real>
bool on_tensor_cores(const Job<Real>& job) {
  if (float32_precision() != Precision::tf32) return false;
  return std::all_of(job.items, job.items + job.count,
                     [](const Item& item) { return item.rows % 4 == 0 && item.columns % 4 == 0; });
}

template <typename Real, Product kProduct>
void multiply(const char* name, const Job<Real>& job, int which, const Stream& stream) {
  constexpr bool kSquare = kProduct == Product::gram || kProduct == Product::polynomial;
  const unsigned blocks = blocks_of_all(job, TilesOf{kSquare});
  if constexpr (std::is_same_v<Real, float>) {
    if (on_tensor_cores(job)) {
      simt::launch(name, product_kernel<Real, kProduct, true>,
                   {.grid = {blocks}, .block = {TileOf<Real, true>::kThreads}, .stream = stream},
                   job, which);
      return;
    }
  }
  simt::launch(name, product_kernel<Real, kProduct, false>,
               {.grid = {blocks}, .block = {TileOf<Real, false>::kThreads}, .stream = stream}, job,
               which);
}

template <typename Real>
void run_round(const Job<Real>& job, int iterations, const Stream& stream) {
  const unsigned chunks = blocks_of_all(job, ChunksOf{});
  simt::launch("muon.momentum", momentum_kernel<Real>,
               {.grid = {chunks > 0 ? chunks : 1}, .block = {kThreads}, .stream = stream}, job);
  if (chunks == 0) return;
  simt::launch("muon.normalise", normalise_kernel<Real>,
               {.grid = {chunks}, .block = {kThreads}, .stream = stream}, job);
  for (int i = 0; i < iterations; ++i) {
    multiply<Real, Product::gram>("muon.gram", job, i % 2, stream);
    multiply<Real, Product::polynomial>("muon.polynomial", job, i % 2, stream);
    if (i + 1 < iterations) {
      multiply<Real, Product::next>("muon.next", job, i % 2, stream);
    } else {
      multiply<Real, Product::last>("muon.update", job, i % 2, stream);
    }
  }
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              std::span<const MuonMatrix> matrices, const StepState& state,
              const MuonParams& params, const Tensor& bf16_copy, const Tensor& scratch) {
  for_real("muon", parameters.dtype(), [&]<typename Real>() {
    std::size_t first = 0;
    do {
      Job<Real> job{.items = {},
                    .count = 0,
                    .parameters = parameters.data<Real>(),
                    .gradients = gradients.data<Real>(),
                    .momentum_buffer = momentum_buffer.data<Real>(),
                    .bf16_copy = bf16_copy.defined() ? bf16_copy.data<bfloat16>() : nullptr,
                    .scratch = scratch.defined() ? scratch.data<Real>() : nullptr,
                    .lr = state.lr.data<float>(),
                    .step = first == 0 ? state.step.data<std::int32_t>() : nullptr,
                    .momentum = static_cast<Real>(params.momentum),
                    .one_minus_momentum = static_cast<Real>(1 - params.momentum),
                    .nesterov = params.nesterov,
                    .eps = params.eps,
                    .weight_decay = params.weight_decay};
      std::int64_t used = 0;
      for (; first < matrices.size() && job.count < static_cast<int>(kMostMatrices); ++first) {
        Item& item = job.items[job.count++];
        item = item_of(matrices[first], used);
        used += item.scratch_elements();
      }
      run_round(job, params.iterations, parameters.stream());
    } while (first < matrices.size());
  });
}

}  // namespace

template <typename Target>
MuonOp MuonOp::hand() {
  return {.dtypes = kReal, .step = run_step, .scratch = scratch_elements};
}
template MuonOp MuonOp::hand<simt::Target>();

}  // namespace cucina
