// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What latprobe's stamp is measured against, at the same hook: nothing, and the least that a stamp can be
 * (time and a few fields, 32 bytes, a ring buffer of its own).
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct minimal_stamp {
	__u64 time_ns;
	__u64 packet;
	__u32 length;
	__u32 ifindex;
	__u64 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(empty, struct sk_buff *skb)
{
	return 0;
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(minimal, struct sk_buff *skb)
{
	struct minimal_stamp *stamp = bpf_ringbuf_reserve(&ring, sizeof(*stamp), 0);

	if (!stamp)
		return 0;
	stamp->time_ns = bpf_ktime_get_ns();
	stamp->packet = (__u64)skb;
	stamp->length = skb->len;
	stamp->ifindex = (__u32)skb->dev->ifindex;
	stamp->reserved = 0;
	bpf_ringbuf_submit(stamp, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
