// The one list of ops: adding a room adds an include and a line here.
#include "kernels/all_ops.h"

#include "kernels/augment/augment.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/binary/binary.h"
#include "kernels/cast/cast.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/dropout/dropout.h"
#include "kernels/dropout2d/dropout2d.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/metrics/metrics.h"
#include "kernels/mix/mix.h"
#include "kernels/nll_loss/nll_loss.h"
#include "kernels/pointwise_loss/pointwise_loss.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/unary/unary.h"

namespace cucina {

const std::vector<OpEntry>& all_ops() {
  static const std::vector<OpEntry> ops{
      op_entry<AugmentOp>(),
      op_entry<BatchNormOp>(),
      op_entry<BinaryOp>(),
      op_entry<CastOp>(),
      op_entry<Conv2dOp>(),
      op_entry<Dropout2dOp>(),
      op_entry<DropoutOp>(),
      op_entry<GroupNormOp>(),
      op_entry<LayerNormOp>(),
      op_entry<MatmulOp>(),
      op_entry<MetricsOp>(),
      op_entry<MixOp>(),
      op_entry<NllLossOp>(),
      op_entry<PointwiseLossOp>(),
      op_entry<Pool2dOp>(),
      op_entry<ReduceOp>(),
      op_entry<SoftmaxCrossEntropyOp>(),
      op_entry<SoftmaxOp>(),
      op_entry<UnaryOp>(),
  };
  return ops;
}

}  // namespace cucina
