/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SENTRY_ENGINE_PENALTY_H
#define SENTRY_ENGINE_PENALTY_H

#include "ip_address.h"

struct se_penalties;

struct se_penalty {
    struct se_network network;
    uint64_t until;   /* ns; SE_FOREVER: without end */
    uint32_t rule;    /* number of a kept rule id; SE_NO_RULE: none */
    uint16_t strikes; /* of the source; for an escalated penalty, the number of sources inside */
    uint8_t reason;   /* enum se_reason */
};

#endif
