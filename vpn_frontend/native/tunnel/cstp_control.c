/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/cstp_control.h"

#include <errno.h>
#include <string.h>

int gw_cstp_send_control(struct gw_connection *connection, enum gw_frame_type type, const uint8_t *payload, size_t size)
{
    uint8_t frame[GW_CSTP_HEADER + GW_CSTP_MAX_PAYLOAD];

    if (size > GW_CSTP_MAX_PAYLOAD)
        return -EMSGSIZE;
    gw_cstp_header(frame, (uint8_t)type, size);
    if (size)
        memcpy(frame + GW_CSTP_HEADER, payload, size);
    return gw_connection_write(connection, frame, GW_CSTP_HEADER + size);
}
