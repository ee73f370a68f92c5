// SPDX-License-Identifier: GPL-2.0-or-later
#include "czstd.h"

#include <zstd.h>

struct lp_unzstd *lp_unzstd_open(void)
{
	return (struct lp_unzstd *)ZSTD_createDStream();
}

int lp_unzstd_run(struct lp_unzstd *state, const uint8_t *in, size_t *in_size, uint8_t *out,
		  size_t *out_size)
{
	ZSTD_inBuffer input = { .src = in, .size = *in_size };
	ZSTD_outBuffer output = { .dst = out, .size = *out_size };
	size_t result = ZSTD_decompressStream((ZSTD_DStream *)state, &output, &input);

	*in_size = input.pos;
	*out_size = output.pos;
	if (ZSTD_isError(result))
		return -1;
	return result == 0;
}

void lp_unzstd_close(struct lp_unzstd *state)
{
	ZSTD_freeDStream((ZSTD_DStream *)state);
}
