// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ctraffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int lp_peer_find(const char *host, const char *port, struct lp_peer *peer)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV }, *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error)
		return error;
	memset(peer, 0, sizeof(*peer));
	memcpy(&peer->address, found->ai_addr, found->ai_addrlen);
	peer->length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

int lp_peer_device(const struct lp_peer *peer, char device[16])
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
		struct rtattr attribute;
		uint8_t address[16];
	} request = {
		.header = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST },
		.route = { .rtm_family = (unsigned char)peer->address.ss_family },
		.attribute = { .rta_type = RTA_DST },
	};
	int is_v4 = peer->address.ss_family == AF_INET, size = is_v4 ? 4 : 16, error = 0, index = 0;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer->address;
	_Alignas(struct nlmsghdr) char answer[8192];
	ssize_t length;
	int fd;

	if (is_v4)
		memcpy(request.address, &((const struct sockaddr_in *)&peer->address)->sin_addr, 4);
	else
		memcpy(request.address, &v6->sin6_addr, 16);
	request.route.rtm_dst_len = (unsigned char)(size * 8);
	request.attribute.rta_len = (unsigned short)RTA_LENGTH(size);
	request.header.nlmsg_len =
		(uint32_t)(NLMSG_LENGTH(sizeof(struct rtmsg)) + RTA_LENGTH(size));
	// A link-local address has its device with it.
	if (!is_v4 && v6->sin6_scope_id)
		return if_indextoname(v6->sin6_scope_id, device) ? 0 : -errno;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (send(fd, &request, request.header.nlmsg_len, 0) < 0 ||
	    (length = recv(fd, answer, sizeof(answer), 0)) < 0) {
		error = -errno;
	} else {
		struct nlmsghdr *header = (struct nlmsghdr *)answer;

		if (!NLMSG_OK(header, (size_t)length)) {
			error = -EBADMSG;
		} else if (header->nlmsg_type == NLMSG_ERROR) {
			error = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
		} else {
			struct rtattr *attribute = RTM_RTA(NLMSG_DATA(header));
			int left = (int)RTM_PAYLOAD(header);

			for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
				if (attribute->rta_type == RTA_OIF)
					memcpy(&index, RTA_DATA(attribute), sizeof(index));
			if (!index || !if_indextoname((unsigned int)index, device))
				error = -ENETUNREACH;
		}
	}
	close(fd);
	return error;
}

int lp_udp_source(int fd, uint8_t address[16])
{
	struct sockaddr_in6 own = { 0 };
	const struct sockaddr_in *own_v4 = (const struct sockaddr_in *)&own;
	socklen_t length = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &length))
		return -errno;
	if (own.sin6_family == AF_INET6) {
		memcpy(address, &own.sin6_addr, 16);
		return 0;
	}
	memset(address, 0, 10);
	memset(address + 10, 0xff, 2);
	memcpy(address + 12, &own_v4->sin_addr, 4);
	return 0;
}

int lp_way_name(uint32_t index, char device[16])
{
	return if_indextoname(index, device) ? 0 : -errno;
}

uint32_t lp_device_speed(const char *device)
{
	struct ethtool_cmd command = { .cmd = ETHTOOL_GSET };
	struct ifreq request = { .ifr_data = (void *)&command };
	uint32_t speed = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	strncpy(request.ifr_name, device, sizeof(request.ifr_name) - 1);
	if (!ioctl(fd, SIOCETHTOOL, &request))
		speed = ethtool_cmd_speed(&command);
	close(fd);
	return speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
}

int lp_udp_open(const struct lp_peer *peer, enum lp_tx_clock clock, int only_stamps, int room)
{
	int stamping = SOF_TIMESTAMPING_OPT_ID, error;
	int is_v4 = peer->address.ss_family == AF_INET;
	int fd = socket(peer->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	if (clock == LP_TX_HARDWARE)
		stamping |= SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RX_HARDWARE |
			    SOF_TIMESTAMPING_RAW_HARDWARE;
	else if (clock == LP_TX_KERNEL)
		stamping |= SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
	else if (clock == LP_TX_QUEUED)
		stamping |= SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE;
	else
		stamping = SOF_TIMESTAMPING_SOFTWARE;
	// With it IP_PKTINFO tells the device that stamped; only stamps with their packet have that.
	if (!only_stamps && clock != LP_TX_NONE)
		stamping |= SOF_TIMESTAMPING_OPT_CMSG;
	if (clock != LP_TX_HARDWARE)
		stamping |= SOF_TIMESTAMPING_RX_SOFTWARE;
	if (only_stamps && clock != LP_TX_NONE)
		stamping |= SOF_TIMESTAMPING_OPT_TSONLY;
	// Beyond the system's limit only with CAP_NET_ADMIN.
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, room))
		set(fd, SOL_SOCKET, SO_RCVBUF, room);
	// What does not fit is refused instead of cut to pieces, of which none would be the packet.
	error = is_v4 ? set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
		      : set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	// All that routers and hosts say of the packets, not only that nobody listens.
	if (!error)
		error = is_v4 ? set(fd, IPPROTO_IP, IP_RECVERR, 1)
			      : set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	if (!error)
		error = is_v4 ? set(fd, IPPROTO_IP, IP_PKTINFO, 1)
			      : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	// IPv4 by an IPv6 socket (::ffff:10.0.0.1).
	if (!is_v4)
		set(fd, IPPROTO_IP, IP_RECVERR, 1);
	if (!error && connect(fd, (const struct sockaddr *)&peer->address, peer->length))
		error = -errno;
	// Last: packets are numbered from here on.
	if (!error)
		error = set(fd, SOL_SOCKET, SO_TIMESTAMPING, stamping);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int lp_udp_send(int fd, const void *bytes, uint32_t length)
{
	if (send(fd, bytes, length, MSG_DONTWAIT) >= 0)
		return 0;
	// Dropped by the device's queue, which only sockets with IP_RECVERR are told: the packet has left the socket, has a
	// number for its stamp, and is lost as behind any other queue.
	return errno == ENOBUFS ? 0 : -errno;
}

static int64_t nanoseconds(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// What somebody on the way said; 0 if it is nothing of that kind.
static int take_heard(int fd, const struct sock_extended_err *error, struct lp_heard *heard)
{
	const struct sockaddr *from = SO_EE_OFFENDER(error);
	struct sockaddr_in6 own = { 0 };
	const struct sockaddr_in *own_v4 = (const struct sockaddr_in *)&own;
	socklen_t length = sizeof(own);
	const void *address;

	if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
		return 0;
	memset(heard, 0, sizeof(*heard));
	heard->error = (int32_t)error->ee_errno;
	heard->type = error->ee_type;
	heard->code = error->ee_code;
	heard->is_v6 = error->ee_origin == SO_EE_ORIGIN_ICMP6;
	getsockname(fd, (struct sockaddr *)&own, &length);
	if (from->sa_family == AF_INET) {
		address = &((const struct sockaddr_in *)from)->sin_addr;
		heard->is_own = !memcmp(address, &own_v4->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		address = &((const struct sockaddr_in6 *)from)->sin6_addr;
		heard->is_own = !memcmp(address, &own.sin6_addr, 16);
	} else {
		return 1;
	}
	inet_ntop(from->sa_family, address, heard->from, sizeof(heard->from));
	return 1;
}

int lp_udp_stamp(int fd, void *buffer, uint32_t size, struct lp_tx_stamp *stamp,
		 struct lp_heard *heard)
{
	for (;;) {
		_Alignas(struct cmsghdr) char control[512];
		struct iovec data = { .iov_base = buffer, .iov_len = size };
		struct msghdr message = { .msg_iov = &data,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };
		const struct sock_extended_err *error = NULL;
		const struct scm_timestamping *times = NULL;
		uint32_t device = 0;
		ssize_t length = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);

		if (length < 0)
			return errno == EAGAIN ? 0 : -errno;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING)
				times = (const struct scm_timestamping *)CMSG_DATA(c);
			else if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
				 (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
				error = (const struct sock_extended_err *)CMSG_DATA(c);
			else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO)
				device = (uint32_t)((const struct in_pktinfo *)CMSG_DATA(c))
						 ->ipi_ifindex;
			else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				device = ((const struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex;
		}
		if (error && take_heard(fd, error, heard))
			return 3;
		if (error && error->ee_origin == SO_EE_ORIGIN_TXTIME)
			return 2;
		if (!times || !error || error->ee_errno != ENOMSG ||
		    error->ee_origin != SO_EE_ORIGIN_TIMESTAMPING)
			continue;
		// The third time is the device's; the second one was never used.
		stamp->time_ns = nanoseconds(times->ts[2]);
		stamp->clock = LP_TX_HARDWARE;
		if (!stamp->time_ns) {
			stamp->time_ns = nanoseconds(times->ts[0]);
			stamp->clock =
				error->ee_info == SCM_TSTAMP_SCHED ? LP_TX_QUEUED : LP_TX_KERNEL;
		}
		stamp->number = error->ee_data;
		stamp->device = device;
		stamp->length = (uint32_t)length;
		return 1;
	}
}

int lp_udp_receive(int fd, void *buffer, uint32_t size, struct lp_answer *answer)
{
	_Alignas(struct cmsghdr) char control[256];
	struct iovec data = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	memset(answer, 0, sizeof(*answer));
	answer->length = (uint32_t)length;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		const struct scm_timestamping *times = (const void *)CMSG_DATA(c);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING)
			continue;
		answer->time_ns = nanoseconds(times->ts[2]);
		answer->is_hardware = answer->time_ns != 0;
		if (!answer->is_hardware)
			answer->time_ns = nanoseconds(times->ts[0]);
	}
	return 1;
}

uint32_t lp_udp_drops(int fd)
{
	uint32_t values[SK_MEMINFO_VARS] = { 0 };
	socklen_t length = sizeof(values);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &length) ? 0
								       : values[SK_MEMINFO_DROPS];
}

int lp_udp_wait_until(int fd, int64_t monotonic_ns)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };
	struct timespec now, rest;
	int64_t left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = monotonic_ns - nanoseconds(now);
	if (left < 0)
		left = 0;
	rest = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
	return ppoll(&waiting, 1, &rest, NULL) < 0 ? -errno : 0;
}
