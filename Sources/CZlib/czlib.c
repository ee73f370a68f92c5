// SPDX-License-Identifier: GPL-2.0-or-later
#include "czlib.h"

#include <stdlib.h>
#include <zlib.h>

struct lp_inflate {
	z_stream stream;
};

struct lp_inflate *lp_inflate_open(void)
{
	struct lp_inflate *state = calloc(1, sizeof(*state));

	// 16: gzip and nothing else; 15: the largest window.
	if (state && inflateInit2(&state->stream, 16 + 15) != Z_OK) {
		free(state);
		return NULL;
	}
	return state;
}

int lp_inflate_run(struct lp_inflate *state, const uint8_t *in, size_t *in_size, uint8_t *out,
		   size_t *out_size)
{
	z_stream *stream = &state->stream;
	uInt in_count = *in_size < 1 << 30 ? (uInt)*in_size : 1 << 30;
	uInt out_count = *out_size < 1 << 30 ? (uInt)*out_size : 1 << 30;
	int result;

	stream->next_in = (Bytef *)in;
	stream->avail_in = in_count;
	stream->next_out = out;
	stream->avail_out = out_count;
	result = inflate(stream, Z_NO_FLUSH);
	*in_size = in_count - stream->avail_in;
	*out_size = out_count - stream->avail_out;
	if (result == Z_STREAM_END)
		return inflateReset(stream) == Z_OK ? 1 : -1;
	return result == Z_OK || result == Z_BUF_ERROR ? 0 : -1;
}

void lp_inflate_close(struct lp_inflate *state)
{
	inflateEnd(&state->stream);
	free(state);
}
