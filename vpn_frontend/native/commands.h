/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages from Python's threads to the workers.
 */
#ifndef VPN_FRONTEND_COMMANDS_H
#define VPN_FRONTEND_COMMANDS_H

#include "runtime/worker.h"

/* Posts to a worker. Ownership of `message` passes to it, on failure, too. NULL gives -ENOMEM: callers need not check. */
int gw_post(gw *g, uint32_t worker, struct gw_message *message);
/* Returns a list with a message for each worker; NULL: out of memory. */
struct gw_message *gw_write_all(gw *g, enum gw_message_kind kind, uint64_t session, const void *data, size_t size);
/* Posts the list to the workers and owns it. Cannot fail: only for kinds that a full mailbox accepts. */
void gw_post_all(gw *g, struct gw_message *list);

#endif
