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

// A device's setting of hardware stamps: HWTSTAMP_TX_… and HWTSTAMP_FILTER_… of linux/net_tstamp.h. It is the device's,
// not a socket's: whoever sets it puts it back.
struct lp_hardware_stamping {
	int32_t transmit;
	int32_t receive;
};

// Both return 0 or -errno: EOPNOTSUPP where the driver has no such call, ERANGE where it cannot do what is asked.
int lp_hardware_stamping_get(const char *device, struct lp_hardware_stamping *setting);
// Asks for stamps; `setting` is then what the driver granted, which may be more or less.
int lp_hardware_stamping_set(const char *device, struct lp_hardware_stamping *setting);
// Stamps of every frame in both directions, and none.
struct lp_hardware_stamping lp_hardware_stamping_all(void);
struct lp_hardware_stamping lp_hardware_stamping_none(void);

// A process that puts one direction of a device's setting back when it is told so, and when the process that started
// it is gone, killed or not. It keeps the right to do so; its parent may give it up.
struct lp_stamping_keeper {
	int32_t process;
	int32_t end; // closed with the parent
};

// 0, or -errno.
int lp_stamping_keeper_start(const char *device, int receive,
			     const struct lp_hardware_stamping *before,
			     struct lp_stamping_keeper *keeper);
// Back when the setting is.
void lp_stamping_keeper_end(const struct lp_stamping_keeper *keeper);

// What a device's driver counts, as `ethtool -S` shows it.
struct lp_device_counter {
	char name[33]; // ends with 0
	uint64_t value;
};

// Reads at most `capacity` counters; how many were read (0 where the driver has none), or -errno.
int lp_device_counters(const char *device, struct lp_device_counter *counters, uint32_t capacity);

// Index of a device, or -errno.
int lp_device_index(const char *device);
// 1: its frames begin with an Ethernet header; 0: with the IP header; -EPROTOTYPE: with anything else, or -errno.
int lp_device_is_ethernet(const char *device);
// Its driver's name, at most 31 characters; 0, or -errno.
int lp_device_driver(const char *device, char driver[32]);

// Nanoseconds, each of its own clock.
struct lp_cross_stamp {
	int64_t device_ns;	  // the PTP clock
	int64_t realtime_ns;	  // CLOCK_REALTIME, middle of the window
	int64_t monotonic_raw_ns; // CLOCK_MONOTONIC_RAW; 0 unless precise
	int64_t window_ns;	  // how long the reading took; 0 if precise
};

// Three ways to read the clock behind the descriptor of a /dev/ptpN, best first: both clocks at one instant; the driver
// reads the system's right before and after; the kernel does. Of several readings the one with the shortest window.
// 0, or -errno: EOPNOTSUPP where the driver has no such way, ENODEV where it has none now, EAGAIN where the system's
// clock was set meanwhile.
int lp_ptp_precise(int fd, struct lp_cross_stamp *result);
int lp_ptp_extended(int fd, struct lp_cross_stamp *result);
int lp_ptp_basic(int fd, struct lp_cross_stamp *result);

#endif
