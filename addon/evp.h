// The EVP functions of the OpenSSL inside the running Node, found by name: Node 20 carries 3.0 and Node 26 carries 3.5,
// both export them, and one build of the addon serves both. The prototypes are our own; no OpenSSL header is needed.
#pragma once
#include <stddef.h>

namespace netquic {

struct EvpCtx;     // EVP_CIPHER_CTX
struct EvpCipher;  // EVP_CIPHER
struct EvpMd;      // EVP_MD
struct EvpMdCtx;   // EVP_MD_CTX

// OSSL_PARAM: a value by name; an array of them ends with a null key.
struct EvpParam {
  const char* key;
  unsigned int type;
  void* data;
  size_t size;
  size_t return_size;
};
constexpr unsigned int EVP_PARAM_UTF8 = 4;
constexpr unsigned int EVP_PARAM_OCTETS = 5;

constexpr int EVP_CTRL_SET_IVLEN = 0x9;
constexpr int EVP_CTRL_SET_TAG = 0x11;

struct Evp {
  EvpCtx* (*ctx_new)();
  void (*ctx_free)(EvpCtx*);  // wipes the key schedule
  int (*ctrl)(EvpCtx*, int type, int arg, void* ptr);
  int (*get_params)(EvpCtx*, EvpParam*);
  int (*set_params)(EvpCtx*, const EvpParam*);
  int (*set_padding)(EvpCtx*, int pad);
  EvpCipher* (*fetch)(void* libctx, const char* name, const char* properties);
  int (*encrypt_init)(EvpCtx*, const EvpCipher*, void* engine, const unsigned char* key, const unsigned char* iv);
  int (*encrypt_update)(EvpCtx*, unsigned char* out, int* out_len, const unsigned char* in, int in_len);
  int (*encrypt_final)(EvpCtx*, unsigned char* out, int* out_len);
  int (*decrypt_init)(EvpCtx*, const EvpCipher*, void* engine, const unsigned char* key, const unsigned char* iv);
  int (*decrypt_update)(EvpCtx*, unsigned char* out, int* out_len, const unsigned char* in, int in_len);
  int (*decrypt_final)(EvpCtx*, unsigned char* out, int* out_len);
  EvpMd* (*md_fetch)(void* libctx, const char* name, const char* properties);
  EvpMdCtx* (*md_ctx_new)();
  void (*md_ctx_free)(EvpMdCtx*);  // wipes its state
  int (*digest_init)(EvpMdCtx*, const EvpMd*, void* engine);
  int (*digest_update)(EvpMdCtx*, const void* data, size_t size);
  int (*digest_final)(EvpMdCtx*, unsigned char* out, unsigned int* out_len);
  void (*cleanse)(void*, size_t);
  void (*clear_error)();
};

// Null when this process has no such OpenSSL. Looked up once.
const Evp* evp();

}  // namespace netquic
