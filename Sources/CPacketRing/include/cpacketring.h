// SPDX-License-Identifier: GPL-2.0-or-later
//
// A packet socket with a ring in shared memory (TPACKET_V3): the kernel fills blocks of frames, each with the time of
// its stamp and whose time that is. Functions return 0 or a count, or -errno.
#ifndef LATPROBE_CPACKETRING_H
#define LATPROBE_CPACKETRING_H

#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lp_ring {
	uint8_t *memory;
	uint64_t size;
	int32_t fd;
	uint32_t block_size;
	uint32_t blocks;
	uint32_t next;	      // the block that is filled next
	uint8_t has_segments; // 1: frames tell whether they are several datagrams
};

// One instruction of a classic BPF filter, as libpcap compiles it.
struct lp_ring_filter {
	uint16_t code;
	uint8_t jt;
	uint8_t jf;
	uint32_t k;
};

enum lp_ring_clock {
	LP_RING_READER = 0,   // CLOCK_REALTIME when the socket got to it
	LP_RING_KERNEL = 1,   // CLOCK_REALTIME, by the network stack
	LP_RING_HARDWARE = 2, // the device's own clock
};

struct lp_ring_frame {
	const uint8_t *bytes; // from the link layer's header on
	uint32_t captured;
	uint32_t length; // on the wire
	int64_t time_ns;
	uint8_t clock;	  // enum lp_ring_clock
	uint8_t outgoing; // 1: this machine sends it
	uint8_t loopback; // 1: of a loopback device
	uint8_t has_vlan; // 1: the outermost VLAN tag was taken out of the bytes
	uint16_t vlan;	  // its control information
	// UDP payload of each datagram in a packet of several; 0: it is one, or nobody knows (has_segments).
	uint16_t segment;
};

// Listens on the device `index`. `hardware`: hand over hardware stamps where a packet has one; software ones are
// asked for in any case. A filter returns how many bytes are to be kept. `promiscuous`: also frames for others.
// `received`: no frames that this machine sends.
int lp_ring_open(struct lp_ring *ring, int32_t index, uint32_t block_size, uint32_t blocks,
		 const struct lp_ring_filter *filter, uint16_t filter_length, int hardware,
		 int promiscuous, int received);
void lp_ring_close(struct lp_ring *ring);
// Packets dropped for want of room since the last call.
int lp_ring_drops(const struct lp_ring *ring, uint32_t *drops);

// The block to be read next, NULL while the kernel fills it; to be given back with lp_ring_release.
struct tpacket_block_desc *lp_ring_block(const struct lp_ring *ring);
void lp_ring_release(struct lp_ring *ring, struct tpacket_block_desc *block);

static inline uint32_t lp_ring_count(const struct tpacket_block_desc *block)
{
	return block->hdr.bh1.num_pkts;
}

enum { LP_GSO_UDP = 5 }; // VIRTIO_NET_HDR_GSO_UDP_L4, which older headers lack

// Reads the frame at `offset` of the block (0: the first one); the offset of the next.
static inline uint32_t lp_ring_read(const struct lp_ring *ring,
				    const struct tpacket_block_desc *block, uint32_t offset,
				    struct lp_ring_frame *frame)
{
	uint32_t at = offset ? offset : block->hdr.bh1.offset_to_first_pkt;
	const uint8_t *start = (const uint8_t *)block + at;
	const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)start;
	const struct sockaddr_ll *from =
		(const struct sockaddr_ll *)(start + TPACKET_ALIGN(sizeof(*header)));

	frame->bytes = start + header->tp_mac;
	frame->captured = header->tp_snaplen;
	frame->length = header->tp_len;
	frame->time_ns = (int64_t)header->tp_sec * 1000000000 + header->tp_nsec;
	frame->clock = header->tp_status & TP_STATUS_TS_RAW_HARDWARE ? LP_RING_HARDWARE
		       : header->tp_status & TP_STATUS_TS_SOFTWARE   ? LP_RING_KERNEL
								     : LP_RING_READER;
	frame->outgoing = from->sll_pkttype == PACKET_OUTGOING;
	frame->loopback = from->sll_hatype == ARPHRD_LOOPBACK;
	frame->has_vlan = (header->tp_status & TP_STATUS_VLAN_VALID) != 0;
	frame->vlan = (uint16_t)header->hv1.tp_vlan_tci;
	frame->segment = 0;
	if (ring->has_segments) {
		struct virtio_net_hdr offload; // right before the frame

		memcpy(&offload, frame->bytes - sizeof(offload), sizeof(offload));
		if ((offload.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == LP_GSO_UDP)
			frame->segment = offload.gso_size;
	}
	return at + header->tp_next_offset;
}

#endif
