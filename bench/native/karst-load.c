// A closed-loop load for one store: N WebSocket connections, W requests in flight on each, one thread, about as light as
// h2load is for etcd, so that neither store is throttled by its client. It repeats one prepared frame and changes three
// places in it: request id, key digits and the checksum of the header (docs/PROTOCOL.md).
//
//   karst-load HOST PORT CONNECTIONS WINDOW SECONDS KEYS HELLO_FILE REQUEST_FILE KEY_OFFSET KEY_DIGITS SEED LATENCY_FILE
//
// Prints: operations failed seconds. LATENCY_FILE gets one u32 (microseconds, little-endian) an operation.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kHeaderBytes = 24, kIdOffset = 8, kCrcOffset = 20, kFlagsOffset = 4, kKindOffset = 3, kBufferBytes = 1 << 20, kWindowMax = 1024 };

typedef struct {
  int fd;
  int upgraded;
  uint8_t *in;
  size_t inLength;
  uint8_t *out;
  size_t outLength, outSent;
  uint64_t sentAtUs[kWindowMax];
  uint32_t freeSlots[kWindowMax];
  int freeCount;
} Connection;

static uint32_t crcTable[256];
static uint8_t *hello, *request;
static size_t helloBytes, requestBytes;
static long keyOffset, keyDigits, keys;
static uint64_t randomState;
static uint32_t *latencies;
static size_t latencyCount, latencyMax, failed;

static uint64_t nowUs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void die(const char *what) {
  fprintf(stderr, "karst-load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint8_t *readFile(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  uint8_t *data = malloc(*bytes);
  if (!data || fread(data, 1, *bytes, file) != *bytes) die(path);
  fclose(file);
  return data;
}

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

static uint64_t nextRandom(void) {
  randomState ^= randomState << 13;
  randomState ^= randomState >> 7;
  randomState ^= randomState << 17;
  return randomState;
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

static void queueRequest(Connection *c) {
  uint32_t slot = c->freeSlots[--c->freeCount];
  uint8_t *frame = request;
  uint32_t id = slot + 1;
  memcpy(frame + kIdOffset, &id, 4);
  memset(frame + kIdOffset + 4, 0, 4);
  uint64_t number = nextRandom() % (uint64_t)keys;
  for (long digit = keyDigits - 1; digit >= 0; digit--, number /= 10) frame[keyOffset + digit] = (uint8_t)('0' + number % 10);
  uint32_t crc = crc32c(frame, kCrcOffset);
  memcpy(frame + kCrcOffset, &crc, 4);
  c->outLength += putMessageHeader(c->out + c->outLength, requestBytes);
  memcpy(c->out + c->outLength, frame, requestBytes);
  c->outLength += requestBytes;
  c->sentAtUs[slot] = nowUs();
}

static void flushOut(Connection *c) {
  while (c->outSent < c->outLength) {
    ssize_t sent = send(c->fd, c->out + c->outSent, c->outLength - c->outSent, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) return;
      die("send");
    }
    c->outSent += (size_t)sent;
  }
  c->outLength = c->outSent = 0;
}

// Frames of one message: responses carry the top bit of kind; flags bit 0 says that the answer is an error.
static void takeFrames(Connection *c, const uint8_t *data, size_t bytes, int counting) {
  while (bytes >= kHeaderBytes) {
    uint32_t body, id, flags;
    memcpy(&body, data + 16, 4);
    memcpy(&id, data + kIdOffset, 4);
    memcpy(&flags, data + kFlagsOffset, 4);
    if (kHeaderBytes + body > bytes) die("a frame is longer than its message");
    if ((data[kKindOffset] & 0x80) && id >= 1 && id <= kWindowMax) {
      if (flags & 1) failed++;
      else if (counting && latencyCount < latencyMax) latencies[latencyCount++] = (uint32_t)(nowUs() - c->sentAtUs[id - 1]);
      c->freeSlots[c->freeCount++] = id - 1;
    }
    data += kHeaderBytes + body;
    bytes -= kHeaderBytes + body;
  }
}

static void takeInput(Connection *c, int counting) {
  ssize_t got = recv(c->fd, c->in + c->inLength, kBufferBytes - c->inLength, 0);
  if (got == 0) { errno = ECONNRESET; die("server closed"); }
  if (got < 0) {
    if (errno == EAGAIN) return;
    die("recv");
  }
  c->inLength += (size_t)got;
  size_t at = 0;
  if (!c->upgraded) {
    uint8_t *end = memmem(c->in, c->inLength, "\r\n\r\n", 4);
    if (!end) return;
    if (memcmp(c->in, "HTTP/1.1 101", 12) != 0) { errno = EPROTO; die("no upgrade"); }
    c->upgraded = 1;
    at = (size_t)(end - c->in) + 4;
  }
  for (;;) {
    size_t left = c->inLength - at, head = 2;
    if (left < 2) break;
    uint64_t bytes = c->in[at + 1] & 0x7f;
    if (bytes == 126) {
      if (left < 4) break;
      bytes = (uint64_t)c->in[at + 2] << 8 | c->in[at + 3];
      head = 4;
    } else if (bytes == 127) {
      if (left < 10) break;
      bytes = 0;
      for (int i = 0; i < 8; i++) bytes = bytes << 8 | c->in[at + 2 + (size_t)i];
      head = 10;
    }
    if (left < head + bytes) break;
    if ((c->in[at] & 0x0f) == 8) { errno = ECONNRESET; die("server closed the WebSocket"); }
    if ((c->in[at] & 0x0f) == 2) takeFrames(c, c->in + at + head, bytes, counting);
    at += head + bytes;
  }
  memmove(c->in, c->in + at, c->inLength - at);
  c->inLength -= at;
}

static void openConnection(Connection *c, const char *host, int port, int window, int epoll) {
  memset(c, 0, sizeof *c);
  c->in = malloc(kBufferBytes);
  c->out = malloc((size_t)window * (requestBytes + 16) + helloBytes + 512);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) { errno = EINVAL; die("host"); }
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->outLength = (size_t)sprintf((char *)c->out, "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: a2Fyc3QtbG9hZC1rZXkhIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host, port);
  flushOut(c);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
  for (int slot = 0; slot < window; slot++) c->freeSlots[c->freeCount++] = (uint32_t)slot;
  struct epoll_event got;
  while (!c->upgraded) {
    if (epoll_wait(epoll, &got, 1, 5000) <= 0) die("upgrade time-out");
    takeInput(got.data.ptr, 0);
  }
  c->outLength = putMessageHeader(c->out, helloBytes);
  memcpy(c->out + c->outLength, hello, helloBytes);
  c->outLength += helloBytes;
  flushOut(c);
}

int main(int argc, char **argv) {
  if (argc != 13) { fprintf(stderr, "usage: see the head of karst-load.c\n"); return 2; }
  int port = atoi(argv[2]), connections = atoi(argv[3]), window = atoi(argv[4]);
  double seconds = atof(argv[5]);
  keys = atol(argv[6]);
  hello = readFile(argv[7], &helloBytes);
  request = readFile(argv[8], &requestBytes);
  keyOffset = atol(argv[9]);
  keyDigits = atol(argv[10]);
  randomState = strtoull(argv[11], NULL, 10) | 1u;
  if (window < 1 || window > kWindowMax || keys < 1 || connections < 1) { errno = EINVAL; die("arguments"); }
  makeCrcTable();
  latencyMax = 20000000;
  latencies = malloc(latencyMax * sizeof *latencies);
  int epoll = epoll_create1(0);
  Connection *all = calloc((size_t)connections, sizeof *all);
  for (int i = 0; i < connections; i++) openConnection(&all[i], argv[1], port, window, epoll);
  uint64_t started = nowUs(), end = started + (uint64_t)(seconds * 1e6);
  for (int i = 0; i < connections; i++) {
    while (all[i].freeCount > 0) queueRequest(&all[i]);
    flushOut(&all[i]);
  }
  struct epoll_event events[256];
  while (nowUs() < end) {
    int count = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < count; i++) {
      Connection *c = events[i].data.ptr;
      takeInput(c, 1);
      while (c->freeCount > 0) queueRequest(c);
      flushOut(c);
    }
  }
  double took = (double)(nowUs() - started) / 1e6;
  FILE *file = fopen(argv[12], "wb");
  if (!file || fwrite(latencies, sizeof *latencies, latencyCount, file) != latencyCount) die(argv[12]);
  fclose(file);
  printf("%zu %zu %.6f\n", latencyCount, failed, took);
  return 0;
}
