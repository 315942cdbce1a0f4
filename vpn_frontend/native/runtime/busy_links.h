/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The links of a worker that bring many small batches: they are watched by an epoll instance of their own, which is asked when
 * their rest (pacing.h) is over. All else is watched by the worker's epoll instance all the time. Where nothing came in a rest, the
 * second instance is watched by the first, so that the next packet of a busy link wakes the worker at once.
 */
#ifndef VPN_FRONTEND_BUSY_LINKS_H
#define VPN_FRONTEND_BUSY_LINKS_H

#include "runtime/pacing.h"

struct epoll_event;

enum gw_busy_state {
    GW_BUSY_DUE,                    /* to be asked in this turn, or in the next one that then comes at once */
    GW_BUSY_RESTING,                /* until the timer ends */
    GW_BUSY_AWAITED,                /* until one of them is ready */
};

struct gw_busy_links {
    int epoll, calm;                /* the instances of busy links, and of all else */
    struct gw_pollable timer, awaited;  /* of the rest; of `epoll` in the worker's epoll instance */
    uint32_t count;
    enum gw_busy_state state;
    uint64_t shared_until;          /* rests are short until then */
    struct gw_pollable *answers;    /* the TUN queue over which answers to calm links come; NULL: there is none yet */
    uint64_t answers_due;           /* until when they are expected, so that it does not rest */
};

/* `calm`: the worker's epoll instance. 0 or a negative errno; frees nothing on failure. */
int gw_busy_links_init(struct gw_busy_links *links, int calm);
void gw_busy_links_free(struct gw_busy_links *links);

/* The epoll instance that watches `link`. */
int gw_link_epoll(const struct gw_busy_links *links, const struct gw_pollable *link);
/* Removes `link` from its instance. It is calm then. */
void gw_link_unwatch(struct gw_busy_links *links, struct gw_pollable *link);
/* Counts `packets` of this turn, and moves `link`, which is watched for `events`, to the busy links or back. */
void gw_link_count(struct gw_busy_links *links, const struct gw_pacing *pacing, struct gw_pollable *link, uint32_t packets,
                   uint32_t events, uint64_t now);

/* True if the next turn must follow without a wait. */
bool gw_busy_links_are_due(const struct gw_busy_links *links);
/* Writes the events of the busy links that may be read in this turn. Returns their number. */
int gw_busy_links_poll(struct gw_busy_links *links, struct epoll_event *events, int size);
/* The length of a rest that begins now, in ns. */
static inline uint64_t gw_busy_links_rest(const struct gw_busy_links *links, const struct gw_pacing *pacing, uint64_t now)
{
    if (now < links->shared_until)
        return GW_PACING_SHARED_REST;
    return pacing->uploads ? GW_PACING_UPLOAD_REST : GW_PACING_REST;
}
/* Decides if they rest after this turn. `polled`: the number of their events in it. */
void gw_busy_links_end_turn(struct gw_busy_links *links, const struct gw_pacing *pacing, int polled, uint64_t now);

#endif
