// SPDX-License-Identifier: GPL-2.0-or-later
//
// libpcap's filter compiler.
#ifndef LATPROBE_CPCAP_H
#define LATPROBE_CPCAP_H

#include <stddef.h>
#include <stdint.h>

struct lp_cbpf_instruction {
	uint16_t code;
	uint8_t jt;
	uint8_t jf;
	uint32_t k;
};

// CPU time that libpcap may take: its optimizer is cubic, and a line of ports would keep it for minutes.
#define LP_PCAP_SECONDS 4
// Memory that it may take beside what the process has.
#define LP_PCAP_BYTES (256 << 20)

// Compiles a filter in pcap syntax for Ethernet frames, or for packets that begin with the IP header, in a process of
// its own, which can be ended. Returns the number of instructions placed in `program`, or -1 with libpcap's words in
// `error` (at least 256 bytes).
int lp_pcap_compile(const char *expression, int raw_ip, struct lp_cbpf_instruction *program,
		    size_t capacity, char *error);
// What libpcap's own interpreter says of a frame: 0 leaves it out.
uint32_t lp_pcap_run(const struct lp_cbpf_instruction *program, size_t count, const uint8_t *frame,
		     uint32_t length, uint32_t captured);

#endif
