// The one list of optimisers: adding a room adds an include and a line here.
#include "optim/all_optimizers.h"

#include "optim/adam/adam.h"
#include "optim/ema/ema.h"
#include "optim/grad_norm/grad_norm.h"
#include "optim/muon/muon.h"
#include "optim/sgd/sgd.h"

namespace cucina {

const std::vector<OpEntry>& all_optimizers() {
  static const std::vector<OpEntry> optimizers{
      op_entry<SgdOp>(),      op_entry<AdamOp>(), op_entry<MuonOp>(),
      op_entry<GradNormOp>(), op_entry<EmaOp>(),
  };
  return optimizers;
}

}  // namespace cucina
