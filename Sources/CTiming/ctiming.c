// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ctiming.h"

#include <ctimestamp.h>
#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t ordered_counter(void)
{
#if defined(__x86_64__)
	unsigned int processor;

	return __builtin_ia32_rdtscp(&processor);
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
	return lp_timestamp_counter();
#else
	return 0;
#endif
}

static inline uint64_t nanoseconds(struct timespec time)
{
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void lp_read_clock(enum lp_reading reading, int clock, uint64_t *times, size_t count)
{
	struct timespec time = { 0 };

	// A loop of its own for each, so that nothing but the reading is between two readings.
	switch (reading) {
	case LP_READING_COUNTER:
		for (size_t i = 0; i < count; i++)
			times[i] = lp_timestamp_counter();
		break;
	case LP_READING_COUNTER_ORDERED:
		for (size_t i = 0; i < count; i++)
			times[i] = ordered_counter();
		break;
	case LP_READING_CLOCK:
		for (size_t i = 0; i < count; i++) {
			clock_gettime(clock, &time);
			times[i] = nanoseconds(time);
		}
		break;
	case LP_READING_SYSTEM_CALL:
		for (size_t i = 0; i < count; i++) {
			syscall(SYS_clock_gettime, clock, &time);
			times[i] = nanoseconds(time);
		}
		break;
	}
}

int lp_thread_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int lp_thread_realtime(int priority)
{
	// Threads and processes that this one makes are not real-time.
	struct sched_param parameters = { .sched_priority = priority };

	return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) ? -errno : 0;
}

int lp_thread_timer_slack(unsigned long nanoseconds)
{
	return prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0) ? -errno : 0;
}
