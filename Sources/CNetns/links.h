// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef LATPROBE_CNETNS_LINKS_H
#define LATPROBE_CNETNS_LINKS_H

#include <linux/netlink.h>

#include "cnetns.h"

// What a message RTM_NEWLINK or RTM_DELLINK says of a link.
void lp_read_link(struct lp_link *link, const struct nlmsghdr *message);

// Asks for a dump and hands each message of the answer to `take`; 0, or a negative error number.
typedef void lp_take(void *taken, const struct nlmsghdr *message);
int lp_dump(int netlink_fd, const void *request, size_t size, lp_take *take, void *taken);

#endif
