// The one list of ops: adding a room adds an include and a line here.
#include "kernels/all_ops.h"

#include "kernels/add/add.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/relu/relu.h"

namespace cucina {

const std::vector<OpEntry>& all_ops() {
  static const std::vector<OpEntry> ops{
      op_entry<AddOp>(),
      op_entry<BatchNormOp>(),
      op_entry<Pool2dOp>(),
      op_entry<ReluOp>(),
  };
  return ops;
}

}  // namespace cucina
