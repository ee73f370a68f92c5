/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket hooks. Where an application asks there is no packet yet, and where it is served the packet may
 * be gone; these tie the one to the other.
 */
#ifndef LATPROBE_SOCKETS_H
#define LATPROBE_SOCKETS_H

#include "emit.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000
#define PACKET_OUTGOING 4

// --------------------------------------------------------------------- txg0: the call, then its packet

// The last send call on a socket, until its first packet reaches the device queue.
struct held_call {
	lp_u64 at_ns;
	lp_u64 task;	  // thread id; a datagram leaves in the call that sends it
	lp_u32 write_seq; // TCP: sequence number of the call's first byte
	lp_u32 is_stream;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, lp_u64);
	__type(value, struct held_call);
} calls SEC(".maps");

LP_INLINE struct sock *socket_of_descriptor(lp_u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;
	struct socket *socket;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd) || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

LP_INLINE int is_internet(struct sock *sk)
{
	lp_u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

LP_INLINE lp_u64 netns_of(struct sock *sk)
{
	if (LP_UNLIKELY(config.netns_by_inode))
		return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
}

LP_INLINE int is_send_call(long number)
{
	int i;

	for (i = 0; i < LP_SEND_CALLS; i++)
		if (config.send_calls[i] == number)
			return 1;
	return 0;
}

LP_INLINE int hold_call(lp_u64 now, struct sock *sk)
{
	struct held_call call = { .at_ns = now, .task = bpf_get_current_pid_tgid() };
	lp_u64 id = (lp_u64)sk;
	struct held_call *earlier;
	lp_u8 hook;

	if (!sk || !is_internet(sk))
		return 0;
	hook = socket_hook_at(netns_of(sk), LP_AT_SEND_CALL);
	if (!hook)
		return 0;
	if (BPF_CORE_READ(sk, sk_protocol) == PROTO_TCP) {
		call.is_stream = 1;
		call.write_seq = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	}
	earlier = bpf_map_lookup_elem(&calls, &id);
	if (earlier) {
		struct lp_ledger *row = ledger_of(hook);

		if (row)
			row->unbound++;
		// An earlier call whose first byte still waits to be sent keeps its place.
		if (call.is_stream && earlier->write_seq != call.write_seq &&
		    (lp_s32)(BPF_CORE_READ((struct tcp_sock *)sk, snd_nxt) - earlier->write_seq) <=
			    0)
			return 0;
	}
	bpf_map_update_elem(&calls, &id, &call, BPF_ANY);
	return 0;
}

// udp_sendmsg: a mapped address on an IPv6 socket gets here from udpv6_sendmsg, which has held the call.
LP_INLINE int hold_call_ipv4(lp_u64 now, struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET ? hold_call(now, sk) : 0;
}

LP_INLINE void bind_call(lp_u64 now, lp_u64 netns, const struct view *v, const struct lp_packet *p,
			 enum verdict verdict)
{
	const struct held_call *call;
	struct lp_ledger *row;
	lp_u64 id = v->sk;
	lp_u8 hook;

	if (!id)
		return;
	call = bpf_map_lookup_elem(&calls, &id);
	if (!call)
		return;
	if (call->is_stream) {
		// The packet that carries the call's first byte.
		lp_u32 payload = p->length - p->header_words * 4u;

		if (p->kind != LP_KIND_TCP || call->write_seq - p->sequence >= payload)
			return;
	} else if (call->task != bpf_get_current_pid_tgid() ||
		   now - call->at_ns > config.call_expiry_ns) {
		return;
	}
	hook = socket_hook_at(netns, LP_AT_SEND_CALL);
	row = hook ? ledger_of(hook) : NULL;
	if (row && account(row, verdict))
		emit_held(row, now, call->at_ns, hook, p);
	bpf_map_delete_elem(&calls, &id);
}

// ------------------------------------------------- rxg1: bytes of a stream, and raw and ping sockets

// A frame with just what a socket knows of its peer, so that one filter serves every hook.
LP_INLINE void frame_of_stream(struct lp_frame *f, struct sock *sk, struct lp_packet *p)
{
	lp_u16 peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport); // network byte order
	lp_u16 port = BPF_CORE_READ(sk, __sk_common.skc_num);
	lp_u32 peer = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	lp_u32 own = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	lp_u64 from, to;
	lp_u8 *l4;

	__builtin_memset(f, 0, sizeof(*f));
	p->protocol = PROTO_TCP;
	// A mapped IPv4 address has both forms filled in; plain IPv6 has no IPv4 peer.
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO((lp_u8(*)[16])(f->l3 + 8), sk,
				   __sk_common.skc_v6_daddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO((lp_u8(*)[16])(f->l3 + 24), sk,
				   __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		if (!lp_word64(f->l3 + 8) && lp_word32(f->l3 + 16) == 0xffff0000)
			p->family = 4;
		else
			p->family = 6;
	} else {
		p->family = 4;
	}
	if (p->family == 6) {
		f->ethernet[12] = 0x86;
		f->ethernet[13] = 0xdd;
		f->l3[0] = 0x60;
		f->l3[6] = PROTO_TCP;
		from = lp_mix(lp_mix(6, lp_word64(f->l3 + 8)), lp_word64(f->l3 + 16));
		to = lp_mix(lp_mix(6, lp_word64(f->l3 + 24)), lp_word64(f->l3 + 32));
		l4 = f->l3 + 40;
	} else {
		f->ethernet[12] = 0x08;
		f->l3[0] = 0x45;
		f->l3[9] = PROTO_TCP;
		*(lp_u32 *)(f->l3 + 12) = peer;
		*(lp_u32 *)(f->l3 + 16) = own;
		from = lp_mix(4, peer);
		to = lp_mix(4, own);
		l4 = f->l3 + 20;
	}
	*(lp_u16 *)l4 = peer_port;
	l4[2] = port >> 8;
	l4[3] = port & 0xff;
	l4[12] = 0x50;
	p->source_port = lp_be16(l4);
	p->destination_port = port;
	lp_set_flow(p, from, to, lp_word32(l4), config.sample_one_in > 1);
}

LP_INLINE void stamp_stream(lp_u64 now, lp_u8 hook, struct sock *sk, lp_u32 length)
{
	struct lp_packet p = {
		.kind = LP_KIND_TCP_RANGE,
		.sequence = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq),
		.length = bounded(length, (1u << 20) - 1),
	};
	struct sight s = { .linear = LP_FRAME_BYTES, .length = p.length };
	struct lp_ledger *row = ledger_of(hook);
	struct lp_frame f;

	if (!row)
		return;
	frame_of_stream(&f, sk, &p);
	if (!account(row, judge(passes_filter(&f, &s), &p)))
		return;
	emit_flow(now, &p, &f);
	emit_stamp(row, now, hook, 0, &p);
}

LP_INLINE int stamp_copy(lp_u64 now, struct sk_buff *skb, int length)
{
	struct sock *sk = BPF_CORE_READ(skb, sk);
	lp_u64 netns;
	lp_u16 protocol;
	lp_u8 hook;

	if (!sk || length <= 0 || !is_internet(sk))
		return 0;
	// So the kernel marks what it queues for the reader of errors and transmit time stamps: no packet that came.
	if (BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type) == PACKET_OUTGOING)
		return 0;
	netns = netns_of(sk);
	hook = socket_hook_at(netns, LP_AT_STREAM_COPY);
	if (!hook)
		return 0;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (protocol == PROTO_TCP) {
		stamp_stream(now, hook, sk, (lp_u32)length);
	} else if (protocol != PROTO_UDP) {
		struct lp_packet p;
		struct lp_frame f;
		struct view v;

		view_probe(&v, skb, WAY_SOCKET, 0);
		stamp_packet(now, hook, &v, &p, &f);
	}
	return 0;
}

// -------------------------------------------------------------- rxg1: datagrams, by the head of the queue

/*
 * No tracepoint of a UDP receive shows the datagram, only that one was read (sock_recv_length) and that
 * one came (sk_data_ready). So: after each read, note what stands at the head of the queue; if nothing
 * does, the next that comes is noted on arrival. The next read has read what was noted. A note that is
 * still at the head then was not read (another thread got ahead): the read stays unbound.
 */
struct next_datagram {
	lp_u64 skb; // 0: nothing noted
	struct lp_packet packet;
	lp_u32 verdict;
	lp_u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, lp_u64);
	__type(value, struct next_datagram);
} next_datagrams SEC(".maps");

LP_INLINE struct sk_buff *first_of(struct sk_buff_head *queue)
{
	struct sk_buff *first = BPF_CORE_READ(queue, next);

	return first == (struct sk_buff *)queue ? NULL : first;
}

LP_INLINE struct sk_buff *head_datagram(struct sock *sk)
{
	struct sk_buff *first = first_of(&((struct udp_sock *)sk)->reader_queue);

	return first ? first : first_of(&sk->sk_receive_queue);
}

// Reads what stands at the head; only kept if it still stands there afterwards.
LP_INLINE void note_head(struct next_datagram *note, struct sock *sk, struct lp_frame *f,
			 lp_u64 now)
{
	struct sk_buff *skb = head_datagram(sk);
	struct lp_packet p = {}; // kept whole, also what is not sampled by
	struct view v;
	struct sight s;
	enum verdict verdict;
	int passes;

	if (!skb)
		return;
	view_probe(&v, skb, WAY_SOCKET, 0);
	if (read_frame(f, &s, &v))
		return;
	passes = passes_filter(f, &s);
	if (read_packet(&p, f, &s) || head_datagram(sk) != skb)
		return;
	verdict = judge(passes, &p);
	if (verdict == VERDICT_STAMP)
		emit_flow(now, &p, f);
	note->packet = p;
	note->verdict = verdict;
	note->skb = (lp_u64)skb;
}

LP_INLINE lp_u8 datagram_hook(struct sock *sk)
{
	if (!is_internet(sk) || BPF_CORE_READ(sk, sk_protocol) != PROTO_UDP)
		return LP_HOOK_NONE;
	return socket_hook_at(netns_of(sk), LP_AT_DATAGRAM_READ);
}

LP_INLINE void datagram_read(lp_u64 now, struct sock *sk, int result, int flags)
{
	lp_u64 id = (lp_u64)sk;
	struct next_datagram *note;
	struct lp_ledger *row;
	struct lp_frame f;
	lp_u8 hook;

	if (result < 0 || flags & (MSG_PEEK | MSG_ERRQUEUE))
		return;
	hook = datagram_hook(sk);
	row = hook ? ledger_of(hook) : NULL;
	if (!row)
		return;
	note = bpf_map_lookup_elem(&next_datagrams, &id);
	if (!note) {
		struct next_datagram none = {};

		bpf_map_update_elem(&next_datagrams, &id, &none, BPF_ANY);
		note = bpf_map_lookup_elem(&next_datagrams, &id);
		if (!note)
			return;
	}
	if (note->skb && note->skb != (lp_u64)head_datagram(sk)) {
		if (account(row, note->verdict))
			emit_stamp(row, now, hook, 0, &note->packet);
	} else {
		row->unbound++;
	}
	// First "nothing noted", then look: a datagram that comes in between is noted by one of the two.
	*(volatile lp_u64 *)&note->skb = 0;
	note_head(note, sk, &f, now);
}

LP_INLINE void datagram_came(lp_u64 now, struct sock *sk)
{
	lp_u64 id = (lp_u64)sk;
	struct next_datagram *note;
	struct lp_frame f;

	if (!datagram_hook(sk))
		return;
	note = bpf_map_lookup_elem(&next_datagrams, &id);
	if (!note) {
		struct next_datagram none = {};

		bpf_map_update_elem(&next_datagrams, &id, &none, BPF_ANY);
		note = bpf_map_lookup_elem(&next_datagrams, &id);
	}
	if (note && !note->skb)
		note_head(note, sk, &f, now);
}

// skb_consume_udp(sk, skb, length): the datagram itself, where functions can be traced.
LP_INLINE int datagram_consumed(lp_u64 now, struct sock *sk, struct sk_buff *skb)
{
	lp_u8 hook = datagram_hook(sk);
	struct lp_packet p;
	struct lp_frame f;
	struct view v;

	if (!hook)
		return 0;
	view_probe(&v, skb, WAY_SOCKET, 0);
	stamp_packet(now, hook, &v, &p, &f);
	return 0;
}

#endif
