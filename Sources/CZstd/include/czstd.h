// SPDX-License-Identifier: GPL-2.0-or-later
//
// libzstd's decompression, a piece at a time.
#ifndef LATPROBE_CZSTD_H
#define LATPROBE_CZSTD_H

#include <stddef.h>
#include <stdint.h>

struct lp_unzstd;

// NULL where there is no memory.
struct lp_unzstd *lp_unzstd_open(void);

// Decompresses as far as input or room go. `in_size` and `out_size`: bytes there are, then bytes that were used.
// Returns 0: goes on; 1: a frame ended, the next may begin; -1: damaged, or a window of more than 128 MiB.
int lp_unzstd_run(struct lp_unzstd *state, const uint8_t *in, size_t *in_size, uint8_t *out,
		  size_t *out_size);

void lp_unzstd_close(struct lp_unzstd *state);

#endif
