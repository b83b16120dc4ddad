/* Tries one way out of a sandbox: exits with 0 when it worked, with 1 when it was refused, with 2 when it could not be tried. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int abstract_socket(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) exit(2);
  strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
  return connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int trace(void) {
  pid_t child = fork();
  if (child < 0) exit(2);
  if (child == 0) { pause(); _exit(0); }
  int traced = ptrace(PTRACE_ATTACH, child, 0, 0);
  kill(child, SIGKILL);
  waitpid(child, 0, 0);
  return traced;
}

static int peek(void) {
  char here[8], there[8] = "content";
  struct iovec local = {here, 8}, remote = {there, 8};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static int new_user(void) {
  pid_t child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return child;
}

/* Whether it is forbidden, not whether the input is a terminal at all. */
static int fake_input(void) {
  char input = 'x';
  return ioctl(0, TIOCSTI, &input) < 0 && errno == EPERM ? -1 : 0;
}

static int more_processes(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NPROC, &limit)) exit(2);
  limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
  return setrlimit(RLIMIT_NPROC, &limit);
}

static int attribute(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  if (fd < 0) exit(2);
  return fsetxattr(fd, "user.hidden", "x", 1, 0);
}

static int set_id_file(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 04755);
  if (fd < 0) return -1;
  return 0;
}

int main(int count, char **words) {
  const char *what = count > 1 ? words[1] : "", *with = count > 2 ? words[2] : "";
  char buffer[256] = {0};
  int outcome = -1;
#define TRY(name, attempt) if (!strcmp(what, name)) outcome = (attempt); else
  TRY("abstract-socket", abstract_socket(with))
  TRY("ptrace", trace())
  TRY("peek", peek())
  TRY("clone-user", new_user())
  TRY("unshare-user", unshare(CLONE_NEWUSER))
  TRY("unshare-net", unshare(CLONE_NEWNET))
  TRY("mount", mount("none", with, "tmpfs", 0, 0))
  TRY("chroot", chroot("/tmp"))
  TRY("host-name", sethostname("other", 5))
  TRY("tiocsti", fake_input())
  TRY("limits", more_processes())
  TRY("attribute", attribute(with))
  TRY("set-id-file", set_id_file(with))
  TRY("keys", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1))
  TRY("bpf", syscall(SYS_bpf, 0, buffer, sizeof buffer))
  TRY("perf", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0))
  TRY("uring", syscall(SYS_io_uring_setup, 4, buffer))
  TRY("fault", syscall(SYS_userfaultfd, 0))
  TRY("packet", socket(AF_PACKET, SOCK_RAW, 0))
  TRY("kernel-log", syscall(SYS_syslog, 3, buffer, sizeof buffer))
  return 2;
  printf("%s: %s\n", what, outcome < 0 ? strerror(errno) : "worked");
  return outcome < 0;
}
