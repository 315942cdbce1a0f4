/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parses prefixes into the columns of a plan: an address as in parse/address.h without a zone, and optionally a slash and a
 * decimal length without leading zeros. Host bits must be zero.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_PARSE_NETWORK_H
#define SENTRY_ENGINE_PARSE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Parses `count` lines, separated by '\n', into 16 bytes and a length (IPv4: plus 96) each. False: a line is no prefix, or
 * there are more or fewer lines; the columns are then undefined.
 */
bool se_networks_parse(const char *text, size_t length, uint8_t *networks, uint8_t *lengths, uint32_t count);

#endif
