/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kfree_skb: the kernel throws a packet away, and from Linux 5.17 on says why. Told of packets in the namespaces of
 * what is watched, whichever device they are at.
 */
#ifndef LATPROBE_DROPS_H
#define LATPROBE_DROPS_H

#include "emit.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LP_DROP_PLACES);
	__type(key, struct lp_drop_place);
	__type(value, lp_u64); // how many
} drop_places SEC(".maps");

LP_INLINE void count_drop(const struct lp_drop_place *place)
{
	lp_u64 *count = bpf_map_lookup_elem(&drop_places, place), first = 1;

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&drop_places, place, &first, BPF_ANY);
}

/*
 * Whether it is the drop of a packet in a watched namespace. A datagram for a socket may have lost its device (UDP keeps
 * other things in that field); which namespace it was in is not to be told then, and its key decides later.
 */
LP_INLINE int is_drop_watched(struct sk_buff *skb)
{
	struct net_device *dev = PROBE(skb, dev);
	struct sock *sk = PROBE(skb, sk);
	struct lp_target_key key = {};
	struct lp_target target;

	if (dev)
		device_key_probe(&key, dev);
	if (!key.netns && sk)
		key.netns = netns_of(sk);
	key.ifindex = 0;
	return !key.netns || (find_target(&target, &key) && target.hook[LP_AT_DROP]);
}

LP_INLINE int drop(struct sk_buff *skb, lp_u64 location, lp_u32 reason)
{
	struct lp_drop_place place = { .location = location, .reason = reason };
	struct lp_ledger *row;
	struct lp_drop *event;
	struct lp_packet p;
	struct lp_frame f;
	lp_u64 now;
	struct view v;
	struct sight s;
	void *ring;
	int passes;

	if (!enabled || !is_drop_watched(skb))
		return 0;
	now = bpf_ktime_get_ns();
	row = ledger_of(LP_HOOK_NONE);
	view_probe(&v, skb, WAY_SOCKET, 0);
	v.inner = config.inner;
	if (!row || read_frame(&f, &s, &v))
		return 0;
	passes = passes_filter(&f, &s);
	if (read_packet(&p, &f, &s) || !account(row, judge(passes, &p)))
		return 0;
	ring = ring_of_this_cpu();
	event = ring ? bpf_ringbuf_reserve(ring, sizeof(*event), 0) : NULL;
	if (!event) {
		row->lost++;
		return 0;
	}
	fill_stamp(&event->stamp, now, LP_EVENT_DROP, LP_HOOK_NONE, 0, &p);
	event->reason = reason;
	event->place = lp_place_of_drop(place, config.secret);
	row->emitted++;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count_drop(&place);
	return 0;
}

#endif
