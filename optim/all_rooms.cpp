// The ops and the optimisers in one list.
#include "optim/all_rooms.h"

#include "kernels/all_ops.h"
#include "optim/all_optimizers.h"

namespace cucina {

const std::vector<OpEntry>& all_rooms() {
  static const std::vector<OpEntry> rooms = [] {
    std::vector<OpEntry> list = all_ops();
    list.insert(list.end(), all_optimizers().begin(), all_optimizers().end());
    return list;
  }();
  return rooms;
}

}  // namespace cucina
