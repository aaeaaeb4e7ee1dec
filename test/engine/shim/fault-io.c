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
 * cc -shared -fPIC -O1 -o fault-io.so fault-io.c -ldl ; LD_PRELOAD=./fault-io.so KARST_SHIM_…=… node …
 * For a process that is sanitized, preload the sanitizer first. test/engine/shim.ts compiles it into a folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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
    errno = EIO;
    return -1;
  }
  int result = next(fd);
  int error = errno;
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
  return write_fails(fd) ? -1 : next(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  static ssize_t (*next)(int, const void *, size_t, off64_t);
  if (next == NULL) next = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  return write_fails(fd) ? -1 : next(fd, bytes, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  static ssize_t (*next)(int, const struct iovec *, int, off_t);
  if (next == NULL) next = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
  return write_fails(fd) ? -1 : next(fd, parts, count, at);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  return write_fails(fd) ? -1 : real_write(fd, bytes, size);
}
