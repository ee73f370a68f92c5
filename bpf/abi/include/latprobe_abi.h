// SPDX-License-Identifier: GPL-2.0-or-later
//
// The records that BPF programs write, user space drains and the CTF streams hold: one layout for all
// three, so that a drained record goes to disk as it is. Little-endian, naturally aligned, fixed size.
// Times are nanoseconds of CLOCK_MONOTONIC of the recording machine unless a field says otherwise.
#ifndef LATPROBE_ABI_H
#define LATPROBE_ABI_H

#ifdef __bpf__
typedef unsigned char lp_u8;
typedef unsigned short lp_u16;
typedef unsigned int lp_u32;
typedef int lp_s32;
typedef unsigned long long lp_u64;
typedef long long lp_s64;
#else
#include <stdint.h>
typedef uint8_t lp_u8;
typedef uint16_t lp_u16;
typedef uint32_t lp_u32;
typedef int32_t lp_s32;
typedef uint64_t lp_u64;
typedef int64_t lp_s64;
#endif

// Hook point numbers, as on disk. Never renumber.
enum lp_hook {
	LP_HOOK_NONE = 0,
	LP_TXG0 = 1,
	LP_TXG1 = 2,
	LP_TXG2 = 3,
	LP_TXH0 = 4,
	LP_TXH1 = 5,
	LP_TXH2 = 6,
	LP_RXH0 = 7,
	LP_RXH1 = 8,
	LP_RXG0 = 9,
	LP_RXGQ = 10,
	LP_RXG1 = 11,
	LP_WIRE_IN = 12,
	LP_WIRE_OUT = 13,
	LP_TXGK = 14,
	LP_TXHK = 15,
	LP_RXHC = 16,
	LP_RXGI = 17,
	LP_HOOK_MAX = 24,
};

// Event ids of the CTF stream. Never renumber.
enum lp_event {
	LP_EVENT_STAMP = 0,
	LP_EVENT_STAMP_HELD = 1,
	LP_EVENT_FLOW = 2,
	LP_EVENT_CLOCK_SAMPLE = 3,
	LP_EVENT_CLOCK_EXCHANGE = 4,
	LP_EVENT_CLOCK_CROSS = 5,
	LP_EVENT_GUEST_COUNTER = 6,
	LP_EVENT_STAMP_WIRE = 7,
	LP_EVENT_PAIR = 8,
	LP_EVENT_DROP = 9,
};

// What a stamp's key and sequence mean.
enum lp_kind {
	LP_KIND_OTHER = 0, // key over the IP header only
	LP_KIND_UDP = 1,
	LP_KIND_TCP = 2,       // sequence is that of the first payload byte
	LP_KIND_ICMP = 3,      // ICMP and ICMPv6
	LP_KIND_FRAGMENT = 4,  // a fragment after the first
	LP_KIND_TCP_RANGE = 5, // bytes of a TCP stream at a socket: no packet, key is 0
};

// One packet at one hook point.
struct lp_stamp {
	lp_u64 time_ns; // when the program ran; never decreases by more than one interrupt on a CPU
	lp_u8 event;	// LP_EVENT_STAMP
	lp_u8 hook;	// enum lp_hook
	lp_u16 queue;	// device queue, 0 where the hook knows none
	lp_u32 length : 20;	 // bytes from the start of the IP header (BIG TCP: up to 524 280)
	lp_u32 header_words : 8; // IP and transport header, in units of 4 bytes
	lp_u32 kind : 4;	 // enum lp_kind
	lp_u32 flow;		 // hash of the 5-tuple in this direction
	// TCP: sequence number of the first payload byte. UDP: payload bytes of each datagram in a super-packet
	// (GSO, GRO). Else 0.
	lp_u32 sequence;
	lp_u64 key; // packet identity, see packet_key.h
};

// A stamp whose time lies before its emission: the call that asked for a packet (txg0) is known
// only when the packet shows up. stamp.time_ns is the time of emission, at_ns the stamp's time.
struct lp_stamp_held {
	struct lp_stamp stamp; // event is LP_EVENT_STAMP_HELD
	lp_u64 at_ns;
};

// A packet that the kernel threw away (tracepoint kfree_skb). stamp.time_ns is when, stamp.hook LP_HOOK_NONE, queue 0.
struct lp_drop {
	struct lp_stamp stamp; // event is LP_EVENT_DROP
	lp_u32 reason; // this kernel's number (enum skb_drop_reason), 0 where it knows none (before Linux 5.17)
	lp_u32 place; // of reason and code, as in `drops` of machine.json: a number that says nothing by itself
};

// The clock that a tap's stamp is of, and who read it.
enum lp_wire_clock {
	LP_WIRE_FILE = 0,     // a capture file's time; the file does not say whose
	LP_WIRE_READER = 1,   // CLOCK_REALTIME, when the packet socket got to the packet
	LP_WIRE_KERNEL = 2,   // CLOCK_REALTIME, when the driver handed the packet over or took it
	LP_WIRE_HARDWARE = 3, // the PTP hardware clock of the device, as the device stamped it
	LP_WIRE_ADAPTED = 4, // a hardware stamp that the capturing program or card converted to UTC
};

// A packet at a tap. stamp.time_ns is CLOCK_MONOTONIC when the tap read it (a file's: its time again);
// at_ns is the stamp's time, of the clock that `time_source` names, unchanged.
struct lp_stamp_wire {
	struct lp_stamp stamp; // event is LP_EVENT_STAMP_WIRE, queue is 0
	lp_s64 at_ns;
	lp_u8 time_source; // enum lp_wire_clock
	lp_u8 interface;   // number of the interface in machine.json's `interfaces`
	lp_u16 device;	   // LP_WIRE_HARDWARE: N of /dev/ptpN, else 0
	lp_u32 reserved;
};

enum lp_pair_flag {
	LP_PAIR_REPEATED =
		1, // the request came more than once before its answer; start_ns is its first copy
	LP_PAIR_WHOLE = 2,    // last_ns is known
	LP_PAIR_NUMBERED = 4, // number is known
};

// A request and its answer at a tap, or a message that entered a station and left it. Times are the capture's.
struct lp_pair {
	lp_u64 time_ns; // end_ns; of a one-way delay, when its packet's answer came
	lp_u8 event;	// LP_EVENT_PAIR
	lp_u8 flags;	// enum lp_pair_flag
	lp_u16 name;	// place in `names` of machine.json's `pairing`
	lp_u32 number;	// of the sender's packet, modulo 2^32: those sent in succession differ by 1
	lp_s64 start_ns; // the packet that completes the request
	lp_s64 end_ns;	 // the packet with the first byte of the answer
	lp_s64 last_ns;	 // the packet that completes the answer
};

// The 5-tuple behind lp_stamp.flow; written at least once for each flow and CPU.
struct lp_flow {
	lp_u64 time_ns;
	lp_u8 event;	// LP_EVENT_FLOW
	lp_u8 family;	// 4 or 6
	lp_u8 protocol; // IP protocol number
	lp_u8 reserved0;
	lp_u32 flow;
	lp_u16 source_port; // host byte order; 0 where the protocol has none
	lp_u16 destination_port;
	lp_u32 reserved1;
	lp_u8 source[16]; // network byte order; IPv4 in the first four bytes, rest 0
	lp_u8 destination[16];
};

// The machine's clocks read at one moment.
struct lp_clock_sample {
	lp_u64 time_ns; // CLOCK_MONOTONIC, middle of the reading
	lp_u8 event;	// LP_EVENT_CLOCK_SAMPLE
	lp_u8 reserved[3];
	lp_u32 window_ns; // how long the reading took: each clock below is within +-window/2
	lp_s64 monotonic_raw_ns;
	lp_s64 realtime_ns;
	lp_s64 tai_ns;
	lp_s64 boottime_ns;
	lp_u64 tsc; // time stamp counter, 0 where there is none
};

// A message to another machine and its answer. Both clocks are CLOCK_MONOTONIC_RAW, each of its own machine.
struct lp_clock_exchange {
	lp_u64 time_ns; // CLOCK_MONOTONIC when the answer was there
	lp_u8 event;	// LP_EVENT_CLOCK_EXCHANGE
	lp_u8 reserved[3];
	lp_u32 peer;		 // number of the other machine in machine.json's `peers`
	lp_s64 sent_ns;		 // this machine, before the message went out
	lp_s64 peer_received_ns; // the peer, when it had the message
	lp_s64 peer_sent_ns;	 // the peer, before its answer went out
	lp_s64 received_ns;	 // this machine, when it had the answer
};

enum lp_cross_method {
	LP_CROSS_PRECISE = 0,  // PTP_SYS_OFFSET_PRECISE: all at one moment
	LP_CROSS_EXTENDED = 1, // PTP_SYS_OFFSET_EXTENDED
	LP_CROSS_BASIC = 2,    // PTP_SYS_OFFSET
};

// A clock device (PTP hardware clock, or the host's clock through ptp_kvm) read against the system's clocks.
struct lp_clock_cross {
	lp_u64 time_ns;	  // CLOCK_MONOTONIC after the reading
	lp_u8 event;	  // LP_EVENT_CLOCK_CROSS
	lp_u8 method;	  // enum lp_cross_method
	lp_u16 device;	  // N of /dev/ptpN
	lp_u32 window_ns; // the device was read within +-window/2 of realtime_ns; 0: at that moment
	lp_s64 device_ns;
	lp_s64 realtime_ns;
	lp_s64 monotonic_raw_ns; // 0 where the method does not give it
};

// How a virtual CPU's time stamp counter follows that of the host, as KVM says:
// guest = ((host * ratio) >> fraction_bits) + offset, modulo 2^64.
struct lp_guest_counter {
	lp_u64 time_ns; // CLOCK_MONOTONIC of the host when it was read
	lp_u8 event;	// LP_EVENT_GUEST_COUNTER
	lp_u8 fraction_bits;
	lp_u16 vcpu;
	lp_u32 guest; // process id of the virtual machine, as in machine.json's `guests`
	lp_s64 offset;
	lp_u64 ratio; // 0: not scaled
};

// Per hook point and CPU: what became of every packet that came by; the sum is what was seen.
struct lp_ledger {
	lp_u64 filtered;    // the filter said no
	lp_u64 sampled_out; // left out by 1-in-N sampling
	lp_u64 emitted;	    // stamped and handed to user space
	lp_u64 lost;	    // buffer full
	lp_u64 unbound;	    // a socket hook that could not be tied to a packet
};

#define LP_ASSERT_AT(type, field, at)                                                              \
	_Static_assert(__builtin_offsetof(struct type, field) == (at), #type "." #field)

_Static_assert(sizeof(struct lp_stamp) == 32, "lp_stamp");
LP_ASSERT_AT(lp_stamp, event, 8);
LP_ASSERT_AT(lp_stamp, hook, 9);
LP_ASSERT_AT(lp_stamp, queue, 10);
LP_ASSERT_AT(lp_stamp, flow, 16);
LP_ASSERT_AT(lp_stamp, sequence, 20);
LP_ASSERT_AT(lp_stamp, key, 24);
_Static_assert(sizeof(struct lp_stamp_held) == 40, "lp_stamp_held");
LP_ASSERT_AT(lp_stamp_held, at_ns, 32);
_Static_assert(sizeof(struct lp_drop) == 40, "lp_drop");
LP_ASSERT_AT(lp_drop, reason, 32);
LP_ASSERT_AT(lp_drop, place, 36);
_Static_assert(sizeof(struct lp_stamp_wire) == 48, "lp_stamp_wire");
LP_ASSERT_AT(lp_stamp_wire, at_ns, 32);
LP_ASSERT_AT(lp_stamp_wire, time_source, 40);
LP_ASSERT_AT(lp_stamp_wire, device, 42);
_Static_assert(sizeof(struct lp_pair) == 40, "lp_pair");
LP_ASSERT_AT(lp_pair, name, 10);
LP_ASSERT_AT(lp_pair, number, 12);
LP_ASSERT_AT(lp_pair, start_ns, 16);
_Static_assert(sizeof(struct lp_flow) == 56, "lp_flow");
LP_ASSERT_AT(lp_flow, event, 8);
LP_ASSERT_AT(lp_flow, flow, 12);
LP_ASSERT_AT(lp_flow, source_port, 16);
LP_ASSERT_AT(lp_flow, source, 24);
LP_ASSERT_AT(lp_flow, destination, 40);
_Static_assert(sizeof(struct lp_clock_sample) == 56, "lp_clock_sample");
LP_ASSERT_AT(lp_clock_sample, event, 8);
LP_ASSERT_AT(lp_clock_sample, window_ns, 12);
LP_ASSERT_AT(lp_clock_sample, monotonic_raw_ns, 16);
LP_ASSERT_AT(lp_clock_sample, tsc, 48);
_Static_assert(sizeof(struct lp_clock_exchange) == 48, "lp_clock_exchange");
LP_ASSERT_AT(lp_clock_exchange, event, 8);
LP_ASSERT_AT(lp_clock_exchange, peer, 12);
LP_ASSERT_AT(lp_clock_exchange, sent_ns, 16);
_Static_assert(sizeof(struct lp_clock_cross) == 40, "lp_clock_cross");
LP_ASSERT_AT(lp_clock_cross, event, 8);
LP_ASSERT_AT(lp_clock_cross, device_ns, 16);
_Static_assert(sizeof(struct lp_guest_counter) == 32, "lp_guest_counter");
LP_ASSERT_AT(lp_guest_counter, event, 8);
LP_ASSERT_AT(lp_guest_counter, offset, 16);
_Static_assert(sizeof(struct lp_ledger) == 40, "lp_ledger");

#endif
