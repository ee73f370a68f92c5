/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core that all programs share: look up what is watched, read the packet, filter, sample, and account
 * for each packet in the ledger. Stamping is in emit.h.
 */
#ifndef LATPROBE_CORE_H
#define LATPROBE_CORE_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "latprobe_config.h"
#include "packet_key.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_TEB 0x6558 // an Ethernet frame within a tunnel
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_IPV6 0x86dd
#define ETH_P_QINQ1 0x9100 // what switches before 802.1ad use
#define PORT_VXLAN 4789
#define PORT_VXLAN_LINUX 8472 // the kernel's own default, which Flannel and Cilium keep
#define PORT_GENEVE 6081
#define LP_TAGS_MAX 8 // VLAN tags in band; a frame with more is passed over like one that is not IP
#define PROTO_TCP 6
#define PROTO_UDP 17

const volatile struct lp_config config = {
	.sample_one_in = 1,
	.sample_tcp_by = LP_SAMPLE_FLOW,
	.sample_other_by = LP_SAMPLE_PACKET,
	.identity = LP_IDENTITY_FULL,
	.call_expiry_ns = 1000000000,
	.send_calls = { -1, -1, -1, -1, -1, -1 },
};

// Set once every program is attached, cleared before the first is detached: all hooks see the same packets.
volatile lp_u32 enabled = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LP_TARGET_BUCKETS);
	__type(key, lp_u32);
	__type(value, struct lp_target_bucket);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LP_HOOK_MAX);
	__type(key, lp_u32);
	__type(value, struct lp_ledger);
} ledger SEC(".maps");

// One ring buffer a CPU: no contention, and each CPU's records stay in order. Filled in by user space.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(lp_u32));
	__uint(value_size, sizeof(lp_u32));
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 4096);
		});
} rings SEC(".maps");

// Flow ids written lately, by CPU: keeps a flow's 5-tuple from being written with every packet.
#define LP_FLOW_CACHE 1024

struct flow_cache {
	lp_u32 flow[LP_FLOW_CACHE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, lp_u32);
	__type(value, struct flow_cache);
} flows SEC(".maps");

// ---------------------------------------------------------------- what a program knows of a packet

struct view {
	const unsigned char *head;
	lp_u64 sk;
	lp_u32 l3;   // offset of the IP header from head (in-band VLAN tags not yet skipped)
	lp_u32 tail; // end of the linear part, from head
	lp_u32 data; // first byte that `length` counts, from head
	lp_u32 length;
	lp_u32 part; // payload bytes of each of several datagrams
	lp_u32 ifindex;
	lp_u32 netns;
	lp_u16 queue;
	lp_u16 protocol; // as in the frame
	lp_u8 ethernet;	 // 1: an Ethernet header stands in front of l3
	lp_u8 inner;	 // 1: of a tunnel's packet look at the one within
};

struct lp_source {
	const unsigned char *l3;
};

LP_INLINE int lp_load(void *to, lp_u32 size, const struct lp_source *source, lp_u32 offset)
{
	return bpf_probe_read_kernel(to, size, source->l3 + offset) ? -1 : 0;
}

// Which way the packet goes decides where its headers are.
enum way {
	WAY_OUT,    // data at the link-layer header
	WAY_QUEUE,  // likewise, but neither mac_header nor the queue are chosen yet
	WAY_IN,	    // data behind the link-layer header
	WAY_SOCKET, // no device any more; network_header set by the stack
};

// The device's queue. A receiving driver writes down its queue's number plus one, 0 where it does not tell.
LP_INLINE lp_u16 queue_of(enum way way, lp_u16 mapping)
{
	if (way == WAY_OUT)
		return mapping;
	return way != WAY_QUEUE && mapping ? mapping - 1 : 0;
}

/*
 * Fills a view from an sk_buff. GET reads a field: DIRECT where the verifier knows the pointer's type
 * (tp_btf, fentry), PROBE where it does not (raw_tp, kprobe). `ethernet` is the target's; a socket's packet
 * tells by itself.
 */
#define DIRECT(p, ...) ___arrow(p, __VA_ARGS__)
#define PROBE(p, ...) BPF_CORE_READ(p, __VA_ARGS__)

// Payload bytes of each part of a packet that the stack splits later, or has merged; 0 of any other.
__attribute__((noinline)) static lp_u32 part_bytes(const unsigned char *shared)
{
	return PROBE((struct skb_shared_info *)shared, gso_size);
}

#define DEFINE_VIEW(name, GET)                                                                     \
	LP_INLINE void name(struct view *v, struct sk_buff *skb, enum way way, lp_u8 ethernet)     \
	{                                                                                          \
		lp_u32 mac = GET(skb, mac_header);                                                 \
                                                                                                   \
		v->head = GET(skb, head);                                                          \
		v->data = (lp_u32)(GET(skb, data) - v->head);                                      \
		v->tail = GET(skb, tail);                                                          \
		v->length = GET(skb, len);                                                         \
		v->part = 0;                                                                       \
		if (LP_UNLIKELY(v->tail - v->data < v->length))                                    \
			v->part = part_bytes(v->head + GET(skb, end));                             \
		v->queue = queue_of(way, GET(skb, queue_mapping));                                 \
		v->sk = (lp_u64)GET(skb, sk);                                                      \
		v->ethernet = ethernet;                                                            \
		v->l3 = mac + LP_ETHERNET_BYTES;                                                   \
		v->protocol = 0;                                                                   \
		v->inner = 0;                                                                      \
		if (way == WAY_QUEUE)                                                              \
			v->l3 = v->data + LP_ETHERNET_BYTES;                                       \
		if (way == WAY_SOCKET) {                                                           \
			v->l3 = GET(skb, network_header);                                          \
			v->ethernet = v->l3 - mac == LP_ETHERNET_BYTES;                            \
			v->protocol = GET(skb, protocol);                                          \
		} else if (LP_UNLIKELY(!ethernet)) {                                               \
			v->l3 = way == WAY_IN ? v->data : GET(skb, network_header);                \
			v->protocol = GET(skb, protocol);                                          \
		}                                                                                  \
	}

DEFINE_VIEW(view_direct, DIRECT)
DEFINE_VIEW(view_probe, PROBE)

#define DEFINE_DEVICE_KEY(name, GET)                                                               \
	LP_INLINE void name(struct lp_target_key *key, struct net_device *dev)                     \
	{                                                                                          \
		if (LP_UNLIKELY(config.netns_by_inode))                                            \
			key->netns = GET(dev, nd_net.net, ns.inum);                                \
		else                                                                               \
			key->netns = GET(dev, nd_net.net, net_cookie);                             \
		key->ifindex = (lp_u32)GET(dev, ifindex);                                          \
		key->reserved = 0;                                                                 \
	}

DEFINE_DEVICE_KEY(device_key_direct, DIRECT)
DEFINE_DEVICE_KEY(device_key_probe, PROBE)

// A copy, since the verifier would follow each way of the bucket on its own. 0 where nothing is watched.
LP_INLINE int find_target(struct lp_target *target, const struct lp_target_key *key)
{
	lp_u32 index = lp_target_bucket_of(*key), i;
	const struct lp_target_bucket *bucket = bpf_map_lookup_elem(&targets, &index);

	if (!bucket)
		return 0;
	for (i = 0; i < LP_TARGET_WAYS; i++) {
		if (bucket->way[i].key.ifindex == key->ifindex &&
		    bucket->way[i].key.netns == key->netns) {
			*target = bucket->way[i];
			return 1;
		}
	}
	return 0;
}

/*
 * Whether it is the device that was asked for. User space hears of a device's end a little later; another one that
 * gets its index meanwhile has another name, and one of the same name is what was asked for.
 */
LP_INLINE int is_named(const struct lp_target *target, struct net_device *dev)
{
	// Drivers leave bytes of an earlier name behind the end (e1000e: the PCI address).
	lp_u64 name[LP_DEVICE_NAME / 8] = {};

	return bpf_probe_read_kernel_str(name, sizeof(name),
					 __builtin_preserve_access_index(&dev->name)) > 0 &&
	       name[0] == target->name[0] && name[1] == target->name[1];
}

LP_INLINE lp_u8 socket_hook_at(lp_u64 netns, enum lp_site site)
{
	struct lp_target_key key = { .netns = netns };
	struct lp_target target;

	return find_target(&target, &key) ? target.hook[site] : LP_HOOK_NONE;
}

LP_INLINE struct lp_ledger *ledger_of(lp_u8 hook)
{
	lp_u32 index = hook;

	return bpf_map_lookup_elem(&ledger, &index);
}

// ---------------------------------------------------------------------------------- filter, sample

/*
 * Replaced before load by the translation of --filter: (frame, readable bytes, length of the packet) → 0 to leave
 * the packet out. The slots keep room, so nothing in the object has to move. Declared without parameters: those
 * of a naked function have no names, which makes the kernel refuse the object's type information.
 */
__attribute__((naked, noinline, used)) static int lp_filter(void)
{
	asm volatile("r0 = %[marker];"
		     ".rept %[slots];"
		     "goto +0;"
		     ".endr;"
		     "exit;"
		     :
		     : [marker] "i"(LP_FILTER_MARKER), [slots] "i"(LP_FILTER_SLOTS));
}

/*
 * In assembly, since the compiler sees a function that looks at nothing. The answer is changed with a value that the
 * verifier does not know, and back: else it would know which of 0 and 1 came, and read the packet once for each.
 */
LP_INLINE int ask_filter(const struct lp_frame *frame, lp_u32 readable, lp_u32 length)
{
	const lp_u8 *ethernet = frame->ethernet;
	int passes;

	asm volatile("r1 = %[frame];"
		     "r2 = %[readable];"
		     "r3 = %[length];"
		     "call lp_filter;"
		     "r0 ^= %[length];"
		     "r0 ^= %[length];"
		     "%[passes] = r0;"
		     : [passes] "=r"(passes)
		     : [frame] "r"(ethernet), [readable] "r"((lp_u64)readable),
		       [length] "r"((lp_u64)length), "m"(*frame)
		     : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
	return passes;
}

enum verdict {
	VERDICT_STAMP = 0,
	VERDICT_FILTERED,
	VERDICT_SAMPLED_OUT,
	VERDICT_NO_PACKET,
};

LP_INLINE enum verdict judge(int passes, const struct lp_packet *p)
{
	// Else clang moves the branch up to the call, to the same effect.
	asm volatile("" : "+r"(passes));
	if (LP_UNLIKELY(!passes))
		return VERDICT_FILTERED;
	if (LP_UNLIKELY(config.sample_one_in > 1)) {
		lp_u8 by = p->kind == LP_KIND_TCP || p->kind == LP_KIND_TCP_RANGE
				   ? config.sample_tcp_by
				   : config.sample_other_by;
		lp_u64 hash = by == LP_SAMPLE_FLOW ? p->sample_flow : p->sample;

		if ((lp_u32)(hash >> 32) % config.sample_one_in)
			return VERDICT_SAMPLED_OUT;
	}
	return VERDICT_STAMP;
}

LP_INLINE int account(struct lp_ledger *row, enum verdict verdict)
{
	if (LP_UNLIKELY(verdict == VERDICT_FILTERED))
		row->filtered++;
	else if (LP_UNLIKELY(verdict == VERDICT_SAMPLED_OUT))
		row->sampled_out++;
	return verdict == VERDICT_STAMP;
}

// ------------------------------------------------------------------------------------ read a packet

LP_INLINE lp_u32 bounded(lp_u32 value, lp_u32 limit)
{
	return value < limit ? value : limit;
}

// What was read of a frame, and where the rest is.
struct sight {
	struct lp_source source;
	lp_u32 part;
	lp_u32 linear; // bytes from the IP header on that lie in the linear part
	lp_u32 length; // bytes of the packet from there on
};

LP_INLINE int is_tag(lp_u16 type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD || type == ETH_P_QINQ1;
}

// Bytes of in-band VLAN tags, the first of which has its content at `tags`. A function of its own: rare, and a loop.
__attribute__((noinline)) static lp_u32 tag_bytes(const unsigned char *tags)
{
	lp_u8 content[LP_TAGS_MAX * 4];
	lp_u32 i;

	if (bpf_probe_read_kernel(content, sizeof(content), tags))
		return 4;
#pragma clang loop unroll(disable)
	for (i = 0; i < LP_TAGS_MAX - 1; i++)
		if (!is_tag(lp_be16(content + 4 * i + 2)))
			break;
	return 4 * (i + 1);
}

/*
 * Bytes from the IP header of a VXLAN or Geneve packet to that of the packet within; 0 of any other. The tunnel is known
 * by its port, since a packet does not say what it is.
 */
__attribute__((noinline)) static lp_u32 bytes_to_inner(const unsigned char *l3)
{
	lp_u8 ip[12], udp[16], type[2];
	lp_u32 offset;
	lp_u16 port;

	if (bpf_probe_read_kernel(ip, sizeof(ip), l3))
		return 0;
	if (ip[0] == 0x45 && ip[9] == PROTO_UDP && !(lp_be16(ip + 6) & 0x1fff))
		offset = 20;
	else if (ip[0] >> 4 == 6 && ip[6] == PROTO_UDP)
		offset = 40;
	else
		return 0;
	if (bpf_probe_read_kernel(udp, sizeof(udp), l3 + offset))
		return 0;
	port = lp_be16(udp + 2);
	offset += sizeof(udp) + LP_ETHERNET_BYTES;
	if (port == PORT_GENEVE) {
		if (lp_be16(udp + 10) != ETH_P_TEB)
			return 0;
		offset += (lp_u32)(udp[8] & 0x3f) * 4; // options
	} else if ((port != PORT_VXLAN && port != PORT_VXLAN_LINUX) || !(udp[8] & 8)) {
		return 0; // the flag says that there is a network's number
	}
	if (bpf_probe_read_kernel(type, sizeof(type), l3 + offset - 2) ||
	    (lp_be16(type) != ETH_P_IP && lp_be16(type) != ETH_P_IPV6))
		return 0;
	return offset;
}

// 0 if it could be read. Reads a fixed number of bytes: behind the linear part lies the skb's shared info.
LP_INLINE int read_frame(struct lp_frame *f, struct sight *s, const struct view *v)
{
	struct lp_source source = { .l3 = v->head + v->l3 };
	lp_u32 l3 = v->l3;

	if (!LP_UNLIKELY(!v->ethernet)) {
		lp_u16 type;

		// IPv4 with UDP or a TCP header without options lies in the first half.
		if (LP_UNLIKELY(bpf_probe_read_kernel(f->ethernet, LP_FRAME_BYTES / 2,
						      source.l3 - LP_ETHERNET_BYTES)))
			return -1;
		if (config.filter || f->l3[0] != 0x45 || f->l3[9] != PROTO_UDP)
			bpf_probe_read_kernel(f->ethernet + LP_FRAME_BYTES / 2, LP_FRAME_BYTES / 2,
					      source.l3 - LP_ETHERNET_BYTES + LP_FRAME_BYTES / 2);
		type = lp_be16(f->ethernet + 12);
		if (LP_UNLIKELY(is_tag(type))) {
			// In-band VLAN tags: look again, behind them.
			l3 += tag_bytes(source.l3);
			source.l3 = v->head + l3;
			if (bpf_probe_read_kernel(f->ethernet, LP_FRAME_BYTES,
						  source.l3 - LP_ETHERNET_BYTES))
				return -1;
		}
	} else {
		__builtin_memset(f->ethernet, 0, 12);
		f->ethernet[12] = v->protocol & 0xff;
		f->ethernet[13] = v->protocol >> 8;
		if (bpf_probe_read_kernel(f->l3, sizeof(f->l3), source.l3))
			return -1;
	}
	if (LP_UNLIKELY(v->inner)) {
		lp_u32 within = bytes_to_inner(source.l3);

		if (within && l3 + within < v->tail) {
			l3 += within;
			source.l3 = v->head + l3;
			if (bpf_probe_read_kernel(f->ethernet, LP_FRAME_BYTES,
						  source.l3 - LP_ETHERNET_BYTES))
				return -1;
		}
	}
	s->source = source;
	s->part = v->part;
	s->linear = v->tail - l3;
	s->length = v->length - (l3 - v->data);
	return 0;
}

/*
 * 0 to leave the packet out. To be asked before the packet is read, and looked at after: the verifier follows
 * every way to the filter through it, and there are few yet.
 */
LP_INLINE int passes_filter(const struct lp_frame *f, const struct sight *s)
{
	if (!LP_UNLIKELY(config.filter))
		return 1;
	return ask_filter(f, bounded(s->linear + LP_ETHERNET_BYTES, LP_FRAME_BYTES),
			  lp_ip_length(f->l3, s->length) + LP_ETHERNET_BYTES);
}

// 0 if it is an IP packet.
LP_INLINE int read_packet(struct lp_packet *p, struct lp_frame *f, const struct sight *s)
{
	return lp_read_packet(p, f, &s->source, s->linear, s->length, s->part, config.identity,
			      config.sample_one_in > 1);
}

#endif
