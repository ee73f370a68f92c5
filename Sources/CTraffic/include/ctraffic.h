// SPDX-License-Identifier: GPL-2.0-or-later
//
// A UDP socket whose packets are stamped on their way out, and a reflector's. Functions return 0 or a count, or
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
// Name of the device by which packets to the peer leave now; -ENETUNREACH where there is none.
int lp_peer_device(const struct lp_peer *peer, char device[16]);
// The address that a connected socket sends from; IPv4's as ::ffff:10.0.0.1.
int lp_udp_source(int fd, uint8_t address[16]);
// Name of a device.
int lp_way_name(uint32_t index, char device[16]);
// Megabits a second, as the driver has it; 0 where it does not know.
uint32_t lp_device_speed(const char *device);

// Who stamps a packet that is sent.
enum lp_tx_clock {
	LP_TX_QUEUED = 0,   // the stack, before the packet goes to the device's queue
	LP_TX_KERNEL = 1,   // the driver, with CLOCK_REALTIME
	LP_TX_HARDWARE = 2, // the device, with its own clock
	LP_TX_NONE = 3,	    // nobody: what comes in alone is stamped
};

// A connected socket. Each packet is stamped by `clock`; stamps come back with the whole packet, or with its number
// alone (`only_stamps`). `room`: bytes for what comes back and is not fetched yet.
// What comes in is stamped by the device where it does (`LP_TX_HARDWARE`), else by the kernel.
int lp_udp_open(const struct lp_peer *peer, enum lp_tx_clock clock, int only_stamps, int room);
// Does not wait: -EAGAIN where the socket's own queue is full. What the device's queue drops counts as sent.
int lp_udp_send(int fd, const void *bytes, uint32_t length);

// The queueing discipline of a device that sends packets at times of their own, wherever it is; else the device's root.
struct lp_qdisc {
	char kind[16]; // empty: none
	int32_t clock; // the clock of these times: CLOCK_MONOTONIC for fq, etf's own; -1: it has no times
	uint32_t limit; // packets of one socket that fq lets wait; 0: not told
};
int lp_device_qdisc(const char *device, struct lp_qdisc *found);
// Packets of this socket have times to be sent at (SO_TXTIME), by this clock.
int lp_udp_keep_times(int fd, int clock);
// Lets at least so many bytes, as the kernel counts them, wait in the socket's name; less where it allows less.
void lp_udp_queue_room(int fd, int room);
// As lp_udp_send, at a time.
int lp_udp_send_at(int fd, const void *bytes, uint32_t length, uint64_t time_ns);

struct lp_tx_stamp {
	int64_t time_ns;
	uint32_t number; // of the send call, from 0
	uint32_t
		length; // bytes of the packet that are in the buffer, from its link layer header on
	uint32_t device; // index of the device that had the packet then; 0: not told
	uint8_t clock;	 // enum lp_tx_clock
};

// What a router or a host on the way said of a packet that was sent (ICMP).
struct lp_heard {
	int32_t error; // what the kernel makes of it: ECONNREFUSED
	uint8_t type;
	uint8_t code;
	uint8_t is_v6;	// type and code are ICMPv6's
	uint8_t is_own; // this machine's own address said it
	char from[46];	// address of who said it; empty: not told
};

// Fetches one stamp: 1; 0 where there is none now; 2 for a packet that came too late for its time, or whose time is not
// allowed, and was dropped; 3 for what was heard. What else the kernel has to say is passed over.
int lp_udp_stamp(int fd, void *buffer, uint32_t size, struct lp_tx_stamp *stamp,
		 struct lp_heard *heard);

// An answer that came in.
struct lp_answer {
	int64_t time_ns; // CLOCK_REALTIME of the kernel, or the device's time; 0: nobody stamped it
	uint32_t length; // bytes in the buffer
	uint8_t is_hardware;
};

// Fetches one answer: 1; 0 where there is none now; -errno also for what was heard of a packet that was sent.
int lp_udp_receive(int fd, void *buffer, uint32_t size, struct lp_answer *answer);
// Packets that came in and found no room, or were broken.
uint32_t lp_udp_drops(int fd);
// Waits until a stamp or an answer is there, at most until a time of CLOCK_MONOTONIC, or a signal.
int lp_udp_wait_until(int fd, int64_t monotonic_ns);

// A packet that a reflector has got. Addresses are IPv6 ones, IPv4 mapped into them.
struct lp_request {
	struct lp_peer from;
	int64_t time_ns; // CLOCK_REALTIME, the kernel has got it; 0: not stamped
	uint8_t address[16];
	uint8_t local[16]; // where it was sent to
	uint32_t device;
	uint32_t length; // bytes in the buffer
	uint16_t port;
	uint8_t ttl;
	uint8_t is_v4;
	uint8_t is_cut;	     // the buffer does not hold all of it
	uint8_t is_for_many; // sent to a broadcast or multicast address
};

// A socket bound to an address; one bound to an IPv6 address of all takes IPv4 too.
int lp_reflector_open(const struct lp_peer *address);
// The port that it is bound to.
int lp_reflector_port(int fd);
// Fetches one packet: 1; 0 where there is none now.
int lp_reflector_receive(int fd, void *buffer, uint32_t size, struct lp_request *request);
// Sends an answer to where the request came from, from where it was sent to.
int lp_reflector_reply(int fd, const struct lp_request *request, const void *bytes,
		       uint32_t length);

// Whether the second bytes are somewhere in the first ones.
int lp_contains(const void *bytes, uint32_t length, const void *part, uint32_t part_length);

// How far CLOCK_REALTIME may be off, in microseconds, and whether anybody disciplines it.
int64_t lp_clock_error(int *is_synchronized);

#endif
