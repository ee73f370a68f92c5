// SPDX-License-Identifier: GPL-2.0-or-later
//
// Giving up what a process may do. Functions return 0 or -errno.
#ifndef LATPROBE_CPRIVILEGES_H
#define LATPROBE_CPRIVILEGES_H

#include <stdint.h>

// Keeps of this thread's capabilities those of the mask (bit N: capability N), for good: neither it nor a thread or
// program that it starts gets another one.
int lp_keep_capabilities(uint64_t mask);

// This thread, and those that it starts, make and open files as this user; the rest of root's power stays.
void lp_files_as(uint32_t user, uint32_t group);

// No program that this thread starts gets privileges that it has not.
int lp_no_new_privileges(void);

#endif
