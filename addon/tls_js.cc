// The calls of tls.h as N-API functions. A handle is a tagged object: a value of any other kind throws and never
// reaches a cast. Closing a handle frees what it holds; the garbage collector does so for the rest.
#include <utility>

#include "js.h"
#include "tls.h"

namespace netquic {
namespace {

using tls::Result;

struct Handle {
  enum Kind { TRUST, CONTEXT, SESSION } kind = TRUST;
  tls::Library* library = nullptr;  // TRUST: a context of the other library would cast it to its own class
  std::shared_ptr<tls::Trust> trust;
  std::shared_ptr<tls::Context> context;
  std::unique_ptr<tls::Session> session;
};

constexpr napi_type_tag HANDLE_TAG = {0x6e657471756963a1, 0x8f1d1c55b1a24e07};
constexpr size_t MAX_ARGS = 4;

struct Args {
  size_t count = MAX_ARGS;
  napi_value at[MAX_ARGS] = {};
};

Args read_args(napi_env env, napi_callback_info info) {
  Args args;
  napi_get_cb_info(env, info, &args.count, args.at, nullptr, nullptr);
  return args;
}

void finalize(napi_env, void* data, void*) { delete static_cast<Handle*>(data); }

napi_value wrap(napi_env env, std::unique_ptr<Handle> handle) {
  napi_value object = js_object(env);
  if (!object || napi_type_tag_object(env, object, &HANDLE_TAG) != napi_ok) return nullptr;
  if (napi_wrap(env, object, handle.get(), finalize, nullptr, nullptr) != napi_ok) return nullptr;
  handle.release();
  return object;
}

// Null, with an exception pending, when `value` is not a handle of this kind.
Handle* unwrap(napi_env env, napi_value value, Handle::Kind kind) {
  bool tagged = false;
  void* data = nullptr;
  if (js_is_object(env, value) && napi_check_object_type_tag(env, value, &HANDLE_TAG, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, value, &data) == napi_ok && static_cast<Handle*>(data)->kind == kind)
    return static_cast<Handle*>(data);
  fail(env, "ERR_INVALID_ARG_TYPE", "not a TLS handle of this kind");
  return nullptr;
}

// Null, with an exception pending, when `value` names no library that is there.
tls::Library* library_of(napi_env env, napi_value value, std::string* why) {
  std::string name;
  if (!js_to_string(env, value, &name) || (name != "openssl" && name != "gnutls")) {
    fail(env, "ERR_INVALID_ARG_TYPE", "the library is openssl or gnutls");
    return nullptr;
  }
  tls::Library* library = name == "openssl" ? tls::openssl_library(why) : tls::gnutls_library(why);
  if (!library) fail(env, "ERR_NETQUIC_NO_TLS", why->c_str());
  return library;
}

bool read_identities(napi_env env, napi_value config, std::vector<tls::Identity>* out) {
  std::vector<std::string> names, certs, keys;
  if (!js_get_strings(env, config, "names", &names) || !js_get_strings(env, config, "certs", &certs) ||
      !js_get_strings(env, config, "keys", &keys) || certs.size() != names.size() || keys.size() != names.size())
    return false;
  for (size_t i = 0; i < names.size(); i++) out->push_back({names[i], certs[i], keys[i]});
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Keys come in lower-case hexadecimal.
bool read_psks(napi_env env, napi_value config, std::vector<tls::Psk>* out) {
  std::vector<std::string> identities, keys;
  if (!js_get_strings(env, config, "pskIdentities", &identities) || !js_get_strings(env, config, "pskKeys", &keys) ||
      keys.size() != identities.size())
    return false;
  for (size_t i = 0; i < keys.size(); i++) {
    const std::string& hex = keys[i];
    std::string key;
    for (size_t at = 0; at + 1 < hex.size(); at += 2) {
      int high = hex_digit(hex[at]), low = hex_digit(hex[at + 1]);
      if (high < 0 || low < 0) return false;
      key.push_back(char(high * 16 + low));
    }
    if (identities[i].empty() || key.empty() || key.size() * 2 != hex.size()) return false;
    out->push_back({identities[i], key});
  }
  return true;
}

bool read_config(napi_env env, napi_value value, tls::Config* out) {
  double client_cert = 0;
  if (!js_is_object(env, value) || !js_get_bool(env, value, "isServer", &out->is_server) ||
      !js_get_bool(env, value, "report", &out->report) || !js_get_bool(env, value, "keylog", &out->keylog) ||
      !js_get_bool(env, value, "earlyData", &out->early_data) ||
      !js_get_number(env, value, "clientCert", &client_cert) || !js_get_strings(env, value, "alpn", &out->alpn) ||
      !js_get_string(env, value, "ciphers", &out->ciphers) || !js_get_string(env, value, "groups", &out->groups) ||
      !read_identities(env, value, &out->identities) || !read_psks(env, value, &out->psks))
    return false;
  if (client_cert == 1) out->client_cert = tls::ClientCert::REQUEST;
  if (client_cert == 2) out->client_cert = tls::ClientCert::REQUIRE;
  for (const std::string& protocol : out->alpn)
    if (protocol.empty() || protocol.size() > 255) return false;
  return !out->alpn.empty() && (!out->is_server || out->identities.empty() != out->psks.empty());
}

// tlsLibrary(name) -> {version, missing}: one of the two is "".
napi_value tls_library(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  std::string name, why;
  if (args.count < 1 || !js_to_string(env, args.at[0], &name) || (name != "openssl" && name != "gnutls"))
    return fail(env, "ERR_INVALID_ARG_TYPE", "the library is openssl or gnutls");
  tls::Library* library = name == "openssl" ? tls::openssl_library(&why) : tls::gnutls_library(&why);
  napi_value result = js_object(env);
  js_set_string(env, result, "version", library ? library->version : "");
  js_set_string(env, result, "missing", library ? "" : why);
  return result;
}

// tlsHasGroup(library, name) -> boolean. The name is as the library spells it.
napi_value tls_has_group(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  std::string why, name;
  tls::Library* library = library_of(env, args.at[0], &why);
  if (!library) return nullptr;
  if (!js_to_string(env, args.at[1], &name) || name.find('\0') != std::string::npos)
    return fail(env, "ERR_INVALID_ARG_TYPE", "a group has a name");
  napi_value result = nullptr;
  napi_get_boolean(env, library->has_group(name), &result);
  return result;
}

// tlsTrust(library, {pems, lenient, crls}) -> handle.
napi_value tls_trust(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  std::string why;
  tls::TrustOptions options;
  tls::Library* library = library_of(env, args.at[0], &why);
  if (!library) return nullptr;
  if (!js_is_object(env, args.at[1]) || !js_get_strings(env, args.at[1], "pems", &options.pems) ||
      !js_get_bool(env, args.at[1], "lenient", &options.lenient) ||
      !js_get_strings(env, args.at[1], "crls", &options.crls))
    return fail(env, "ERR_INVALID_ARG_TYPE", "tlsTrust: bad options");
  auto handle = std::make_unique<Handle>();
  handle->kind = Handle::TRUST;
  handle->library = library;
  handle->trust = library->new_trust(options, &why);
  if (!handle->trust) return fail(env, "ERR_NETQUIC_TLS_CONFIG", why.c_str());
  return wrap(env, std::move(handle));
}

// tlsContext(library, config, trust) -> handle.
napi_value tls_context(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  std::string why;
  tls::Config config;
  tls::Library* library = library_of(env, args.at[0], &why);
  if (!library) return nullptr;
  if (!read_config(env, args.at[1], &config)) return fail(env, "ERR_INVALID_ARG_TYPE", "tlsContext: bad config");
  Handle* trust = unwrap(env, args.at[2], Handle::TRUST);
  if (!trust) return nullptr;
  if (!trust->trust) return fail(env, "ERR_INVALID_STATE", "the TLS trust is closed");
  if (trust->library != library) return fail(env, "ERR_INVALID_ARG_TYPE", "the TLS handle is of the other library");
  auto handle = std::make_unique<Handle>();
  handle->kind = Handle::CONTEXT;
  handle->context = library->new_context(std::move(config), trust->trust, &why);
  if (!handle->context) return fail(env, "ERR_NETQUIC_TLS_CONFIG", why.c_str());
  return wrap(env, std::move(handle));
}

// tlsSession(context, options) -> handle. A client's first flight is queued at once.
napi_value tls_session(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  Handle* context = unwrap(env, args.at[0], Handle::CONTEXT);
  if (!context) return nullptr;
  tls::SessionOptions options;
  napi_value value = args.at[1];
  if (!js_is_object(env, value) || !js_get_bytes(env, value, "transportParams", &options.transport_params) ||
      !js_get_bytes(env, value, "ticket", &options.ticket) ||
      !js_get_bytes(env, value, "ticketKeys", &options.ticket_keys) ||
      !js_get_bool(env, value, "earlyData", &options.early_data) || !js_get_string(env, value, "sni", &options.sni) ||
      !js_get_string(env, value, "verifyDns", &options.verify_dns) ||
      !js_get_string(env, value, "verifyIp", &options.verify_ip))
    return fail(env, "ERR_INVALID_ARG_TYPE", "tlsSession: bad options");
  if (!context->context) return fail(env, "ERR_INVALID_STATE", "the TLS context is closed");
  std::string why;
  auto handle = std::make_unique<Handle>();
  handle->kind = Handle::SESSION;
  handle->session = context->context->new_session(options, &why);
  if (!handle->session) return fail(env, "ERR_NETQUIC_TLS_CONFIG", why.c_str());
  return wrap(env, std::move(handle));
}

// tlsPut(session, level, bytes).
napi_value tls_put(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  Handle* handle = unwrap(env, args.at[0], Handle::SESSION);
  if (!handle) return nullptr;
  double level = -1;
  std::string bytes;
  if (napi_get_value_double(env, args.at[1], &level) != napi_ok || !(level >= tls::LEVEL_INITIAL) ||
      level > tls::LEVEL_APP || level != int(level) || !js_to_bytes(env, args.at[2], &bytes))
    return fail(env, "ERR_INVALID_ARG_TYPE", "tlsPut: bad level or bytes");
  if (handle->session) handle->session->put(int(level), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return nullptr;
}

// tlsAllowEarlyData(session, alpn): a server's, before the ClientHello is complete.
napi_value tls_allow_early_data(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  Handle* handle = unwrap(env, args.at[0], Handle::SESSION);
  if (!handle) return nullptr;
  std::string alpn;
  if (!js_to_string(env, args.at[1], &alpn) || alpn.empty())
    return fail(env, "ERR_INVALID_ARG_TYPE", "tlsAllowEarlyData: a protocol has a name");
  if (handle->session) handle->session->allow_early_data(std::move(alpn));
  return nullptr;
}

napi_value info_object(napi_env env, const tls::Info& info) {
  napi_value object = js_object(env);
  js_set_string(env, object, "alpn", info.alpn);
  js_set_string(env, object, "serverName", info.server_name);
  js_set_string(env, object, "cipher", info.cipher);
  js_set_string(env, object, "group", info.group);
  js_set_string(env, object, "pskIdentity", info.psk_identity);
  js_set_bool(env, object, "resumed", info.resumed);
  js_set_bool(env, object, "earlyDataAccepted", info.early_data_accepted);
  napi_value certs = nullptr;
  napi_create_array_with_length(env, info.peer_certs.size(), &certs);
  for (size_t i = 0; i < info.peer_certs.size(); i++)
    napi_set_element(env, certs, uint32_t(i), js_bytes(env, info.peer_certs[i].data(), info.peer_certs[i].size()));
  js_set(env, object, "peerCertificates", certs);
  js_set_number(env, object, "verifyCode", info.verify_code);
  return object;
}

napi_value result_object(napi_env env, const Result& result) {
  static const char* const NAMES[] = {"send", "secret", "peer-params", "done", "ticket", "keylog", "alert"};
  napi_value object = js_object(env);
  js_set_string(env, object, "kind", NAMES[result.kind]);
  switch (result.kind) {
    case Result::SEND:
      js_set_number(env, object, "level", result.level);
      js_set_bytes(env, object, "bytes", result.bytes);
      break;
    case Result::SECRET:
      js_set_number(env, object, "level", result.level);
      js_set_string(env, object, "direction", result.is_write ? "write" : "read");
      js_set_number(env, object, "aead", result.aead);
      js_set_bytes(env, object, "secret", result.bytes);
      break;
    case Result::PEER_PARAMS: js_set_bytes(env, object, "bytes", result.bytes); break;
    case Result::TICKET:
      js_set_bytes(env, object, "bytes", result.bytes);
      js_set_number(env, object, "verifyCode", result.verify_code);
      break;
    case Result::DONE: js_set(env, object, "info", info_object(env, *result.info)); break;
    case Result::KEYLOG: js_set_string(env, object, "line", result.bytes); break;
    case Result::ALERT:
      js_set_number(env, object, "alert", result.alert);
      js_set_number(env, object, "verifyCode", result.verify_code);
      js_set_string(env, object, "reason", result.bytes);
      break;
  }
  return object;
}

// tlsTake(session) -> the next result, or null.
napi_value tls_take(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  Handle* handle = unwrap(env, args.at[0], Handle::SESSION);
  if (!handle) return nullptr;
  if (!handle->session || handle->session->results.empty()) {
    napi_value null = nullptr;
    napi_get_null(env, &null);
    return null;
  }
  Result result = std::move(handle->session->results.front());
  handle->session->results.pop_front();
  return result_object(env, result);
}

// tlsClose(handle): idempotent. Sessions keep what they need of a closed context, contexts of a closed trust.
napi_value tls_close(napi_env env, napi_callback_info info) {
  Args args = read_args(env, info);
  bool tagged = false;
  void* data = nullptr;
  if (!js_is_object(env, args.at[0]) ||
      napi_check_object_type_tag(env, args.at[0], &HANDLE_TAG, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, args.at[0], &data) != napi_ok)
    return fail(env, "ERR_INVALID_ARG_TYPE", "not a TLS handle");
  Handle* handle = static_cast<Handle*>(data);
  handle->session.reset();
  handle->context.reset();
  handle->trust.reset();
  return nullptr;
}

}  // namespace

void init_tls(napi_env env, napi_value exports) {
  export_function(env, exports, "tlsLibrary", tls_library);
  export_function(env, exports, "tlsHasGroup", tls_has_group);
  export_function(env, exports, "tlsTrust", tls_trust);
  export_function(env, exports, "tlsContext", tls_context);
  export_function(env, exports, "tlsSession", tls_session);
  export_function(env, exports, "tlsPut", tls_put);
  export_function(env, exports, "tlsAllowEarlyData", tls_allow_early_data);
  export_function(env, exports, "tlsTake", tls_take);
  export_function(env, exports, "tlsClose", tls_close);
}

}  // namespace netquic
