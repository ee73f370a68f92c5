// SPDX-License-Identifier: GPL-2.0-or-later
//
// VM sockets, whose address structure Swift's Glibc does not have. Functions return a descriptor (close on exec)
// or -errno.
#ifndef LATPROBE_CVSOCK_H
#define LATPROBE_CVSOCK_H

#include <stdint.h>

// The host as a guest sees it.
#define LP_VSOCK_HOST 2u

// Waits for at most `timeout_ms`.
int lp_vsock_connect(uint32_t cid, uint32_t port, int timeout_ms);
int lp_vsock_listen(uint32_t port);
// A connection and its other end's CID; does not wait where the listener does not.
int lp_vsock_accept(int listener, uint32_t *peer_cid);

#endif
