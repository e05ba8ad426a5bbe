// The aead port in native code (src/port/aead.ts): tables of packets sealed, unmasked and opened in place, one call a
// batch. Every row is checked against its buffer and the slot tables before anything of it is written, and what was
// checked is kept in local variables: the tables are JavaScript's and nothing is read from them twice.
#include <new>

#include "addon.h"
#include "aead_keys.h"
#include "evp.h"
#include "hkdf.h"
#include "slot_table.h"
#include "span.h"
#include "timing.h"

namespace netquic {

namespace {

enum { SEAL_OFF, SEAL_PN_OFF, SEAL_PN_LEN, SEAL_END, SEAL_KEY, SEAL_HP, SEAL_PN_LO, SEAL_PN_HI, SEAL_COLS };
enum { GATHER_SOURCE, GATHER_OFF, GATHER_LEN, GATHER_TO, GATHER_COLS };
enum {
  OPEN_OFF, OPEN_PN_OFF, OPEN_END, OPEN_KEY, OPEN_HP, OPEN_PN_LEN, OPEN_PN_LO, OPEN_PN_HI, OPEN_STATUS,
  OPEN_COLS = 10
};
constexpr int32_t OPEN_OK = 1;
constexpr int32_t OPEN_FORGED = 0;
constexpr int32_t OPEN_INVALID = -1;

constexpr uint64_t PN_END = uint64_t(1) << 62;  // RFC 9000 §12.3
constexpr size_t CHUNK = 64;                    // rows whose masks are made together

// One per JavaScript environment (main thread or worker).
struct AeadState {
  SlotTable<PacketKey> keys;
  SlotTable<HeaderKey> header_keys;
};

// A packet whose header mask is due.
struct MaskJob {
  HeaderKey* key;
  uint8_t* first;
  uint8_t* pn;
  int32_t* row;
};

struct Call {
  AeadState* state;
  Bytes buf;
  Ints rows;
  size_t count;
};

constexpr size_t MAX_SOURCES = 256;  // as GATHER_MAX_SOURCES
constexpr size_t MAX_PIECES = 16;     // of one packet that are sealed from where they lie; more are copied first
constexpr int64_t MIN_PIECE_BYTES = 64;  // shorter ones are copied first

// Plaintext that lies elsewhere until its packet is sealed, in ascending order of GATHER_TO.
struct Gather {
  Bytes sources[MAX_SOURCES];
  size_t source_count;
  Ints rows;
  size_t count;
  size_t done;
};

uint64_t to_network(uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return __builtin_bswap64(value);
#else
  return value;
#endif
}

uint64_t full_pn(int32_t hi, int32_t lo) { return uint64_t(uint32_t(hi)) << 32 | uint32_t(lo); }

// RFC 9001 §5.3: IV XOR the packet number in network order, right-aligned. By words: bytes that are stored one by one and
// then read as words stall for 30 ns.
void make_nonce(uint8_t nonce[IV_BYTES], const uint8_t* iv, uint64_t pn) {
  constexpr size_t HEAD = IV_BYTES - sizeof pn;
  uint64_t tail;
  memcpy(&tail, iv + HEAD, sizeof tail);
  tail ^= to_network(pn);
  memcpy(nonce, iv, HEAD);
  memcpy(nonce + HEAD, &tail, sizeof tail);
}

// Bits of the first byte that are protected (RFC 9001 §5.4.1).
uint8_t first_byte_mask(uint8_t first) { return (first & 0x80) != 0 ? 0x0f : 0x1f; }

// Makes the masks of all jobs, neighbours under one key in one call.
bool make_masks(const MaskJob* jobs, const uint8_t* samples, uint8_t* masks, size_t count) {
  for (size_t from = 0; from < count;) {
    size_t to = from + 1;
    while (to < count && jobs[to].key == jobs[from].key) to++;
    if (!header_masks(jobs[from].key, samples + from * SAMPLE_BYTES, masks + from * SAMPLE_BYTES, to - from))
      return false;
    from = to;
  }
  return true;
}

void take_sample(const MaskJob& job, uint8_t* sample) {
  if (job.key->sample_bytes != 0) memcpy(sample, job.pn + 4, SAMPLE_BYTES);
}

// The plaintext [start, end) of a packet, in pieces: those that lie elsewhere, and what stands in place between them. The
// number of pieces; 0 when a row is refused. All of [start, end) is inside the buffer.
size_t take_pieces(const Call& c, Gather* g, int64_t start, int64_t end, Piece* pieces) {
  uint8_t* buf = c.buf.data;
  size_t count = 0;
  int64_t at = start;
  for (; g->done < g->count; g->done++) {
    int32_t row[GATHER_COLS];
    memcpy(row, g->rows.data + g->done * GATHER_COLS, sizeof row);
    const int64_t off = row[GATHER_OFF], len = row[GATHER_LEN], to = row[GATHER_TO];
    if (to >= end) break;
    if (row[GATHER_SOURCE] < 0 || size_t(row[GATHER_SOURCE]) >= g->source_count) return 0;
    const Bytes& source = g->sources[row[GATHER_SOURCE]];
    if (off < 0 || len < 0 || to < at || off + len > int64_t(source.size) || to + len > end) return 0;
    if (len < MIN_PIECE_BYTES || count + 3 > MAX_PIECES) {
      memmove(buf + to, source.data + off, size_t(len));
      continue;
    }
    if (to > at) pieces[count++] = {buf + at, buf + at, size_t(to - at)};
    pieces[count++] = {source.data + off, buf + to, size_t(len)};
    at = to + len;
  }
  if (at < end || count == 0) pieces[count++] = {buf + at, buf + at, size_t(end - at)};
  return count;
}

bool seal_row(const Call& c, const int32_t* row, Gather* gather, MaskJob* job) {
  const int64_t off = row[SEAL_OFF], pn_off = row[SEAL_PN_OFF], pn_len = row[SEAL_PN_LEN], end = row[SEAL_END];
  const uint64_t pn = full_pn(row[SEAL_PN_HI], row[SEAL_PN_LO]);
  PacketKey* key = c.state->keys.at(row[SEAL_KEY]);
  job->key = c.state->header_keys.at(row[SEAL_HP]);
  if (key == nullptr || job->key == nullptr) return false;
  if (off < 0 || pn_off <= off || pn_len < 1 || pn_len > 4 || pn_off + pn_len > end) return false;
  // The sample starts as if the packet number had four bytes and must lie inside the packet (RFC 9001 §5.4.2).
  const int64_t packet_end = end + int64_t(key->tag_bytes);
  if (pn_off + 4 + int64_t(job->key->sample_bytes) > packet_end || packet_end > int64_t(c.buf.size)) return false;
  if (pn < key->next || pn >= PN_END) return false;
  Piece pieces[MAX_PIECES];
  const size_t count = take_pieces(c, gather, pn_off + pn_len, end, pieces);
  if (count == 0) return false;
  key->next = pn + 1;

  uint8_t nonce[IV_BYTES];
  make_nonce(nonce, key->iv, pn);
  job->first = c.buf.data + off;
  job->pn = c.buf.data + pn_off;
  return aead_seal_pieces(key, nonce, job->first, size_t(pn_off + pn_len - off), pieces, count);
}

// Seals up to CHUNK rows; the number sealed.
size_t seal_chunk(const Call& c, Gather* gather, size_t first, size_t count) {
  MaskJob jobs[CHUNK];
  uint8_t pn_lens[CHUNK];
  uint8_t samples[CHUNK * SAMPLE_BYTES], masks[CHUNK * SAMPLE_BYTES];
  size_t sealed = 0;
  for (; sealed < count; sealed++) {
    int32_t row[SEAL_COLS];
    memcpy(row, c.rows.data + (first + sealed) * SEAL_COLS, sizeof row);
    if (!seal_row(c, row, gather, &jobs[sealed])) break;
    pn_lens[sealed] = uint8_t(row[SEAL_PN_LEN]);
    take_sample(jobs[sealed], samples + sealed * SAMPLE_BYTES);
  }
  if (!make_masks(jobs, samples, masks, sealed)) return 0;
  for (size_t i = 0; i < sealed; i++) {
    const uint8_t* mask = masks + i * SAMPLE_BYTES;
    *jobs[i].first ^= mask[0] & first_byte_mask(*jobs[i].first);
    for (size_t k = 0; k < pn_lens[i]; k++) jobs[i].pn[k] ^= mask[1 + k];
  }
  return sealed;
}

bool unmask_row(const Call& c, int32_t* row, MaskJob* job) {
  const int64_t off = row[OPEN_OFF], pn_off = row[OPEN_PN_OFF], end = row[OPEN_END];
  job->key = c.state->header_keys.at(row[OPEN_HP]);
  if (job->key == nullptr || off < 0 || pn_off <= off || pn_off > end || end > int64_t(c.buf.size)) return false;
  // without header protection the first byte says how long the packet number is
  const int64_t needed = job->key->sample_bytes != 0 ? 4 + int64_t(SAMPLE_BYTES) : (c.buf.data[off] & 0x03) + 1;
  if (pn_off + needed > end) return false;
  job->first = c.buf.data + off;
  job->pn = c.buf.data + pn_off;
  job->row = row;
  return true;
}

void unmask_chunk(const Call& c, size_t first, size_t count) {
  MaskJob jobs[CHUNK];
  uint8_t samples[CHUNK * SAMPLE_BYTES], masks[CHUNK * SAMPLE_BYTES];
  size_t due = 0;
  for (size_t i = first; i < first + count; i++) {
    int32_t* row = c.rows.data + i * OPEN_COLS;
    if (unmask_row(c, row, &jobs[due])) {
      take_sample(jobs[due], samples + due * SAMPLE_BYTES);
      due++;
    } else {
      row[OPEN_STATUS] = OPEN_INVALID;
    }
  }
  const bool ok = make_masks(jobs, samples, masks, due);
  for (size_t i = 0; i < due; i++) {
    const MaskJob& job = jobs[i];
    // Not yet opened; also clears what an earlier use of the row left here.
    job.row[OPEN_STATUS] = ok ? OPEN_FORGED : OPEN_INVALID;
    if (!ok) continue;
    const uint8_t* mask = masks + i * SAMPLE_BYTES;
    *job.first ^= mask[0] & first_byte_mask(*job.first);
    const int pn_len = (*job.first & 0x03) + 1;
    uint32_t pn = 0;
    for (int k = 0; k < pn_len; k++) {
      job.pn[k] ^= mask[1 + k];
      pn = pn << 8 | job.pn[k];
    }
    job.row[OPEN_PN_LEN] = pn_len;
    job.row[OPEN_PN_LO] = int32_t(pn);
  }
}

int32_t open_row(const Call& c, const int32_t* row) {
  const int64_t off = row[OPEN_OFF], pn_off = row[OPEN_PN_OFF], pn_len = row[OPEN_PN_LEN], end = row[OPEN_END];
  const uint64_t pn = full_pn(row[OPEN_PN_HI], row[OPEN_PN_LO]);
  PacketKey* key = c.state->keys.at(row[OPEN_KEY]);
  if (key == nullptr || off < 0 || pn_off <= off || pn_len < 1 || pn_len > 4 || pn >= PN_END) return OPEN_INVALID;
  if (pn_off + pn_len + int64_t(key->tag_bytes) > end || end > int64_t(c.buf.size)) return OPEN_INVALID;

  uint8_t nonce[IV_BYTES];
  make_nonce(nonce, key->iv, pn);
  uint8_t* start = c.buf.data + pn_off + pn_len;
  const size_t size = size_t(end - pn_off - pn_len) - key->tag_bytes;
  return aead_open(key, nonce, c.buf.data + off, size_t(pn_off + pn_len - off), start, size) ? OPEN_OK : OPEN_FORGED;
}

// The arguments (buf, rows, count) of a batch; rows beyond the table are cut off.
bool batch_args(napi_env env, napi_callback_info info, size_t cols, Call* call) {
  napi_value args[3];
  size_t argc = 3;
  void* data;
  int32_t count;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < 3) return false;
  if (!get_bytes(env, args[0], &call->buf) || !get_ints(env, args[1], &call->rows) || !get_int(env, args[2], &count))
    return false;
  call->state = static_cast<AeadState*>(data);
  const size_t capacity = call->rows.size / cols;
  call->count = count <= 0 ? 0 : size_t(count) < capacity ? size_t(count) : capacity;
  return true;
}

// The arguments (.., sources, gather, gatherCount) of seal, all three or none.
bool gather_args(napi_env env, napi_callback_info info, Gather* g) {
  napi_value args[6];
  size_t argc = 6;
  g->source_count = g->count = g->done = 0;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, nullptr) != napi_ok) return false;
  if (argc < 4) return true;
  uint32_t sources;
  int32_t count;
  if (argc < 6 || napi_get_array_length(env, args[3], &sources) != napi_ok || sources > MAX_SOURCES) return false;
  if (!get_int(env, args[5], &count)) return false;
  napi_value values[MAX_SOURCES];
  // all elements before the first address: an array with accessors runs JavaScript, which may take a buffer away
  for (uint32_t i = 0; i < sources; i++) {
    if (napi_get_element(env, args[3], i, &values[i]) != napi_ok) return false;
  }
  for (; g->source_count < sources; g->source_count++) {
    if (!get_bytes(env, values[g->source_count], &g->sources[g->source_count])) return false;
  }
  if (!get_ints(env, args[4], &g->rows)) return false;
  const size_t capacity = g->rows.size / GATHER_COLS;
  g->count = count <= 0 ? 0 : size_t(count) < capacity ? size_t(count) : capacity;
  return true;
}

napi_value seal(napi_env env, napi_callback_info info) {
  Call c;
  Gather gather;
  if (!gather_args(env, info, &gather) || !batch_args(env, info, SEAL_COLS, &c)) {
    return fail(env, "ERR_INVALID_ARG_TYPE", "aeadSeal(buf, rows, count, sources?, gather?, gatherCount?)");
  }
  size_t done = 0;
  while (done < c.count) {
    const size_t chunk = c.count - done < CHUNK ? c.count - done : CHUNK;
    const size_t sealed = seal_chunk(c, &gather, done, chunk);
    done += sealed;
    if (sealed < chunk) break;
  }
  return make_int(env, int32_t(done));
}

napi_value unmask(napi_env env, napi_callback_info info) {
  Call c;
  if (!batch_args(env, info, OPEN_COLS, &c)) return fail(env, "ERR_INVALID_ARG_TYPE", "aeadUnmask(buf, rows, count)");
  for (size_t done = 0; done < c.count; done += CHUNK)
    unmask_chunk(c, done, c.count - done < CHUNK ? c.count - done : CHUNK);
  return nullptr;
}

napi_value open(napi_env env, napi_callback_info info) {
  Call c;
  if (!batch_args(env, info, OPEN_COLS, &c)) return fail(env, "ERR_INVALID_ARG_TYPE", "aeadOpen(buf, rows, count)");
  size_t opened = 0;
  for (size_t i = 0; i < c.count; i++) {
    int32_t* at = c.rows.data + i * OPEN_COLS;
    int32_t row[OPEN_COLS];
    memcpy(row, at, sizeof row);
    if (row[OPEN_STATUS] == OPEN_INVALID) continue;
    const int32_t status = open_row(c, row);
    at[OPEN_STATUS] = status;
    opened += status == OPEN_OK;
  }
  return make_int(env, int32_t(opened));
}

size_t args_of(napi_env env, napi_callback_info info, napi_value* args, size_t want, AeadState** state) {
  void* data = nullptr;
  size_t argc = want;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok) return 0;
  *state = static_cast<AeadState*>(data);
  return argc;
}

napi_value supports(napi_env env, napi_callback_info info) {
  napi_value args[1];
  AeadState* state;
  int32_t aead;
  if (args_of(env, info, args, 1, &state) < 1 || !get_int(env, args[0], &aead)) return make_bool(env, false);
  return make_bool(env, key_bytes(aead) != 0 && aead_supported(aead));
}

// aeadNewKey(aead, key, iv): a slot, or -1 for an unknown AEAD or a wrong length.
napi_value new_key(napi_env env, napi_callback_info info) {
  napi_value args[3];
  AeadState* state;
  int32_t aead;
  Bytes key, iv;
  if (args_of(env, info, args, 3, &state) < 3 || !get_int(env, args[0], &aead) || !get_bytes(env, args[1], &key) ||
      !get_bytes(env, args[2], &iv) || !aead_supported(aead) || key.size != key_bytes(aead) ||
      iv.size != IV_BYTES)
    return make_int(env, -1);
  PacketKey* made = packet_key_new(aead, key.data, iv.data);
  return make_int(env, made == nullptr ? -1 : state->keys.put(made));
}

napi_value new_header_key(napi_env env, napi_callback_info info) {
  napi_value args[2];
  AeadState* state;
  int32_t aead;
  Bytes key;
  if (args_of(env, info, args, 2, &state) < 2 || !get_int(env, args[0], &aead) || !get_bytes(env, args[1], &key) ||
      !aead_supported(aead) || key.size != key_bytes(aead))
    return make_int(env, -1);
  HeaderKey* made = header_key_new(aead, key.data);
  return make_int(env, made == nullptr ? -1 : state->header_keys.put(made));
}

// True when there was a key to free.
napi_value free_key(napi_env env, napi_callback_info info) {
  napi_value args[1];
  AeadState* state;
  int32_t slot;
  if (args_of(env, info, args, 1, &state) < 1 || !get_int(env, args[0], &slot)) return make_bool(env, false);
  PacketKey* key = state->keys.take(slot);
  if (key != nullptr) packet_key_free(key);
  return make_bool(env, key != nullptr);
}

// True when there was a key to put to rest.
napi_value rest_key(napi_env env, napi_callback_info info) {
  napi_value args[1];
  AeadState* state;
  int32_t slot;
  if (args_of(env, info, args, 1, &state) < 1 || !get_int(env, args[0], &slot)) return make_bool(env, false);
  PacketKey* key = state->keys.at(slot);
  if (key != nullptr) packet_key_rest(key);
  return make_bool(env, key != nullptr);
}

napi_value free_header_key(napi_env env, napi_callback_info info) {
  napi_value args[1];
  AeadState* state;
  int32_t slot;
  if (args_of(env, info, args, 1, &state) < 1 || !get_int(env, args[0], &slot)) return make_bool(env, false);
  HeaderKey* key = state->header_keys.take(slot);
  if (key != nullptr) header_key_free(key);
  return make_bool(env, key != nullptr);
}

// once(sealing, aead, key, nonce, aad, data): `data` ends with the room of the tag and is changed in place.
napi_value once(napi_env env, napi_callback_info info) {
  napi_value args[6];
  AeadState* state;
  bool sealing;
  int32_t aead;
  Bytes key, nonce, aad, data;
  if (args_of(env, info, args, 6, &state) < 6 || napi_get_value_bool(env, args[0], &sealing) != napi_ok ||
      !get_int(env, args[1], &aead) || !get_bytes(env, args[2], &key) || !get_bytes(env, args[3], &nonce) ||
      !get_bytes(env, args[4], &aad) || !get_bytes(env, args[5], &data) || aead == AEAD_NONE ||
      !aead_supported(aead) || key.size != key_bytes(aead) || nonce.size != IV_BYTES || data.size < TAG_BYTES || data.size > INT32_MAX ||
      aad.size > INT32_MAX)
    return fail(env, "ERR_INVALID_ARG_VALUE", "aeadOnce(sealing, aead, key, nonce, aad, data)");
  PacketKey* slot = packet_key_new(aead, key.data, nonce.data);
  if (slot == nullptr) return make_bool(env, false);
  auto run = sealing ? aead_seal : aead_open;
  const bool ok = run(slot, nonce.data, aad.data, aad.size, data.data, data.size - TAG_BYTES);
  packet_key_free(slot);
  return make_bool(env, ok);
}

// hmac(sha384, key, data, out): true when `out` was filled.
napi_value hmac(napi_env env, napi_callback_info info) {
  napi_value args[4];
  AeadState* state;
  bool sha384;
  Bytes key, data, out;
  if (args_of(env, info, args, 4, &state) < 4 || napi_get_value_bool(env, args[0], &sha384) != napi_ok ||
      !get_bytes(env, args[1], &key) || !get_bytes(env, args[2], &data) || !get_bytes(env, args[3], &out) ||
      evp() == nullptr || key.size > INT32_MAX || out.size != (sha384 ? 48u : 32u))
    return make_bool(env, false);
  Hmac hmac(sha384, key.data, key.size);
  return make_bool(env, hmac.sum(data.data, data.size, nullptr, 0, out.data));
}

// expand(sha384, key, specs, out): HKDF-Expand for each of `specs`, a row of (output length, info length, info), into
// `out`, one after another; true when all of it was filled. An output is one block of the hash at most.
napi_value expand(napi_env env, napi_callback_info info) {
  napi_value args[4];
  AeadState* state;
  bool sha384;
  Bytes key, specs, out;
  if (args_of(env, info, args, 4, &state) < 4 || napi_get_value_bool(env, args[0], &sha384) != napi_ok ||
      !get_bytes(env, args[1], &key) || !get_bytes(env, args[2], &specs) || !get_bytes(env, args[3], &out) ||
      evp() == nullptr)
    return make_bool(env, false);
  Hmac hmac(sha384, key.data, key.size);
  const uint8_t counter = 1;
  uint8_t block[DIGEST_BYTES_MAX];
  size_t at = 0, to = 0;
  bool ok = true;
  while (ok && at + 2 <= specs.size) {
    const size_t length = specs.data[at], info_size = specs.data[at + 1];
    at += 2;
    ok = length <= hmac.digest_bytes() && info_size <= specs.size - at && length <= out.size - to &&
         hmac.sum(specs.data + at, info_size, &counter, 1, block);
    if (!ok) break;
    memcpy(out.data + to, block, length);
    at += info_size;
    to += length;
  }
  evp()->cleanse(block, sizeof block);
  return make_bool(env, ok && at == specs.size && to == out.size);
}

void destroy(void* data) {
  AeadState* state = static_cast<AeadState*>(data);
  for (size_t i = 0; i < state->keys.size(); i++)
    if (PacketKey* key = state->keys.take(int64_t(i))) packet_key_free(key);
  for (size_t i = 0; i < state->header_keys.size(); i++)
    if (HeaderKey* key = state->header_keys.take(int64_t(i))) header_key_free(key);
  delete state;
}

}  // namespace

void init_aead(napi_env env, napi_value exports) {
  AeadState* state = new (std::nothrow) AeadState();
  if (state == nullptr) return;
  napi_add_env_cleanup_hook(env, destroy, state);
  export_function(env, exports, "aeadSupports", supports, state);
  export_function(env, exports, "aeadNewKey", new_key, state);
  export_function(env, exports, "aeadFreeKey", free_key, state);
  export_function(env, exports, "aeadRestKey", rest_key, state);
  export_function(env, exports, "aeadNewHeaderKey", new_header_key, state);
  export_function(env, exports, "aeadFreeHeaderKey", free_header_key, state);
  export_function(env, exports, "aeadSeal", timed<seal, TIMED_SEAL>, state);
  export_function(env, exports, "aeadUnmask", timed<unmask, TIMED_UNMASK>, state);
  export_function(env, exports, "aeadOpen", timed<open, TIMED_OPEN>, state);
  export_function(env, exports, "aeadOnce", once, state);
  export_function(env, exports, "aeadHmac", hmac, state);
  export_function(env, exports, "aeadExpand", expand, state);
}

}  // namespace netquic
