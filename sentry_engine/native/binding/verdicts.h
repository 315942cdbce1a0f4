/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Verdicts made in C. A policy whose rules each have an id has as many different verdicts, which no cache holds, and the
 * constructor of a frozen dataclass costs several times as much as a decision. The id of a rule is looked up when it is read
 * (sentry_engine/verdict.py): a million names lie in memory that no cache holds either.
 */
#ifndef SENTRY_ENGINE_BINDING_VERDICTS_H
#define SENTRY_ENGINE_BINDING_VERDICTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "core_internal.h"

enum { SE_VERDICT_ACTION, SE_VERDICT_REASON, SE_VERDICT_RETRY_AFTER, SE_VERDICT_RULE_ID, SE_VERDICT_NAMES, SE_VERDICT_RULE, SE_VERDICT_FIELDS };

/* The rule ids of one policy. */
struct rule_names {
    PyObject *ids;       /* owned: a sequence of str; NULL: none */
    Py_ssize_t count;
    uint32_t generation; /* of the policy, modulo 65536 */
};

struct known_verdict;

/* Zeroed: makes nothing. The references are owned. */
struct verdict_maker {
    PyTypeObject *type;                     /* Verdict */
    PyObject *fields[SE_VERDICT_FIELDS];    /* the descriptors of its slots */
    descrsetfunc set[SE_VERDICT_FIELDS];    /* how each is set, past the frozen class's own __setattr__ */
    PyObject *actions, *reasons;            /* tuples, by their codes */
    PyObject *read;                         /* (word, retry_after) -> Verdict, for what the names do not name */
    struct known_verdict *known;            /* the verdicts given last, by their words; of a rule from the second time on */
    struct rule_names names;                /* of the policy in force */
};

/* Takes the class of `example`. Returns 0, or -1 with an exception; the caller closes the maker in either case. */
int se_verdict_maker_open(struct verdict_maker *maker, PyObject *example, PyObject *actions, PyObject *reasons, PyObject *read);
void se_verdict_maker_close(struct verdict_maker *maker);
void se_verdict_maker_clear(struct verdict_maker *maker); /* lets go of the references, for the collector */
int se_verdict_maker_visit(struct verdict_maker *maker, visitproc visit, void *arg);

/* Forgets the known verdicts too. `ids` may be NULL. Returns 0, or -1 with an exception. */
int se_verdict_use_names(struct verdict_maker *maker, uint32_t generation, PyObject *ids);
void se_verdict_forget(struct verdict_maker *maker);

/* True if a word (se_pack_word) has no rule, or one of these names: not that of a block, a kept rule or another policy. */
static inline bool se_verdict_has_name(const struct rule_names *names, uint64_t word)
{
    uint32_t rule = (uint32_t)(word >> 32);

    if (rule == SE_NO_RULE)
        return true;
    return !(rule & (SE_RULE_KEPT | SE_RULE_BLOCK)) && (word >> 16 & 0xffff) == names->generation && (Py_ssize_t)rule < names->count;
}

/* True if a word and these names are all that its verdict is made of, so it can be made later. A time to wait is not. */
static inline bool se_verdict_can_wait(const struct rule_names *names, uint64_t word)
{
    return !(word & SE_WORD_HAS_RETRY) && se_verdict_has_name(names, word);
}

/* A new reference to the Verdict of a word, or NULL with an exception. May call `read`. */
PyObject *se_verdict_get(struct verdict_maker *maker, uint64_t word, uint64_t retry_after);

/* The same for a word that could wait, by the names of then. */
PyObject *se_verdict_get_by(struct verdict_maker *maker, const struct rule_names *names, uint64_t word);

#endif
