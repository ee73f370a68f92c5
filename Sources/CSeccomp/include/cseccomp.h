// SPDX-License-Identifier: GPL-2.0-or-later
//
// System call filters (libseccomp).
#ifndef LATPROBE_CSECCOMP_H
#define LATPROBE_CSECCOMP_H

#include <stdint.h>

struct sock_filter;

enum lp_profile {
	// Reads files, computes, writes files. Whatever would start a program, reach a network, or change the
	// machine ends the process (SIGSYS); whatever else is not needed fails with EPERM.
	LP_PROFILE_READER,
	// Draws: as before, and opens nothing to write. Denied calls fail; the one exec that starts it is allowed.
	LP_PROFILE_DRAWER,
};

// Confines this process from now on, all its threads. 0 or -errno.
int lp_seccomp_confine(enum lp_profile profile);

// The filter as instructions of classic BPF, for a process that is still to be forked; to be freed by the caller.
// Their number, or -errno.
int lp_seccomp_instructions(enum lp_profile profile, struct sock_filter **instructions);

// For a test: makes the call of this name in a child that is confined. How the child ended, as of wait(2), or -errno; its exit code is
// 0 where the call worked, else the errno.
int lp_seccomp_try(enum lp_profile profile, const char *call, long first, long second, long third);

#endif
