/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages from Python's threads to the workers.
 */
#ifndef VPN_FRONTEND_COMMANDS_H
#define VPN_FRONTEND_COMMANDS_H

#include "runtime/worker.h"

/* Owns `message` from here on, also where it fails. NULL is -ENOMEM, so that callers need not check what they allocated. */
int gw_post(gw *g, uint32_t worker, struct gw_message *message);
/* A list with a copy for each worker, to be posted; NULL: out of memory. */
struct gw_message *gw_write_all(gw *g, enum gw_message_kind kind, uint64_t session, const void *data, size_t size);
/* Owns the list from here on. Cannot fail: only for kinds that a full mailbox takes, too. */
void gw_post_all(gw *g, struct gw_message *list);

#endif
