// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files for the inputs of a fuzzer.
#ifndef LATPROBE_CFUZZER_H
#define LATPROBE_CFUZZER_H

#include <stddef.h>
#include <stdint.h>

// A file in memory that holds `data`, without a name: its descriptor, or -1.
int lp_memory_file(const uint8_t *data, size_t size);

#endif
