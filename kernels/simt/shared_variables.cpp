// Reads the symbol tables of the program and of its shared libraries for thread-local statics of
// cucina's functions.
#include "kernels/simt/shared_variables.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

struct Symbol {
  std::size_t offset;  // in the module's thread-local block
  std::size_t bytes;
  std::string name;
};

struct Module {
  std::string file;
  std::vector<Symbol> symbols;
};

class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat status {};
    if (fstat(file, &status) == 0 && status.st_size > 0) {
      bytes_ = static_cast<std::size_t>(status.st_size);
      void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
      data_ = memory == MAP_FAILED ? nullptr : static_cast<const char*>(memory);
    }
    close(file);
  }
  ~MappedFile() {
    if (data_ != nullptr) munmap(const_cast<char*>(data_), bytes_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const char* data() const { return data_; }

 private:
  const char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// "_ZZN6cucina12_GLOBAL__N_1...E4tile" is `tile` of a function of cucina's; our own thread-locals
// are in cucina::simt and are none. Without a mangling for "shared", every other function-local
// thread-local counts.
bool names_shared_variable(std::string_view mangled) {
  constexpr std::string_view kLocalOfCucina = "_ZZN6cucina";
  constexpr std::string_view kLocalOfCucinaConst = "_ZZNK6cucina";
  constexpr std::string_view kLocalOfSimt = "_ZZN6cucina4simt";
  return (mangled.starts_with(kLocalOfCucina) || mangled.starts_with(kLocalOfCucinaConst)) &&
         !mangled.starts_with(kLocalOfSimt);
}

std::string variable_name(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
  if (status != 0) return mangled;
  const std::string_view whole = text.get();
  return std::string(
      whole.substr(whole.rfind("::") == std::string_view::npos ? 0 : whole.rfind("::") + 2));
}

// False when the file has no symbol table.
bool read_symbols(const std::string& path, std::vector<Symbol>& symbols) {
  const MappedFile file(path);
  if (file.data() == nullptr || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0) return false;
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(file.data());
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(file.data() + header->e_shoff);
  bool found = false;
  for (int s = 0; s < header->e_shnum; ++s) {
    const ElfW(Shdr)& section = sections[s];
    if (section.sh_type != SHT_SYMTAB) continue;
    found = true;
    const auto* table = reinterpret_cast<const ElfW(Sym)*>(file.data() + section.sh_offset);
    const char* names = file.data() + sections[section.sh_link].sh_offset;
    for (std::size_t i = 0; i < section.sh_size / section.sh_entsize; ++i) {
      const ElfW(Sym)& symbol = table[i];
      if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS || symbol.st_shndx == SHN_UNDEF ||
          symbol.st_size == 0)
        continue;
      const char* name = names + symbol.st_name;
      if (names_shared_variable(name))
        symbols.push_back({symbol.st_value, symbol.st_size, variable_name(name)});
    }
  }
  return found;
}

const std::vector<Module>& modules() {
  static const std::vector<Module> all = [] {
    std::vector<std::string> files;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* out) {
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
            // The program itself comes first, without a name.
            const bool program = info->dlpi_name == nullptr || *info->dlpi_name == '\0';
            static_cast<std::vector<std::string>*>(out)->push_back(program ? "" : info->dlpi_name);
          }
          return 0;
        },
        &files);
    std::vector<Module> found;
    for (const std::string& file : files) {
      Module module{file, {}};
      const bool has_table = read_symbols(file.empty() ? "/proc/self/exe" : file, module.symbols);
      if (!has_table && file.empty()) {
        fail(
            "simt: the program was stripped of its symbols, so its shared memory cannot be found "
            "to be poisoned or "
            "watched; link it without -s");
      }
      if (!module.symbols.empty()) found.push_back(std::move(module));
    }
    return found;
  }();
  return all;
}

struct Search {
  const std::vector<Module>* modules;
  std::vector<SharedVariable> variables;
};

}  // namespace

std::span<const SharedVariable> shared_variables_here() {
  static thread_local std::vector<SharedVariable> here;
  static thread_local bool searched = false;
  if (searched) return here;
  Search search{&modules(), {}};
  // The loader knows where this OS thread's copy of a module's thread-local block is, whatever the
  // architecture.
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        auto& into = *static_cast<Search*>(out);
        const std::string file = info->dlpi_name == nullptr ? "" : info->dlpi_name;
        for (const Module& module : *into.modules) {
          if (module.file != file || info->dlpi_tls_data == nullptr) continue;
          for (const Symbol& symbol : module.symbols) {
            into.variables.push_back({static_cast<char*>(info->dlpi_tls_data) + symbol.offset,
                                      symbol.bytes, symbol.name});
          }
        }
        return 0;
      },
      &search);
  here = std::move(search.variables);
  std::sort(here.begin(), here.end(),
            [](const SharedVariable& a, const SharedVariable& b) { return a.address < b.address; });
  searched = true;
  return here;
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
