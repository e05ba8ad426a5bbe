// The engine of AEAD_NONE: 1-RTT packets in the clear, when both sides asked for it (transport parameter 0xbaad). Nothing is
// encrypted, nothing is authenticated: no tag, no header mask. A packet that is sealed is only brought together.
#include <string.h>

#include <new>

#include "aead_engine.h"

namespace netquic {

namespace {

bool plain_supports(int aead) { return aead == AEAD_NONE; }

PacketKey* plain_packet_key_new(int, const uint8_t*) { return new (std::nothrow) PacketKey(); }

HeaderKey* plain_header_key_new(int, const uint8_t*) { return new (std::nothrow) HeaderKey(); }

void plain_packet_key_rest(PacketKey*) {}

void plain_packet_key_free(PacketKey* key) { delete key; }

void plain_header_key_free(HeaderKey* key) { delete key; }

bool plain_seal(PacketKey*, const uint8_t*, const uint8_t*, size_t, const Piece* pieces, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (pieces[i].from != pieces[i].to) memmove(pieces[i].to, pieces[i].from, pieces[i].size);
  return true;
}

bool plain_open(PacketKey*, const uint8_t*, const uint8_t*, size_t, uint8_t*, size_t) { return true; }

bool plain_masks(HeaderKey*, const uint8_t*, uint8_t* masks, size_t count) {
  memset(masks, 0, count * SAMPLE_BYTES);
  return true;
}

}  // namespace

const AeadEngine PLAIN_ENGINE = {
    "none",                0,          0,          plain_supports, plain_packet_key_new, plain_header_key_new,
    plain_packet_key_rest, plain_packet_key_free,  plain_header_key_free,
    plain_seal,            plain_open, plain_masks,
};

}  // namespace netquic
