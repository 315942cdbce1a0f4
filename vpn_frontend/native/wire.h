/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Integers in network byte order at addresses of any alignment.
 */
#ifndef VPN_FRONTEND_WIRE_H
#define VPN_FRONTEND_WIRE_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t gw_read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t gw_read32(const uint8_t *at)
{
    return (uint32_t)gw_read16(at) << 16 | gw_read16(at + 2);
}

/* Stores the lower 16 bits. */
static inline void gw_write16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void gw_write32(uint8_t *at, uint32_t value)
{
    gw_write16(at, value >> 16);
    gw_write16(at + 2, value);
}

#endif
