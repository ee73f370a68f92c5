// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ctraffic.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void take_fq(const struct rtattr *options, struct lp_qdisc *found)
{
	int left = options ? (int)RTA_PAYLOAD(options) : 0;

	found->clock = CLOCK_MONOTONIC;
	if (!options)
		return;
	for (const struct rtattr *option = RTA_DATA(options); RTA_OK(option, left);
	     option = RTA_NEXT(option, left)) {
		uint32_t limit;

		// Of all sockets together, and of each.
		if ((option->rta_type != TCA_FQ_PLIMIT && option->rta_type != TCA_FQ_FLOW_PLIMIT) ||
		    RTA_PAYLOAD(option) < sizeof(limit))
			continue;
		memcpy(&limit, RTA_DATA(option), sizeof(limit));
		if (!found->limit || limit < found->limit)
			found->limit = limit;
	}
}

static void take_etf(const struct rtattr *options, struct lp_qdisc *found)
{
	const struct rtattr *option = options ? RTA_DATA(options) : NULL;
	const struct tc_etf_qopt *etf;

	if (!option || !RTA_OK(option, (int)RTA_PAYLOAD(options)) ||
	    option->rta_type != TCA_ETF_PARMS || RTA_PAYLOAD(option) < sizeof(*etf))
		return;
	etf = RTA_DATA(option);
	found->clock = etf->clockid;
}

static void take(const struct nlmsghdr *header, int index, struct lp_qdisc *found)
{
	const struct tcmsg *message = NLMSG_DATA(header);
	int left = (int)NLMSG_PAYLOAD(header, sizeof(*message));
	const struct rtattr *options = NULL;
	struct lp_qdisc next = { .clock = -1 };

	if (header->nlmsg_type != RTM_NEWQDISC || message->tcm_ifindex != index)
		return;
	for (const struct rtattr *attribute = TCA_RTA(message); RTA_OK(attribute, left);
	     attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == TCA_KIND) {
			strncpy(next.kind, RTA_DATA(attribute), sizeof(next.kind) - 1);
		} else if (attribute->rta_type == TCA_OPTIONS) {
			options = attribute;
		}
	}
	if (!strcmp(next.kind, "fq"))
		take_fq(options, &next);
	else if (!strcmp(next.kind, "etf"))
		take_etf(options, &next);
	// One that keeps times, wherever it is; else the root's.
	if (found->clock < 0 && (next.clock >= 0 || message->tcm_parent == TC_H_ROOT))
		*found = next;
}

int lp_device_qdisc(const char *device, struct lp_qdisc *found)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg message;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETQDISC,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.message = { .tcm_family = AF_UNSPEC },
	};
	_Alignas(struct nlmsghdr) char answer[32768];
	int index = (int)if_nametoindex(device), error = 0, is_done = 0;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	*found = (struct lp_qdisc){ .clock = -1 };
	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) < 0)
		error = -errno;
	while (!error && !is_done) {
		ssize_t length = recv(fd, answer, sizeof(answer), 0);

		if (length < 0) {
			error = -errno;
			break;
		}
		for (struct nlmsghdr *header = (struct nlmsghdr *)answer;
		     NLMSG_OK(header, (size_t)length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_DONE)
				is_done = 1;
			else if (header->nlmsg_type == NLMSG_ERROR)
				error = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
			else
				take(header, index, found);
		}
	}
	close(fd);
	return error;
}

int lp_udp_keep_times(int fd, int clock)
{
	struct sock_txtime times = { .clockid = clock, .flags = SOF_TXTIME_REPORT_ERRORS };

	return setsockopt(fd, SOL_SOCKET, SO_TXTIME, &times, sizeof(times)) ? -errno : 0;
}

void lp_udp_queue_room(int fd, int room)
{
	int now = 0;
	socklen_t length = sizeof(now);

	// The kernel doubles what it is given, and says the double.
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &length) || now >= room)
		return;
	room /= 2;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

int lp_udp_send_at(int fd, const void *bytes, uint32_t length, uint64_t time_ns)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(time_ns))] = { 0 };
	struct iovec data = { .iov_base = (void *)bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_TXTIME;
	c->cmsg_len = CMSG_LEN(sizeof(time_ns));
	memcpy(CMSG_DATA(c), &time_ns, sizeof(time_ns));
	if (sendmsg(fd, &message, MSG_DONTWAIT) >= 0)
		return 0;
	// As in lp_udp_send.
	return errno == ENOBUFS ? 0 : -errno;
}
