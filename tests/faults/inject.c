/* Runs a program, watches every system call of it that changes a file below one folder, and does something to one of
 * them: the tests compile this with `cc`. strace could trace and inject too, but it counts for each thread, can't write
 * less than was asked for, and stops at every call. Here a seccomp filter stops only at those calls, one counter is for all
 * threads and processes, and a call can be refused, cut short, or be the last one.
 *
 *     inject LOG ROOT ACTION ONLY AT -- PROGRAM ARG...
 *
 * ACTION  trace      nothing but the log, with what was written in hexadecimal
 *         kill       SIGKILL instead of the call
 *         torn       the call writes half of what it should, then SIGKILL
 *         short      the call writes half of what it should
 *         fail:E     the call fails with errno E
 *         fails:E    this one and each later one fails with errno E
 *         run:SHELL  a command is run while the program stands before the call
 * ONLY    names of calls that count, separated by commas, or `all`
 * AT      which of them, from 1
 *
 * The log has a line for each call that returned: its place in the order of all beginnings and ends, when it returned, name,
 * path, second path, offset, length (of an open the flags, of a chmod
 * the mode), result, data. `hit` and the call that was it; at the end `exit CODE` or `signal N`.
 * SIGTERM is for the program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(__x86_64__)
#error "the registers of this processor are not known here; add them to `registers` and `set`"
#endif

#define PATH_SIZE 8192
#define THREADS 512

/* How the arguments of a call name what it changes. */
enum shape { AT_PATH, PATH, AT_AT, PATH_PATH, TEXT_AT, TEXT_PATH, FD, WRITE, PWRITE, WRITEV, OUT2, OUT0, OPENAT, OPEN, OPENAT2, CREAT };

static const struct call { long number; const char *name; enum shape shape; } CALLS[] = {
    {SYS_openat, "open", OPENAT}, {SYS_open, "open", OPEN}, {SYS_openat2, "open", OPENAT2}, {SYS_creat, "open", CREAT},
    {SYS_write, "write", WRITE}, {SYS_pwrite64, "write", PWRITE},
    {SYS_writev, "writev", WRITEV}, {SYS_pwritev, "writev", WRITEV}, {SYS_pwritev2, "writev", WRITEV},
    {SYS_copy_file_range, "copy", OUT2}, {SYS_sendfile, "copy", OUT0}, {SYS_splice, "copy", OUT2},
    {SYS_ftruncate, "truncate", FD}, {SYS_truncate, "truncate", PATH}, {SYS_fallocate, "fallocate", FD},
    {SYS_fsync, "fsync", FD}, {SYS_fdatasync, "fsync", FD}, {SYS_syncfs, "syncfs", FD},
    {SYS_rename, "rename", PATH_PATH}, {SYS_renameat, "rename", AT_AT}, {SYS_renameat2, "rename", AT_AT},
    {SYS_link, "link", PATH_PATH}, {SYS_linkat, "link", AT_AT},
    {SYS_symlink, "symlink", TEXT_PATH}, {SYS_symlinkat, "symlink", TEXT_AT},
    {SYS_unlink, "unlink", PATH}, {SYS_unlinkat, "unlink", AT_PATH}, {SYS_rmdir, "unlink", PATH},
    {SYS_mkdir, "mkdir", PATH}, {SYS_mkdirat, "mkdir", AT_PATH},
    {SYS_chmod, "chmod", PATH}, {SYS_fchmod, "chmod", FD}, {SYS_fchmodat, "chmod", AT_PATH},
    {SYS_chown, "chown", PATH}, {SYS_fchown, "chown", FD}, {SYS_fchownat, "chown", AT_PATH}, {SYS_lchown, "chown", PATH},
    {SYS_utimensat, "utimens", AT_PATH},
    {SYS_setxattr, "xattr", PATH}, {SYS_fsetxattr, "xattr", FD},
};
#define COUNT (sizeof CALLS / sizeof *CALLS)

/* A call between its beginning and its end. */
static struct open_call {
    pid_t tid;
    const struct call *call;
    int last; /* the program ends with it */
    unsigned long began;
    long long offset;
    size_t length;
    char path[PATH_SIZE], other[PATH_SIZE];
    char *data;
} running[THREADS];

static FILE *out;
static const char *root, *action, *only;
static unsigned long order, at, seen;
static int hit;
static pid_t program;

static void fatal(const char *what) { perror(what); exit(125); }

static ssize_t peek(pid_t tid, uint64_t address, void *to, size_t size) {
    struct iovec mine = {to, size}, theirs = {(void *)address, size};
    return process_vm_readv(tid, &mine, 1, &theirs, 1, 0);
}

/* Text ends with a NUL, which may lie just before memory that is not there. */
static void peek_text(pid_t tid, uint64_t address, char *to) {
    size_t n = 0;
    while (n + 1 < PATH_SIZE / 2 && peek(tid, address + n, to + n, 1) == 1 && to[n]) n++;
    to[n] = 0;
}

static void link_of(pid_t tid, const char *what, int fd, char *to) {
    char name[64];
    if (fd >= 0) snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, fd);
    else snprintf(name, sizeof name, "/proc/%d/%s", tid, what);
    ssize_t n = readlink(name, to, PATH_SIZE - 1);
    to[n > 0 ? n : 0] = 0;
}

static void resolve(pid_t tid, int dir, uint64_t address, char *to) {
    char text[PATH_SIZE], base[PATH_SIZE];
    int fd, used = 0;
    peek_text(tid, address, text);
    if (sscanf(text, "/proc/self/fd/%d%n", &fd, &used) == 1) {
        link_of(tid, 0, fd, base);
        memmove(text, text + used, strlen(text + used) + 1);
    } else if (*text == '/') {
        *base = 0;
    } else {
        link_of(tid, "cwd", dir == AT_FDCWD ? -1 : dir, base);
    }
    const char *rest = text;
    while (*rest == '/' || (*rest == '.' && (!rest[1] || rest[1] == '/'))) rest++;
    snprintf(to, PATH_SIZE, "%.4000s%s%.4000s", base, *rest ? "/" : "", rest);
}

/* Whether this is a regular file or folder below the root. */
static int counts(const char *path) {
    size_t n = strlen(root);
    return !strncmp(path, root, n) && (path[n] == '/' || !path[n]);
}

static int listed(const char *list, const char *name) {
    size_t n = strlen(name);
    if (!strcmp(list, "all")) return 1;
    for (const char *p = list; (p = strstr(p, name)); p += n)
        if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ',')) return 1;
    return 0;
}

static void position(pid_t tid, int fd, struct open_call *c) {
    char name[64], line[128];
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", tid, fd);
    FILE *f = fopen(name, "r");
    unsigned flags = 0;
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "pos: %lld", &c->offset);
        sscanf(line, "flags: %o", &flags);
    }
    if (f) fclose(f);
    if (flags & O_APPEND) c->offset = -1;
}

/* What a call is about; false if it changes nothing that counts. */
static int describe(pid_t tid, const struct call *call, const struct user_regs_struct *r, struct open_call *c) {
    uint64_t a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    uint64_t flags = O_WRONLY;
    c->offset = 0, c->length = 0, *c->path = 0, *c->other = 0, c->data = NULL;
    switch (call->shape) {
    case AT_PATH: /* futimens() is utimensat() without a path. */
        if (a[1]) resolve(tid, (int)a[0], a[1], c->path); else link_of(tid, 0, (int)a[0], c->path);
        break;
    case PATH: case CREAT: resolve(tid, AT_FDCWD, a[0], c->path); break;
    case AT_AT: resolve(tid, (int)a[0], a[1], c->path); resolve(tid, (int)a[2], a[3], c->other); break;
    case PATH_PATH: resolve(tid, AT_FDCWD, a[0], c->path); resolve(tid, AT_FDCWD, a[1], c->other); break;
    case TEXT_AT: peek_text(tid, a[0], c->other); resolve(tid, (int)a[1], a[2], c->path); break;
    case TEXT_PATH: peek_text(tid, a[0], c->other); resolve(tid, AT_FDCWD, a[1], c->path); break;
    case OUT2: link_of(tid, 0, (int)a[2], c->path); c->length = a[4]; position(tid, (int)a[2], c); break;
    case OUT0: link_of(tid, 0, (int)a[0], c->path); c->length = a[3]; position(tid, (int)a[0], c); break;
    case OPENAT: flags = a[2]; resolve(tid, (int)a[0], a[1], c->path); break;
    case OPEN: flags = a[1]; resolve(tid, AT_FDCWD, a[0], c->path); break;
    case OPENAT2: peek(tid, a[2], &flags, sizeof flags); resolve(tid, (int)a[0], a[1], c->path); break;
    case FD:
        link_of(tid, 0, (int)a[0], c->path);
        if (call->number == SYS_ftruncate) c->length = a[1];
        break;
    case WRITE: case PWRITE: case WRITEV:
        if (a[0] == STDOUT_FILENO || a[0] == STDERR_FILENO) return 0;
        link_of(tid, 0, (int)a[0], c->path);
        c->length = a[2];
        if (call->shape == PWRITE) c->offset = (long long)a[3]; else position(tid, (int)a[0], c);
    }
    if (!counts(c->path)) return 0;
    if (!strcmp(call->name, "chmod")) c->length = call->number == SYS_fchmodat ? a[2] : a[1];
    if (!strcmp(call->name, "open")) {
        if (!(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) || (flags & O_PATH)) return 0;
        c->length = flags;
    }
    if (call->shape == WRITE || call->shape == PWRITE) {
        c->data = malloc(c->length + 1);
        if (peek(tid, a[1], c->data, c->length) != (ssize_t)c->length) c->length = 0;
    }
    return 1;
}

/* Halves what a call writes; false where that can't be done. */
static int halve(const struct call *call, struct user_regs_struct *r) {
    unsigned long long *length = call->shape == OUT2 ? &r->r8 : call->shape == OUT0 ? &r->r10 : &r->rdx;
    if (*length < 2) return 0;
    *length /= 2;
    return 1;
}

static void print(const char *word, const struct open_call *c, long long result) {
    fprintf(out, "%s\t%lu\t%lu\t%s\t%s\t%s\t%lld\t%zu\t%lld\t", word, c->began, order++, c->call->name, c->path, c->other,
            c->offset, c->length, result);
    for (long long i = 0; c->data && i < result; i++) fprintf(out, "%02x", (unsigned char)c->data[i]);
    fputc('\n', out);
    fflush(out);
}

static void end_program(void) {
    kill(-program, SIGKILL);
    kill(program, SIGKILL);
}

static struct open_call *slot(pid_t tid) {
    for (int i = 0; i < THREADS; i++)
        if (running[i].tid == tid) return &running[i];
    errno = ENOMEM;
    fatal("too many threads");
    return NULL;
}

/* A thread stands before a call of the filter. Gives how it goes on. */
static int before(pid_t tid) {
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, tid, 0, &r)) return PTRACE_CONT;
    const struct call *call = NULL;
    for (size_t i = 0; i < COUNT && !call; i++)
        if (CALLS[i].number == (long)r.orig_rax) call = &CALLS[i];
    struct open_call *c = slot(0);
    if (!call || !describe(tid, call, &r, c)) return PTRACE_CONT;
    c->call = call, c->last = 0, c->began = order++;
    int half = !strcmp(action, "short") || !strcmp(action, "torn"), chosen = 0;
    if (strcmp(action, "trace") && listed(only, call->name) && (!half || halve(call, &r))) {
        seen++;
        chosen = !strncmp(action, "fails:", 6) ? seen >= at : seen == at;
    }
    if (chosen) {
        hit = 1;
        print("hit", c, 0);
        if (!strcmp(action, "kill")) {
            end_program();
            return PTRACE_CONT;
        }
        if (!strncmp(action, "run:", 4)) {
            int status = system(action + 4);
            if (status) fprintf(out, "command %d\n", status);
        } else if (half) {
            c->last = !strcmp(action, "torn");
            if (ptrace(PTRACE_SETREGS, tid, 0, &r)) fatal("set registers");
        } else {
            r.orig_rax = -1;
            r.rax = (unsigned long long)-atoll(strchr(action, ':') + 1);
            if (ptrace(PTRACE_SETREGS, tid, 0, &r)) fatal("set registers");
            free(c->data);
            return PTRACE_CONT;
        }
    }
    c->tid = tid;
    return PTRACE_SYSCALL;
}

/* What the kernel has copied is in no memory of the program. */
static void copied(struct open_call *c, size_t size) {
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    c->data = malloc(size);
    if (fd < 0 || pread(fd, c->data, size, c->offset) != (ssize_t)size) fatal(c->path);
    close(fd);
}

static void after(pid_t tid) {
    struct user_regs_struct r;
    struct open_call *c = slot(tid);
    if (!ptrace(PTRACE_GETREGS, tid, 0, &r)) {
        if (!strcmp(c->call->name, "copy") && (long long)r.rax > 0) copied(c, (size_t)r.rax);
        print("call", c, (long long)r.rax);
    }
    free(c->data);
    c->tid = 0;
    if (c->last) end_program();
}

static void pass_on(int sig) { kill(program, sig); }

static void child(int gate, char **argv) {
    struct sock_filter filter[COUNT + 4];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)CALLS[i].number, (unsigned char)(COUNT - i), 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog prog = {(unsigned short)n, filter};
    char go;
    setpgid(0, 0);
    if (read(gate, &go, 1) != 1) _exit(125);
    close(gate);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) fatal("seccomp");
    execvp(argv[0], argv);
    fatal(argv[0]);
}

int main(int argc, char **argv) {
    if (argc < 8 || strcmp(argv[6], "--")) return fputs("inject LOG ROOT ACTION ONLY AT -- PROGRAM ARG...\n", stderr), 125;
    int gate[2];
    out = fopen(argv[1], "we");
    if (!out || pipe2(gate, O_CLOEXEC)) fatal(argv[1]);
    root = argv[2], action = argv[3], only = argv[4], at = strtoul(argv[5], NULL, 10);
    program = fork();
    if (program < 0) fatal("fork");
    if (!program) child(gate[0], argv + 7);
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, program, 0, options)) fatal("ptrace");
    if (write(gate[1], "", 1) != 1) fatal("gate");
    close(gate[0]), close(gate[1]);
    signal(SIGTERM, pass_on);
    int ended = 0;
    for (;;) {
        int status, sig, how = PTRACE_CONT;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR) continue;
        if (tid < 0) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (tid == program) ended = status;
            for (int i = 0; i < THREADS; i++)
                if (running[i].tid == tid) running[i].tid = 0;
            continue;
        }
        sig = WSTOPSIG(status);
        int event = status >> 16;
        if (event == PTRACE_EVENT_SECCOMP) how = before(tid), sig = 0;
        else if (sig == (SIGTRAP | 0x80)) after(tid), sig = 0;
        else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) how = PTRACE_LISTEN, sig = 0;
        else if (event) sig = 0;
        ptrace(how, tid, 0, sig);
    }
    if (WIFSIGNALED(ended)) fprintf(out, "signal %d\n", WTERMSIG(ended));
    else fprintf(out, "exit %d\n", WEXITSTATUS(ended));
    fclose(out);
    return WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
}
