// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sending whole frames out of a device, with the hardware time stamps of their leaving.
#ifndef LATPROBE_CFRAMESOCKET_H
#define LATPROBE_CFRAMESOCKET_H

#include <stdint.h>

// A packet socket that sends out of the device with this index and receives nothing; its descriptor, or -errno.
// With `hardware` its frames ask for the device's stamps.
int lp_frame_open(int32_t index, int hardware);
void lp_frame_close(int fd);

// Sends a frame from its Ethernet header on; 0, or -errno. Frames are numbered from 0.
int lp_frame_send(int fd, const uint8_t *bytes, uint32_t length);

// The next hardware stamp of a sent frame, in the order in which they came: its number, and nanoseconds of the device's
// clock. 1, 0 where there is none now, or -errno.
int lp_frame_sent(int fd, uint32_t *number, int64_t *time_ns);

// The Ethernet address of a device; 0, or -errno.
int lp_frame_address(const char *device, uint8_t address[6]);

#endif
