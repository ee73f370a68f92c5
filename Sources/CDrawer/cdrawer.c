// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cdrawer.h"

#include <cseccomp.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 3

// Far above what a picture needs; a script that runs away ends by them.
#define CPU_SECONDS 60
#define PICTURE_BYTES (64 << 20)
#define MEMORY_BYTES (2ul << 30)

union control {
	char bytes[CMSG_SPACE(FILES * sizeof(int))];
	struct cmsghdr alignment;
};

static void limit(int what, rlim_t most)
{
	struct rlimit value = { most, most };

	setrlimit(what, &value);
}

// In the child that becomes gnuplot; -errno on the way is written to `failure`.
static void become(const char *program, const int files[FILES], uint32_t user, uint32_t group,
		   const struct sock_fprog *filter, int failure)
{
	char *const arguments[] = { "gnuplot", "-d", "-", NULL };
	char path[4096] = "PATH=/usr/local/bin:/usr/bin:/bin";
	const char *own = getenv("PATH");
	char *const environment[] = { path, "HOME=/", "LC_ALL=C.UTF-8", NULL };
	int error;

	if (own && strlen(own) < sizeof(path) - 6)
		strcpy(path + 5, own);
	// Above 2 first, as one of them may be 0 to 2 itself.
	for (int i = 0; i < FILES; i++)
		if (dup2(fcntl(files[i], F_DUPFD_CLOEXEC, 10), i) < 0)
			goto failed;
	if (chdir("/"))
		goto failed;
	limit(RLIMIT_CPU, CPU_SECONDS);
	limit(RLIMIT_FSIZE, PICTURE_BYTES);
	limit(RLIMIT_AS, MEMORY_BYTES);
	limit(RLIMIT_CORE, 0);
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) || setresgid(group, group, group) || setresuid(user, user, user)))
		goto failed;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		goto failed;
	if (filter->len && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter))
		goto failed;
	execvpe(program, arguments, environment);
failed:
	// A program that this user cannot reach is as good as not there.
	error = errno == EACCES ? -ENOENT : -errno;
	if (write(failure, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static int run(const char *program, const int files[FILES], uint32_t user, uint32_t group,
	       const struct sock_fprog *filter)
{
	int failure[2], status, result = 0;
	pid_t child;

	if (pipe2(failure, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child == 0)
		become(program, files, user, group, filter, failure[1]);
	close(failure[1]);
	if (child < 0)
		result = -errno;
	else if (read(failure[0], &result, sizeof(result)) != sizeof(result))
		result = 0;
	close(failure[0]);
	if (child < 0)
		return result;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (result)
		return result;
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void serve(int socket, const char *program, uint32_t user, uint32_t group,
		  const struct sock_fprog *filter)
{
	for (;;) {
		union control control;
		char byte;
		struct iovec data = { &byte, 1 };
		struct msghdr message = { .msg_iov = &data,
					  .msg_iovlen = 1,
					  .msg_control = control.bytes,
					  .msg_controllen = sizeof(control.bytes) };
		struct cmsghdr *header;
		ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
		int files[FILES], result;

		if (count < 0 && errno == EINTR)
			continue;
		header = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
		if (!header || header->cmsg_type != SCM_RIGHTS ||
		    header->cmsg_len != CMSG_LEN(sizeof(files)))
			_exit(0);
		memcpy(files, CMSG_DATA(header), sizeof(files));
		result = run(program, files, user, group, filter);
		for (int i = 0; i < FILES; i++)
			close(files[i]);
		if (send(socket, &result, sizeof(result), MSG_NOSIGNAL) != sizeof(result))
			_exit(0);
	}
}

int lp_drawer_start(const char *program, uint32_t user, uint32_t group)
{
	struct sock_filter *instructions = NULL;
	struct sock_fprog filter;
	int count = lp_seccomp_instructions(LP_PROFILE_DRAWER, &instructions);
	int sockets[2], error = 0;
	pid_t child;

	if (count < 0)
		return count;
	filter = (struct sock_fprog){ .len = (unsigned short)count, .filter = instructions };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		free(instructions);
		return -errno;
	}
	// The child calls nothing that could wait for a lock of another thread's. It is a child's child, so that nobody has
	// to wait for its end, which comes when the other end of the socket is closed.
	child = fork();
	if (child == 0) {
		pid_t server = fork();
		int own;

		if (server)
			_exit(server < 0 ? errno : 0);
		own = dup2(sockets[1], 3);
		fcntl(own, F_SETFD, FD_CLOEXEC);
		syscall(SYS_close_range, 4, ~0U, 0);
		serve(own, program, user, group, &filter);
	}
	if (child < 0) {
		error = -errno;
	} else {
		int status = 0;

		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		if (status)
			error = WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
	}
	close(sockets[1]);
	free(instructions);
	if (error)
		close(sockets[0]);
	return error ? error : sockets[0];
}

static int write_all(int file, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t count = write(file, bytes, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return -errno;
		bytes += count;
		size -= (size_t)count;
	}
	return 0;
}

static int ask(int drawer, const int files[FILES])
{
	union control control = { .bytes = { 0 } };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t count;
	int result;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(FILES * sizeof(int));
	memcpy(CMSG_DATA(header), files, FILES * sizeof(int));
	if (sendmsg(drawer, &message, MSG_NOSIGNAL) < 0)
		return -errno;
	do
		count = read(drawer, &result, sizeof(result));
	while (count < 0 && errno == EINTR);
	return count == sizeof(result) ? result : -EPIPE;
}

int lp_drawer_draw(int drawer, const void *script, size_t size, int *picture, int *complaint)
{
	int files[FILES] = { -1, -1, -1 }, result = 0;

	for (int i = 0; i < FILES && !result; i++) {
		files[i] = memfd_create("latprobe-plot", MFD_CLOEXEC);
		if (files[i] < 0)
			result = -errno;
	}
	if (!result)
		result = write_all(files[0], script, size);
	if (!result && lseek(files[0], 0, SEEK_SET))
		result = -errno;
	if (!result)
		result = ask(drawer, files);
	if (files[0] >= 0)
		close(files[0]);
	for (int i = 1; i < FILES; i++)
		if (files[i] >= 0)
			lseek(files[i], 0, SEEK_SET);
	*picture = files[1];
	*complaint = files[2];
	return result;
}
