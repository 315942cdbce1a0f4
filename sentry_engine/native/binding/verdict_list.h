/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Verdicts: the answers to a batch as an immutable sequence. It holds a word for each; most become a Verdict when they are read.
 */
#ifndef SENTRY_ENGINE_BINDING_VERDICT_LIST_H
#define SENTRY_ENGINE_BINDING_VERDICT_LIST_H

#include "binding/verdicts.h"

/* The type, a new reference, or NULL with an exception. */
PyObject *se_verdict_list_type(PyObject *module);

/*
 * A list of `count` verdicts, to be filled. `owner` is the object that `maker` is a part of. Its names are those of now: of words
 * that can wait by them, se_verdict_list_set_word may be called.
 */
PyObject *se_verdict_list_new(PyTypeObject *type, PyObject *owner, struct verdict_maker *maker, Py_ssize_t count);
const struct rule_names *se_verdict_list_names(PyObject *list);
void se_verdict_list_set_word(PyObject *list, Py_ssize_t at, uint64_t word);
void se_verdict_list_set(PyObject *list, Py_ssize_t at, PyObject *verdict); /* takes the reference */

#endif
