/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/limits.h"

#include "limits/budget.h"
#include "limits/packet_filter.h"

#include <stdlib.h>

struct gw_limits {
    gw_restriction *restriction;    /* a reference; NULL: none */
    gw_budget *budgets[GW_BUDGETS]; /* likewise */
    struct gw_filter_state state;
};

static const enum gw_stat stats[2][GW_REFUSALS] = {
    [GW_FROM_CLIENT] = {
        [GW_PERMITTED] = GW_STAT_NONE,
        [GW_REFUSED_ROUTE] = GW_STAT_rx_outside_routes,
        [GW_REFUSED_PORT] = GW_STAT_rx_port_refused,
        [GW_REFUSED_FRAGMENT] = GW_STAT_rx_fragment_refused,
        [GW_REFUSED_RATE] = GW_STAT_rx_rate_exceeded,
        [GW_REFUSED_QUOTA] = GW_STAT_rx_quota_exceeded,
    },
    [GW_TO_CLIENT] = {
        [GW_PERMITTED] = GW_STAT_NONE,
        [GW_REFUSED_ROUTE] = GW_STAT_tx_outside_routes,
        [GW_REFUSED_PORT] = GW_STAT_tx_port_refused,
        [GW_REFUSED_FRAGMENT] = GW_STAT_tx_fragment_refused,
        [GW_REFUSED_RATE] = GW_STAT_tx_rate_exceeded,
        [GW_REFUSED_QUOTA] = GW_STAT_tx_quota_exceeded,
    },
};

struct gw_limits *gw_limits_new(const struct gw_session_limits *from)
{
    struct gw_limits *limits = calloc(1, sizeof(*limits));

    if (!limits)
        return NULL;
    limits->restriction = gw_restriction_share(from->restriction);
    for (unsigned i = 0; i < GW_BUDGETS; i++)
        limits->budgets[i] = gw_budget_share(from->budgets[i]);
    return limits;
}

void gw_limits_free(struct gw_limits *limits)
{
    if (!limits)
        return;
    gw_restriction_release(limits->restriction);
    for (unsigned i = 0; i < GW_BUDGETS; i++)
        gw_budget_release(limits->budgets[i]);
    free(limits->state.fragments);
    free(limits);
}

void gw_limits_set(struct gw_session *session, struct gw_limits *limits)
{
    gw_limits_free(session->limits);
    session->limits = limits;
}

static void report_quota(struct gw_worker *worker, const struct gw_session *session, gw_budget *budget)
{
    struct gw_event event = { .kind = GW_QUOTA_EXCEEDED, .session = session->id };

    if (gw_budget_claim_report(budget))
        gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static enum gw_refusal check(struct gw_worker *worker, struct gw_session *session, enum gw_direction direction,
                             const uint8_t *packet, size_t size, const struct gw_inner *inner)
{
    struct gw_limits *limits = session->limits;
    enum gw_refusal refusal = GW_PERMITTED;

    if (limits->restriction)
        refusal = gw_filter_check(limits->restriction, &limits->state, direction, packet, size, inner, worker->now);
    for (unsigned i = 0; i < GW_BUDGETS && refusal == GW_PERMITTED; i++) {
        if (!limits->budgets[i])
            continue;
        refusal = gw_budget_take(limits->budgets[i], direction, size, worker->now);
        if (refusal == GW_REFUSED_QUOTA)
            report_quota(worker, session, limits->budgets[i]);
    }
    return refusal;
}

enum gw_stat gw_limits_check(struct gw_worker *worker, struct gw_session *session, enum gw_direction direction,
                             const uint8_t *packet, size_t size, const struct gw_inner *inner)
{
    return stats[direction][check(worker, session, direction, packet, size, inner)];
}

void gw_limits_charge(struct gw_limits *limits, size_t size)
{
    for (unsigned i = 0; i < GW_BUDGETS; i++)
        if (limits->budgets[i])
            gw_budget_charge(limits->budgets[i], size);
}
