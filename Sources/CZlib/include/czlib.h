// SPDX-License-Identifier: GPL-2.0-or-later
//
// zlib's decompression of gzip, a piece at a time.
#ifndef LATPROBE_CZLIB_H
#define LATPROBE_CZLIB_H

#include <stddef.h>
#include <stdint.h>

struct lp_inflate;

// NULL where there is no memory.
struct lp_inflate *lp_inflate_open(void);

// Decompresses as far as input or room go. `in_size` and `out_size`: bytes there are, then bytes that were used.
// Returns 0: goes on; 1: a member ended, the next may begin; -1: damaged.
int lp_inflate_run(struct lp_inflate *state, const uint8_t *in, size_t *in_size, uint8_t *out,
		   size_t *out_size);

void lp_inflate_close(struct lp_inflate *state);

#endif
