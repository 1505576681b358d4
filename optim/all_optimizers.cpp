// The one list of optimisers: adding a room adds an include and a line here.
#include "optim/all_optimizers.h"

#include "optim/adam/adam.h"
#include "optim/sgd/sgd.h"

namespace cucina {

const std::vector<OpEntry>& all_optimizers() {
  static const std::vector<OpEntry> optimizers{
      op_entry<SgdOp>(),
      op_entry<AdamOp>(),
  };
  return optimizers;
}

}  // namespace cucina
