// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ctraffic.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

int lp_reflector_open(const struct lp_peer *address)
{
	int is_v4 = address->address.ss_family == AF_INET, error;
	int fd = socket(address->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	// IPv4 packets come to an IPv6 socket too, and have their own control messages.
	error = set(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (!error)
		error = set(fd, IPPROTO_IP, IP_RECVTTL, 1);
	if (!error && !is_v4)
		error = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (!error && !is_v4)
		error = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!error && !is_v4)
		error = set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	if (!error)
		error = set(fd, SOL_SOCKET, SO_TIMESTAMPING,
			    SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	// What comes in while this program does not run: 20 164 packets of 64 bytes, the kernel doubling it.
	if (!error && set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20))
		error = set(fd, SOL_SOCKET, SO_RCVBUF, 8 << 20);
	if (!error && bind(fd, (const struct sockaddr *)&address->address, address->length))
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int lp_reflector_port(int fd)
{
	struct sockaddr_in6 address = { 0 };
	socklen_t length = sizeof(address);

	// The port is in the same place of both families.
	return getsockname(fd, (struct sockaddr *)&address, &length) ? -errno
								     : ntohs(address.sin6_port);
}

static void map(uint8_t address[16], const struct in_addr *v4)
{
	memset(address, 0, 10);
	memset(address + 10, 0xff, 2);
	memcpy(address + 12, v4, 4);
}

int lp_reflector_receive(int fd, void *buffer, uint32_t size, struct lp_request *request)
{
	_Alignas(struct cmsghdr) char control[512];
	struct iovec data = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = { .msg_name = &request->from.address,
				  .msg_namelen = sizeof(request->from.address),
				  .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&request->from.address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&request->from.address;
	ssize_t length;

	memset(request, 0, sizeof(*request));
	length = recvmsg(fd, &message, MSG_DONTWAIT);
	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	request->length = (uint32_t)length;
	request->is_cut = (message.msg_flags & MSG_TRUNC) != 0;
	request->from.length = message.msg_namelen;
	if (v4->sin_family == AF_INET) {
		map(request->address, &v4->sin_addr);
		request->port = ntohs(v4->sin_port);
	} else {
		memcpy(request->address, &v6->sin6_addr, 16);
		request->port = ntohs(v6->sin6_port);
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
			const struct scm_timestamping *times = (const void *)CMSG_DATA(c);

			request->time_ns =
				(int64_t)times->ts[0].tv_sec * 1000000000 + times->ts[0].tv_nsec;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) {
			int ttl;

			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
			request->ttl = (uint8_t)ttl;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) {
			int ttl;

			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
			request->ttl = (uint8_t)ttl;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			// They differ where the packet was sent to many.
			request->is_for_many = info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr;
			request->is_v4 = 1;
			map(request->local, &info.ipi_spec_dst);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			   !request->is_v4) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr))
				continue;
			request->is_for_many = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
			request->device = info.ipi6_ifindex;
			memcpy(request->local, &info.ipi6_addr, 16);
		}
	}
	return 1;
}

int lp_reflector_reply(int fd, const struct lp_request *request, const void *bytes, uint32_t length)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct iovec data = { .iov_base = (void *)bytes, .iov_len = length };
	struct msghdr message = { .msg_name = (void *)&request->from.address,
				  .msg_namelen = request->from.length,
				  .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control };
	struct cmsghdr *c = (struct cmsghdr *)control;

	// From the address that was asked, whatever the route back prefers.
	if (request->is_v4) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, request->local + 12, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_ifindex = request->device };

		memcpy(&info.ipi6_addr, request->local, 16);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT) < 0 ? -errno : 0;
}

int lp_contains(const void *bytes, uint32_t length, const void *part, uint32_t part_length)
{
	return memmem(bytes, length, part, part_length) != NULL;
}

int64_t lp_clock_error(int *is_synchronized)
{
	struct timex state = { 0 };
	int result = adjtimex(&state);

	*is_synchronized = result >= 0 && result != TIME_ERROR && !(state.status & STA_UNSYNC);
	// 16 s is what the kernel says of a clock that nobody disciplines.
	return result < 0 ? 16000000 : state.maxerror;
}
