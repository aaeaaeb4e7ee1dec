/*
 * A disk that fails, for tests: preload it and say by environment what goes wrong. It reaches fsync, fdatasync, pwrite,
 * pwritev and write of files whose path contains KARST_SHIM_PATH (everything when unset). Counts start at 1 and
 * count matching calls of this process, over all threads.
 *
 *   KARST_SHIM_PATH=text           only files whose real path contains it
 *   KARST_SHIM_SYNC_FAIL_NTH=n     the n-th fsync/fdatasync answers EIO (without syncing); the others work
 *   KARST_SHIM_SYNC_DELAY_MS=ms    each fsync/fdatasync takes that much longer
 *   KARST_SHIM_WRITE_FAIL_NTH=n    the n-th write answers ENOSPC, or KARST_SHIM_WRITE_ERRNO (a number)
 *   KARST_SHIM_TRACE=file          one line per matching sync and per failed write: "sync n path result" / "write n path errno"
 *   KARST_SHIM_CONTROL=file        read at each call; may hold "syncDelayMs N", "syncFail 0|1" (every sync), "writeFail 0|1",
 *                                  one a line: switches faults while the process runs
 *
 *   KARST_SHIM_DISK=folder         keeps there, by file name, what a power failure would leave of the matching files: a sync
 *                                  that works brings what was written with pwrite before it; one that fails forgets it, as
 *                                  ext4 marks such pages clean: readers see it, and no later sync writes it. One folder deep.
 *
 * cc -shared -fPIC -O1 -o fault-io.so fault-io.c -ldl ; LD_PRELOAD=./fault-io.so KARST_SHIM_…=… node …
 * For a process that is sanitized, preload the sanitizer first. test/engine/shim.ts compiles it into a folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long syncs;
static atomic_long writes;

static long number(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : atol(text);
}

static int matches(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length < 0) return 0;
  path[length] = 0;
  const char *wanted = getenv("KARST_SHIM_PATH");
  if (path[0] != '/' || strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0) return 0;
  return wanted == NULL || strstr(path, wanted) != NULL;
}

/* The value of a switch in the control file; 0 when there is none. */
static long control(const char *name) {
  const char *file = getenv("KARST_SHIM_CONTROL");
  if (file == NULL) return 0;
  FILE *stream = fopen(file, "re");
  if (stream == NULL) return 0;
  char word[64];
  long value = 0;
  long found = 0;
  while (fscanf(stream, "%63s %ld", word, &value) == 2) {
    if (strcmp(word, name) == 0) found = value;
  }
  fclose(stream);
  return found;
}

static ssize_t real_write(int fd, const void *bytes, size_t size) {
  static ssize_t (*next)(int, const void *, size_t);
  if (next == NULL) next = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return next(fd, bytes, size);
}

static void trace(const char *what, long count, const char *path, long result) {
  const char *file = getenv("KARST_SHIM_TRACE");
  if (file == NULL) return;
  char line[4300];
  int length = snprintf(line, sizeof line, "%s %ld %s %ld\n", what, count, path, result);
  int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  if (real_write(fd, line, (size_t)length) < 0) abort();
  close(fd);
}

/* --- what is on the disk ------------------------------------------------------------------------------------------- */

struct range {
  char path[512];
  off_t from;
  off_t to;
};
static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct range dirty[4096];
static size_t dirty_count;

static int on_disk(const char *path, char *to, size_t size) {
  const char *folder = getenv("KARST_SHIM_DISK");
  const char *name = strrchr(path, '/');
  if (folder == NULL || name == NULL) return 0;
  return snprintf(to, size, "%s%s", folder, name) < (int)size;
}

static void note_write(int fd, off_t at, size_t size) {
  char path[4096];
  if (getenv("KARST_SHIM_DISK") == NULL || !matches(fd, path, sizeof path)) return;
  pthread_mutex_lock(&disk_mutex);
  struct range *last = dirty_count > 0 ? &dirty[dirty_count - 1] : NULL;
  if (last != NULL && strcmp(last->path, path) == 0 && last->to == at) {
    last->to = at + (off_t)size;
  } else {
    if (dirty_count == sizeof dirty / sizeof dirty[0]) abort();
    struct range *next = &dirty[dirty_count++];
    snprintf(next->path, sizeof next->path, "%s", path);
    next->from = at;
    next->to = at + (off_t)size;
  }
  pthread_mutex_unlock(&disk_mutex);
}

static void settle(int fd, const char *path, int works) {
  static ssize_t (*put)(int, const void *, size_t, off_t);
  if (put == NULL) put = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  char shadow[4096];
  if (!on_disk(path, shadow, sizeof shadow)) return;
  pthread_mutex_lock(&disk_mutex);
  int out = works ? open(shadow, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
  int in = works ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  size_t kept = 0;
  for (size_t i = 0; i < dirty_count; i++) {
    if (strcmp(dirty[i].path, path) != 0) {
      dirty[kept++] = dirty[i];
      continue;
    }
    char bytes[4096];
    for (off_t at = dirty[i].from; works && at < dirty[i].to;) {
      size_t size = dirty[i].to - at < (off_t)sizeof bytes ? (size_t)(dirty[i].to - at) : sizeof bytes;
      ssize_t count = pread(in, bytes, size, at);
      if (count <= 0 || put(out, bytes, (size_t)count, at) != count) abort();
      at += count;
    }
  }
  dirty_count = kept;
  if (out >= 0) close(out);
  if (in >= 0) close(in);
  pthread_mutex_unlock(&disk_mutex);
}

int rename(const char *from, const char *to) {
  static int (*next)(const char *, const char *);
  if (next == NULL) next = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
  char old_shadow[4096];
  char new_shadow[4096];
  const char *wanted = getenv("KARST_SHIM_PATH");
  int result = next(from, to);
  if (result != 0 || wanted == NULL || strstr(from, wanted) == NULL) return result;
  if (!on_disk(from, old_shadow, sizeof old_shadow) || !on_disk(to, new_shadow, sizeof new_shadow)) return result;
  next(old_shadow, new_shadow);
  pthread_mutex_lock(&disk_mutex);
  for (size_t i = 0; i < dirty_count; i++) {
    if (strcmp(dirty[i].path, from) == 0) snprintf(dirty[i].path, sizeof dirty[i].path, "%s", to);
  }
  pthread_mutex_unlock(&disk_mutex);
  return result;
}

static int faulty_sync(int fd, const char *name) {
  char path[4096];
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  if (!matches(fd, path, sizeof path)) return next(fd);
  long count = atomic_fetch_add(&syncs, 1) + 1;
  long delay = number("KARST_SHIM_SYNC_DELAY_MS") + control("syncDelayMs");
  if (delay > 0) {
    struct timespec pause = {delay / 1000, (delay % 1000) * 1000000};
    nanosleep(&pause, NULL);
  }
  if (count == number("KARST_SHIM_SYNC_FAIL_NTH") || control("syncFail") != 0) {
    trace("sync", count, path, -EIO);
    settle(fd, path, 0);
    errno = EIO;
    return -1;
  }
  int result = next(fd);
  int error = errno;
  settle(fd, path, result == 0);
  trace("sync", count, path, result);
  errno = error;
  return result;
}

int fsync(int fd) { return faulty_sync(fd, "fsync"); }
int fdatasync(int fd) { return faulty_sync(fd, "fdatasync"); }

static int write_fails(int fd) {
  char path[4096];
  if (!matches(fd, path, sizeof path)) return 0;
  long count = atomic_fetch_add(&writes, 1) + 1;
  if (count != number("KARST_SHIM_WRITE_FAIL_NTH") && control("writeFail") == 0) return 0;
  long error = number("KARST_SHIM_WRITE_ERRNO");
  if (error == 0) error = ENOSPC;
  trace("write", count, path, error);
  errno = (int)error;
  return 1;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  static ssize_t (*next)(int, const void *, size_t, off_t);
  if (next == NULL) next = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  if (write_fails(fd)) return -1;
  ssize_t count = next(fd, bytes, size, at);
  if (count > 0) note_write(fd, at, (size_t)count);
  return count;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  static ssize_t (*next)(int, const void *, size_t, off64_t);
  if (next == NULL) next = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (write_fails(fd)) return -1;
  ssize_t count = next(fd, bytes, size, at);
  if (count > 0) note_write(fd, at, (size_t)count);
  return count;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  static ssize_t (*next)(int, const struct iovec *, int, off_t);
  if (next == NULL) next = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
  return write_fails(fd) ? -1 : next(fd, parts, count, at);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  return write_fails(fd) ? -1 : real_write(fd, bytes, size);
}
