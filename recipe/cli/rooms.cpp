// Looks ops up by name.
#include "recipe/cli/rooms.h"

#include <algorithm>

#include "core/error.h"
#include "optim/all_rooms.h"
#include "recipe/cli/options.h"

namespace cucina::cli {

void add_op_names(CLI::App& app, std::vector<std::string>* names, const std::string& help) {
  app.add_option("--op", *names, help)->type_name("NAME")->expected(1)->take_all();
}

std::vector<OpEntry> rooms_named(std::string_view command, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const OpEntry& room : all_rooms()) known.emplace_back(room.name);
  for (const std::string& each : names) {
    if (std::find(known.begin(), known.end(), each) == known.end())
      fail("{}: there is no op {}{}; cucina ops lists them", command, each,
           suggestion(each, known));
  }
  std::vector<OpEntry> rooms;
  for (const OpEntry& room : all_rooms()) {
    if (names.empty() || std::find(names.begin(), names.end(), room.name) != names.end())
      rooms.push_back(room);
  }
  return rooms;
}

}  // namespace cucina::cli
