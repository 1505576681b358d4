// Sums over channels.
#include "kernels/common/channel_rows.h"

namespace cucina::onednn {
namespace {

template <typename T>
void chunk_totals(const ChannelRows& rows, const T* x, float* totals) {
  rows.for_tiles([&]<int kWidth>(std::int64_t chunk, std::int64_t lane, std::int64_t lanes) {
    const std::int64_t width = kWidth > 0 ? kWidth : lanes;
    float total[kTile] = {};
    for (std::int64_t row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const T* from = x + row * rows.lanes + lane;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) total[i] += static_cast<float>(from[i]);
    }
    std::copy(total, total + width, totals + chunk * rows.lanes + lane);
  });
}

}  // namespace

void channel_sums(const Tensor& x, Write write, const Tensor& to) {
  if (to.elements() == 0) return;
  if (x.elements() == 0) {
    if (write == Write::overwrite) to.zero();
    return;
  }
  const ChannelRows rows = ChannelRows::of(x);
  const Tensor totals = Tensor::empty({rows.chunks, rows.lanes});
  for_its_type(x.dtype(), [&]<typename T>() {
    chunk_totals(rows, x.data<T>(), totals.data<float>());
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      double sum = write == Write::accumulate ? static_cast<float>(to.data<T>()[c]) : 0;
      for (std::int64_t at = c; at < totals.elements(); at += rows.channels)
        sum += totals.data<float>()[at];
      to.data<T>()[c] = T(static_cast<float>(sum));
    }
  });
}

}  // namespace cucina::onednn
