// SPDX-License-Identifier: GPL-2.0-or-later
//
// A UDP socket whose packets are stamped on their way out, and sleep until a time. Functions return 0 or a count, or
// -errno, unless they say otherwise.
#ifndef LATPROBE_CTRAFFIC_H
#define LATPROBE_CTRAFFIC_H

#include <stdint.h>
#include <sys/socket.h>

// Where packets go.
struct lp_peer {
	struct sockaddr_storage address;
	socklen_t length;
};

// Looks up host and port; 0, or a number for gai_strerror.
int lp_peer_find(const char *host, const char *port, struct lp_peer *peer);
// Its address without the port.
int lp_peer_text(const struct lp_peer *peer, char *text, uint32_t size);
// Name of the device by which packets to the peer leave now; -ENETUNREACH where there is none.
int lp_peer_device(const struct lp_peer *peer, char device[16]);
// 1: frames of the device begin with an Ethernet header; 0: with the IP header; -EPROTOTYPE: with anything else.
int lp_device_is_ethernet(const char *device);

// Who stamps a packet that is sent.
enum lp_tx_clock {
	LP_TX_QUEUED = 0,   // the stack, before the packet goes to the device's queue
	LP_TX_KERNEL = 1,   // the driver, with CLOCK_REALTIME
	LP_TX_HARDWARE = 2, // the device, with its own clock
};

// A connected socket. Each packet is stamped by `clock`; stamps come back with the whole packet, or with its number
// alone (`only_stamps`). `room`: bytes for what comes back and is not fetched yet.
int lp_udp_open(const struct lp_peer *peer, enum lp_tx_clock clock, int only_stamps, int room);
// Does not wait: -EAGAIN where the socket's own queue is full.
int lp_udp_send(int fd, const void *bytes, uint32_t length);
// Throws away what has come in; how many packets.
int lp_udp_discard(int fd);

struct lp_tx_stamp {
	int64_t time_ns;
	uint32_t number; // of the send call, from 0
	uint32_t
		length; // bytes of the packet that are in the buffer, from its link layer header on
	uint8_t clock;	// enum lp_tx_clock
};

// Fetches one stamp: 1; 0 where there is none now. What else the kernel has to say is passed over.
int lp_udp_stamp(int fd, void *buffer, uint32_t size, struct lp_tx_stamp *stamp);
// Waits until a stamp is there, at most this long.
int lp_udp_wait(int fd, int milliseconds);

// Sleeps until a time of CLOCK_MONOTONIC; -EINTR where a signal came.
int lp_sleep_until(int64_t monotonic_ns);

#endif
