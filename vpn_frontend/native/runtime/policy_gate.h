/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Calls of the engine through its table of functions (gate.h): questions at accept, and reports of failed handshakes. From any
 * thread; never blocks.
 */
#ifndef VPN_FRONTEND_POLICY_GATE_H
#define VPN_FRONTEND_POLICY_GATE_H

#include "sentry_engine/native/gate.h"

#include <stdbool.h>

/* True: the TCP connection may go on. To be asked before any cryptography. */
bool gw_gate_accepts_tcp(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port);
/* True: the DTLS ClientHello may be answered. Its source is not verified yet. `named`: it names a live session, and counts in no
 * limit, so that spoofed hellos cannot keep that session's client out. `now`: ns of CLOCK_MONOTONIC. */
bool gw_gate_accepts_udp(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port, bool named,
                         uint64_t now);
/* Reports a failed TLS handshake. A penalty for it applies from the next accept on. */
void gw_gate_report_handshake(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port);

#endif
