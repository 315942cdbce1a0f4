/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The unread rest of a message in TLS's presentation language (RFC 8446 section 3). A read past its end sets `bad` for good.
 */
#ifndef VPN_FRONTEND_CURSOR_H
#define VPN_FRONTEND_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gw_cursor {
    const uint8_t *at;
    size_t left;
    bool bad;
};

/* Returns the next `size` bytes; NULL: there are not as many. */
static inline const uint8_t *gw_cursor_take(struct gw_cursor *c, size_t size)
{
    const uint8_t *at = c->at;

    if (c->bad || size > c->left) {
        c->bad = true;
        return NULL;
    }
    c->at += size;
    c->left -= size;
    return at;
}

/* Returns an integer of up to 4 bytes; 0 past the end. */
static inline uint32_t gw_cursor_number(struct gw_cursor *c, unsigned bytes)
{
    const uint8_t *at = gw_cursor_take(c, bytes);
    uint32_t value = 0;

    for (unsigned i = 0; at && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* Returns the bytes of a vector whose length takes `length_bytes`. */
static inline const uint8_t *gw_cursor_vector(struct gw_cursor *c, unsigned length_bytes, size_t *size)
{
    *size = gw_cursor_number(c, length_bytes);
    return gw_cursor_take(c, *size);
}

/* The same as a cursor of its own, empty past the end. */
static inline struct gw_cursor gw_cursor_sub(struct gw_cursor *c, unsigned length_bytes)
{
    size_t size;
    struct gw_cursor sub = { .at = gw_cursor_vector(c, length_bytes, &size) };

    sub.left = sub.at ? size : 0;
    return sub;
}

#endif
