// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cfuzzer.h"

#include <sys/mman.h>
#include <unistd.h>

int lp_memory_file(const uint8_t *data, size_t size)
{
	int file = memfd_create("fuzz", MFD_CLOEXEC);

	if (file >= 0 && write(file, data, size) != (ssize_t)size) {
		close(file);
		return -1;
	}
	return file;
}
