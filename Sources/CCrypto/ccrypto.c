// SPDX-License-Identifier: GPL-2.0-or-later
#include "ccrypto.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

int lp_sha256(const uint8_t *data, size_t size, uint8_t *out)
{
	return EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

int lp_hmac_sha256(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size,
		   uint8_t *out)
{
	// A NULL key means "the last one" to libcrypto.
	static const uint8_t none;

	if (key_size > INT_MAX)
		return -1;
	return HMAC(EVP_sha256(), key ? key : &none, (int)key_size, data, size, out, NULL) ? 0 : -1;
}
