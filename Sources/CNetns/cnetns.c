// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cnetns.h"

#include "links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int is_same_file(int one, int other)
{
	struct stat a, b;

	return !fstat(one, &a) && !fstat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int lp_enter_netns(int netns_fd)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int is_there = home >= 0 && is_same_file(netns_fd, home);

	if (home >= 0)
		close(home);
	return !is_there && setns(netns_fd, CLONE_NEWNET) ? -errno : 0;
}

int lp_netlink_open(int netns_fd)
{
	int home = -1, fd, error = 0;

	if (netns_fd >= 0) {
		// A socket stays in the namespace where it was made: go there, make it, come back.
		home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (home < 0)
			return -errno;
		// To be where one is needs no privilege; to go there does.
		if (is_same_file(netns_fd, home)) {
			close(home);
			home = -1;
		} else if (setns(netns_fd, CLONE_NEWNET)) {
			error = -errno;
			close(home);
			return error;
		}
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		error = -errno;
	if (home >= 0) {
		if (setns(home, CLONE_NEWNET) && !error)
			error = -errno;
		close(home);
	}
	if (error && fd >= 0)
		close(fd);
	return error ? error : fd;
}

int lp_netns_cookie(int socket_fd, uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);

	return getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) ? -errno : 0;
}

static void copy_name(char to[16], const struct rtattr *attribute)
{
	size_t length = RTA_PAYLOAD(attribute);

	if (length > 15)
		length = 15;
	memcpy(to, RTA_DATA(attribute), length);
	to[length] = 0;
}

static void read_kind(struct lp_link *link, const struct rtattr *info)
{
	struct rtattr *a = RTA_DATA(info);
	int length = (int)RTA_PAYLOAD(info);

	for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
		if (a->rta_type == IFLA_INFO_KIND)
			copy_name(link->kind, a);
}

void lp_read_link(struct lp_link *link, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	struct rtattr *a = IFLA_RTA(info);
	int length = (int)IFLA_PAYLOAD(message);

	memset(link, 0, sizeof(*link));
	link->index = info->ifi_index;
	link->ethernet = info->ifi_type == ARPHRD_ETHER || info->ifi_type == ARPHRD_LOOPBACK;
	link->up = !!(info->ifi_flags & IFF_UP);
	link->carrier = !!(info->ifi_flags & IFF_LOWER_UP);
	link->peer_nsid = -1;
	for (; RTA_OK(a, length); a = RTA_NEXT(a, length)) {
		switch (a->rta_type & NLA_TYPE_MASK) {
		case IFLA_IFNAME:
			copy_name(link->name, a);
			break;
		case IFLA_LINK:
			memcpy(&link->peer_index, RTA_DATA(a), sizeof(link->peer_index));
			break;
		case IFLA_MASTER:
			memcpy(&link->master_index, RTA_DATA(a), sizeof(link->master_index));
			break;
		case IFLA_LINK_NETNSID:
			memcpy(&link->peer_nsid, RTA_DATA(a), sizeof(link->peer_nsid));
			break;
		case IFLA_LINKINFO:
			read_kind(link, a);
			break;
		}
	}
}

int lp_dump(int netlink_fd, const void *request, size_t size, lp_take *take, void *taken)
{
	static __thread char buffer[64 * 1024] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (send(netlink_fd, request, size, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t received = recv(netlink_fd, buffer, sizeof(buffer), 0);
		struct nlmsghdr *message = (struct nlmsghdr *)buffer;
		int length = (int)received;

		if (received < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (; NLMSG_OK(message, (unsigned)length); message = NLMSG_NEXT(message, length)) {
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(message))->error;
			take(taken, message);
		}
	}
}

struct links {
	struct lp_link *links;
	size_t capacity;
	int count;
};

static void take_link(void *taken, const struct nlmsghdr *message)
{
	struct links *links = taken;

	if (message->nlmsg_type != RTM_NEWLINK)
		return;
	if ((size_t)links->count < links->capacity)
		lp_read_link(&links->links[links->count], message);
	links->count++;
}

int lp_links(int netlink_fd, struct lp_link *links, size_t capacity)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETLINK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			    .nlmsg_seq = 1 },
		.info = { .ifi_family = AF_UNSPEC },
	};
	struct links taken = { links, capacity, 0 };
	int error = lp_dump(netlink_fd, &request, sizeof(request), take_link, &taken);

	return error ? error : taken.count;
}

int lp_nsid_of(int netlink_fd, int netns_fd)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg message;
		char pad[3];
		struct rtattr attribute;
		int32_t fd;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETNSID,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = 2 },
		.message = { .rtgen_family = AF_UNSPEC },
		.attribute = { .rta_len = RTA_LENGTH(sizeof(int32_t)), .rta_type = NETNSA_FD },
		.fd = netns_fd,
	};
	char buffer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct rtattr *a;
	ssize_t received;
	int length, id = -1;

	if (send(netlink_fd, &request, sizeof(request), 0) < 0)
		return -errno;
	do
		received = recv(netlink_fd, buffer, sizeof(buffer), 0);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	if (!NLMSG_OK(message, (unsigned)received))
		return -EPROTO;
	if (message->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(message))->error;
	a = (struct rtattr *)((char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(struct rtgenmsg)));
	length = (int)(message->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg))));
	for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
		if (a->rta_type == NETNSA_NSID)
			memcpy(&id, RTA_DATA(a), sizeof(id));
	return id < 0 ? -ENOENT : id;
}
