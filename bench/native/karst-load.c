// Load on one karst store over its own protocol (docs/PROTOCOL.md), about as light as the client that loads etcd, so that
// neither store is throttled by its client. A template is a whole frame; three places of it change: request id, digits of
// the key and the checksum of the header. How to call it: load-core.h.
#include "load-core.h"

enum { kHeaderBytes = 24, kKindOffset = 3, kIdOffset = 8, kBodyOffset = 16, kCrcOffset = 20, kProtocolError = 3, kResponse = 0x80 };

static uint32_t crcTable[256];

static void makeCrcTable(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; bit++) c = (c & 1) ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    crcTable[i] = c;
  }
}

static uint32_t crc32c(const uint8_t *data, size_t length) {
  uint32_t c = 0xffffffffu;
  for (size_t i = 0; i < length; i++) c = crcTable[(c ^ data[i]) & 0xff] ^ (c >> 8);
  return c ^ 0xffffffffu;
}

static uint32_t u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

static uint16_t u16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, 2);
  return value;
}

// A masked binary WebSocket message with a zero mask: the payload stays as it is (RFC 6455 section 5.3).
static size_t putMessageHeader(uint8_t *out, size_t bytes) {
  size_t at = 0;
  out[at++] = 0x82;
  if (bytes < 126) out[at++] = 0x80 | (uint8_t)bytes;
  else if (bytes < 65536) {
    out[at++] = 0x80 | 126;
    out[at++] = (uint8_t)(bytes >> 8);
    out[at++] = (uint8_t)bytes;
  } else {
    out[at++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (uint8_t)((uint64_t)bytes >> shift);
  }
  memset(out + at, 0, 4);
  return at + 4;
}

static void appendMessage(Connection *c, const uint8_t *frame, size_t bytes) {
  uint8_t *out = outRoom(c, bytes + 14);
  size_t head = putMessageHeader(out, bytes);
  memcpy(out + head, frame, bytes);
  c->outLength += head + bytes;
}

static void openProtocol(Connection *c, const char *host, int port) {
  if (!plan.hello) refuse("the plan has no hello");
  if (!crcTable[1]) makeCrcTable();
  char text[512];
  int length = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: a2Fyc3QtbG9hZC1rZXkhIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host, port);
  appendOut(c, text, (size_t)length);
  flushOut(c);
  for (;;) {
    ssize_t got = recv(c->fd, c->in + c->inLength, c->inCapacity - c->inLength, 0);
    if (got <= 0) die("WebSocket upgrade");
    c->inLength += (size_t)got;
    uint8_t *end = memmem(c->in, c->inLength, "\r\n\r\n", 4);
    if (!end) continue;
    if (memcmp(c->in, "HTTP/1.1 101", 12) != 0) refuse("the server does not speak WebSocket here");
    size_t head = (size_t)(end - c->in) + 4;
    memmove(c->in, c->in + head, c->inLength -= head);
    break;
  }
  appendMessage(c, plan.hello, plan.helloBytes);
  flushOut(c);
}

static int queueRequest(Connection *c, uint32_t slot, const Template *t) {
  uint8_t *frame = t->bytes;
  uint64_t id = slot + 1;
  memcpy(frame + kIdOffset, &id, 8);
  fillTemplate(t);
  uint32_t crc = crc32c(frame, kCrcOffset);
  memcpy(frame + kCrcOffset, &crc, 4);
  appendMessage(c, frame, t->length);
  return 1;
}

/** Field 0 of every response table is `error`, whose field 0 is its kind. Returns 0 when it is absent. */
static int errorKind(const uint8_t *body, size_t bytes) {
  if (bytes < 8) return -1;
  size_t table = u32(body);
  if (table + 4 > bytes) return -1;
  int64_t vtable = (int64_t)table - (int32_t)u32(body + table);
  if (vtable < 0 || (size_t)vtable + 4 > bytes) return -1;
  if (u16(body + vtable) < 6 || (size_t)vtable + 6 > bytes || u16(body + vtable + 4) == 0) return 0;
  size_t field = table + u16(body + vtable + 4);
  if (field + 4 > bytes) return -1;
  size_t error = field + u32(body + field);
  if (error + 4 > bytes) return -1;
  int64_t errorVtable = (int64_t)error - (int32_t)u32(body + error);
  if (errorVtable < 0 || (size_t)errorVtable + 6 > bytes || u16(body + errorVtable) < 6) return -1;
  size_t kind = error + u16(body + errorVtable + 4);
  return kind < bytes && body[kind] != 0 ? body[kind] : -1;
}

static void takeFrames(Connection *c, const uint8_t *data, size_t bytes) {
  while (bytes >= kHeaderBytes) {
    size_t body = u32(data + kBodyOffset);
    uint32_t id = u32(data + kIdOffset);
    if (kHeaderBytes + body > bytes) refuse("a frame is longer than its message");
    if (data[kKindOffset] == kProtocolError) refuse("the server answered ProtocolError");
    if ((data[kKindOffset] & kResponse) && id >= 1 && id <= (uint32_t)plan.window) {
      int kind = errorKind(data + kHeaderBytes, body);
      char text[64];
      snprintf(text, sizeof text, kind < 0 ? "an answer that is no table" : "ErrorKind %d", kind);
      c->slots[id - 1].answerBytes = body;
      finishRequest(c, id - 1, kind == 0 ? NULL : text);
    }
    data += kHeaderBytes + body;
    bytes -= kHeaderBytes + body;
  }
}

static size_t takeMessages(Connection *c) {
  size_t at = 0;
  for (;;) {
    size_t left = c->inLength - at, head = 2;
    if (left < 2) return at;
    uint64_t bytes = c->in[at + 1] & 0x7f;
    if (bytes == 126) {
      if (left < 4) return at;
      bytes = (uint64_t)c->in[at + 2] << 8 | c->in[at + 3];
      head = 4;
    } else if (bytes == 127) {
      if (left < 10) return at;
      bytes = 0;
      for (size_t i = 0; i < 8; i++) bytes = bytes << 8 | c->in[at + 2 + i];
      head = 10;
    }
    if (left < head + bytes) return at;
    if ((c->in[at] & 0x0f) == 8) refuse("the server closed the WebSocket");
    if ((c->in[at] & 0x0f) == 2) takeFrames(c, c->in + at + head, bytes);
    at += head + bytes;
  }
}
