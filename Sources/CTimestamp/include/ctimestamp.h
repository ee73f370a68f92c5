// SPDX-License-Identifier: GPL-2.0-or-later
//
// Time stamps: the processor's counter, which Swift has no instruction for, and what a network device can do.
#ifndef LATPROBE_CTIMESTAMP_H
#define LATPROBE_CTIMESTAMP_H

#include <stdint.h>

// Ticks; 0 on processors whose counter latprobe does not know.
static inline uint64_t lp_timestamp_counter(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

// What a device offers (ETHTOOL_GET_TS_INFO); flags are 0 or 1.
struct lp_timestamping {
	int32_t phc_index; // -1: no hardware clock
	uint8_t hardware_transmit;
	uint8_t hardware_receive;
	uint8_t software_transmit;
	uint8_t software_receive;
	uint8_t receive_all; // hardware stamps for every frame, not only PTP's
};

// 0, or -errno.
int lp_timestamping_of(const char *device, struct lp_timestamping *result);

#endif
