// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE // accept4
#include "cvsock.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int fail(int fd)
{
	int error = errno;

	close(fd);
	return -error;
}

int lp_vsock_connect(uint32_t cid, uint32_t port, int timeout_ms)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	struct timeval timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	// The kernel's own limit is 2 s; a kernel that knows no other keeps it.
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout));
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) ? fail(fd) : fd;
}

int lp_vsock_listen(uint32_t port)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_ANY,
				       .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4) ? fail(fd)
										       : fd;
}

int lp_vsock_accept(int listener, uint32_t *peer_cid)
{
	struct sockaddr_vm address = { 0 };
	socklen_t size = sizeof(address);
	int fd = accept4(listener, (struct sockaddr *)&address, &size, SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*peer_cid = address.svm_cid;
	return fd;
}
