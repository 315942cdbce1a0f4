/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Verdicts made in C. A policy whose rules each have an id has as many different verdicts, which no cache holds, and the
 * constructor of a frozen dataclass costs several times as much as a decision.
 */
#ifndef SENTRY_ENGINE_BINDING_VERDICTS_H
#define SENTRY_ENGINE_BINDING_VERDICTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

enum { SE_VERDICT_ACTION, SE_VERDICT_REASON, SE_VERDICT_RULE_ID, SE_VERDICT_RETRY_AFTER, SE_VERDICT_FIELDS };

/* Zeroed: makes nothing. The references are owned. */
struct verdict_maker {
    PyTypeObject *type;                     /* Verdict */
    PyObject *fields[SE_VERDICT_FIELDS];    /* the descriptors of its slots */
    descrsetfunc set[SE_VERDICT_FIELDS];    /* how each is set, past the frozen class's own __setattr__ */
    PyObject *actions, *reasons;            /* tuples, by their codes */
    PyObject *names;                        /* sequence of the rule ids of policy `generation`; NULL: none */
    uint32_t generation;
};

/* Takes the class of `example`. Returns 0, or -1 with an exception; the caller clears the maker in either case. */
int se_verdict_maker_open(struct verdict_maker *maker, PyObject *example, PyObject *actions, PyObject *reasons);
void se_verdict_maker_clear(struct verdict_maker *maker);

/* `names` may be NULL. */
void se_verdict_use_names(struct verdict_maker *maker, uint32_t generation, PyObject *names);

/*
 * A new reference to the Verdict of a word (se_pack_word). NULL without an exception: the rule is no rule of the names, but a block,
 * a kept rule or one of another policy. Runs methods of the names.
 */
PyObject *se_verdict_make(struct verdict_maker *maker, uint64_t word, uint64_t retry_after);

/* In a function with the arguments of tp_traverse. */
#define SE_VERDICT_MAKER_VISIT(maker) \
    do { \
        Py_VISIT((maker)->type); \
        for (int field = 0; field < SE_VERDICT_FIELDS; field++) \
            Py_VISIT((maker)->fields[field]); \
        Py_VISIT((maker)->actions); \
        Py_VISIT((maker)->reasons); \
        Py_VISIT((maker)->names); \
    } while (0)

#endif
