/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages from Python's threads to the workers.
 */
#ifndef VPN_FRONTEND_COMMANDS_H
#define VPN_FRONTEND_COMMANDS_H

#include "worker.h"

/* Takes the message, whatever it returns; -ENOMEM for none. */
int gw_post(gw *g, uint32_t worker, struct gw_message *message);
/* One for each worker; NULL: out of memory. */
struct gw_message *gw_write_all(gw *g, enum gw_message_kind kind, uint64_t session, const void *data, size_t size);
/* Takes them; of a kind that mailboxes take however much there is. */
void gw_post_all(gw *g, struct gw_message *list);

#endif
