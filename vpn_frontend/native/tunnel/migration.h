/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Migration of a session. A session begins on the worker that accepted its TCP connection. The kernel spreads datagrams by
 * addresses and ports, so its DTLS may arrive at another worker. Then the session moves there with its connection, and datagrams
 * need no handoff. A message that reaches a worker after the session has left is forwarded to the session's home.
 */
#ifndef VPN_FRONTEND_MIGRATION_H
#define VPN_FRONTEND_MIGRATION_H

#include "runtime/worker.h"

#define GW_MOVE_PAUSE GW_SECOND     /* between two moves of a session, however fast its client changes ports */

/* Moves the session to worker `to`. Only while the mailbox is read: no event of the turn may name the connection afterwards.
 * Without memory the session stays. */
void gw_migration_send(struct gw_worker *worker, struct gw_session *session, uint32_t to);
/* The session has arrived at this worker. */
void gw_migration_receive(struct gw_worker *worker, uint64_t id);
/* Frees the parts of a session that was on its way when the workers stopped. */
void gw_migration_discard(struct gw_worker *worker, uint64_t id);

#endif
