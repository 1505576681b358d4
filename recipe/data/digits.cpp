// Reads the cached digits: hash, then numbers, then the split.
#include "recipe/data/digits.h"

#include <charconv>
#include <cstdlib>
#include <system_error>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/sha256.h"

namespace cucina::data {
namespace {

constexpr int kSide = 8;
constexpr int kPixels = kSide * kSide;
constexpr int kMaxValue = 16;
constexpr int kClasses = 10;
constexpr std::int64_t kHeldOut = 300;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 20;  // the real one has 264,712

// The number at `*at`, which must lie in 0..most and be followed by `after`; moves past both.
int number(std::string_view text, std::size_t* at, int most, char after, const std::string& path) {
  int value = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + *at, end, value);
  if (error != std::errc{} || value < 0 || value > most)
    fail(ExitCode::bad_file,
         "{}: byte {}: expected a number in 0..{}; run tools/fetch_digits again", path, *at, most);
  *at = static_cast<std::size_t>(stop - text.data());
  if (stop == end || *stop != after)
    fail(ExitCode::bad_file,
         "{}: byte {}: expected {} after the number {}; run tools/fetch_digits again", path, *at,
         after == '\n' ? "the end of the line" : "a comma", value);
  ++*at;
  return value;
}

}  // namespace

std::filesystem::path cache_folder() {
  const char* cache = std::getenv("CUCINA_CACHE");
  if (cache != nullptr && *cache != '\0') return cache;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0')
    fail(ExitCode::usage,
         "neither CUCINA_CACHE nor HOME is set; set CUCINA_CACHE to the folder for cached data");
  return std::filesystem::path(home) / ".cache" / "cucina";
}

ImageSet parse_digits(std::string_view text, const std::string& path) {
  ImageSet set{
      .n = 0, .h = kSide, .w = kSide, .c = 1, .classes = kClasses, .pixels = {}, .labels = {}};
  for (std::size_t at = 0; at < text.size(); ++set.n) {
    for (int i = 0; i < kPixels; ++i)
      set.pixels.push_back(static_cast<std::uint8_t>(number(text, &at, kMaxValue, ',', path)));
    set.labels.push_back(number(text, &at, kClasses - 1, '\n', path));
  }
  if (set.n == 0)
    fail(ExitCode::bad_file, "{}: byte 0: holds no digits; run tools/fetch_digits again", path);
  return set;
}

Dataset load_digits(std::uint64_t split_seed) {
  return load_digits(cache_folder() / "digits.csv", split_seed);
}

Dataset load_digits(const std::filesystem::path& csv, std::uint64_t split_seed) {
  std::error_code ignored;
  if (!std::filesystem::exists(csv, ignored))
    fail(ExitCode::bad_file,
         "{}: the handwritten digits are not there; run tools/fetch_digits, or with a "
         "digits.csv.gz of "
         "scikit-learn or an optdigits.tes of UCI at hand, tools/fetch_digits --from FILE",
         csv.string());
  ByteReader reader(csv);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, kMaxFileBytes);
  Sha256 sha;
  sha.update(bytes.data(), bytes.size());
  const std::string found = sha.hex();
  if (found != kDigitsSha256)
    fail(ExitCode::bad_file,
         "{}: its SHA-256 is {} but the digits have {}; delete it and run tools/fetch_digits",
         csv.string(), found, kDigitsSha256);

  const ImageSet all =
      parse_digits({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, csv.string());
  const std::int64_t sizes[] = {kHeldOut, kHeldOut};
  const auto parts = stratified_parts(all.labels, all.classes, sizes, split_seed);
  return {.name = "digits",
          .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
          .train = select(all, parts[2]),
          .validation = select(all, parts[0]),
          .test = select(all, parts[1]),
          .max_value = kMaxValue,
          .sha256 = found};
}

}  // namespace cucina::data
