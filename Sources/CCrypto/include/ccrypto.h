// SPDX-License-Identifier: GPL-2.0-or-later
//
// libcrypto's SHA-256 and HMAC-SHA-256, whole messages at once.
#ifndef LATPROBE_CCRYPTO_H
#define LATPROBE_CCRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define LP_SHA256_SIZE 32

// Each writes LP_SHA256_SIZE bytes to `out` and returns 0; -1 where libcrypto refuses (no memory, or SHA-256 switched
// off by a policy of the machine).
int lp_sha256(const uint8_t *data, size_t size, uint8_t *out);
int lp_hmac_sha256(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size,
		   uint8_t *out);

#endif
