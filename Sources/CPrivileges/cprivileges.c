// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cprivileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int lp_no_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

int lp_keep_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int error = lp_no_new_privileges();

	if (error)
		return error;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	// Needs CAP_SETPCAP; whoever lacks it has no_new_privs alone between it and a program with more.
	for (unsigned long number = 0; number < 64; number++)
		if (!(mask >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) &&
		    errno == EINVAL)
			break;
	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (int half = 0; half < 2; half++) {
		data[half].permitted &= (uint32_t)(mask >> (32 * half));
		data[half].effective = data[half].permitted;
		data[half].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

void lp_files_as(uint32_t user, uint32_t group)
{
	setfsgid(group);
	setfsuid(user);
}
