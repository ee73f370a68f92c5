/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is this packet? From the first bytes of a frame: a 64-bit key over fields that do not change on the
 * way, the flow, and what is needed to match TCP by sequence range. The same code runs in the kernel
 * (BPF) and over captured frames in user space, so that both give one packet one key.
 *
 * Not in the key: TTL or hop limit, DSCP and ECN, checksums, VLAN tags and Ethernet addresses.
 */
#ifndef LATPROBE_PACKET_KEY_H
#define LATPROBE_PACKET_KEY_H

#include "latprobe_abi.h"

#define LP_INLINE static inline __attribute__((always_inline))
// Keeps rare code out of the way of the common packet: cold instructions cost more than what they do.
#define LP_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define LP_ETHERNET_BYTES 14
#define LP_FRAME_BYTES                                                                             \
	128	       // what is looked at: Ethernet 14 + IPv6 40 + TCP with options 60, rounded up
#define LP_L4_BYTES 60 // TCP with all options
#define LP_PAYLOAD_KEY_BYTES 16

// The first bytes of a frame; l3 and l4 are 8-aligned so that header fields are read aligned.
struct lp_frame {
	lp_u16 pad __attribute__((aligned(8)));
	lp_u8 ethernet[LP_ETHERNET_BYTES];
	lp_u8 l3[LP_FRAME_BYTES - LP_ETHERNET_BYTES];
	lp_u8 l4[64] __attribute__((
		aligned(8))); // the transport header where it is not at its usual place
};

enum lp_identity {
	LP_IDENTITY_FULL = 0,
	LP_IDENTITY_NAT_PROOF = 1, // addresses, ports and the ICMP id stay out of the key
};

struct lp_packet {
	lp_u64 key;
	lp_u64 sample;	    // hash over the NAT-proof fields: the same packet at every hook
	lp_u64 sample_flow; // hash over the 5-tuple, the same for both directions
	lp_u32 flow;
	lp_u32 sequence;
	lp_u32 length; // bytes from the start of the IP header
	lp_u16 source_port;
	lp_u16 destination_port; // host byte order
	lp_u8 header_words;
	lp_u8 kind;
	lp_u8 family; // 4 or 6
	lp_u8 protocol;
};

// Where further bytes come from: copies `size` bytes at `offset` from the IP header; 0 if it could.
// The kernel side defines both in core.h.
#ifdef __bpf__
struct lp_source;
LP_INLINE int lp_load(void *to, lp_u32 size, const struct lp_source *source, lp_u32 offset);
#else
#include <string.h>

struct lp_source {
	const lp_u8 *l3;
	lp_u32 linear;
};

// As in the kernel, bytes behind the end may be asked for, and mean nothing.
LP_INLINE int lp_load(void *to, lp_u32 size, const struct lp_source *source, lp_u32 offset)
{
	memset(to, 0, size);
	if (offset < source->linear)
		memcpy(to, source->l3 + offset,
		       size < source->linear - offset ? size : source->linear - offset);
	return 0;
}
#endif

LP_INLINE lp_u16 lp_be16(const lp_u8 *p)
{
	return (lp_u16)(p[0] << 8 | p[1]);
}

LP_INLINE lp_u32 lp_word32(const lp_u8 *p)
{
	return *(const lp_u32 *)p;
}

LP_INLINE lp_u64 lp_word64(const lp_u8 *p)
{
	return (lp_u64)lp_word32(p) | (lp_u64)lp_word32(p + 4) << 32;
}

// One multiply a word; the shift brings high bits back down. Constant of Pelle Evensen's rrmxmx mixer.
LP_INLINE lp_u64 lp_mix(lp_u64 hash, lp_u64 word)
{
	hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
	return hash ^ hash >> 29;
}

// Word with only its first `bytes` bytes.
LP_INLINE lp_u64 lp_first_bytes(lp_u64 word, lp_u32 bytes)
{
	return bytes >= 8 ? word : word & ((1ULL << bytes * 8) - 1);
}

LP_INLINE lp_u64 lp_mix_payload(lp_u64 hash, const lp_u8 *payload, lp_u32 bytes)
{
	hash = lp_mix(hash, lp_first_bytes(lp_word64(payload), bytes));
	return lp_mix(hash, bytes > 8 ? lp_first_bytes(lp_word64(payload + 8), bytes - 8) : 0);
}

// Directional flow hash from two address hashes and the ports (as loaded), and its undirected sibling.
LP_INLINE lp_u64 lp_set_flow(struct lp_packet *p, lp_u64 source, lp_u64 destination, lp_u32 ports,
			     int sampling)
{
	lp_u64 s = lp_mix(source, (lp_u64)p->protocol << 16 | (ports & 0xffff));
	lp_u64 d = lp_mix(destination, (lp_u64)p->protocol << 16 | ports >> 16);
	lp_u64 flow = lp_mix(s * 3, d); // mixing alone would be the same for both directions

	p->flow = (lp_u32)(flow >> 32);
	if (sampling)
		p->sample_flow = lp_mix(s + d, 2);
	return flow;
}

// IPv6 extension headers in front of the transport header; at most 6.
LP_INLINE int lp_skip_extensions(lp_u8 *next, lp_u32 *offset, lp_u32 *fragment, lp_u32 *id,
				 const struct lp_source *source)
{
	lp_u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < 6; i++) {
		lp_u8 header[8] __attribute__((aligned(8)));

		if (*next != 0 && *next != 43 && *next != 44 && *next != 60)
			return 0;
		if (lp_load(header, sizeof(header), source, *offset))
			return -1;
		if (*next == 44) {
			*fragment = (lp_u32)lp_be16(header + 2) & 0xfff8;
			*id = lp_word32(header + 4);
			*offset += 8;
			*next = header[0];
			if (*fragment)
				return 0;
		} else {
			*offset += ((lp_u32)header[1] + 1) * 8;
			*next = header[0];
		}
	}
	return 0;
}

// Bytes from the start of the IP header; `length` where that does not tell (BIG TCP), or is none.
LP_INLINE lp_u32 lp_ip_length(const lp_u8 *l3, lp_u32 length)
{
	lp_u32 told = 0;

	if (l3[0] >> 4 == 4)
		told = lp_be16(l3 + 2);
	else if (l3[0] >> 4 == 6 && lp_be16(l3 + 4))
		told = lp_be16(l3 + 4) + 40;
	return told ? told : length;
}

/*
 * Reads the packet whose IP header starts at frame->l3. `linear`: how many bytes from there on can be
 * read; `length`: bytes of the packet from there on, used where the IP header does not tell (BIG TCP).
 * `part`: payload bytes of each datagram in a super-packet, else 0.
 * Without `sampling` the sampling hashes stay unset. Returns 0, or -1 for what is not IP or too short.
 */
LP_INLINE int lp_read_packet(struct lp_packet *p, struct lp_frame *f,
			     const struct lp_source *source, lp_u32 linear, lp_u32 length,
			     lp_u32 part, int identity, int sampling)
{
	const lp_u8 *l3 = f->l3, *l4;
	lp_u32 offset, fragment = 0, id, ports = 0, i;
	lp_u64 from, to, hash, words, flow;

	p->sequence = 0;
	p->source_port = 0;
	p->destination_port = 0;
	p->kind = LP_KIND_OTHER;
	if (l3[0] >> 4 == 4) {
		lp_u32 total = lp_be16(l3 + 2);

		if (LP_UNLIKELY(linear < 20))
			return -1;
		p->family = 4;
		p->protocol = l3[9];
		p->length = total ? total : length;
		offset = (lp_u32)(l3[0] & 15) * 4;
		fragment = (lp_u32)lp_be16(l3 + 6) & 0x1fff;
		id = lp_word32(l3 + 4) & 0xffff;
		from = lp_mix(4, lp_word32(l3 + 12));
		to = lp_mix(4, lp_word32(l3 + 16));
	} else if (l3[0] >> 4 == 6) {
		lp_u32 payload = lp_be16(l3 + 4);

		if (LP_UNLIKELY(linear < 40))
			return -1;
		p->family = 6;
		p->protocol = l3[6];
		p->length = payload ? payload + 40 : length;
		offset = 40;
		id = lp_word32(l3) & 0xffff0f00; // flow label, as loaded
		from = lp_mix(lp_mix(6, lp_word64(l3 + 8)), lp_word64(l3 + 16));
		to = lp_mix(lp_mix(6, lp_word64(l3 + 24)), lp_word64(l3 + 32));
		if (LP_UNLIKELY(p->protocol != 6 && p->protocol != 17 && p->protocol != 58) &&
		    lp_skip_extensions(&p->protocol, &offset, &fragment, &id, source))
			return -1;
	} else {
		return -1;
	}

	hash = lp_mix(p->family, (lp_u64)id << 32 | fragment << 8 | p->protocol);
	if (LP_UNLIKELY(fragment)) {
		p->kind = LP_KIND_FRAGMENT;
		p->header_words = (lp_u8)(offset / 4);
		flow = lp_set_flow(p, from, to, 0, sampling);
		goto out;
	}

	if (p->family == 4 && offset == 20) {
		l4 = f->l3 + 20;
	} else if (p->family == 6 && offset == 40) {
		l4 = f->l3 + 40;
	} else {
		if (lp_load(f->l4, LP_L4_BYTES, source, offset))
			return -1;
		l4 = f->l4;
	}

	// All but checksum and urgent pointer: of a long segment virtio-net may have no more in the linear part.
	if (p->protocol == 6 && offset + 16 <= linear) {
		lp_u32 header = (lp_u32)(l4[12] >> 4) * 4;

		p->kind = LP_KIND_TCP;
		p->header_words = (lp_u8)((offset + header) / 4);
		p->sequence = (lp_u32)lp_be16(l4 + 4) << 16 | lp_be16(l4 + 6);
		ports = lp_word32(l4);
		hash = lp_mix(hash, lp_word64(l4 + 4)); // sequence and acknowledgement
		words = lp_word32(l4 + 12);		// data offset, flags, window
		// Pure acknowledgements differ in little but their options (time stamps, SACK blocks).
		if (offset + header == p->length && offset + header <= linear) {
#pragma clang loop unroll(disable)
			for (i = 20; i < LP_L4_BYTES; i += 4)
				if (i < header)
					words = lp_mix(words, lp_word32(l4 + i));
		}
		hash = lp_mix(hash, words);
	} else if (p->protocol == 17 && offset + 8 <= linear) {
		lp_u32 payload = lp_be16(l4 + 4);

		p->kind = LP_KIND_UDP;
		p->sequence = part;
		p->header_words = (lp_u8)((offset + 8) / 4);
		ports = lp_word32(l4);
		hash += (lp_u64)payload << 32;
		payload = payload > 8 ? payload - 8 : 0;
		if (payload > LP_PAYLOAD_KEY_BYTES)
			payload = LP_PAYLOAD_KEY_BYTES;
		if (offset + 8 + payload <= linear)
			hash = lp_mix_payload(hash, l4 + 8, payload);
	} else if ((p->protocol == 1 || p->protocol == 58) && offset + 8 <= linear) {
		lp_u32 type = l4[0], payload = p->length > offset + 8 ? p->length - offset - 8 : 0;
		int echo = p->protocol == 1 ? type == 0 || type == 8 : type == 128 || type == 129;

		p->kind = LP_KIND_ICMP;
		p->header_words = (lp_u8)((offset + 8) / 4);
		hash = lp_mix(hash, type << 8 | l4[1]);
		// An error quotes the packet it answers, which NAT rewrites; an echo's id is NAT's port.
		if (echo || identity == LP_IDENTITY_FULL) {
			words = lp_word32(l4 + 4);
			if (echo) {
				ports = words & 0xffff;
				words >>= 16;
			}
			hash = lp_mix(hash, words);
			if (payload > LP_PAYLOAD_KEY_BYTES)
				payload = LP_PAYLOAD_KEY_BYTES;
			if (offset + 8 + payload <= linear)
				hash = lp_mix_payload(hash, l4 + 8, payload);
		}
	} else {
		p->header_words = (lp_u8)(offset / 4);
		if (offset + 8 <= linear)
			hash = lp_mix(hash, lp_word64(l4));
	}
	if (p->kind == LP_KIND_TCP || p->kind == LP_KIND_UDP) {
		p->source_port = lp_be16(l4);
		p->destination_port = lp_be16(l4 + 2);
	}
	// Both directions of an echo share its id: it stands on both ends of the flow.
	flow = lp_set_flow(p, from, to, p->kind == LP_KIND_ICMP ? ports << 16 | ports : ports,
			   sampling);
out:
	if (sampling)
		p->sample = lp_mix(hash, 3);
	if (identity == LP_IDENTITY_FULL)
		hash += flow;
	p->key = lp_mix(hash, 4);
	if (LP_UNLIKELY(!p->key))
		p->key = 1; // 0 is the key of a TCP range
	return 0;
}

#ifndef __bpf__
// The packet that begins at its IP header, `captured` bytes of `length`; -1 if not IP.
int lp_packet_of_ip(struct lp_packet *packet, const lp_u8 *bytes, lp_u32 captured, lp_u32 length,
		    int identity);

// The packet of a captured Ethernet frame, `captured` bytes of `length`, VLAN tags skipped; -1 if not IP.
int lp_packet_of_frame(struct lp_packet *packet, const lp_u8 *frame, lp_u32 captured, lp_u32 length,
		       int identity);
#endif

#endif
