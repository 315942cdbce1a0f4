/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GW_TLS_VAES_GCM_H
#define GW_TLS_VAES_GCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* AES-GCM (NIST SP 800-38D) with 512-bit VAES and VPCLMULQDQ, four blocks per instruction. Neither branches nor addresses
 * depend on keys or text. */
struct gw_gcm_text {
    const uint8_t *in;              /* may be the same as OUT, or lie after it */
    uint8_t *out;
    size_t size;                    /* of both */
    const uint8_t *nonce;           /* 12 bytes */
    const uint8_t *head;            /* additional data */
    size_t head_size;               /* at most 16 */
};

/* Of this processor: whether the functions below may be called. */
bool gw_vaes_gcm_supported(void);

/* KEYS is the schedule for encryption, ROUNDS + 1 blocks; ROUNDS is 10 or 14. Fills the first half of POWERS; the second must be
 * there, since it is read and not used. */
#define GW_VAES_GCM_POWERS 512
void gw_vaes_gcm_prepare(const uint8_t *keys, int rounds, uint8_t powers[GW_VAES_GCM_POWERS]);

/* Writes the tag. */
void gw_vaes_gcm_seal(const struct gw_gcm_text *text, const uint8_t *keys, int rounds, const uint8_t *powers, uint8_t tag[16]);

/* Returns whether the tag is right. If not, what is written to OUT must not be used. */
bool gw_vaes_gcm_open(const struct gw_gcm_text *text, const uint8_t *keys, int rounds, const uint8_t *powers,
                      const uint8_t tag[16]);

#endif
