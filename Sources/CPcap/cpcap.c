// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpcap.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct lp_cbpf_instruction) == sizeof(struct bpf_insn), "bpf_insn");

int lp_pcap_compile(const char *expression, int raw_ip, struct lp_cbpf_instruction *program,
		    size_t capacity, char *error)
{
	pcap_t *pcap = pcap_open_dead(raw_ip ? DLT_RAW : DLT_EN10MB, 262144);
	struct bpf_program compiled;
	int count = -1;

	if (!pcap) {
		snprintf(error, 256, "out of memory");
		return -1;
	}
	if (pcap_compile(pcap, &compiled, expression, 1, PCAP_NETMASK_UNKNOWN)) {
		snprintf(error, 256, "%s", pcap_geterr(pcap));
	} else {
		if (compiled.bf_len > capacity) {
			snprintf(error, 256, "the filter is too long (%u steps)", compiled.bf_len);
		} else {
			memcpy(program, compiled.bf_insns, compiled.bf_len * sizeof(*program));
			count = (int)compiled.bf_len;
		}
		pcap_freecode(&compiled);
	}
	pcap_close(pcap);
	return count;
}

uint32_t lp_pcap_run(const struct lp_cbpf_instruction *program, size_t count, const uint8_t *frame,
		     uint32_t length, uint32_t captured)
{
	struct bpf_program filter = { .bf_len = (u_int)count,
				      .bf_insns = (struct bpf_insn *)program };
	struct pcap_pkthdr header = { .caplen = captured, .len = length };

	return (uint32_t)pcap_offline_filter(&filter, &header, frame);
}
