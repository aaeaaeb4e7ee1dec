// Load on one etcd over gRPC: just as much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as one kind of client needs. Its
// header block is constant, answers' headers are not decoded: an answer without a message is an error (gRPC "trailers
// only"). A template is a gRPC message with its 5-byte prefix; `path` names the method. How to call it: load-core.h.
#include "load-core.h"

enum { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7, kWindowUpdate = 8 };
enum { kEndStream = 1, kAck = 1, kEndHeaders = 4, kFrameHead = 9, kFrameMax = 16384, kRing = 1 << 16, kNoSlot = 0xffff };
enum { kGivenWindow = 0x7fffffff, kRenewBytes = 1 << 29 };

typedef struct {
  uint32_t nextStream;
  int64_t sendWindow;
  size_t unrenewed;
  uint16_t slotOf[kRing];
  uint8_t block[512];
} Http2;

static size_t frameHead(uint8_t *at, size_t length, int type, int flags, uint32_t stream) {
  const uint8_t head[kFrameHead] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, (uint8_t)type, (uint8_t)flags,
    (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  memcpy(at, head, kFrameHead);
  return kFrameHead;
}

static void appendFrame(Connection *c, int type, int flags, uint32_t stream, const void *body, size_t length) {
  uint8_t *out = outRoom(c, kFrameHead + length);
  memcpy(out + frameHead(out, length, type, flags, stream), body, length);
  c->outLength += kFrameHead + length;
}

static void giveWindow(Connection *c, uint32_t bytes) {
  const uint8_t body[4] = {(uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes};
  appendFrame(c, kWindowUpdate, 0, 0, body, 4);
}

/** Literal without indexing; strings are not Huffman-coded. `name`: index in the static table. */
static size_t literal(uint8_t *at, int name, const char *value) {
  size_t n = 0, length = strlen(value);
  if (name < 15) at[n++] = (uint8_t)name;
  else {
    at[n++] = 15;
    at[n++] = (uint8_t)(name - 15);
  }
  if (length >= 127) refuse("a header is too long");
  at[n++] = (uint8_t)length;
  memcpy(at + n, value, length);
  return n + length;
}

static size_t headerBlock(uint8_t *at, const char *authority, const char *path) {
  size_t n = 0;
  at[n++] = 0x83; // :method POST
  at[n++] = 0x86; // :scheme http
  n += literal(at + n, 4, path);
  n += literal(at + n, 1, authority);
  n += literal(at + n, 31, "application/grpc");
  static const uint8_t te[] = {0x00, 2, 't', 'e', 8, 't', 'r', 'a', 'i', 'l', 'e', 'r', 's'};
  memcpy(at + n, te, sizeof te);
  return n + sizeof te;
}

static char authority[64];

static void openProtocol(Connection *c, const char *host, int port) {
  static const uint8_t settings[] = {0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff}; // no table, no push, full windows
  Http2 *h = c->protocol = must(calloc(1, sizeof *h));
  memset(h->slotOf, 0xff, sizeof h->slotOf);
  h->nextStream = 1;
  h->sendWindow = 65535;
  snprintf(authority, sizeof authority, "%s:%d", host, port);
  appendOut(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  appendFrame(c, kSettings, 0, 0, settings, sizeof settings);
  giveWindow(c, kGivenWindow - 65535);
  flushOut(c);
}

static int queueRequest(Connection *c, uint32_t slot, const Template *t) {
  Http2 *h = c->protocol;
  if (t->length > 65535) refuse("a request is larger than the window of a stream");
  if (h->sendWindow < (int64_t)t->length) return 0;
  uint32_t stream = h->nextStream;
  if (h->slotOf[(stream >> 1) % kRing] != kNoSlot) refuse("an answer is missing since 65,536 requests");
  h->nextStream += 2;
  h->slotOf[(stream >> 1) % kRing] = (uint16_t)slot;
  h->sendWindow -= (int64_t)t->length;
  c->slots[slot].protocol = stream;
  appendFrame(c, kHeaders, kEndHeaders, stream, h->block, headerBlock(h->block, authority, t->path));
  fillTemplate(t);
  for (size_t at = 0; at < t->length; at += kFrameMax) {
    size_t part = t->length - at < kFrameMax ? t->length - at : kFrameMax;
    appendFrame(c, kData, at + part == t->length ? kEndStream : 0, stream, t->bytes + at, part);
  }
  return 1;
}

static void finishStream(Connection *c, uint32_t stream, const char *error) {
  Http2 *h = c->protocol;
  uint16_t *place = &h->slotOf[(stream >> 1) % kRing];
  if (*place == kNoSlot || c->slots[*place].protocol != stream) return;
  uint32_t slot = *place;
  *place = kNoSlot;
  finishRequest(c, slot, error ? error : c->slots[slot].answerBytes < 5 ? "a gRPC status without a message" : NULL);
}

static void takeFrame(Connection *c, int type, int flags, uint32_t stream, const uint8_t *body, size_t length) {
  Http2 *h = c->protocol;
  if (type == kData) {
    uint16_t slot = h->slotOf[(stream >> 1) % kRing];
    if (slot != kNoSlot) c->slots[slot].answerBytes += length;
    if ((h->unrenewed += length) >= kRenewBytes) {
      giveWindow(c, (uint32_t)h->unrenewed);
      h->unrenewed = 0;
    }
  }
  if ((type == kData || type == kHeaders) && (flags & kEndStream)) finishStream(c, stream, NULL);
  else if (type == kReset) finishStream(c, stream, "the stream was reset");
  else if (type == kSettings && !(flags & kAck)) appendFrame(c, kSettings, kAck, 0, "", 0);
  else if (type == kPing && !(flags & kAck)) appendFrame(c, kPing, kAck, 0, body, length);
  else if (type == kGoAway) refuse("the server sent GOAWAY");
  else if (type == kWindowUpdate && stream == 0) {
    h->sendWindow += (int64_t)body[0] << 24 | (int64_t)body[1] << 16 | (int64_t)body[2] << 8 | (int64_t)body[3];
  }
}

static size_t takeMessages(Connection *c) {
  size_t at = 0;
  for (;;) {
    const uint8_t *head = c->in + at;
    if (c->inLength - at < kFrameHead) return at;
    size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    if (c->inLength - at < kFrameHead + length) return at;
    uint32_t stream = ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) & 0x7fffffffu;
    takeFrame(c, head[3], head[4], stream, head + kFrameHead, length);
    at += kFrameHead + length;
  }
}
