/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table under the penalty box: rows by network, hashed with the secret, in sets of SE_PENALTY_WAYS.
 *
 * A lookup reads one atomic word of tags for each prefix length that has rows, and takes the lock of a set only where a tag
 * matches. All changes require the lock `writing`; a change of a row that a lookup may see takes the lock of its set besides.
 */
#ifndef SENTRY_ENGINE_PENALTY_ROWS_H
#define SENTRY_ENGINE_PENALTY_ROWS_H

#include "ip_address.h"
#include "memory/spinlock.h"
#include "plan.h"
#include "state/lost_networks.h"
#include "state/penalty.h"
#include "state/set_marks.h"
#include "state/siphash.h"

#include <stdbool.h>

#define SE_PENALTY_SETS 16384u /* of 384 bytes: 131 072 rows in 6 MB */
#define SE_PENALTY_WAYS 8u
#define SE_PENALTY_ROWS (SE_PENALTY_SETS * SE_PENALTY_WAYS)
#define SE_PENALTY_GROUPS 65536u /* heads of the chains that escalation walks; a power of two */
#define SE_NO_PENALTY_ROW UINT32_MAX
#define SE_PREFIX_LENGTHS 129u

/* Finds the penalty in force at `now` on the most specific network that contains `address`. False: none. */
bool se_penalty_find(struct se_penalties *penalties, struct se_address address, uint64_t now, struct se_penalty *found);

#define SE_ROW_CHANGED 1u      /* since it was taken */
#define SE_ROW_PENALTY_TOLD 2u /* it had a penalty when it was taken, or strikes */
#define SE_ROW_STRIKES_TOLD 4u

struct se_penalty_entry {
    struct se_address address;
    uint64_t until;            /* ns */
    uint64_t remembered_until; /* when the strikes start over */
    uint32_t rule;
    uint32_t next;             /* in the chain of its group; SE_NO_PENALTY_ROW: the last */
    uint16_t strikes;          /* that count towards the next penalty */
    uint16_t shown;            /* se_penalty.strikes */
    uint8_t length, reason, taken;
    uint8_t notes;             /* SE_ROW_CHANGED and others. Under `writing` */
};

_Static_assert(sizeof(struct se_penalty_entry) == 48, "eight rows are six cache lines");

struct se_penalties {
    struct se_secret secret;
    struct se_spinlock writing;                      /* for any change; taken before the lock of a set */
    _Atomic uint64_t tags[SE_PENALTY_SETS];          /* one byte for each way, 0: free */
    struct se_spinlock locks[SE_PENALTY_SETS];
    struct se_penalty_entry rows[SE_PENALTY_ROWS];
    uint32_t groups[SE_PENALTY_GROUPS];              /* the first row + 1 of a chain; 0: none. Under `writing` */
    uint32_t of_length[SE_PREFIX_LENGTHS];           /* rows by the length of their network. Under `writing` */
    _Atomic uint64_t has_length[3];                  /* bit set of the lengths that have rows */
    _Atomic uint32_t used;
    _Atomic uint64_t changed[SE_MARK_WORDS(SE_PENALTY_SETS)]; /* the sets with changed rows */
    struct se_lost_networks lost;                             /* of rows that were taken before they went */
};

/* The functions below require the lock `writing`. */

/* The row number of a network, or SE_NO_PENALTY_ROW. */
uint32_t se_penalty_row_find(const struct se_penalties *box, const struct se_network *network);

/* As se_penalty_row_find; inserts the network if it is missing. SE_NO_PENALTY_ROW: its set is full of endless penalties. */
uint32_t se_penalty_row_take(struct se_penalties *box, const struct se_network *network, uint64_t now);

/* Sets the penalty of a row, and notes that the row changed. */
void se_penalty_row_fill(struct se_penalties *box, uint32_t row, const struct se_penalty *penalty);

/* As se_penalty_row_fill, of the strikes that are shown. */
void se_penalty_row_show(struct se_penalties *box, uint32_t row, uint16_t strikes);
void se_penalty_row_remove(struct se_penalties *box, uint32_t row);

/* The wider network that a penalty escalates to. Length 0: there is none. */
struct se_network se_penalty_group_of(struct se_address address, unsigned length);

/* The number of networks of `length` inside `group` that are in penalty. */
uint32_t se_penalty_rows_inside(struct se_penalties *box, const struct se_network *group, uint8_t length, uint64_t now);

static inline struct se_penalty se_penalty_row_read(const struct se_penalty_entry *row)
{
    return (struct se_penalty){{row->address, row->length}, row->until, row->rule, row->shown, row->reason};
}

#endif
