// The one list of ops: adding a room adds an include and a line here.
#include "kernels/all_ops.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/matmul.h"
#include "kernels/relu/relu.h"

namespace cucina {

const std::vector<OpEntry>& all_ops() {
  static const std::vector<OpEntry> ops{
      op_entry<Conv2dOp>(),
      op_entry<MatmulOp>(),
      op_entry<ReluOp>(),
  };
  return ops;
}

}  // namespace cucina
