/* Stands between a program and libc: counts what changes (or reads) files below some roots, and at the nth such call
 * kills the program, lets the call fail, pulls the plug of an ext4, jumps the clock, or runs a script and goes on.
 * It can also record what it sees, so that a power cut can be replayed (durable.py).
 *
 * Loaded with LD_PRELOAD. Armed by the environment (see faults_arm), in one process and never in its children.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE = 2, SYNC = 4, NAME = 8, ATTRIBUTE = 16, READ = 32 };
/* Kinds of calls: preload.py has the same numbers. */

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, unsigned int)
#define NOLOGFLUSH 2 /* EXT4_GOING_FLAGS_NOLOGFLUSH: what is only in the journal's memory is lost */

static struct {
    pid_t pid;          /* the one process that is watched; 0 until armed */
    int busy;           /* inside of our own doings */
    const char *roots;  /* directories, separated by ':' */
    unsigned kinds;
    long at;            /* the number of the call, from 1 */
    int lasting;        /* that call and all that follow */
    const char *how;    /* kill, torn, fail, unplug, cut (unplug and kill), clock, script; or nothing: only count */
    int error;
    long clock;         /* seconds that the wall clock jumps by */
    const char *script;
    const char *disk;   /* a directory on the ext4 whose plug is pulled */
    const char *boot;   /* a file that stands in for the kernel's boot id, after a power cut that only was simulated */
    const char *record; /* a directory for the log and what it refers to */
    int log;
    int trace;          /* a file that gets a line for every call that is counted */
    long number;
    long *said;         /* shared with the test: calls seen, whether it struck */
} fault = {.log = -1, .trace = -1};

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? strdup(value) : otherwise;
}

/* Read the environment and watch this process from now on; called by the constructor or by the test's fork server. */
void faults_arm(void) {
    fault.roots = setting("FAULT_ROOTS", "");
    fault.kinds = (unsigned)atoi(setting("FAULT_KINDS", "31"));
    fault.at = atol(setting("FAULT_AT", "0"));
    fault.lasting = atoi(setting("FAULT_LASTING", "0"));
    fault.how = setting("FAULT_HOW", "");
    fault.error = atoi(setting("FAULT_ERROR", "5"));
    fault.clock = atol(setting("FAULT_CLOCK", "0"));
    fault.script = setting("FAULT_SCRIPT", "");
    fault.disk = setting("FAULT_DISK", "");
    fault.boot = setting("FAULT_BOOT", "");
    fault.record = setting("FAULT_RECORD", "");
    int fd = open(setting("FAULT_SAID", "/dev/null"), O_RDWR | O_CLOEXEC);
    static long nobody[2];
    fault.said = nobody;
    if (fd >= 0) {
        void *shared = mmap(NULL, sizeof nobody, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED) fault.said = shared;
        close(fd);
    }
    if (*fault.record) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/log", fault.record);
        fault.log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    const char *trace = setting("FAULT_TRACE", "");
    if (*trace) fault.trace = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fault.pid = getpid();
}

__attribute__((constructor)) static void begin(void) {
    const char *program = getenv("FAULT_PROGRAM");
    if (!program || !*program) return;
    char line[8192];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    for (char *word = line; length > 0 && word < line + length; word += strlen(word) + 1) {
        line[length] = 0;
        if (!strcmp(word, program)) {
            faults_arm();
            return;
        }
    }
}

static int watched(void) { return fault.pid && !fault.busy && fault.pid == getpid(); }

static int inside(const char *path) {
    for (const char *root = fault.roots; *root;) {
        size_t length = strcspn(root, ":");
        if (length && !strncmp(path, root, length) && (path[length] == '/' || !path[length])) return 1;
        root += length + (root[length] == ':');
    }
    return 0;
}

/* The absolute path that a name in a directory stands for; whether it is one that we look at. */
static int at_path(char *path, int directory, const char *name) {
    if (name && *name == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return inside(path);
    }
    char link[64];
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (name) snprintf(path + length, (size_t)(PATH_MAX - length), "/%s", name);
    return inside(path);
}

static int fd_path(char *path, int fd) { return at_path(path, fd, NULL); }

static void run_script(void) {
    extern char **environ;
    char *argv[] = {"/bin/sh", (char *)fault.script, NULL};
    char *clean[512];
    int kept = 0, status;
    for (char **one = environ; *one && kept < 511; one++)
        if (strncmp(*one, "LD_PRELOAD=", 11) && strncmp(*one, "FAULT_PROGRAM=", 14)) clean[kept++] = *one;
    clean[kept] = NULL;
    pid_t child;
    if (!posix_spawn(&child, argv[0], NULL, NULL, argv, clean)) waitpid(child, &status, 0);
}

/* One call of this kind: 0 to go on, 1 to do half of a write and die, -1 to fail with errno set. */
static int strike(unsigned kind, const char *path) {
    if (!(kind & fault.kinds)) return 0;
    long seen = ++fault.said[0];
    if (fault.trace >= 0) {
        char line[PATH_MAX + 32];
        int length = snprintf(line, sizeof line, "%u\t%s\n", kind, path);
        syscall(SYS_write, fault.trace, line, (size_t)length);
    }
    if (!fault.at || seen < fault.at || (seen > fault.at && !fault.lasting)) return 0;
    fault.said[1] = 1;
    if (!strcmp(fault.how, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(fault.how, "torn")) {
        if (kind == WRITE) return 1;
        kill(getpid(), SIGKILL);
    }
    int cut = !strcmp(fault.how, "cut");
    if (cut || (!strcmp(fault.how, "unplug") && seen == fault.at)) {
        unsigned flags = NOLOGFLUSH;
        int fd = (int)syscall(SYS_openat, AT_FDCWD, fault.disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ioctl(fd, EXT4_IOC_SHUTDOWN, &flags);
        syscall(SYS_close, fd);
        if (cut) kill(getpid(), SIGKILL);
    }
    if (!strcmp(fault.how, "script") && seen == fault.at) {
        fault.busy = 1;
        run_script();
        fault.busy = 0;
    }
    if (!strcmp(fault.how, "fail")) {
        errno = fault.error;
        return -1;
    }
    return 0;
}

/* ---- recording: what was done, and what had been so before ---- */

static void note(const char *format, ...) {
    char line[3 * PATH_MAX];
    va_list words;
    va_start(words, format);
    int length = vsnprintf(line, sizeof line - 1, format, words);
    va_end(words);
    line[length++] = '\n';
    syscall(SYS_write, fault.log, line, (size_t)length);
}

static int recording(void) { return fault.log >= 0; }

static unsigned long inode(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

static unsigned long home(const char *path) {
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (slash) *slash = 0;
    return inode(above);
}

static const char *base(const char *path) { return strrchr(path, '/') + 1; }

/* Keep what a file holds now, as what is known to be on the disk. */
static void keep(const char *path, unsigned long number, int again) {
    char kept[PATH_MAX], buffer[65536];
    snprintf(kept, sizeof kept, "%s/%lu", fault.record, number);
    struct stat found;
    if (lstat(path, &found) || !S_ISREG(found.st_mode) || (!again && !access(kept, F_OK))) return;
    int from = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    int to = (int)syscall(SYS_openat, AT_FDCWD, kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    long length;
    while ((length = syscall(SYS_read, from, buffer, sizeof buffer)) > 0)
        syscall(SYS_write, to, buffer, (size_t)length);
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

static void note_attributes(const char *path) {
    struct stat found;
    if (!lstat(path, &found))
        note("attributes\t%lu\t%o\t%u\t%u", found.st_ino, found.st_mode & 07777, found.st_uid, found.st_gid);
}

static void note_sync(int fd, const char *path) {
    struct stat found;
    if (fstat(fd, &found)) return;
    if (S_ISREG(found.st_mode)) keep(path, found.st_ino, 1);
    note("sync\t%lu", found.st_ino);
}

/* ---- the calls ---- */

static int opening(int directory, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (watched() && *fault.boot && !strcmp(name, "/proc/sys/kernel/random/boot_id")) name = fault.boot;
    if (!watched() || (flags & O_PATH) == O_PATH || (!writes && !(flags & O_CREAT)) || !at_path(path, directory, name)) {
        if (!(watched() && (fault.kinds & READ) && !(flags & (O_PATH | O_DIRECTORY)) && at_path(path, directory, name)))
            return (int)syscall(SYS_openat, directory, name, flags, mode);
        return strike(READ, path) < 0 ? -1 : (int)syscall(SYS_openat, directory, name, flags, mode);
    }
    unsigned long before = inode(path);
    if ((!before || (flags & O_TRUNC)) && strike(CREATE, path) < 0) return -1;
    if (recording() && before) keep(path, before, 0);
    int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (recording() && fd >= 0 && !before) note("made\t%lu\t%s\t%lu", home(path), base(path), inode(path));
    return fd;
}

static mode_t mode_of(int flags, va_list words) {
    return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(words, mode_t) : 0;
}

#define OPEN(name)                                         \
    int name(const char *path, int flags, ...) {           \
        va_list words;                                     \
        va_start(words, flags);                            \
        mode_t mode = mode_of(flags, words);               \
        va_end(words);                                     \
        return opening(AT_FDCWD, path, flags, mode);       \
    }
#define OPENAT(name)                                              \
    int name(int directory, const char *path, int flags, ...) {   \
        va_list words;                                            \
        va_start(words, flags);                                   \
        mode_t mode = mode_of(flags, words);                      \
        va_end(words);                                            \
        return opening(directory, path, flags, mode);             \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* Half of a write reaches the file, then the program dies. */
static void die_torn(int fd, const void *data, size_t size) {
    syscall(SYS_write, fd, data, size / 2);
    kill(getpid(), SIGKILL);
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (watched() && fd_path(path, fd)) {
        int struck = strike(WRITE, path);
        if (struck < 0) return -1;
        if (struck) die_torn(fd, data, size);
    }
    return syscall(SYS_write, fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (watched() && fd_path(path, fd) && strike(WRITE, path) < 0) return -1;
    return syscall(SYS_writev, fd, parts, count);
}

static ssize_t writing_at(int fd, const void *data, size_t size, off_t place) {
    char path[PATH_MAX];
    if (watched() && fd_path(path, fd) && strike(WRITE, path) < 0) return -1;
    return syscall(SYS_pwrite64, fd, data, size, place);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) { return writing_at(fd, data, size, place); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t place) { return writing_at(fd, data, size, place); }

ssize_t read(int fd, void *data, size_t size) {
    char path[PATH_MAX];
    if ((fault.kinds & READ) && watched() && fd_path(path, fd) && strike(READ, path) < 0) return -1;
    return syscall(SYS_read, fd, data, size);
}

static ssize_t reading_at(int fd, void *data, size_t size, off_t place) {
    char path[PATH_MAX];
    if ((fault.kinds & READ) && watched() && fd_path(path, fd) && strike(READ, path) < 0) return -1;
    return syscall(SYS_pread64, fd, data, size, place);
}
ssize_t pread(int fd, void *data, size_t size, off_t place) { return reading_at(fd, data, size, place); }
ssize_t pread64(int fd, void *data, size_t size, off_t place) { return reading_at(fd, data, size, place); }

static int syncing(int fd, long call) {
    char path[PATH_MAX];
    int ours = watched() && fd_path(path, fd);
    if (ours && strike(SYNC, path) < 0) return -1;
    int code = (int)syscall(call, fd);
    if (ours && recording() && !code) note_sync(fd, path);
    return code;
}
int fsync(int fd) { return syncing(fd, SYS_fsync); }
int fdatasync(int fd) { return syncing(fd, SYS_fdatasync); }

static int truncating(int fd, off_t size) {
    char path[PATH_MAX];
    if (watched() && fd_path(path, fd) && strike(WRITE, path) < 0) return -1;
    return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate(int fd, off_t size) { return truncating(fd, size); }
int ftruncate64(int fd, off_t size) { return truncating(fd, size); }

static int renaming(int old, const char *name, int new, const char *new_name, unsigned flags) {
    char from[PATH_MAX], to[PATH_MAX];
    int ours = watched() && (at_path(from, old, name) + at_path(to, new, new_name));
    if (ours && strike(NAME, to) < 0) return -1;
    unsigned long moved = ours && recording() ? inode(from) : 0, replaced = moved ? inode(to) : 0;
    char grave[PATH_MAX] = "";
    if (replaced && !flags) {
        snprintf(grave, sizeof grave, "%s/u%ld", fault.record, ++fault.number);
        syscall(SYS_linkat, AT_FDCWD, to, AT_FDCWD, grave, 0);
        note("gone\t%lu\t%s\t%lu\t%s", home(to), base(to), replaced, grave);
    }
    unsigned long old_home = moved ? home(from) : 0;
    int code = (int)syscall(SYS_renameat2, old, name, new, new_name, flags);
    if (moved && !code) note("moved\t%lu\t%s\t%lu\t%lu\t%s", old_home, base(from), moved, home(to), base(to));
    return code;
}
int rename(const char *from, const char *to) { return renaming(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int old, const char *from, int new, const char *to) { return renaming(old, from, new, to, 0); }
int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    return renaming(old, from, new, to, flags);
}

static int linking(int old, const char *name, int new, const char *new_name, int flags) {
    char to[PATH_MAX];
    int ours = watched() && at_path(to, new, new_name);
    if (ours && strike(NAME, to) < 0) return -1;
    int code = (int)syscall(SYS_linkat, old, name, new, new_name, flags);
    if (ours && recording() && !code) note("made\t%lu\t%s\t%lu", home(to), base(to), inode(to));
    return code;
}
int link(const char *from, const char *to) { return linking(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int old, const char *from, int new, const char *to, int flags) { return linking(old, from, new, to, flags); }

static int symlinking(const char *target, int new, const char *name) {
    char path[PATH_MAX];
    int ours = watched() && at_path(path, new, name);
    if (ours && strike(CREATE, path) < 0) return -1;
    int code = (int)syscall(SYS_symlinkat, target, new, name);
    if (ours && recording() && !code) note("made\t%lu\t%s\t%lu", home(path), base(path), inode(path));
    return code;
}
int symlink(const char *target, const char *path) { return symlinking(target, AT_FDCWD, path); }
int symlinkat(const char *target, int new, const char *path) { return symlinking(target, new, path); }

static int making(int directory, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int ours = watched() && at_path(path, directory, name);
    if (ours && strike(CREATE, path) < 0) return -1;
    int code = (int)syscall(SYS_mkdirat, directory, name, mode);
    if (ours && recording() && !code) note("made\t%lu\t%s\t%lu", home(path), base(path), inode(path));
    return code;
}
int mkdir(const char *path, mode_t mode) { return making(AT_FDCWD, path, mode); }
int mkdirat(int directory, const char *path, mode_t mode) { return making(directory, path, mode); }

static int is_empty(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return 0;
    int entries = 0;
    while (readdir(directory)) entries++;
    closedir(directory);
    return entries == 2;
}

/* While it is recorded, what is removed only moves: a power cut may bring it back, with its inode. */
static int removing(int directory, const char *name, int flags) {
    char path[PATH_MAX], grave[PATH_MAX];
    int ours = watched() && at_path(path, directory, name);
    if (ours && strike(NAME, path) < 0) return -1;
    unsigned long number = ours && recording() ? inode(path) : 0;
    if (!number || ((flags & AT_REMOVEDIR) && !is_empty(path)))
        return (int)syscall(SYS_unlinkat, directory, name, flags);
    snprintf(grave, sizeof grave, "%s/u%ld", fault.record, ++fault.number);
    unsigned long above = home(path);
    int code = (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, grave, 0);
    if (!code) note("gone\t%lu\t%s\t%lu\t%s", above, base(path), number, grave);
    return code;
}
int unlink(const char *path) { return removing(AT_FDCWD, path, 0); }
int unlinkat(int directory, const char *path, int flags) { return removing(directory, path, flags); }
int rmdir(const char *path) { return removing(AT_FDCWD, path, AT_REMOVEDIR); }

/* Whether a change of mode, owner, times or labels may go on. */
static int attribute(int ours, const char *path) {
    if (!ours) return 0;
    if (strike(ATTRIBUTE, path) < 0) return -1;
    if (recording()) note_attributes(path);
    return 0;
}
#define ON_FD(fd) char path[PATH_MAX]; if (attribute(watched() && fd_path(path, fd), path) < 0) return -1
#define ON_PATH(at, name) char path[PATH_MAX]; if (attribute(watched() && at_path(path, at, name), path) < 0) return -1

int fchmod(int fd, mode_t mode) { ON_FD(fd); return (int)syscall(SYS_fchmod, fd, mode); }
int fchown(int fd, uid_t uid, gid_t gid) { ON_FD(fd); return (int)syscall(SYS_fchown, fd, uid, gid); }
int chmod(const char *name, mode_t mode) { ON_PATH(AT_FDCWD, name); return (int)syscall(SYS_chmod, name, mode); }
int fchmodat(int directory, const char *name, mode_t mode, int flags) {
    ON_PATH(directory, name);
    REAL(fchmodat);
    return real(directory, name, mode, flags);
}
int fchownat(int directory, const char *name, uid_t uid, gid_t gid, int flags) {
    ON_PATH(directory, name);
    return (int)syscall(SYS_fchownat, directory, name, uid, gid, flags);
}
int chown(const char *name, uid_t uid, gid_t gid) { return fchownat(AT_FDCWD, name, uid, gid, 0); }
int futimens(int fd, const struct timespec times[2]) { ON_FD(fd); REAL(futimens); return real(fd, times); }
int utimensat(int directory, const char *name, const struct timespec times[2], int flags) {
    ON_PATH(directory, name);
    REAL(utimensat);
    return real(directory, name, times, flags);
}
int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
    ON_FD(fd);
    return (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
}

/* ---- the wall clock ---- */

static long jump(clockid_t which) {
    int wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    return wall && fault.said && fault.said[1] && watched() ? fault.clock : 0;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int code = (int)syscall(SYS_clock_gettime, which, now);
    if (!code) now->tv_sec += jump(which);
    return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int code = (int)syscall(SYS_gettimeofday, now, zone);
    if (!code) now->tv_sec += jump(CLOCK_REALTIME);
    return code;
}
time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
