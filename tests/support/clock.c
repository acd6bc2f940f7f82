/*
 * Moves the clock of one process.
 *
 * A test preloads this library into a server (LD_PRELOAD). It takes the place of the C library's calls that tell the time of
 * day, and adds as many milliseconds as the file says that PMEMKV_TEST_CLOCK names (8 bytes, in the machine's order). The file
 * is mapped, so the test moves the clock while the server runs by writing to the file. Other clocks go on as they are.
 *
 * It is C, not Rust, as tests/power-loss/shim.c is: replacements of C calls in a process that is not ours are unsafe code
 * throughout, and the project allows that in its binding alone.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

static const _Atomic int64_t *ahead_ms;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("PMEMKV_TEST_CLOCK");
    if (!path)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *start = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) {
        perror(path);
        _exit(70);
    }
    close(fd);
    ahead_ms = start;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    /* By a system call, since the C library's own function has this name. */
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result != 0 || !ahead_ms || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return result;
    int64_t ahead = atomic_load(ahead_ms);
    int64_t ns = time->tv_nsec + ahead % 1000 * NS_PER_MS;
    time->tv_sec += ahead / 1000;
    if (ns < 0) {
        ns += NS_PER_S;
        time->tv_sec -= 1;
    } else if (ns >= NS_PER_S) {
        ns -= NS_PER_S;
        time->tv_sec += 1;
    }
    time->tv_nsec = ns;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}
