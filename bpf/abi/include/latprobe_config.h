// SPDX-License-Identifier: GPL-2.0-or-later
//
// What user space tells the BPF programs: constants before load, watched devices and sockets in a map.
#ifndef LATPROBE_CONFIG_H
#define LATPROBE_CONFIG_H

#include "latprobe_abi.h"

// Where in the kernel a program sits. A watched device or namespace says, for each site, which hook
// point a packet passes there.
enum lp_site {
	LP_AT_DEV_QUEUE = 0,	 // net_dev_queue
	LP_AT_START_XMIT = 1,	 // net_dev_start_xmit
	LP_AT_NETIF_RX = 2,	 // netif_rx
	LP_AT_NETIF_RECEIVE = 3, // netif_receive_skb
	LP_AT_NAPI_GRO = 4,	 // napi_gro_receive_entry
	LP_AT_CONSUME = 5,	 // consume_skb of a packet that passed START_XMIT
	LP_AT_SEND_CALL = 6,	 // entry of a send call, bound at DEV_QUEUE
	LP_AT_STREAM_COPY = 7,	 // skb_copy_datagram_iovec: TCP, raw and ping sockets; taps
	LP_AT_DATAGRAM_READ = 8, // end of a receive call on a UDP socket
	LP_AT_WORKER = 9,	 // vhost's worker begins to send, bound at NETIF_RECEIVE
	LP_AT_INTERRUPT = 10,	 // virtio-net's receive interrupt, bound at NAPI_GRO
	LP_AT_KICK = 11,	 // virtio-net tells its host of what passed START_XMIT
	LP_AT_DROP = 12,	 // kfree_skb in a namespace: not 0 where drops are told
	LP_SITE_MAX = 13,
};

// A device of a network namespace, or (ifindex 0) the sockets of one. Never all zero.
struct lp_target_key {
	lp_u64 netns; // the namespace's cookie, or with config.netns_by_inode its inode number
	lp_u32 ifindex;
	lp_u32 reserved;
};

#define LP_DEVICE_NAME 16

struct lp_target {
	struct lp_target_key key;
	lp_u8 hook[LP_SITE_MAX]; // enum lp_hook, LP_HOOK_NONE where nothing is stamped
	lp_u8 ethernet;		 // 1: the device's frames begin with an Ethernet header
	lp_u8 inner;		 // 1: of a tunnel's packets the one within is stamped
	lp_u8 reserved[1];
	// An index comes again once its device is gone; the device that was asked for has this name, too.
	lp_u64 name[LP_DEVICE_NAME / 8];
};

// Why and where packets were thrown away: the key of the map `drop_places`.
struct lp_drop_place {
	lp_u64 location; // address in the kernel's code
	lp_u32 reason;
	lp_u32 reserved;
};

#define LP_DROP_PLACES 256

// lp_drop.place. Addresses of the kernel's code are for nobody to know, so a secret goes into it.
static inline lp_u32 lp_place_of_drop(struct lp_drop_place place, lp_u64 secret)
{
	lp_u64 hash = (place.location ^ secret) * 0x9fb21c651e98df25ULL;

	hash = ((hash ^ hash >> 29) + place.reason) * 0x9fb21c651e98df25ULL;
	return (lp_u32)(hash >> 32);
}

// The map `targets` is an array of buckets: every packet of the machine asks it, and an array is looked up
// without a call. A target lies in any way of its bucket.
#define LP_TARGET_BUCKETS 1024
#define LP_TARGET_WAYS 4

struct lp_target_bucket {
	struct lp_target way[LP_TARGET_WAYS];
};

static inline lp_u32 lp_target_bucket_of(struct lp_target_key key)
{
	return ((lp_u32)key.netns * 31 + key.ifindex) & (LP_TARGET_BUCKETS - 1);
}

enum lp_sample_by {
	LP_SAMPLE_PACKET = 0,
	LP_SAMPLE_FLOW = 1,
};

#define LP_SEND_CALLS 6

struct lp_config {
	lp_u32 sample_one_in;  // 1: every packet
	lp_u8 sample_tcp_by;   // enum lp_sample_by
	lp_u8 sample_other_by; // enum lp_sample_by
	lp_u8 identity;	       // enum lp_identity
	lp_u8 filter;	       // 1: ask lp_filter()
	lp_u64 call_expiry_ns; // a datagram's send call is bound to a packet no later than this
	lp_s64 send_calls
		[LP_SEND_CALLS]; // system call numbers whose first argument is the socket; -1: none
	lp_u8 wakeups; // 1: LP_AT_WORKER, LP_AT_INTERRUPT or LP_AT_KICK are in use; 0 saves the verifier their branches
	lp_u8 netns_by_inode; // 1: user space cannot ask for cookies (before Linux 5.14)
	lp_u8 inner;	      // 1: some device is watched for the packets within tunnels
	lp_u8 reserved[5];
	lp_u64 secret; // of lp_place_of_drop()
};

// The body of lp_filter(): a marker and room for the translated filter, see docs/decisions.
#define LP_FILTER_MARKER 0x4c50464c
#define LP_FILTER_SLOTS 1024

_Static_assert(sizeof(struct lp_target_key) == 16, "lp_target_key");
_Static_assert(sizeof(struct lp_target) == 48, "lp_target");
_Static_assert(sizeof(struct lp_target_bucket) == 192, "lp_target_bucket");
_Static_assert(sizeof(struct lp_config) == 80, "lp_config");

#endif
