// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef LATPROBE_CNETNS_LINKS_H
#define LATPROBE_CNETNS_LINKS_H

#include <linux/netlink.h>

#include "cnetns.h"

// What a message RTM_NEWLINK or RTM_DELLINK says of a link.
void lp_read_link(struct lp_link *link, const struct nlmsghdr *message);

#endif
