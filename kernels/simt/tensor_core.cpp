// Emulates mma and ldmatrix at the meeting of a warp's lanes, and cp.async at the wait.
#include "kernels/simt/tensor_core.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/simt/executor.h"
#include "kernels/simt/pack8.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

constexpr int kRows = 16;    // of a and d
constexpr int kColumns = 8;  // of b and d

struct MmaLane : Collective {
  int m, n;
  float* d;
  const unsigned* a;
  const unsigned* b;
};

float upper_half(unsigned word) { return std::bit_cast<float>(word & 0xffff0000u); }
float lower_half(unsigned word) { return std::bit_cast<float>(word << 16); }
// Tensor cores do not see the lower 13 bits.
float as_tf32(unsigned word) { return std::bit_cast<float>(word & 0xffffe000u); }

template <MmaFormat kFormat>
struct Factors {
  static constexpr int kDepth = kMmaDepth<kFormat>;
  using A = float[kRows][kDepth];
  using B = float[kDepth][kColumns];

  static void gather(A& a, const unsigned (&fragment)[4], int g, int t) {
    for (int r = 0; r < 4; ++r) {
      const int row = g + 8 * (r % 2);
      if constexpr (kFormat == MmaFormat::bf16) {
        const int column = 2 * t + 8 * (r / 2);
        a[row][column] = lower_half(fragment[r]);
        a[row][column + 1] = upper_half(fragment[r]);
      } else {
        a[row][t + 4 * (r / 2)] = as_tf32(fragment[r]);
      }
    }
  }
  static void gather(B& b, const unsigned (&fragment)[2], int g, int t) {
    for (int r = 0; r < 2; ++r) {
      if constexpr (kFormat == MmaFormat::bf16) {
        b[2 * t + 8 * r][g] = lower_half(fragment[r]);
        b[2 * t + 8 * r + 1][g] = upper_half(fragment[r]);
      } else {
        b[t + 4 * r][g] = as_tf32(fragment[r]);
      }
    }
  }
};

// d += a b, inner indices in ascending order.
template <int kDepth>
void multiply(float (&d)[kRows][kColumns], const float (&a)[kRows][kDepth],
              const float (&b)[kDepth][kColumns]) {
  Pack8<float> sum[kRows];
  for (int i = 0; i < kRows; ++i) sum[i] = Pack8<float>::load(d[i]);
  for (int l = 0; l < kDepth; ++l) {
    const auto row = Pack8<float>::load(b[l]);
    for (int i = 0; i < kRows; ++i) sum[i].add_product(a[i][l], row);
  }
  for (int i = 0; i < kRows; ++i) sum[i].store(d[i]);
}

template <MmaFormat kFormat>
void perform_mma(Collective* const (&collectives)[kWarp]) {
  using F = Factors<kFormat>;
  constexpr int kMost = 16;  // columns of products a warp's step can have
  std::array<const MmaLane*, kWarp> lane;
  for (int l = 0; l < kWarp; ++l) lane[l] = static_cast<const MmaLane*>(collectives[l]);
  const int m = lane[0]->m, n = lane[0]->n;
  alignas(64) typename F::A a;
  alignas(64) typename F::B b[kMost];
  alignas(64) float d[kRows][kColumns];
  for (int first = 0; first < n; first += kMost) {
    const int end = std::min(n, first + kMost);
    for (int l = 0; l < kWarp; ++l) {
      for (int j = first; j < end; ++j) {
        unsigned fragment[2];
        std::memcpy(fragment, lane[l]->b + 2 * j, sizeof fragment);
        F::gather(b[j - first], fragment, l / 4, l % 4);
      }
    }
    for (int i = 0; i < m; ++i) {
      for (int l = 0; l < kWarp; ++l) {
        unsigned fragment[4];
        std::memcpy(fragment, lane[l]->a + 4 * i, sizeof fragment);
        F::gather(a, fragment, l / 4, l % 4);
      }
      for (int j = first; j < end; ++j) {
        const std::ptrdiff_t offset = 4 * (std::ptrdiff_t{i} * n + j);
        for (int l = 0; l < kWarp; ++l) {
          std::memcpy(&d[l / 4][l % 4 * 2], lane[l]->d + offset, 2 * sizeof(float));
          std::memcpy(&d[l / 4 + 8][l % 4 * 2], lane[l]->d + offset + 2, 2 * sizeof(float));
        }
        multiply(d, a, b[j - first]);
        for (int l = 0; l < kWarp; ++l) {
          std::memcpy(lane[l]->d + offset, &d[l / 4][l % 4 * 2], 2 * sizeof(float));
          std::memcpy(lane[l]->d + offset + 2, &d[l / 4 + 8][l % 4 * 2], 2 * sizeof(float));
        }
      }
    }
  }
}

constexpr int kRowBytes = 16;
constexpr int kMostBatch = 16;

struct MatrixLane : Collective {
  bool transpose;
  int count, batch;
  unsigned* d;
  std::array<std::array<std::uint16_t, kRowBytes / 2>, kMostBatch> row;  // as read by this lane
};

void perform_ldmatrix(Collective* const (&collectives)[kWarp]) {
  std::array<MatrixLane*, kWarp> lane;
  for (int l = 0; l < kWarp; ++l) lane[l] = static_cast<MatrixLane*>(collectives[l]);
  const int batch = lane[0]->batch, count = lane[0]->count;
  const bool transpose = lane[0]->transpose;
  for (int l = 0; l < kWarp; ++l) {
    const int g = l / 4, t = l % 4;
    for (int i = 0; i < batch; ++i) {
      for (int matrix = 0; matrix < count; ++matrix) {
        MatrixLane* const* const rows = &lane[8 * matrix];
        const unsigned low = transpose ? rows[2 * t]->row[i][g] : rows[g]->row[i][2 * t];
        const unsigned high = transpose ? rows[2 * t + 1]->row[i][g] : rows[g]->row[i][2 * t + 1];
        lane[l]->d[i * count + matrix] = high << 16 | low;
      }
    }
  }
}

}  // namespace

void mma(MmaFormat format, int m, int n, float* d, const unsigned* a, const unsigned* b,
         const std::source_location& where) {
  MmaLane own;
  own.perform =
      format == MmaFormat::bf16 ? perform_mma<MmaFormat::bf16> : perform_mma<MmaFormat::tf32>;
  own.m = m;
  own.n = n;
  own.d = d;
  own.a = a;
  own.b = b;
  running_executor()->warp_collective(own, where);
}

void ldmatrix(bool transpose, int count, int batch, unsigned* d, const void* const* row,
              const std::source_location& where) {
  Executor& executor = *running_executor();
  MatrixLane own;
  own.perform = perform_ldmatrix;
  own.transpose = transpose;
  own.count = count;
  own.batch = batch;
  own.d = d;
  if (lane() < 8 * count) {  // the others' addresses are not used
    for (int i = 0; i < batch; ++i) {
      executor.check_aligned("ldmatrix", row[i], kRowBytes, where);
      if (executor.observer() != nullptr) executor.observer()->read(row[i], kRowBytes, where);
      std::memcpy(own.row[i].data(), row[i], kRowBytes);
    }
  }
  executor.warp_collective(own, where);
}

void begin_copy(void* shared, const void* global, int bytes, int source_bytes,
                const std::source_location& where) {
  running_executor()->begin_copy(
      {.to = shared, .from = global, .bytes = bytes, .source_bytes = source_bytes, .where = where});
}
void commit_copies() { running_executor()->commit_copies(); }
void wait_for_copies(int groups_under_way) {
  running_executor()->wait_for_copies(static_cast<unsigned>(groups_under_way));
}
void wait_for_all_copies() {
  running_executor()->commit_copies();
  running_executor()->wait_for_copies(0);
}

void Executor::begin_copy(AsyncCopy copy) {
  check_aligned("cp.async", copy.to, copy.bytes, copy.where);
  if (copy.source_bytes > 0) check_aligned("cp.async", copy.from, copy.bytes, copy.where);
  if (copies_.empty()) copies_.resize(kMaxThreads);
  AsyncCopies& copies = copies_[static_cast<std::size_t>(thread_)];
  copy.group = copies.committed;
  // The write may happen from now on: whoever still reads the old contents is in a race with it.
  if (observer_ != nullptr) observer_->undefine(copy.to, copy.bytes, copy.where);
  if (options_.poison_shared) poison(copy.to, static_cast<std::size_t>(copy.bytes));
  copies.under_way.push_back(copy);
  copies_begun_ = true;
}

void Executor::commit_copies() {
  if (!copies_.empty()) ++copies_[static_cast<std::size_t>(thread_)].committed;
}

void Executor::wait_for_copies(unsigned groups_under_way) {
  if (copies_.empty()) return;
  AsyncCopies& copies = copies_[static_cast<std::size_t>(thread_)];
  std::size_t done = 0;
  for (; done < copies.under_way.size(); ++done) {
    const AsyncCopy& copy = copies.under_way[done];
    if (copy.group + groups_under_way >= copies.committed) break;
    if (observer_ != nullptr) {
      if (copy.source_bytes > 0) observer_->read(copy.from, copy.source_bytes, copy.where);
      observer_->write(copy.to, copy.bytes, copy.where);
    }
    const auto copied = static_cast<std::size_t>(copy.source_bytes);
    if (copied > 0) std::memcpy(copy.to, copy.from, copied);
    std::memset(static_cast<char*>(copy.to) + copied, 0,
                static_cast<std::size_t>(copy.bytes) - copied);
  }
  copies.under_way.erase(copies.under_way.begin(),
                         copies.under_way.begin() + static_cast<std::ptrdiff_t>(done));
}

void Executor::forget_copies() {
  for (AsyncCopies& copies : copies_) {
    copies.under_way.clear();
    copies.committed = 0;
  }
  copies_begun_ = false;
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
