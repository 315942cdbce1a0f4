/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/routes.h"

#include <stdlib.h>
#include <string.h>

static void add_iroutes(struct gw_worker *worker, const struct gw_message *message)
{
    struct gw_address_range range;

    for (size_t at = 0; at + sizeof(range) <= message->size; at += sizeof(range)) {
        memcpy(&range, message->data + at, sizeof(range));
        gw_prefix_table_add(&worker->iroutes, &range, message->session, message->value != 0);
    }
}

static void take(struct gw_worker *worker, const struct gw_message *message)
{
    switch (message->kind) {
    case GW_MSG_ADDRESS_ADD:
        gw_address_table_add(&worker->addresses, message->data, message->session);
        gw_address_table_add(&worker->addresses, message->data + 16, message->session);
        break;
    case GW_MSG_ADDRESS_REMOVE:
        gw_address_table_remove(&worker->addresses, message->data, message->session);
        gw_address_table_remove(&worker->addresses, message->data + 16, message->session);
        break;
    case GW_MSG_IROUTES_ADD:
        add_iroutes(worker, message);
        break;
    case GW_MSG_IROUTES_REMOVE:
        gw_prefix_table_remove(&worker->iroutes, message->session);
        break;
    default:                        /* no route */
        break;
    }
}

void gw_routes_read(struct gw_worker *worker)
{
    struct gw_message *message = gw_mailbox_take_routes(&worker->mailbox);

    while (message) {
        struct gw_message *next = message->next;

        take(worker, message);
        free(message);
        message = next;
    }
}
