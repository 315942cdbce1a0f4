/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CSTP framing: "STF" 1 | length (16 bits, big endian) | type | 0 | payload. Clients of every make send and expect one frame per
 * TLS record (openconnect 9.21 drops any other). The reader accepts frames split and joined in any way.
 */
#ifndef VPN_FRONTEND_CSTP_H
#define VPN_FRONTEND_CSTP_H

#include <stddef.h>
#include <stdint.h>

#define GW_CSTP_HEADER 8u
#define GW_CSTP_MAX_PAYLOAD 16376u  /* a frame fills at most one TLS record of 16 KiB */

enum gw_frame_type {
    GW_FRAME_DATA = 0,
    GW_FRAME_DPD_REQUEST = 3,
    GW_FRAME_DPD_RESPONSE = 4,
    GW_FRAME_DISCONNECT = 5,
    GW_FRAME_KEEPALIVE = 7,
    GW_FRAME_COMPRESSED = 8,
    GW_FRAME_TERMINATE = 9,
    GW_FRAME_PROOF = 80,            /* ours, over DTLS only: see dtls/proof.h */
};

struct gw_frame {
    uint8_t type;
    const uint8_t *payload;         /* valid until the next call with the same reader */
    size_t size;
};

struct gw_cstp_reader {
    uint8_t *held;                  /* owned; an incomplete frame; NULL: none */
    size_t have;
};

/* Reads the next frame and advances *data and *size. 1: a frame; 0: all is consumed; -EPROTO: not CSTP; -ENOMEM. */
int gw_cstp_next(struct gw_cstp_reader *reader, const uint8_t **data, size_t *size, struct gw_frame *frame);
void gw_cstp_reader_free(struct gw_cstp_reader *reader);
/* Writes a frame header. */
void gw_cstp_header(uint8_t out[GW_CSTP_HEADER], uint8_t type, size_t payload);

#endif
