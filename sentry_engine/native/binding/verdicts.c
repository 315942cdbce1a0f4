/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "binding/verdicts.h"

#include "core_internal.h"
#include "nanoseconds.h"

static const char *const field_names[SE_VERDICT_FIELDS] = { "action", "reason", "rule_id", "retry_after" };

int se_verdict_maker_open(struct verdict_maker *maker, PyObject *example, PyObject *actions, PyObject *reasons)
{
    maker->type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(example));
    maker->actions = Py_NewRef(actions);
    maker->reasons = Py_NewRef(reasons);
    for (int at = 0; at < SE_VERDICT_FIELDS; at++) {
        PyObject *field = PyObject_GetAttrString((PyObject *)maker->type, field_names[at]);
        if (!field)
            return -1;
        maker->fields[at] = field;
        maker->set[at] = (descrsetfunc)PyType_GetSlot(Py_TYPE(field), Py_tp_descr_set);
        if (!maker->set[at]) {
            PyErr_Format(PyExc_TypeError, "%s is no slot of a verdict", field_names[at]);
            return -1;
        }
    }
    return 0;
}

void se_verdict_maker_clear(struct verdict_maker *maker)
{
    Py_CLEAR(maker->type);
    for (int at = 0; at < SE_VERDICT_FIELDS; at++)
        Py_CLEAR(maker->fields[at]);
    Py_CLEAR(maker->actions);
    Py_CLEAR(maker->reasons);
    Py_CLEAR(maker->names);
}

void se_verdict_use_names(struct verdict_maker *maker, uint32_t generation, PyObject *names)
{
    PyObject *before = maker->names;

    maker->names = Py_XNewRef(names);
    maker->generation = generation;
    Py_XDECREF(before);
}

/* A new reference to the id of a word's rule, or NULL as se_verdict_make. */
static PyObject *find_name(struct verdict_maker *maker, uint64_t word)
{
    uint32_t rule = (uint32_t)(word >> 32);
    PyObject *names, *name;

    if (rule == SE_NO_RULE)
        return Py_NewRef(Py_None);
    if (rule & (SE_RULE_KEPT | SE_RULE_BLOCK) || !maker->names || (word >> 16 & 0xffff) != maker->generation)
        return NULL;
    names = Py_NewRef(maker->names); /* a method of it may replace it */
    if (PyTuple_Check(names) && (Py_ssize_t)rule < PyTuple_Size(names))
        name = Py_NewRef(PyTuple_GetItem(names, (Py_ssize_t)rule));
    else
        name = PySequence_GetItem(names, (Py_ssize_t)rule);
    if (!name && PyErr_ExceptionMatches(PyExc_IndexError))
        PyErr_Clear();
    Py_DECREF(names);
    return name;
}

PyObject *se_verdict_make(struct verdict_maker *maker, uint64_t word, uint64_t retry_after)
{
    Py_ssize_t action = (Py_ssize_t)(word & 0xf), reason = (Py_ssize_t)(word >> 8 & 0xff);
    PyObject *verdict, *values[SE_VERDICT_FIELDS], *rule_id, *seconds;
    int failed = 0;

    if (action >= PyTuple_Size(maker->actions) || reason >= PyTuple_Size(maker->reasons))
        return NULL;
    rule_id = find_name(maker, word);
    if (!rule_id)
        return NULL;
    seconds = word & SE_WORD_HAS_RETRY ? PyFloat_FromDouble(se_to_seconds(retry_after)) : Py_NewRef(Py_None);
    verdict = seconds ? PyType_GenericAlloc(maker->type, 0) : NULL;
    values[SE_VERDICT_ACTION] = PyTuple_GetItem(maker->actions, action);
    values[SE_VERDICT_REASON] = PyTuple_GetItem(maker->reasons, reason);
    values[SE_VERDICT_RULE_ID] = rule_id;
    values[SE_VERDICT_RETRY_AFTER] = seconds;
    for (int at = 0; verdict && at < SE_VERDICT_FIELDS; at++)
        failed |= maker->set[at](maker->fields[at], verdict, values[at]);
    if (failed)
        Py_CLEAR(verdict);
    Py_XDECREF(seconds);
    Py_DECREF(rule_id);
    return verdict;
}
