// SPDX-License-Identifier: GPL-2.0-or-later
//
// Clocks read as fast as they go, and how the calling thread is scheduled: what Swift has no instruction or call for.
#ifndef LATPROBE_CTIMING_H
#define LATPROBE_CTIMING_H

#include <stddef.h>
#include <stdint.h>

enum lp_reading {
	LP_READING_COUNTER,	    // the processor's counter; ticks
	LP_READING_COUNTER_ORDERED, // the same, after all instructions before it; ticks
	LP_READING_CLOCK,	    // clock_gettime; nanoseconds
	LP_READING_SYSTEM_CALL,	    // the same, by a system call, never the vDSO; nanoseconds
};

// Fills `times` with successive readings; `clock` is the clock's number, for the last two.
void lp_read_clock(enum lp_reading reading, int clock, uint64_t *times, size_t count);

// Each is of the calling thread, and returns 0 or -errno.
int lp_thread_pin(int cpu);
int lp_thread_realtime(int priority);		      // SCHED_FIFO
int lp_thread_timer_slack(unsigned long nanoseconds); // 0: the default

#endif
