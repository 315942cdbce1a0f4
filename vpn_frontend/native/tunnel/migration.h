/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A session begins on the worker that accepted its TCP connection. The kernel spreads datagrams by addresses and ports, so its
 * DTLS may come in at another one: then the whole session goes there, with its connection, and no datagram has to be handed over
 * any more. Who looks for a session asks for its home (session.h); what reaches a worker that it has left is passed on.
 */
#ifndef VPN_FRONTEND_MOVING_H
#define VPN_FRONTEND_MOVING_H

#include "runtime/worker.h"

#define GW_MOVE_PAUSE GW_SECOND     /* between two moves of a session: a client that changes ports moves it no faster */

/* While mail is read, when no event of the turn can name the connection any more. The session stays where memory is short. */
void gw_migration_send(struct gw_worker *worker, struct gw_session *session, uint32_t to);
void gw_migration_receive(struct gw_worker *worker, uint64_t id);
/* Frees what a session carries that was under way when the workers stopped. */
void gw_migration_discard(struct gw_worker *worker, uint64_t id);

#endif
