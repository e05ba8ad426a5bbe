// Looks up the EVP functions by name, once.
#include "evp.h"

#include <dlfcn.h>

namespace netquic {

template <typename F>
static bool find(F& target, const char* name) {
  target = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  return target != nullptr;
}

static bool load(Evp& e) {
  return find(e.ctx_new, "EVP_CIPHER_CTX_new") && find(e.ctx_free, "EVP_CIPHER_CTX_free") &&
         find(e.ctrl, "EVP_CIPHER_CTX_ctrl") && find(e.get_params, "EVP_CIPHER_CTX_get_params") &&
         find(e.set_params, "EVP_CIPHER_CTX_set_params") && find(e.set_padding, "EVP_CIPHER_CTX_set_padding") &&
         find(e.fetch, "EVP_CIPHER_fetch") && find(e.encrypt_init, "EVP_EncryptInit_ex") &&
         find(e.encrypt_update, "EVP_EncryptUpdate") && find(e.encrypt_final, "EVP_EncryptFinal_ex") &&
         find(e.decrypt_init, "EVP_DecryptInit_ex") && find(e.decrypt_update, "EVP_DecryptUpdate") &&
         find(e.decrypt_final, "EVP_DecryptFinal_ex") && find(e.md_fetch, "EVP_MD_fetch") &&
         find(e.md_ctx_new, "EVP_MD_CTX_new") && find(e.md_ctx_free, "EVP_MD_CTX_free") &&
         find(e.digest_init, "EVP_DigestInit_ex") && find(e.digest_update, "EVP_DigestUpdate") &&
         find(e.digest_final, "EVP_DigestFinal_ex") && find(e.cleanse, "OPENSSL_cleanse") &&
         find(e.clear_error, "ERR_clear_error");
}

const Evp* evp() {
  static Evp table;
  static const bool complete = load(table);
  return complete ? &table : nullptr;
}

}  // namespace netquic
