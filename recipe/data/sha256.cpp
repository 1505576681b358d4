// SHA-256 by OpenSSL's libcrypto.
#include "recipe/data/sha256.h"

#include <fmt/core.h>
#include <openssl/evp.h>

#include "core/error.h"

namespace cucina::data {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1)
    fail(ExitCode::run_failed, "sha256: libcrypto offers no SHA-256; is OpenSSL installed whole?");
}

Sha256::~Sha256() = default;

void Sha256::update(const void* bytes, std::size_t size) {
  if (EVP_DigestUpdate(state_->context, bytes, size) != 1)
    fail(ExitCode::run_failed, "sha256: libcrypto failed on {} bytes", size);
}

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(state_->context, digest, &size) != 1)
    fail(ExitCode::run_failed, "sha256: libcrypto failed to finish the digest");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace cucina::data
