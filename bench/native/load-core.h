// What karst-load.c and etcd-load.c share, so that both stores meet the same client: the plan (which request comes next,
// with which key), connections on one epoll loop in one thread, closed and open loop, and the account of answers.
//
//   NAME HOST PORT PLAN_FILE
//
// The plan is lines of words:
//   seconds S | connections N | window W        W requests in flight on each of N connections
//   rate R                                      operations a second that arrive whether or not earlier ones are done; 0: closed loop
//   keys K | theta T | seed S                   draws 0..K-1, zipf with exponent T, 0: uniform
//   records R                                   numbers wrap around here
//   hello FILE | path TEXT                      what the protocol needs beside
//   latencies FILE                              gets one u32 (microseconds, little-endian) an answered operation
//   template SHARE ANSWER_MIN DIGITS FILE OFFSET+DELTA...   a request; at each offset stand the decimal digits of a key,
//                                               which becomes the drawn one plus DELTA. An answer with a body below
//                                               ANSWER_MIN bytes is a failure.
//   values LENGTH OFFSET...                     places of the last template that get random bytes, so that nothing compresses
//
// Open loop: latency counts from the moment a request was due, and everything that was due is sent and waited for.
// Prints one line of JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kWindowMax = 4096, kTemplatesMax = 8, kPlacesMax = 1024, kPoolBytes = 1 << 20, kFirstBufferBytes = 1 << 16, kLatenciesMax = 50000000 };
enum { kDrainUs = 10000000, kPathMax = 255 };

typedef struct {
  double share;
  size_t answerMin;
  int digits;
  uint8_t *bytes;
  size_t length;
  size_t places[kPlacesMax];
  uint64_t deltas[kPlacesMax];
  size_t placeCount;
  size_t valuePlaces[kPlacesMax];
  size_t valueCount, valueBytes;
  char path[kPathMax + 1];
} Template;

typedef struct {
  uint64_t dueAtUs;
  uint64_t protocol;
  size_t answerBytes;
  const Template *template;
} Slot;

typedef struct {
  int fd;
  uint8_t *in, *out;
  size_t inLength, inCapacity, outLength, outSent, outCapacity;
  Slot *slots;
  uint32_t *freeSlots;
  uint32_t freeCount;
  void *protocol;
} Connection;

static struct {
  double seconds, rate, theta;
  long connections, window, keys, records;
  uint64_t seed;
  uint8_t *hello;
  size_t helloBytes;
  char latencyPath[4096];
  Template templates[kTemplatesMax];
  size_t templateCount;
} plan;

static struct {
  uint32_t *latencies;
  size_t answered, failed, latencyCount, underWay;
  char firstError[256];
} account;

// --- what a protocol brings
static void openProtocol(Connection *c, const char *host, int port);
/** Appends one request. Returns 0 when flow control forbids it now. */
static int queueRequest(Connection *c, uint32_t slot, const Template *t);
/** Takes whole messages from in[0 .. inLength). Returns the bytes taken. */
static size_t takeMessages(Connection *c);

static uint64_t nowUs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "not as expected");
  exit(1);
}

static void refuse(const char *what) {
  errno = 0;
  die(what);
}

static void *must(void *memory) {
  if (!memory) die("memory");
  return memory;
}

static uint8_t *readFile(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  uint8_t *data = must(malloc(*bytes + 1));
  if (fread(data, 1, *bytes, file) != *bytes) die(path);
  fclose(file);
  return data;
}

// --- the plan

static void readTemplate(char *rest) {
  if (plan.templateCount == kTemplatesMax) refuse("too many templates");
  Template *t = &plan.templates[plan.templateCount++];
  char *save = NULL, *word = strtok_r(rest, " ", &save);
  if (word) t->share = atof(word);
  if ((word = strtok_r(NULL, " ", &save))) t->answerMin = (size_t)atol(word);
  if ((word = strtok_r(NULL, " ", &save))) t->digits = atoi(word);
  if (!(word = strtok_r(NULL, " ", &save))) refuse("a template without a file");
  t->bytes = readFile(word, &t->length);
  while ((word = strtok_r(NULL, " ", &save))) {
    if (t->placeCount == kPlacesMax) refuse("too many places for keys");
    char *delta = strchr(word, '+');
    t->deltas[t->placeCount] = delta ? strtoull(delta + 1, NULL, 10) : 0;
    t->places[t->placeCount++] = (size_t)atol(word);
  }
  for (size_t i = 0; i < t->placeCount; i++) if (t->places[i] + (size_t)t->digits > t->length) refuse("a key outside its template");
}

static void readValues(char *rest, Template *t) {
  char *save = NULL, *word = strtok_r(rest, " ", &save);
  if (word) t->valueBytes = (size_t)atol(word);
  while ((word = strtok_r(NULL, " ", &save))) {
    if (t->valueCount == kPlacesMax) refuse("too many places for values");
    t->valuePlaces[t->valueCount] = (size_t)atol(word);
    if (t->valuePlaces[t->valueCount++] + t->valueBytes > t->length) refuse("a value outside its template");
  }
  if (t->valueBytes > kPoolBytes / 2) refuse("values are too long");
}

static void readPlanLine(char *line) {
  char *rest = strchr(line, ' ');
  if (!rest) return;
  *rest++ = 0;
  if (!strcmp(line, "seconds")) plan.seconds = atof(rest);
  else if (!strcmp(line, "rate")) plan.rate = atof(rest);
  else if (!strcmp(line, "theta")) plan.theta = atof(rest);
  else if (!strcmp(line, "connections")) plan.connections = atol(rest);
  else if (!strcmp(line, "window")) plan.window = atol(rest);
  else if (!strcmp(line, "keys")) plan.keys = atol(rest);
  else if (!strcmp(line, "records")) plan.records = atol(rest);
  else if (!strcmp(line, "seed")) plan.seed = strtoull(rest, NULL, 10);
  else if (!strcmp(line, "hello")) plan.hello = readFile(rest, &plan.helloBytes);
  else if (!strcmp(line, "latencies")) snprintf(plan.latencyPath, sizeof plan.latencyPath, "%s", rest);
  else if (!strcmp(line, "template")) readTemplate(rest);
  else if (!strcmp(line, "values") && plan.templateCount > 0) readValues(rest, &plan.templates[plan.templateCount - 1]);
  else if (!strcmp(line, "path") && plan.templateCount > 0) {
    snprintf(plan.templates[plan.templateCount - 1].path, sizeof plan.templates[0].path, "%s", rest);
  } else refuse(line);
}

static void readPlan(const char *path) {
  size_t bytes;
  char *text = (char *)readFile(path, &bytes), *save = NULL;
  text[bytes] = 0;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) readPlanLine(line);
  if (plan.window < 1 || plan.window > kWindowMax) refuse("window");
  if (plan.records < plan.keys) plan.records = plan.keys;
  if (plan.keys < 1 || plan.connections < 1 || plan.templateCount < 1 || plan.seconds <= 0) refuse("plan");
}

// --- dice

static uint64_t randomState;
static uint8_t pool[kPoolBytes];
static double zipfZetan, zipfAlpha, zipfEta, zipfHalf;

static double nextFloat(void) {
  randomState ^= randomState << 13;
  randomState ^= randomState >> 7;
  randomState ^= randomState << 17;
  return (double)(randomState >> 11) * 0x1p-53;
}

// Gray et al., "Quickly generating billion-record databases" (1994), section 3; as bench/zipf.ts.
static void prepareDice(void) {
  randomState = plan.seed * 0x9e3779b97f4a7c15u | 1u;
  for (int i = 0; i < 16; i++) nextFloat();
  for (size_t i = 0; i < kPoolBytes; i++) pool[i] = (uint8_t)(nextFloat() * 256);
  if (plan.theta == 0) return;
  for (long i = 1; i <= plan.keys; i++) zipfZetan += 1 / pow((double)i, plan.theta);
  zipfAlpha = 1 / (1 - plan.theta);
  zipfEta = (1 - pow(2.0 / (double)plan.keys, 1 - plan.theta)) / (1 - (1 + pow(2, -plan.theta)) / zipfZetan);
  zipfHalf = 1 + pow(0.5, plan.theta);
}

static uint32_t scramble(uint32_t value) {
  uint32_t hash = 0x811c9dc5u;
  for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ ((value >> shift) & 0xff)) * 0x01000193u;
  return hash;
}

static uint64_t nextKey(void) {
  double u = nextFloat();
  if (plan.theta == 0) return (uint64_t)(u * (double)plan.keys);
  double uz = u * zipfZetan;
  uint64_t rank = uz < 1 ? 0 : uz < zipfHalf ? 1 : (uint64_t)((double)plan.keys * pow(zipfEta * u - zipfEta + 1, zipfAlpha));
  if (rank >= (uint64_t)plan.keys) rank = (uint64_t)plan.keys - 1;
  return scramble((uint32_t)rank) % (uint64_t)plan.keys;
}

static Template *nextTemplate(void) {
  if (plan.templateCount == 1) return &plan.templates[0];
  double draw = nextFloat();
  for (size_t i = 0; i + 1 < plan.templateCount; i++) {
    if (draw < plan.templates[i].share) return &plan.templates[i];
    draw -= plan.templates[i].share;
  }
  return &plan.templates[plan.templateCount - 1];
}

static void writeDigits(uint8_t *at, int digits, uint64_t number) {
  for (int i = digits - 1; i >= 0; i--, number /= 10) at[i] = (uint8_t)('0' + number % 10);
}

/** Writes keys and values into a template. */
static void fillTemplate(const Template *t) {
  uint64_t base = nextKey();
  for (size_t i = 0; i < t->placeCount; i++) {
    uint64_t number = base + t->deltas[i];
    writeDigits(t->bytes + t->places[i], t->digits, number >= (uint64_t)plan.records ? number - (uint64_t)plan.records : number);
  }
  for (size_t i = 0; i < t->valueCount; i++) {
    memcpy(t->bytes + t->valuePlaces[i], pool + (size_t)(nextFloat() * kPoolBytes / 2), t->valueBytes);
  }
}

// --- connections

static uint8_t *outRoom(Connection *c, size_t bytes) {
  if (c->outLength + bytes > c->outCapacity) {
    c->outCapacity = (c->outLength + bytes) * 2;
    c->out = must(realloc(c->out, c->outCapacity));
  }
  return c->out + c->outLength;
}

static void appendOut(Connection *c, const void *bytes, size_t length) {
  memcpy(outRoom(c, length), bytes, length);
  c->outLength += length;
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

static void takeInput(Connection *c) {
  if (c->inLength == c->inCapacity) c->in = must(realloc(c->in, c->inCapacity *= 2));
  ssize_t got = recv(c->fd, c->in + c->inLength, c->inCapacity - c->inLength, 0);
  if (got == 0) refuse("the server closed the connection");
  if (got < 0) {
    if (errno == EAGAIN) return;
    die("recv");
  }
  c->inLength += (size_t)got;
  size_t taken = takeMessages(c);
  if (taken > 0 && taken < c->inLength) memmove(c->in, c->in + taken, c->inLength - taken);
  c->inLength -= taken;
}

/** One answer has come in full. `error`: NULL, or what it says. */
static void finishRequest(Connection *c, uint32_t at, const char *error) {
  Slot *slot = &c->slots[at];
  char small[64];
  if (!error && slot->answerBytes < slot->template->answerMin) {
    snprintf(small, sizeof small, "an answer of %zu bytes", slot->answerBytes);
    error = small;
  }
  if (error) {
    if (account.failed++ == 0) snprintf(account.firstError, sizeof account.firstError, "%s", error);
  } else {
    account.answered++;
    if (account.latencyCount < kLatenciesMax) account.latencies[account.latencyCount++] = (uint32_t)(nowUs() - slot->dueAtUs);
  }
  c->freeSlots[c->freeCount++] = at;
  account.underWay--;
}

static int startRequest(Connection *c, uint64_t dueAtUs) {
  const Template *t = nextTemplate();
  uint32_t at = c->freeSlots[c->freeCount - 1];
  c->slots[at] = (Slot){.dueAtUs = dueAtUs, .template = t};
  if (!queueRequest(c, at, t)) return 0;
  c->freeCount--;
  account.underWay++;
  return 1;
}

static void openConnection(Connection *c, const char *host, int port, int epoll) {
  memset(c, 0, sizeof *c);
  c->in = must(malloc(c->inCapacity = kFirstBufferBytes));
  c->slots = must(calloc((size_t)plan.window, sizeof *c->slots));
  c->freeSlots = must(calloc((size_t)plan.window, sizeof *c->freeSlots));
  for (long i = plan.window - 1; i >= 0; i--) c->freeSlots[c->freeCount++] = (uint32_t)i;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) refuse("HOST is not an IPv4 address");
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct timeval limit = {.tv_sec = 5};
  setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  openProtocol(c, host, port);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

// --- the loop

/** Open loop: sends what is due, on the connections in turn. Returns microseconds until something is due. */
static uint64_t sendDue(Connection *all, uint64_t started, uint64_t end, uint64_t *sent) {
  static long turn = 0;
  for (;;) {
    uint64_t due = started + (uint64_t)((double)*sent * 1e6 / plan.rate), now = nowUs();
    if (due >= end) return kDrainUs;
    if (due > now) return due - now;
    long tried = 0;
    while (tried < plan.connections && (all[turn].freeCount == 0 || !startRequest(&all[turn], due))) {
      turn = (turn + 1) % plan.connections;
      tried++;
    }
    if (tried == plan.connections) return kDrainUs;
    (*sent)++;
    turn = (turn + 1) % plan.connections;
  }
}

static void waitAndTake(int epoll, uint64_t mostUs) {
  struct epoll_event events[256];
  if (mostUs > 100000) mostUs = 100000;
  struct timespec limit = {.tv_nsec = (long)mostUs * 1000};
  int count = epoll_pwait2(epoll, events, 256, &limit, NULL);
  for (int i = 0; i < count; i++) takeInput(events[i].data.ptr);
}

static uint64_t runLoop(Connection *all, int epoll, uint64_t started) {
  uint64_t end = started + (uint64_t)(plan.seconds * 1e6), sent = 0, total = (uint64_t)(plan.rate * plan.seconds);
  for (;;) {
    uint64_t now = nowUs(), waitUs = kDrainUs;
    int going = plan.rate > 0 ? sent < total : now < end;
    if (now > end + kDrainUs || (!going && account.underWay == 0)) break;
    if (going && plan.rate > 0) waitUs = sendDue(all, started, end, &sent);
    for (long i = 0; i < plan.connections; i++) {
      Connection *c = &all[i];
      while (going && plan.rate == 0 && c->freeCount > 0 && startRequest(c, nowUs())) {}
      if (c->outLength > 0) flushOut(c);
    }
    waitAndTake(epoll, waitUs);
  }
  // What was due and never answered is a failure, not a gap.
  uint64_t lost = account.underWay + (plan.rate > 0 && sent < total ? total - sent : 0);
  if (lost > 0 && account.failed == 0) snprintf(account.firstError, sizeof account.firstError, "no answer within 10 s of the end");
  account.failed += lost;
  return nowUs();
}

int main(int argc, char **argv) {
  if (argc != 4) refuse("usage: NAME HOST PORT PLAN_FILE");
  readPlan(argv[3]);
  prepareDice();
  account.latencies = must(malloc(kLatenciesMax * sizeof *account.latencies));
  int epoll = epoll_create1(0);
  Connection *all = must(calloc((size_t)plan.connections, sizeof *all));
  for (long i = 0; i < plan.connections; i++) openConnection(&all[i], argv[1], atoi(argv[2]), epoll);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  uint64_t started = nowUs(), ended = runLoop(all, epoll, started);
  getrusage(RUSAGE_SELF, &after);
  FILE *file = fopen(plan.latencyPath, "wb");
  if (!file || fwrite(account.latencies, sizeof *account.latencies, account.latencyCount, file) != account.latencyCount) die(plan.latencyPath);
  fclose(file);
  double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
    (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
  int printed = printf("{\"operations\":%zu,\"failed\":%zu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"firstError\":\"%s\"}\n",
    account.answered, account.failed, (double)(ended - started) / 1e6, cpu, account.firstError);
  if (printed < 0 || fflush(stdout) != 0) die("standard output");
  return 0;
}
