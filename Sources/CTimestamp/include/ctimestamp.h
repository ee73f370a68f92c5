// SPDX-License-Identifier: GPL-2.0-or-later
//
// The processor's time stamp counter, which Swift has no instruction for.
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

#endif
