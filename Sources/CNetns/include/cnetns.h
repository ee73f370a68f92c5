// SPDX-License-Identifier: GPL-2.0-or-later
//
// Network namespaces and their links through rtnetlink: which device is the other end of which veth, in
// which namespace. Functions return 0 or a count, or -errno.
#ifndef LATPROBE_CNETNS_H
#define LATPROBE_CNETNS_H

#include <stddef.h>
#include <stdint.h>

struct lp_link {
	int32_t index;
	int32_t peer_index;   // IFLA_LINK; 0 where there is none
	int32_t peer_nsid;    // IFLA_LINK_NETNSID; -1: the same namespace
	int32_t master_index; // IFLA_MASTER: the bridge it is a port of; 0 where there is none
	uint16_t ethernet;    // 1: frames begin with an Ethernet header (loopback's do)
	uint16_t up;	      // 1: administratively up
	uint16_t carrier;     // 1: it has a carrier, as those have that know none
	uint16_t reserved;
	char name[16];
	char kind[16]; // IFLA_INFO_KIND: veth, bridge, tun, ...; empty for a plain device
};

// A route netlink socket that lives in the namespace `netns_fd`, -1 for the caller's. Entering another one needs
// CAP_SYS_ADMIN.
int lp_netlink_open(int netns_fd);
// The cookie of the socket's namespace, which is never given to another one; -ENOPROTOOPT before Linux 5.14.
int lp_netns_cookie(int socket_fd, uint64_t *cookie);
// Up to `capacity` links of the socket's namespace; returns how many there are.
int lp_links(int netlink_fd, struct lp_link *links, size_t capacity);
// The id that the socket's namespace has given to the namespace `netns_fd`; -ENOENT if none.
int lp_nsid_of(int netlink_fd, int netns_fd);
// Runs in the namespace from now on (this thread).
int lp_enter_netns(int netns_fd);

enum lp_change {
	LP_LINK_STATE = 1,     // a link as it is now
	LP_LINK_GONE = 2,      // deleted, or moved to another namespace
	LP_NAMESPACE_GONE = 3, // destroyed
	LP_ADDRESS = 4,	       // of a link, which has it now
	LP_ADDRESS_GONE = 5,
};

struct lp_link_change {
	uint32_t what;	// enum lp_change
	int32_t nsid;	// of the namespace where it happened, -1: the socket's own
	uint32_t moved; // LP_LINK_GONE: 1 where the link goes on in another namespace
	uint8_t address
		[16]; // LP_ADDRESS…: IPv4's as ::ffff:10.0.0.1; of `link` there is the index alone
	struct lp_link link;
};

// A socket that hears what happens to links and their addresses in the caller's namespace, and in those named to lp_watch_add(). It keeps
// no namespace alive but the caller's.
int lp_watch_open(void);
// Listens to a further namespace. Returns the id it goes by in changes; -EPERM without CAP_NET_ADMIN and
// CAP_NET_BROADCAST.
int lp_watch_add(int watch_fd, int netns_fd);
// The addresses that links of the socket's namespace have, as changes of the kind LP_ADDRESS: at most `capacity`; returns
// how many there are.
int lp_addresses(int netlink_fd, struct lp_link_change *addresses, size_t capacity);
// The next changes, at most `capacity`, without waiting; 0: none. -ENOBUFS: some were lost, look at all links and addresses again.
int lp_watch_read(int watch_fd, struct lp_link_change *changes, size_t capacity);

#endif
