// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cseccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// What a program that reads, computes and writes needs, with threads, on any C library.
static const char *const needed[] = {
	"access",
	"alarm",
	"arch_prctl",
	"brk",
	"capget",
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"close",
	"close_range",
	"copy_file_range",
	"dup",
	"dup2",
	"dup3",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd2",
	"exit",
	"exit_group",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fchown",
	"fchownat",
	"fcntl",
	"fdatasync",
	"flock",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"futex",
	"futex_waitv",
	"get_mempolicy",
	"get_robust_list",
	"getcpu",
	"getcwd",
	"getdents",
	"getdents64",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgrp",
	"getpid",
	"getppid",
	"getpriority",
	"getrandom",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"getsid",
	"gettid",
	"gettimeofday",
	"getuid",
	"getxattr",
	"linkat",
	"lgetxattr",
	"lseek",
	"lstat",
	"madvise",
	"membarrier",
	"memfd_create",
	"mincore",
	"mkdir",
	"mkdirat",
	"mlock",
	"mmap",
	"mprotect",
	"mremap",
	"msync",
	"munlock",
	"munmap",
	"nanosleep",
	"newfstatat",
	"open",
	"openat",
	"openat2",
	"pause",
	"pipe",
	"pipe2",
	"poll",
	"ppoll",
	"prctl",
	"pread64",
	"preadv",
	"preadv2",
	"pselect6",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readahead",
	"readlink",
	"readlinkat",
	"readv",
	"recvmsg",
	"rename",
	"renameat",
	"renameat2",
	"restart_syscall",
	"rmdir",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"sched_getaffinity",
	"sched_getattr",
	"sched_getparam",
	"sched_getscheduler",
	"sched_yield",
	"select",
	"sendmsg",
	"set_robust_list",
	"set_tid_address",
	"setitimer",
	"sigaltstack",
	"splice",
	"stat",
	"statfs",
	"statx",
	"sysinfo",
	"tgkill",
	"time",
	"timer_create",
	"timer_delete",
	"timer_settime",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	"times",
	"umask",
	"uname",
	"unlink",
	"unlinkat",
	"write",
	"writev",
};

// What only an attacker would call.
static const char *const forbidden[] = {
	"accept",
	"accept4",
	"acct",
	"add_key",
	"adjtimex",
	"bind",
	"bpf",
	"chroot",
	"clock_adjtime",
	"clock_settime",
	"connect",
	"create_module",
	"delete_module",
	"execve",
	"execveat",
	"finit_module",
	"fork",
	"fsconfig",
	"fsmount",
	"fsopen",
	"init_module",
	"io_uring_enter",
	"io_uring_register",
	"io_uring_setup",
	"ioperm",
	"iopl",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"listen",
	"mknod",
	"mknodat",
	"mount",
	"mount_setattr",
	"move_mount",
	"name_to_handle_at",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"personality",
	"pidfd_getfd",
	"pidfd_open",
	"pidfd_send_signal",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"quotactl",
	"reboot",
	"request_key",
	"setdomainname",
	"setfsgid",
	"setfsuid",
	"setgid",
	"setgroups",
	"sethostname",
	"setns",
	"setregid",
	"setresgid",
	"setresuid",
	"setreuid",
	"settimeofday",
	"setuid",
	"socket",
	"socketpair",
	"stime",
	"swapoff",
	"swapon",
	"syslog",
	"umount",
	"umount2",
	"unshare",
	"uselib",
	"userfaultfd",
	"vfork",
	"vhangup",
};

// What changes files, beside opening one to write.
static const char *const changing[] = {
	"chmod",     "chown",	 "creat",     "fchmod",	   "fchmodat", "fchmodat2",
	"fchown",    "fchownat", "fsetxattr", "lchown",	   "link",     "linkat",
	"lsetxattr", "mkdir",	 "mkdirat",   "rename",	   "renameat", "renameat2",
	"rmdir",     "setxattr", "symlink",   "symlinkat", "truncate", "unlink",
	"unlinkat",  "utime",	 "utimensat", "utimes",	   "kill",     "tkill",
};

static struct scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ argument, SCMP_CMP_MASKED_EQ, mask, value };
}

static struct scmp_arg_cmp equal(unsigned argument, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ argument, SCMP_CMP_EQ, value, 0 };
}

// A call that this architecture or libseccomp does not know cannot be asked for either.
static int add(scmp_filter_ctx filter, uint32_t action, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);
	int error;

	if (number == __NR_SCMP_ERROR)
		return 0;
	error = seccomp_rule_add(filter, action, number, 0);
	return error == -EDOM || error == -EACCES ? 0 : error;
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && !error; i++)
		error = add(filter, action, names[i]);
	return error;
}

// Threads, and no other kind of child. What clone3 is asked for lies in memory: the C library does with clone.
static int add_threads(scmp_filter_ctx filter, uint32_t otherwise, uint32_t threads)
{
	int error =
		seccomp_rule_add(filter, otherwise, SCMP_SYS(clone), 1, masked(0, CLONE_THREAD, 0));

	if (!error && threads)
		error = seccomp_rule_add(filter, threads, SCMP_SYS(clone), 1,
					 masked(0, CLONE_THREAD, CLONE_THREAD));
	return error ? error
		     : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int fill_reader(scmp_filter_ctx filter)
{
	static const unsigned long questions[] = { TCGETS, TIOCGWINSZ, FIONREAD };
	int error = add_all(filter, SCMP_ACT_ALLOW, needed, sizeof(needed) / sizeof(*needed));

	if (!error)
		error = add_all(filter, SCMP_ACT_KILL_PROCESS, forbidden,
				sizeof(forbidden) / sizeof(*forbidden));
	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions) && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					 equal(1, questions[i]));
	// Its own limits, not those of another process.
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
					 equal(0, 0));
	return error ? error : add_threads(filter, SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW);
}

static int fill_drawer(scmp_filter_ctx filter)
{
	const uint32_t deny = SCMP_ACT_ERRNO(EPERM);
	int error = add_all(filter, deny, changing, sizeof(changing) / sizeof(*changing));

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden) && !error; i++) {
		const char *name = forbidden[i];
		// execve is what starts it. Setting one's own ids gives nothing, and gnuplot wants to see that it may.
		int is_harmless = !strncmp(name, "execve", 6) ||
				  (!strncmp(name, "set", 3) && strstr(name, "id"));

		if (!is_harmless)
			error = add(filter, deny, name);
	}
	for (int way = O_WRONLY; way <= O_ACCMODE && !error; way++) {
		error = seccomp_rule_add(filter, deny, SCMP_SYS(openat), 1,
					 masked(2, O_ACCMODE, (scmp_datum_t)way));
		if (!error && seccomp_syscall_resolve_name("open") >= 0)
			error = seccomp_rule_add(filter, deny, SCMP_SYS(open), 1,
						 masked(1, O_ACCMODE, (scmp_datum_t)way));
	}
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
	return error ? error : add_threads(filter, deny, 0);
}

static scmp_filter_ctx make(enum lp_profile profile, int *error)
{
	scmp_filter_ctx filter =
		seccomp_init(profile == LP_PROFILE_READER ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);

	if (!filter) {
		*error = -ENOMEM;
		return NULL;
	}
	*error = profile == LP_PROFILE_READER ? fill_reader(filter) : fill_drawer(filter);
	// The threads that are there already too.
	if (!*error)
		*error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (*error) {
		seccomp_release(filter);
		return NULL;
	}
	return filter;
}

int lp_seccomp_confine(enum lp_profile profile)
{
	int error;
	scmp_filter_ctx filter = make(profile, &error);

	if (!filter)
		return error;
	error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int lp_seccomp_instructions(enum lp_profile profile, struct sock_filter **instructions)
{
	int error, file = -1;
	off_t size;
	scmp_filter_ctx filter = make(profile, &error);

	if (!filter)
		return error;
	file = memfd_create("latprobe-filter", MFD_CLOEXEC);
	error = file < 0 ? -errno : seccomp_export_bpf(filter, file);
	seccomp_release(filter);
	size = error ? 0 : lseek(file, 0, SEEK_END);
	*instructions = size > 0 ? malloc((size_t)size) : NULL;
	if (!error && (!*instructions || pread(file, *instructions, (size_t)size, 0) != size))
		error = -ENOMEM;
	if (file >= 0)
		close(file);
	if (error) {
		free(*instructions);
		return error;
	}
	return (int)((size_t)size / sizeof(struct sock_filter));
}

int lp_seccomp_try(enum lp_profile profile, const char *call, long first, long second, long third)
{
	int status, number = seccomp_syscall_resolve_name(call);
	pid_t child = fork();

	if (child == 0) {
		if (lp_seccomp_confine(profile))
			_exit(255);
		_exit(syscall(number, first, second, third, 0L, 0L, 0L) < 0 ? errno : 0);
	}
	if (child < 0)
		return -errno;
	return waitpid(child, &status, 0) < 0 ? -errno : status;
}
