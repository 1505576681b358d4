// The one list of ops: adding a room adds an include and a line here.
#include "kernels/all_ops.h"

#include "kernels/add/add.h"
#include "kernels/augment/augment.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/dropout2d/dropout2d.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/relu/relu.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina {

const std::vector<OpEntry>& all_ops() {
  static const std::vector<OpEntry> ops{
      op_entry<AddOp>(),
      op_entry<AugmentOp>(),
      op_entry<BatchNormOp>(),
      op_entry<Conv2dOp>(),
      op_entry<Dropout2dOp>(),
      op_entry<GroupNormOp>(),
      op_entry<LayerNormOp>(),
      op_entry<MatmulOp>(),
      op_entry<Pool2dOp>(),
      op_entry<ReluOp>(),
      op_entry<SoftmaxCrossEntropyOp>(),
  };
  return ops;
}

}  // namespace cucina
