/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The messages of a worker's mailbox, handled on its thread.
 */
#ifndef VPN_FRONTEND_MESSAGES_H
#define VPN_FRONTEND_MESSAGES_H

#include "runtime/worker.h"

/* Handles or forwards each message. After all other events of a turn: one of them may point to a connection that a message takes
 * to another worker. */
void gw_messages_read(struct gw_worker *worker);
/* Frees the messages and what they carry. Requires that the worker has stopped. */
void gw_messages_discard(struct gw_worker *worker);

#endif
