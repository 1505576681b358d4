// The barriers of checked programs.
#include "kernels/simt/checked.h"

#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "kernels/simt/host.h"

namespace cucina::simt {
namespace {

using Place = std::tuple<std::string, unsigned, unsigned>;  // file, line, column

std::mutex mutex;
std::set<Place> sites;
std::optional<Place> removed;

}  // namespace

std::vector<BarrierSite> barrier_sites() {
  const std::lock_guard lock(mutex);
  std::vector<BarrierSite> found;
  for (const auto& [file, line, column] : sites) found.push_back({file, line, column});
  return found;
}

void forget_barrier_sites() {
  const std::lock_guard lock(mutex);
  sites.clear();
}

ScopedRemovedBarrier::ScopedRemovedBarrier(const BarrierSite& site) {
  const std::lock_guard lock(mutex);
  removed = {site.file, site.line, site.column};
}

ScopedRemovedBarrier::~ScopedRemovedBarrier() {
  const std::lock_guard lock(mutex);
  removed.reset();
}

inline namespace host {

bool detail::barrier_removed(const std::source_location& where) {
  const std::lock_guard lock(mutex);
  const auto [site, first] = sites.emplace(where.file_name(), where.line(), where.column());
  return removed == *site;
}

}  // namespace host
}  // namespace cucina::simt
