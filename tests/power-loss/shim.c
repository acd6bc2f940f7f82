/*
 * Records what reaches persistent memory, and in which order.
 *
 * The tests of power loss preload this library into the server (LD_PRELOAD). It takes the place of libpmem's calls that
 * make stores durable, and appends to a log what each call does. libpmemobj, libpmemkv and the server's own binding
 * call no others. The log, the pool and a shadow of the pool are named by three environment variables; without them the
 * library does nothing but libpmem's work.
 *
 * No store announces itself. The library write-protects the pool's pages: the first store to a page raises SIGSEGV, the
 * handler notes the page and lets the store through. Each recorded call compares the noted pages with the shadow, logs
 * the cache lines that differ, and brings the shadow up to date. The shadow is a file, so it outlives a process that was
 * killed: the next process that maps the pool logs what the dead one had stored since its last call.
 *
 * It is C, not Rust: a signal handler and replacements of C calls in a process that is not ours would be unsafe code from
 * the first line to the last, and the project allows that in its binding alone.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE ((uintptr_t)64)
#define PAGE ((uintptr_t)4096)
#define POOL_BYTES_MAX ((uintptr_t)1 << 30)
#define PAGES_MAX (POOL_BYTES_MAX / PAGE)
#define MAPPINGS_MAX 8
/* A page stays writable until so many comparisons in a row have found it unchanged. */
#define QUIET_MAX 16

enum kind { WRITE = 1, FLUSH = 2, FENCE = 3, LINK = 5, MAP = 6 };

/* What src/trace.rs reads. A WRITE is followed by the line's 64 bytes. */
struct event {
    uint32_t kind;
    uint32_t thread;
    uint64_t offset;
    uint64_t bytes;
};

struct mapping {
    _Atomic uintptr_t start;
    uintptr_t bytes;
    uintptr_t offset;
};

static int log_fd = -1;
static char pool_path[4096];
static char temporary_start[4096];
static const char *shadow_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct mapping mappings[MAPPINGS_MAX];
static uintptr_t pool_bytes;
static ino_t pool_inode;
/* The pool as it is, by a mapping of our own that is never protected. */
static const char *view;
static char *shadow;
static _Atomic uint64_t noted[PAGES_MAX / 64];
static unsigned char quiet[PAGES_MAX];

/* With POWER_LOSS_DROPPED=n every n-th fence is left out of the log, as if the program had forgotten it: the tests must find
 * that. */
static unsigned long dropped_every;

static char buffer[1 << 16];
static size_t buffered;

static void give_up(const char *what) {
    fprintf(stderr, "power-loss shim: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void write_out(void) {
    size_t done = 0;
    while (done < buffered) {
        ssize_t written = write(log_fd, buffer + done, buffered - done);
        if (written < 0)
            give_up("the log");
        done += (size_t)written;
    }
    buffered = 0;
}

static void say(enum kind kind, uint64_t offset, uint64_t bytes, const void *line) {
    static _Thread_local uint32_t thread;
    static _Thread_local pid_t process;
    if (process != getpid()) {
        process = getpid();
        thread = (uint32_t)syscall(SYS_gettid);
    }
    struct event event = {kind, thread, offset, bytes};
    if (buffered + sizeof event + LINE > sizeof buffer)
        write_out();
    memcpy(buffer + buffered, &event, sizeof event);
    buffered += sizeof event;
    if (line) {
        memcpy(buffer + buffered, line, LINE);
        buffered += LINE;
    }
}

/* Logs the lines of a page that differ from the shadow; whether there was one. */
static int compare_page(uintptr_t page) {
    int differs = 0;
    for (uintptr_t at = page * PAGE; at < (page + 1) * PAGE && at < pool_bytes; at += LINE) {
        uint64_t line[LINE / 8];
        /* Other threads may store meanwhile: each atom is read once. */
        for (size_t atom = 0; atom < LINE / 8; atom++)
            line[atom] = __atomic_load_n((const uint64_t *)(view + at) + atom, __ATOMIC_RELAXED);
        if (memcmp(line, shadow + at, LINE) != 0) {
            memcpy(shadow + at, line, LINE);
            say(WRITE, at, LINE, line);
            differs = 1;
        }
    }
    return differs;
}

static void protect_page(uintptr_t page, int protection) {
    uintptr_t offset = page * PAGE;
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        uintptr_t start = atomic_load(&mappings[i].start);
        if (start && offset >= mappings[i].offset && offset - mappings[i].offset < mappings[i].bytes)
            mprotect((void *)(start + offset - mappings[i].offset), PAGE, protection);
    }
}

static void compare_noted(void) {
    if (!shadow)
        return;
    for (uintptr_t word = 0; word <= pool_bytes / PAGE / 64; word++) {
        uint64_t bits = atomic_load(&noted[word]);
        while (bits) {
            uintptr_t page = word * 64 + (uintptr_t)__builtin_ctzll(bits);
            uint64_t bit = bits & -bits;
            bits ^= bit;
            if (compare_page(page)) {
                quiet[page] = 0;
            } else if (++quiet[page] >= QUIET_MAX) {
                /* In this order no store is missed: one that comes before the protection is found by the comparison
                 * after it, one that comes later raises the signal. */
                quiet[page] = 0;
                atomic_fetch_and(&noted[word], ~bit);
                protect_page(page, PROT_READ);
                compare_page(page);
            }
        }
    }
}

static void on_store(int signal, siginfo_t *info, void *context) {
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        uintptr_t start = atomic_load(&mappings[i].start);
        if (!start || at < start || at - start >= mappings[i].bytes)
            continue;
        mprotect((void *)(at & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
        uintptr_t page = (at - start + mappings[i].offset) / PAGE;
        atomic_fetch_or(&noted[page / 64], (uint64_t)1 << (page % 64));
        return;
    }
    /* Not ours: the store is done again, and ends the process. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
}

/* The server takes a note out of the pool when a signal ends it. SIGSEGV stays this library's, which needs it to see
 * stores. */
static int is_ours;

int sigaction(int signal, const struct sigaction *restrict action, struct sigaction *restrict old) {
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (!real)
        real = (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
    if (is_ours && signal == SIGSEGV && action && action->sa_handler != SIG_DFL)
        return 0;
    return real(signal, action, old);
}

__attribute__((constructor)) static void begin(void) {
    const char *log_path = getenv("POWER_LOSS_LOG");
    const char *pool = getenv("POWER_LOSS_POOL");
    shadow_path = getenv("POWER_LOSS_SHADOW");
    if (!log_path || !pool || !shadow_path)
        return;
    /* A relative name is one in the folder in which the process begins. */
    char folder[2048] = "";
    if (pool[0] != '/' && (!getcwd(folder, sizeof folder - 1) || !strcat(folder, "/")))
        give_up("the working directory");
    snprintf(pool_path, sizeof pool_path, "%s%s", folder, pool);
    const char *name = strrchr(pool_path, '/');
    /* The name under which the server makes a pool (crates/pmemkv/src/pool/create.rs). */
    snprintf(temporary_start, sizeof temporary_start, "%.*s/.%s.", (int)(name - pool_path), pool_path,
             name + 1);
    struct sigaction action = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    is_ours = 1;
    const char *dropped = getenv("POWER_LOSS_DROPPED");
    dropped_every = dropped ? strtoul(dropped, NULL, 10) : 0;
    log_fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd < 0)
        give_up(log_path);
}

/* Whether a descriptor is that of the pool. */
static int is_pool(int fd, struct stat *status) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || fstat(fd, status) != 0 || !S_ISREG(status->st_mode))
        return 0;
    path[length] = 0;
    return strcmp(path, pool_path) == 0 ||
           strncmp(path, temporary_start, strlen(temporary_start)) == 0;
}

/* The first mapping of the pool in this process. */
static void find_pool(int fd, const struct stat *status) {
    if (view && status->st_ino == pool_inode && (uintptr_t)status->st_size == pool_bytes)
        return;
    if ((uintptr_t)status->st_size > POOL_BYTES_MAX) {
        errno = EFBIG;
        give_up("the pool");
    }
    pool_inode = status->st_ino;
    pool_bytes = (uintptr_t)status->st_size;
    int shadow_fd = open(shadow_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (shadow_fd < 0 || ftruncate(shadow_fd, (off_t)pool_bytes) != 0)
        give_up(shadow_path);
    shadow = (char *)syscall(SYS_mmap, NULL, pool_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shadow_fd, 0);
    /* Opened anew: a mapping by the process's own descriptor would keep the lock that libpmemobj has on it. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int view_fd = open(link, O_RDONLY | O_CLOEXEC);
    view = (const char *)syscall(SYS_mmap, NULL, pool_bytes, PROT_READ, MAP_SHARED, view_fd, 0);
    if ((void *)shadow == MAP_FAILED || (void *)view == MAP_FAILED)
        give_up("mmap");
    close(shadow_fd);
    close(view_fd);
    say(MAP, 0, pool_bytes, NULL);
    for (uintptr_t page = 0; page < pool_bytes / PAGE; page++)
        compare_page(page);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    int type = flags & MAP_TYPE;
    int shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
    struct stat status;
    int ours = log_fd >= 0 && fd >= 0 && shared && (protection & PROT_WRITE) && is_pool(fd, &status);
    void *start = (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    if (!ours || start == MAP_FAILED)
        return start;
    pthread_mutex_lock(&lock);
    find_pool(fd, &status);
    int i = 0;
    while (i < MAPPINGS_MAX && atomic_load(&mappings[i].start))
        i++;
    if (i == MAPPINGS_MAX) {
        errno = ENOMEM;
        give_up("too many mappings of the pool");
    }
    mappings[i].bytes = length;
    mappings[i].offset = (uintptr_t)offset;
    atomic_store(&mappings[i].start, (uintptr_t)start);
    mprotect(start, length, PROT_READ);
    compare_noted();
    write_out();
    pthread_mutex_unlock(&lock);
    return start;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

int munmap(void *address, size_t length) {
    uintptr_t from = (uintptr_t)address;
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        uintptr_t start = atomic_load(&mappings[i].start);
        if (start && start >= from && start - from < length) {
            pthread_mutex_lock(&lock);
            compare_noted();
            write_out();
            atomic_store(&mappings[i].start, 0);
            pthread_mutex_unlock(&lock);
        }
    }
    return (int)syscall(SYS_munmap, address, length);
}

/* The pool gets its name: from here on it may be found after a power cut. */
static void linked(void) {
    if (log_fd < 0)
        return;
    pthread_mutex_lock(&lock);
    compare_noted();
    say(LINK, 0, 0, NULL);
    write_out();
    pthread_mutex_unlock(&lock);
}

int linkat(int old_folder, const char *old, int new_folder, const char *new, int flags) {
    int failed = (int)syscall(SYS_linkat, old_folder, old, new_folder, new, flags);
    if (!failed)
        linked();
    return failed;
}

int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

static unsigned long fences;

/* Where an address lies in the pool. */
static int offset_of(const void *address, uintptr_t *offset) {
    uintptr_t at = (uintptr_t)address;
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        uintptr_t start = atomic_load(&mappings[i].start);
        if (start && at >= start && at - start < mappings[i].bytes) {
            *offset = at - start + mappings[i].offset;
            return 1;
        }
    }
    return 0;
}

static void record(const void *address, size_t bytes, int flush, int fence) {
    if (log_fd < 0)
        return;
    pthread_mutex_lock(&lock);
    compare_noted();
    uintptr_t offset;
    if (flush && bytes && offset_of(address, &offset))
        say(FLUSH, offset, bytes, NULL);
    if (fence && !(dropped_every && ++fences % dropped_every == 0))
        say(FENCE, 0, 0, NULL);
    write_out();
    pthread_mutex_unlock(&lock);
}

/* The server's own calls for a pool on a disk: pages instead of lines. While the file that POWER_LOSS_FAILING names is there,
 * they fail. */
int msync(void *address, size_t bytes, int flags) {
    const char *failing = getenv("POWER_LOSS_FAILING");
    if (failing && access(failing, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    int failed = (int)syscall(SYS_msync, address, bytes, flags);
    if (!failed && (flags & MS_SYNC))
        record(address, bytes, 1, 1);
    return failed;
}

/* libpmem, as its manual pages describe it. */

#define F_NODRAIN (1U << 0)
#define F_NOFLUSH (1U << 5)

static void copied(void *to, size_t bytes, unsigned flags) {
    if (flags & F_NOFLUSH)
        return;
    record(to, bytes, 1, !(flags & F_NODRAIN));
}

void pmem_flush(const void *address, size_t bytes) { record(address, bytes, 1, 0); }
void pmem_deep_flush(const void *address, size_t bytes) { record(address, bytes, 1, 0); }
void pmem_drain(void) { record(NULL, 0, 0, 1); }

int pmem_deep_drain(const void *address, size_t bytes) {
    (void)address;
    (void)bytes;
    record(NULL, 0, 0, 1);
    return 0;
}

void pmem_persist(const void *address, size_t bytes) { record(address, bytes, 1, 1); }

int pmem_deep_persist(const void *address, size_t bytes) {
    record(address, bytes, 1, 1);
    return 0;
}

int pmem_msync(const void *address, size_t bytes) {
    uintptr_t start = (uintptr_t)address & ~(PAGE - 1);
    uintptr_t end = ((uintptr_t)address + bytes + PAGE - 1) & ~(PAGE - 1);
    record((const void *)start, end - start, 1, 1);
    return 0;
}

int pmem_has_auto_flush(void) { return 0; }

void *pmem_memmove(void *to, const void *from, size_t bytes, unsigned flags) {
    memmove(to, from, bytes);
    copied(to, bytes, flags);
    return to;
}

void *pmem_memcpy(void *to, const void *from, size_t bytes, unsigned flags) {
    return pmem_memmove(to, from, bytes, flags);
}

void *pmem_memset(void *to, int value, size_t bytes, unsigned flags) {
    memset(to, value, bytes);
    copied(to, bytes, flags);
    return to;
}

void *pmem_memmove_nodrain(void *to, const void *from, size_t bytes) {
    return pmem_memmove(to, from, bytes, F_NODRAIN);
}

void *pmem_memcpy_nodrain(void *to, const void *from, size_t bytes) {
    return pmem_memmove(to, from, bytes, F_NODRAIN);
}

void *pmem_memset_nodrain(void *to, int value, size_t bytes) {
    return pmem_memset(to, value, bytes, F_NODRAIN);
}

void *pmem_memmove_persist(void *to, const void *from, size_t bytes) {
    return pmem_memmove(to, from, bytes, 0);
}

void *pmem_memcpy_persist(void *to, const void *from, size_t bytes) {
    return pmem_memmove(to, from, bytes, 0);
}

void *pmem_memset_persist(void *to, int value, size_t bytes) { return pmem_memset(to, value, bytes, 0); }
