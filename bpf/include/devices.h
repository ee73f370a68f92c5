/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Device hooks: a packet, or a list of them, at one of the sites of a watched device. */
#ifndef LATPROBE_DEVICES_H
#define LATPROBE_DEVICES_H

#include "sockets.h"
#include "virtio.h"

// Packets that passed LP_AT_START_XMIT on a device whose completions are watched.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, lp_u64);
	__type(value, lp_u64); // packet key
} leaving SEC(".maps");

LP_INLINE void bind_wakeups(lp_u64 now, enum lp_site site, const struct lp_target *target,
			    const struct view *v, const struct lp_packet *p, enum verdict verdict)
{
	if (site == LP_AT_NETIF_RECEIVE && target->hook[LP_AT_WORKER])
		bind_worker(now, target->hook[LP_AT_WORKER], p, verdict);
	if (site == LP_AT_NAPI_GRO && target->hook[LP_AT_INTERRUPT])
		bind_interrupt(now, target, p, verdict);
	if (site == LP_AT_START_XMIT && target->hook[LP_AT_KICK])
		wait_for_kick(target, v->queue, p, verdict);
}

// A packet `id` of a watched device, read into v.
LP_INLINE int stamp_at(lp_u64 now, enum lp_site site, const struct lp_target *target,
		       const struct view *v, lp_u64 id)
{
	enum verdict verdict;
	struct lp_packet p;
	struct lp_frame f;

	verdict = stamp_packet(now, target->hook[site], v, &p, &f);
	if (verdict == VERDICT_NO_PACKET)
		return 0;
	if (site == LP_AT_DEV_QUEUE)
		bind_call(now, target->key.netns, v, &p, verdict);
	if (config.wakeups)
		bind_wakeups(now, site, target, v, &p, verdict);
	if (site == LP_AT_START_XMIT && target->hook[LP_AT_CONSUME] && verdict == VERDICT_STAMP) {
		lp_u64 key = p.key;

		bpf_map_update_elem(&leaving, &id, &key, BPF_ANY);
	}
	return 0;
}

// The driver is done with a packet. The address alone may be another packet's by now, so the keys must agree.
LP_INLINE int stamp_completion(lp_u64 now, const struct lp_target *target, const struct view *v,
			       lp_u64 id)
{
	lp_u64 *key = bpf_map_lookup_elem(&leaving, &id);
	lp_u8 hook = target->hook[LP_AT_CONSUME];
	struct lp_ledger *row = hook ? ledger_of(hook) : NULL;
	struct lp_packet p;
	struct lp_frame f;
	struct sight s;

	if (key && row && !read_frame(&f, &s, v) && !read_packet(&p, &f, &s) && p.key == *key)
		emit_stamp(row, now, hook, v->queue, &p);
	bpf_map_delete_elem(&leaving, &id);
	return 0;
}

#define DEFINE_DEVICE_STAMP(rung, GET)                                                             \
	LP_INLINE int stamp_##rung(lp_u64 now, struct sk_buff *skb, enum way way,                  \
				   enum lp_site site)                                              \
	{                                                                                          \
		struct lp_target_key device;                                                       \
		struct lp_target target;                                                           \
		struct view v;                                                                     \
                                                                                                   \
		if (!enabled)                                                                      \
			return 0;                                                                  \
		device_key_##rung(&device, GET(skb, dev));                                         \
		if (!find_target(&target, &device) || !target.hook[site] ||                        \
		    !is_named(&target, GET(skb, dev)))                                             \
			return 0;                                                                  \
		view_##rung(&v, skb, way, target.ethernet);                                        \
		v.inner = target.inner;                                                            \
		return stamp_at(now, site, &target, &v, (lp_u64)skb);                              \
	}                                                                                          \
                                                                                                   \
	LP_INLINE int stamp_consumed_##rung(struct sk_buff *skb)                                   \
	{                                                                                          \
		lp_u64 now = bpf_ktime_get_ns(), id = (lp_u64)skb;                                 \
		struct lp_target_key device;                                                       \
		struct lp_target target;                                                           \
		struct view v;                                                                     \
                                                                                                   \
		if (!enabled || !bpf_map_lookup_elem(&leaving, &id))                               \
			return 0;                                                                  \
		device_key_##rung(&device, GET(skb, dev));                                         \
		if (!find_target(&target, &device) || !is_named(&target, GET(skb, dev)))           \
			return 0;                                                                  \
		view_##rung(&v, skb, WAY_OUT, target.ethernet);                                    \
		v.inner = target.inner;                                                            \
		return stamp_completion(now, &target, &v, id);                                     \
	}

DEFINE_DEVICE_STAMP(direct, DIRECT)
DEFINE_DEVICE_STAMP(probe, PROBE)

// ------------------------------------------------------------------------------------ lists of packets

/*
 * Functions that take a list are entered once for all of it: every packet gets the time of the entry. What
 * lies beyond the bound counts as lost. 512 packets are more than a super-packet of 64 KiB is cut into.
 */
#define LP_LIST_MAX 512

LP_INLINE void list_overrun(struct sk_buff *skb, enum lp_site site)
{
	struct lp_target_key device;
	struct lp_target target;
	struct lp_ledger *row;

	device_key_probe(&device, PROBE(skb, dev));
	row = find_target(&target, &device) && target.hook[site] ? ledger_of(target.hook[site])
								 : NULL;
	if (row)
		row->lost++;
}

// Global functions: the verifier looks at them once, and not once for each packet of a list.
__attribute__((noinline)) int stamp_listed_out(lp_u64 now, lp_u64 skb)
{
	return stamp_probe(now, (struct sk_buff *)skb, WAY_OUT, LP_AT_START_XMIT);
}

__attribute__((noinline)) int stamp_listed_in(lp_u64 now, lp_u64 skb)
{
	return stamp_probe(now, (struct sk_buff *)skb, WAY_IN, LP_AT_NETIF_RECEIVE);
}

// A global function takes numbers only, which fentry's arguments, of known type, are not. Reads the first as one.
LP_INLINE struct sk_buff *first_argument(const unsigned long long *arguments)
{
	struct sk_buff *skb = NULL;

	bpf_probe_read_kernel(&skb, sizeof(skb), arguments);
	return skb;
}

// dev_hard_start_xmit: packets chained by `next`.
LP_INLINE int stamp_chain(struct sk_buff *skb)
{
	lp_u64 now = bpf_ktime_get_ns();
	int i;

	for (i = 0; i < LP_LIST_MAX && skb && enabled; i++) {
		stamp_listed_out(now, (lp_u64)skb);
		skb = PROBE(skb, next);
	}
	if (i == LP_LIST_MAX && skb)
		list_overrun(skb, LP_AT_START_XMIT);
	return 0;
}

// netif_receive_skb_list_internal: packets in a ring that the head is part of.
LP_INLINE int stamp_list(struct list_head *head)
{
	struct list_head *node = PROBE(head, next);
	lp_u64 now = bpf_ktime_get_ns();
	lp_u64 offset = bpf_core_field_offset(struct sk_buff, list);
	int i;

	for (i = 0; i < LP_LIST_MAX && node && node != head && enabled; i++) {
		stamp_listed_in(now, (lp_u64)node - offset);
		node = PROBE(node, next);
	}
	if (i == LP_LIST_MAX && node && node != head)
		list_overrun((struct sk_buff *)((lp_u64)node - offset), LP_AT_NETIF_RECEIVE);
	return 0;
}

// ------------------------------------------------------------------- copies to sockets, and out of a tap

// A tap's reader gets packets that belong to no socket; what a socket has queued has no device any more.
LP_INLINE int stamp_copied(struct sk_buff *skb, int length)
{
	lp_u64 now = bpf_ktime_get_ns();

	if (PROBE(skb, sk))
		return stamp_copy(now, skb, length);
	return stamp_probe(now, skb, WAY_OUT, LP_AT_STREAM_COPY);
}

#endif
