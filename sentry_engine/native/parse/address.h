/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parses addresses. The language is that of inet_pton(3), which the Python reference core uses: four decimal parts without
 * leading zeros, or RFC 4291 section 2.2. A zone (RFC 4007) after an IPv6 address is ignored: it names a link of this host.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_PARSE_ADDRESS_H
#define SENTRY_ENGINE_PARSE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SE_MAX_ADDRESS_TEXT 64u /* bytes, with the zone; sentry_engine.addresses.MAX_TEXT */

/* Writes 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Reads exactly `length` bytes. False: no address. */
bool se_address_parse(const char *text, size_t length, uint8_t address[16]);

#endif
