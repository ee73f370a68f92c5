// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs: each is a shell over the shared core, once for every rung of the attach ladder that its
 * symbol has. User space loads those that the resolved topology names.
 */
#include "emit.h"
#include "sockets.h"

// Packets that passed LP_AT_START_XMIT on a device whose completions are watched.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, lp_u64);
	__type(value, lp_u64); // packet key
} leaving SEC(".maps");

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
	lp_u32 readable;

	if (key && row && !read_packet(&p, &f, &readable, v) && p.key == *key)
		emit_stamp(row, now, hook, v->queue, &p);
	bpf_map_delete_elem(&leaving, &id);
	return 0;
}

#define DEFINE_DEVICE_STAMP(rung, GET)                                                             \
	LP_INLINE int stamp_##rung(struct sk_buff *skb, enum way way, enum lp_site site)           \
	{                                                                                          \
		lp_u64 now = bpf_ktime_get_ns();                                                   \
		const struct lp_target *target;                                                    \
		struct lp_target_key device;                                                       \
		struct view v;                                                                     \
                                                                                                   \
		if (!enabled)                                                                      \
			return 0;                                                                  \
		device_key_##rung(&device, GET(skb, dev));                                         \
		target = target_of(&device);                                                       \
		if (!target || !target->hook[site])                                                \
			return 0;                                                                  \
		view_##rung(&v, skb, way, target->ethernet);                                       \
		return stamp_at(now, site, target, &v, (lp_u64)skb);                               \
	}                                                                                          \
                                                                                                   \
	LP_INLINE int stamp_consumed_##rung(struct sk_buff *skb)                                   \
	{                                                                                          \
		lp_u64 now = bpf_ktime_get_ns(), id = (lp_u64)skb;                                 \
		const struct lp_target *target;                                                    \
		struct lp_target_key device;                                                       \
		struct view v;                                                                     \
                                                                                                   \
		if (!enabled || !bpf_map_lookup_elem(&leaving, &id))                               \
			return 0;                                                                  \
		device_key_##rung(&device, GET(skb, dev));                                         \
		target = target_of(&device);                                                       \
		if (!target)                                                                       \
			return 0;                                                                  \
		view_##rung(&v, skb, WAY_OUT, target->ethernet);                                   \
		return stamp_completion(now, target, &v, id);                                      \
	}

DEFINE_DEVICE_STAMP(direct, DIRECT)
DEFINE_DEVICE_STAMP(probe, PROBE)

// Both rungs of a tracepoint whose first argument is the packet.
#define PACKET_TRACEPOINT(symbol, call_direct, call_probe)                                         \
	SEC("tp_btf/" #symbol)                                                                     \
	int BPF_PROG(tp_btf_##symbol, struct sk_buff *skb)                                         \
	{                                                                                          \
		return call_direct;                                                                \
	}                                                                                          \
	SEC("raw_tp/" #symbol)                                                                     \
	int BPF_PROG(raw_tp_##symbol, struct sk_buff *skb)                                         \
	{                                                                                          \
		return call_probe;                                                                 \
	}

#define DEVICE_TRACEPOINT(symbol, way, site)                                                       \
	PACKET_TRACEPOINT(symbol, stamp_direct(skb, way, site), stamp_probe(skb, way, site))

DEVICE_TRACEPOINT(net_dev_queue, WAY_OUT, LP_AT_DEV_QUEUE)
DEVICE_TRACEPOINT(net_dev_start_xmit, WAY_OUT, LP_AT_START_XMIT)
DEVICE_TRACEPOINT(netif_rx, WAY_IN, LP_AT_NETIF_RX)
DEVICE_TRACEPOINT(netif_receive_skb, WAY_IN, LP_AT_NETIF_RECEIVE)
DEVICE_TRACEPOINT(napi_gro_receive_entry, WAY_IN, LP_AT_NAPI_GRO)
PACKET_TRACEPOINT(consume_skb, stamp_consumed_direct(skb), stamp_consumed_probe(skb))

// Socket hooks read through probes on every rung: they run once a call, not once a packet.
#define SOCKET_TRACEPOINT(symbol, statement, ...)                                                  \
	SEC("tp_btf/" #symbol)                                                                     \
	int BPF_PROG(tp_btf_##symbol, __VA_ARGS__)                                                 \
	{                                                                                          \
		if (enabled)                                                                       \
			statement;                                                                 \
		return 0;                                                                          \
	}                                                                                          \
	SEC("raw_tp/" #symbol)                                                                     \
	int BPF_PROG(raw_tp_##symbol, __VA_ARGS__)                                                 \
	{                                                                                          \
		if (enabled)                                                                       \
			statement;                                                                 \
		return 0;                                                                          \
	}

LP_INLINE void send_call(struct pt_regs *regs, long number)
{
	if (is_send_call(number))
		hold_call(bpf_ktime_get_ns(), (lp_u32)PT_REGS_PARM1_CORE_SYSCALL(regs));
}

SOCKET_TRACEPOINT(sys_enter, send_call(regs, number), struct pt_regs *regs, long number)
SOCKET_TRACEPOINT(skb_copy_datagram_iovec, stamp_copy(bpf_ktime_get_ns(), skb, length),
		  struct sk_buff *skb, int length)
SOCKET_TRACEPOINT(sock_recv_length, datagram_read(bpf_ktime_get_ns(), sk, result, flags),
		  struct sock *sk, int result, int flags)
SOCKET_TRACEPOINT(sk_data_ready, datagram_came(bpf_ktime_get_ns(), (struct sock *)sk),
		  const struct sock *sk)

SEC("fentry/skb_consume_udp")
int BPF_PROG(fentry_skb_consume_udp, struct sock *sk, struct sk_buff *skb)
{
	if (enabled)
		datagram_consumed(bpf_ktime_get_ns(), sk, skb);
	return 0;
}

SEC("kprobe/skb_consume_udp")
int BPF_KPROBE(kprobe_skb_consume_udp, struct sock *sk, struct sk_buff *skb)
{
	if (enabled)
		datagram_consumed(bpf_ktime_get_ns(), sk, skb);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
