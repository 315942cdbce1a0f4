/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parses IPv4: four decimal parts without leading zeros, as inet_pton(3) does. The lengths of the parts of random addresses cannot be
 * foreseen, so neither way branches on them.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_PARSE_IPV4_H
#define SENTRY_ENGINE_PARSE_IPV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 4 bytes in network order. Reads exactly `length` bytes. False: no address. */
bool se_ipv4_parse(const char *text, size_t length, uint8_t address[4]);

/* The same for processors without SSSE3. */
bool se_ipv4_parse_portably(const char *text, size_t length, uint8_t address[4]);

#endif
