// SPDX-License-Identifier: GPL-2.0-or-later
// Compiles the headers' assertions for the machine that user space runs on, and the packet key for frames
// in user space.
#include "latprobe_abi.h"
#include "latprobe_config.h"
#include "packet_key.h"

int lp_packet_of_ip(struct lp_packet *packet, const lp_u8 *bytes, lp_u32 captured, lp_u32 length,
		    int identity)
{
	struct lp_frame frame = {};
	struct lp_source source = { .l3 = bytes, .linear = captured };

	lp_load(frame.l3, sizeof(frame.l3), &source, 0);
	return lp_read_packet(packet, &frame, &source, captured, length, 0, identity, 1);
}

static int is_tag(lp_u16 type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

int lp_packet_of_frame(struct lp_packet *packet, const lp_u8 *bytes, lp_u32 captured, lp_u32 length,
		       int identity)
{
	lp_u32 l3 = LP_ETHERNET_BYTES;

	while (l3 <= captured && is_tag(lp_be16(bytes + l3 - 2)))
		l3 += 4;
	if (l3 > captured)
		return -1;
	return lp_packet_of_ip(packet, bytes + l3, captured - l3, length - l3, identity);
}
