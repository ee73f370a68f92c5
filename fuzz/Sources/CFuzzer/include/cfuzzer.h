// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer's driver, which is there only in a build with --sanitize fuzzer, and files for its inputs.
#ifndef LATPROBE_CFUZZER_H
#define LATPROBE_CFUZZER_H

#include <stddef.h>
#include <stdint.h>

typedef int (*lp_fuzz_input)(const uint8_t *data, size_t size);

// Runs libFuzzer with its own arguments on `input`; its exit status, or -1 where the program was built without it.
int lp_fuzz(int argc, char **argv, lp_fuzz_input input);

// A file in memory that holds `data`, without a name: its descriptor, or -1.
int lp_memory_file(const uint8_t *data, size_t size);

#endif
