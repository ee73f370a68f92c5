// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs: each is a shell over the shared core, once for every rung of the attach ladder that its
 * symbol has. User space loads those that the resolved topology names.
 */
#include "devices.h"
#include "drops.h"

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
	PACKET_TRACEPOINT(symbol, stamp_direct(bpf_ktime_get_ns(), skb, way, site),                \
			  stamp_probe(bpf_ktime_get_ns(), skb, way, site))

DEVICE_TRACEPOINT(net_dev_queue, WAY_OUT, LP_AT_DEV_QUEUE)
DEVICE_TRACEPOINT(net_dev_start_xmit, WAY_OUT, LP_AT_START_XMIT)
DEVICE_TRACEPOINT(netif_rx, WAY_IN, LP_AT_NETIF_RX)
DEVICE_TRACEPOINT(netif_receive_skb, WAY_IN, LP_AT_NETIF_RECEIVE)
DEVICE_TRACEPOINT(napi_gro_receive_entry, WAY_IN, LP_AT_NAPI_GRO)
PACKET_TRACEPOINT(consume_skb, stamp_consumed_direct(skb), stamp_consumed_probe(skb))

// The reason is the third argument from Linux 5.17 on: until then reading it would be refused.
#define DROP_REASON                                                                                \
	(bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED)           \
		 ? (lp_u32)ctx[2]                                                                  \
		 : 0)

SEC("tp_btf/kfree_skb")
int tp_btf_kfree_skb(unsigned long long *ctx)
{
	return drop((struct sk_buff *)ctx[0], ctx[1], DROP_REASON);
}

SEC("raw_tp/kfree_skb")
int raw_tp_kfree_skb(unsigned long long *ctx)
{
	return drop((struct sk_buff *)ctx[0], ctx[1], DROP_REASON);
}

// Both rungs of a function. Its arguments are those up to the last that is used.
#define FUNCTION(symbol, on_fentry, on_kprobe, ...)                                                \
	SEC("fentry/" #symbol)                                                                     \
	int BPF_PROG(fentry_##symbol, __VA_ARGS__)                                                 \
	{                                                                                          \
		return on_fentry;                                                                  \
	}                                                                                          \
	SEC("kprobe/" #symbol)                                                                     \
	int BPF_KPROBE(kprobe_##symbol, __VA_ARGS__)                                               \
	{                                                                                          \
		return on_kprobe;                                                                  \
	}

#define DEVICE_FUNCTION(symbol, way, site, ...)                                                    \
	FUNCTION(symbol, stamp_direct(bpf_ktime_get_ns(), skb, way, site),                         \
		 stamp_probe(bpf_ktime_get_ns(), skb, way, site), __VA_ARGS__)

DEVICE_FUNCTION(__dev_queue_xmit, WAY_QUEUE, LP_AT_DEV_QUEUE, struct sk_buff *skb)
FUNCTION(dev_hard_start_xmit, stamp_chain(first_argument(ctx)), stamp_chain(skb),
	 struct sk_buff *skb)
DEVICE_FUNCTION(netif_rx_internal, WAY_IN, LP_AT_NETIF_RX, struct sk_buff *skb)
DEVICE_FUNCTION(netif_rx, WAY_IN, LP_AT_NETIF_RX, struct sk_buff *skb)
DEVICE_FUNCTION(__netif_rx, WAY_IN, LP_AT_NETIF_RX, struct sk_buff *skb)
DEVICE_FUNCTION(netif_receive_skb, WAY_IN, LP_AT_NETIF_RECEIVE, struct sk_buff *skb)
FUNCTION(netif_receive_skb_list_internal, stamp_list(head), stamp_list(head),
	 struct list_head *head)
DEVICE_FUNCTION(napi_gro_receive, WAY_IN, LP_AT_NAPI_GRO, void *napi, struct sk_buff *skb)
DEVICE_FUNCTION(gro_receive_skb, WAY_IN, LP_AT_NAPI_GRO, void *gro,
		struct sk_buff *skb) // from 6.15
FUNCTION(consume_skb, stamp_consumed_direct(skb), stamp_consumed_probe(skb), struct sk_buff *skb)
FUNCTION(napi_consume_skb, stamp_consumed_direct(skb), stamp_consumed_probe(skb),
	 struct sk_buff *skb)

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
		hold_call(bpf_ktime_get_ns(),
			  socket_of_descriptor((lp_u32)PT_REGS_PARM1_CORE_SYSCALL(regs)));
}

SOCKET_TRACEPOINT(sys_enter, send_call(regs, number), struct pt_regs *regs, long number)
SOCKET_TRACEPOINT(skb_copy_datagram_iovec, stamp_copied(skb, length), struct sk_buff *skb,
		  int length)
SOCKET_TRACEPOINT(sock_recv_length, datagram_read(bpf_ktime_get_ns(), sk, result, flags),
		  struct sock *sk, int result, int flags)
SOCKET_TRACEPOINT(sk_data_ready, datagram_came(bpf_ktime_get_ns(), (struct sock *)sk),
		  const struct sock *sk)

#define HOOK_FUNCTION(symbol, statement, ...)                                                      \
	FUNCTION(symbol, enabled ? statement : 0, enabled ? statement : 0, __VA_ARGS__)

HOOK_FUNCTION(tcp_sendmsg, hold_call(bpf_ktime_get_ns(), sk), struct sock *sk)
HOOK_FUNCTION(udp_sendmsg, hold_call_ipv4(bpf_ktime_get_ns(), sk), struct sock *sk)
HOOK_FUNCTION(udpv6_sendmsg, hold_call(bpf_ktime_get_ns(), sk), struct sock *sk)
HOOK_FUNCTION(skb_consume_udp, datagram_consumed(bpf_ktime_get_ns(), sk, skb), struct sock *sk,
	      struct sk_buff *skb)
HOOK_FUNCTION(skb_copy_datagram_iter, stamp_copied(skb, length), struct sk_buff *skb, int offset,
	      void *to, int length)

HOOK_FUNCTION(handle_tx, hold_worker(bpf_ktime_get_ns()), void *net)
HOOK_FUNCTION(skb_recv_done, hold_interrupt(bpf_ktime_get_ns(), vq), struct virtqueue *vq)
HOOK_FUNCTION(virtqueue_notify, stamp_kick(bpf_ktime_get_ns(), vq), struct virtqueue *vq)

char LICENSE[] SEC("license") = "GPL";
