// Looks lines up with libdw.
#include "kernels/simt/source_lines.h"

#include <elfutils/libdwfl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <thread>

#include "kernels/simt/report.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

Dwfl* program() {
  static Dwfl* const dwfl = [] {
    static Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
                                       .find_debuginfo = dwfl_standard_find_debuginfo,
                                       .section_address = nullptr,
                                       .debuginfo_path = nullptr};
    Dwfl* made = dwfl_begin(&callbacks);
    if (made != nullptr) {
      dwfl_linux_proc_report(made, getpid());
      dwfl_report_end(made, nullptr, nullptr);
    }
    return made;
  }();
  return dwfl;
}

std::string look_up(std::uintptr_t return_address) {
  const Dwarf_Addr address = return_address - 1;  // within the call, not after it
  if (Dwfl* dwfl = program(); dwfl != nullptr) {
    Dwfl_Module* module = dwfl_addrmodule(dwfl, address);
    if (Dwfl_Line* line = module == nullptr ? nullptr : dwfl_module_getsrc(module, address);
        line != nullptr) {
      int number = 0;
      const char* file = dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr);
      if (file != nullptr) return fmt::format("{}:{}", short_path(file), number);
    }
  }
  return fmt::format("{:#x}", address);
}

}  // namespace

std::string source_line(std::uintptr_t return_address) {
  std::string line;
  // libdw puts whole line tables on the stack, and a kernel's thread has a small one.
  std::thread([&] { line = look_up(return_address); }).join();
  return line;
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
