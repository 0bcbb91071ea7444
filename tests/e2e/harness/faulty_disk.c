// Stands between a program and the C library's calls to the disk (LD_PRELOAD), and has those on one file fail or wait.
//
// FAULTY_DISK names a directory. In it: `file`, the path that is meant; `orders`, one line: `ok`, `sync <errno>`,
// `write <errno>` (all but the last byte is written first, as on a disk that fills up), `open <errno>` or
// `wait <milliseconds>` (each sync takes that much longer). `synced` is written by this: inode and length, as two numbers
// of 8 bytes, of the file as it was when the last sync that succeeded began: what a loss of power leaves at least.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_sync)(int);
static char place[4096], meant[4096];

// Others open files and write before the constructors of this library have run: each entry asks for it.
static void begin(void) {
  if (real_sync) return;
  real_open = dlsym(RTLD_NEXT, "open64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_sync = dlsym(RTLD_NEXT, "fdatasync");
  const char *given = environ ? getenv("FAULTY_DISK") : NULL;
  if (given) snprintf(place, sizeof place, "%s", given);
}

static ssize_t read_text(const char *name, char *into, size_t room) {
  char path[8192];
  if (!place[0]) return -1;
  snprintf(path, sizeof path, "%s/%s", place, name);
  int file = real_open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t length = read(file, into, room - 1);
  close(file);
  into[length < 0 ? 0 : length] = 0;
  return length;
}

static int is_meant(int file) {
  char link[64], path[4096];
  if (!place[0] || (!meant[0] && read_text("file", meant, sizeof meant) <= 0)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strcmp(path, meant) == 0;
}

// The number of this order, or -1.
static long ordered(const char *what) {
  char line[128], word[32];
  long number = 0;
  if (read_text("orders", line, sizeof line) <= 0) return -1;
  if (sscanf(line, "%31s %ld", word, &number) < 1 || strcmp(word, what) != 0) return -1;
  return number;
}

ssize_t write(int file, const void *bytes, size_t count) {
  begin();
  if (file > 2 && is_meant(file)) {
    long error = ordered("write");
    if (error > 0) {
      if (count > 1) return real_write(file, bytes, count / 2);
      errno = (int)error;
      return -1;
    }
  }
  return real_write(file, bytes, count);
}

static int synced(int file) {
  begin();
  if (!is_meant(file)) return real_sync(file);
  struct stat before;
  long error = ordered("sync"), wait = ordered("wait");
  if (wait > 0) {
    struct timespec time = {wait / 1000, (wait % 1000) * 1000000};
    nanosleep(&time, NULL);
  }
  if (error > 0) {
    errno = (int)error;
    return -1;
  }
  int known = fstat(file, &before) == 0;
  int done = real_sync(file);
  if (done == 0 && known) {
    char path[8192];
    uint64_t said[2] = {before.st_ino, (uint64_t)before.st_size};
    snprintf(path, sizeof path, "%s/synced", place);
    int out = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (out >= 0) {
      if (pwrite(out, said, sizeof said, 0) != (ssize_t)sizeof said) abort();
      close(out);
    }
  }
  return done;
}

int fdatasync(int file) { return synced(file); }
int fsync(int file) { return synced(file); }

static int opened(const char *path, int flags, mode_t mode) {
  begin();
  if ((meant[0] || (place[0] && read_text("file", meant, sizeof meant) > 0)) && (flags & O_ACCMODE) != O_RDONLY &&
      strcmp(path, meant) == 0) {
    long error = ordered("open");
    if (error > 0) {
      errno = (int)error;
      return -1;
    }
  }
  return real_open(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}
