// Lets the n-th call of one kind fail, and with `lasting` all that follow it, in the process that loads this before all else
// (LD_PRELOAD): as on a full or broken disk, without memory, or where no more threads may start. faults.py arms it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, FSYNC, RENAME, ALLOCATE, START_THREAD, KINDS };
enum { LARGE = 1 << 15 }; // bytes; smaller allocations are the interpreter's own, which ends if it gets none

static atomic_long *calls; // [KINDS] since faults_arm, which processes forked meanwhile share
static int failing = -1, and_later;
static long failing_number;

__attribute__((constructor)) static void begin(void)
{
    calls = mmap(NULL, KINDS * sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

// Counts calls from now on, and lets some of this process's fail: number 1 of the kind fails first, and 0 or a kind of -1 none.
void faults_arm(int kind, long number, int lasting)
{
    for (int k = 0; k < KINDS; k++)
        calls[k] = 0;
    failing = kind;
    failing_number = number;
    and_later = lasting;
}

long faults_calls(int kind)
{
    return calls[kind];
}

static int fails(enum kind kind, int error)
{
    if (!calls)
        return 0;
    const long number = ++calls[kind];
    if ((int)kind != failing || !(number == failing_number || (and_later && number > failing_number)))
        return 0;
    errno = error;
    return 1;
}

#define ORIGINAL(name) __typeof__(&name) original = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// Messages and results, which go to descriptors up to 2, are written.
ssize_t write(int file, const void *data, size_t size)
{
    ORIGINAL(write);
    return file > 2 && fails(WRITE, ENOSPC) ? -1 : original(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place)
{
    ORIGINAL(pwrite64);
    return fails(WRITE, ENOSPC) ? -1 : original(file, data, size, place);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    ORIGINAL(writev);
    return file > 2 && fails(WRITE, ENOSPC) ? -1 : original(file, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    ORIGINAL(fwrite);
    return fileno(file) > 2 && fails(WRITE, ENOSPC) ? 0 : original(data, size, count, file);
}

int fsync(int file)
{
    ORIGINAL(fsync);
    return fails(FSYNC, EIO) ? -1 : original(file);
}

int rename(const char *from, const char *to)
{
    ORIGINAL(rename);
    return fails(RENAME, EACCES) ? -1 : original(from, to);
}

// Of files that are opened for writing.
int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    ORIGINAL(open64);
    return flags & (O_WRONLY | O_RDWR) && fails(OPEN, ENOSPC) ? -1 : original(path, flags, mode);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    ORIGINAL(pthread_create);
    return fails(START_THREAD, EAGAIN) ? EAGAIN : original(thread, attributes, start, argument);
}

// The C library's own, under the names that it has for such wrappers: dlsym itself allocates.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    return size >= LARGE && fails(ALLOCATE, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return size && count >= LARGE / size && fails(ALLOCATE, ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return size >= LARGE && fails(ALLOCATE, ENOMEM) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return size >= LARGE && fails(ALLOCATE, ENOMEM) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (size >= LARGE && fails(ALLOCATE, ENOMEM))
        return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}
