// The bug zoo's rows: which bug, in which fixture, and which check has to find it, for which
// reason.
#pragma once

#include <string>
#include <vector>

namespace cucina::zoo {

struct Row {
  std::string id;
  std::string where;  // data, loss, model, optimiser, loop, evaluation, augmentation
  std::string what;
  std::string fixture;
  // "check:reason", any of which is right.
  std::vector<std::string> right;
  // The healthy training that differs in the bug alone: a trap of the fixture.
  std::string twin = "";
};
const std::vector<Row>& rows();

// Healthy: all checks must be silent.
struct Healthy {
  std::string fixture;
  std::string trap;
};
const std::vector<Healthy>& healthy();

}  // namespace cucina::zoo
