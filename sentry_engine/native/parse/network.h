/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Prefixes as text, for the columns of a plan: an address and perhaps a length behind a slash, as text_address.h reads the
 * one and in decimal digits without a leading zero the other. No zone, no bits set behind the length.
 */
#ifndef SENTRY_ENGINE_TEXT_NETWORK_H
#define SENTRY_ENGINE_TEXT_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads `count` lines, with '\n' between and not behind them, into 16 bytes and a length (IPv4: plus 96) each. False: one of
 * them is no prefix, or there are more or fewer lines; what is written then is of no use.
 */
bool se_networks_parse(const char *text, size_t length, uint8_t *networks, uint8_t *lengths, uint32_t count);

#endif
