// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cnetns.h"

#include "links.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int lp_watch_open(void)
{
	int groups[] = { RTNLGRP_LINK, RTNLGRP_NSID, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
	// Without an address of its own it would go by the kernel's, which hears nothing of what it says itself.
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int size = 1 << 20;
	size_t i;

	if (fd < 0)
		return -errno;
	// A burst of changes waits for the recorder's next round. Without the privilege it is the system's limit.
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		int error = -errno;

		close(fd);
		return error;
	}
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i]))) {
			int error = -errno;

			close(fd);
			return error;
		}
	}
	return fd;
}

// Gives the namespace an id in ours, so that its changes can be heard here.
static int give_nsid(int netns_fd)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg message;
		char pad[3];
		struct rtattr attribute;
		int32_t fd;
		struct rtattr id_attribute;
		int32_t id;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_NEWNSID,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
			    .nlmsg_seq = 1 },
		.message = { .rtgen_family = AF_UNSPEC },
		.attribute = { .rta_len = RTA_LENGTH(sizeof(int32_t)), .rta_type = NETNSA_FD },
		.fd = netns_fd,
		.id_attribute = { .rta_len = RTA_LENGTH(sizeof(int32_t)), .rta_type = NETNSA_NSID },
		.id = -1, // any
	};
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	int fd = lp_netlink_open(-1), error = 0;
	ssize_t received;

	if (fd < 0)
		return fd;
	if (send(fd, &request, sizeof(request), 0) < 0)
		error = -errno;
	if (!error) {
		do
			received = recv(fd, answer, sizeof(answer), 0);
		while (received < 0 && errno == EINTR);
		if (received < 0)
			error = -errno;
		else if (!NLMSG_OK(header, (unsigned)received) || header->nlmsg_type != NLMSG_ERROR)
			error = -EPROTO;
		else
			error = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
	}
	if (!error || error == -EEXIST)
		error = lp_nsid_of(fd, netns_fd);
	close(fd);
	return error;
}

int lp_watch_add(int watch_fd, int netns_fd)
{
	int on = 1;

	if (setsockopt(watch_fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)))
		return -errno;
	return give_nsid(netns_fd);
}

static int nsid_of_message(struct msghdr *message)
{
	struct cmsghdr *control;
	int nsid = -1;

	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control))
		if (control->cmsg_level == SOL_NETLINK &&
		    control->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(control), sizeof(nsid));
	return nsid;
}

// 1 if the message tells of an address.
static int read_address(struct lp_link_change *change, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	const struct rtattr *a = IFA_RTA(info);
	int length = (int)IFA_PAYLOAD(message);
	size_t size = info->ifa_family == AF_INET6 ? 16 : 4;

	change->what = message->nlmsg_type == RTM_NEWADDR ? LP_ADDRESS : LP_ADDRESS_GONE;
	change->link.index = (int32_t)info->ifa_index;
	if (info->ifa_family == AF_INET)
		change->address[10] = change->address[11] = 0xff;
	else if (info->ifa_family != AF_INET6)
		return 0;
	// Of a tunnel's end IFA_ADDRESS is the other one's, and IFA_LOCAL, which comes behind it, its own.
	for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
		if ((a->rta_type == IFA_ADDRESS || a->rta_type == IFA_LOCAL) &&
		    RTA_PAYLOAD(a) == size)
			memcpy(change->address + 16 - size, RTA_DATA(a), size);
	return 1;
}

struct addresses {
	struct lp_link_change *addresses;
	size_t capacity;
	int count;
};

static void take_address(void *taken, const struct nlmsghdr *message)
{
	struct addresses *addresses = taken;
	struct lp_link_change change = { .nsid = -1 };

	if (message->nlmsg_type != RTM_NEWADDR || !read_address(&change, message))
		return;
	if ((size_t)addresses->count < addresses->capacity)
		addresses->addresses[addresses->count] = change;
	addresses->count++;
}

int lp_addresses(int netlink_fd, struct lp_link_change *addresses, size_t capacity)
{
	struct {
		struct nlmsghdr header;
		struct ifaddrmsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETADDR,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			    .nlmsg_seq = 3 },
		.info = { .ifa_family = AF_UNSPEC },
	};
	struct addresses taken = { addresses, capacity, 0 };
	int error = lp_dump(netlink_fd, &request, sizeof(request), take_address, &taken);

	return error ? error : taken.count;
}

// 1 if the message tells of a change.
static int read_change(struct lp_link_change *change, const struct nlmsghdr *message, int nsid)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *a;
	int length;

	memset(change, 0, sizeof(*change));
	change->nsid = nsid;
	switch (message->nlmsg_type) {
	case RTM_DELNSID:
		a = (const struct rtattr *)((const char *)NLMSG_DATA(message) +
					    NLMSG_ALIGN(sizeof(struct rtgenmsg)));
		length = (int)(message->nlmsg_len -
			       NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg))));
		for (; RTA_OK(a, length); a = RTA_NEXT(a, length)) {
			if (a->rta_type == NETNSA_NSID) {
				memcpy(&change->nsid, RTA_DATA(a), sizeof(change->nsid));
				change->what = LP_NAMESPACE_GONE;
			}
		}
		// Ids that other namespaces gave are their matter.
		return nsid == -1 && change->what;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return read_address(change, message);
	case RTM_NEWLINK:
	case RTM_DELLINK:
		// A bridge tells of its ports in messages of its own family.
		if (info->ifi_family != AF_UNSPEC)
			return 0;
		change->what = message->nlmsg_type == RTM_NEWLINK ? LP_LINK_STATE : LP_LINK_GONE;
		lp_read_link(&change->link, message);
		a = IFLA_RTA(info);
		length = (int)IFLA_PAYLOAD(message);
		for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
			if ((a->rta_type & NLA_TYPE_MASK) == IFLA_NEW_NETNSID)
				change->moved = 1;
		return 1;
	}
	return 0;
}

int lp_watch_read(int watch_fd, struct lp_link_change *changes, size_t capacity)
{
	static __thread char buffer[64 * 1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	char control[CMSG_SPACE(sizeof(int)) + 64] __attribute__((aligned(8)));
	size_t count = 0;

	// Messages of links come one by one, so that what does not fit waits in the socket.
	while (count < capacity) {
		struct iovec vector = { .iov_base = buffer, .iov_len = sizeof(buffer) };
		struct msghdr message = { .msg_iov = &vector,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };
		ssize_t received = recvmsg(watch_fd, &message, 0);
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;
		int nsid, length = (int)received;

		if (received < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? (int)count : -errno;
		}
		nsid = nsid_of_message(&message);
		for (; count < capacity && NLMSG_OK(header, (unsigned)length);
		     header = NLMSG_NEXT(header, length))
			count += (size_t)read_change(&changes[count], header, nsid);
	}
	return (int)count;
}
