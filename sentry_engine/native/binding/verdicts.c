/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "binding/verdicts.h"

#include "nanoseconds.h"

#define SETS 1024u /* of the known verdicts, a power of two: 64 KB */
#define WAYS 4u    /* verdicts of a set, the newest first: one cache line */
#define KNOWN (SETS * WAYS)

struct known_verdict {
    uint64_t word;
    PyObject *verdict; /* owned; NULL: free, or the word was seen once */
};

static const char *const field_names[SE_VERDICT_FIELDS] = {"action", "reason", "retry_after", "rule_id", "_names", "_rule"};

static int find_fields(struct verdict_maker *maker)
{
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

int se_verdict_maker_open(struct verdict_maker *maker, PyObject *example, PyObject *actions, PyObject *reasons, PyObject *read)
{
    maker->type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(example));
    maker->actions = Py_NewRef(actions);
    maker->reasons = Py_NewRef(reasons);
    maker->read = Py_NewRef(read);
    maker->known = PyMem_Calloc(KNOWN, sizeof *maker->known);
    if (!maker->known) {
        PyErr_NoMemory();
        return -1;
    }
    return find_fields(maker);
}

void se_verdict_forget(struct verdict_maker *maker)
{
    for (uint32_t i = 0; maker->known && i < KNOWN; i++) {
        maker->known[i].word = 0;
        Py_CLEAR(maker->known[i].verdict);
    }
}

void se_verdict_maker_clear(struct verdict_maker *maker)
{
    se_verdict_forget(maker);
    Py_CLEAR(maker->type);
    for (int at = 0; at < SE_VERDICT_FIELDS; at++)
        Py_CLEAR(maker->fields[at]);
    Py_CLEAR(maker->actions);
    Py_CLEAR(maker->reasons);
    Py_CLEAR(maker->read);
    Py_CLEAR(maker->names.ids);
}

void se_verdict_maker_close(struct verdict_maker *maker)
{
    se_verdict_maker_clear(maker);
    PyMem_Free(maker->known);
    maker->known = NULL;
}

int se_verdict_maker_visit(struct verdict_maker *maker, visitproc visit, void *arg)
{
    Py_VISIT(maker->type);
    for (int at = 0; at < SE_VERDICT_FIELDS; at++)
        Py_VISIT(maker->fields[at]);
    Py_VISIT(maker->actions);
    Py_VISIT(maker->reasons);
    Py_VISIT(maker->read);
    Py_VISIT(maker->names.ids);
    for (uint32_t i = 0; maker->known && i < KNOWN; i++)
        Py_VISIT(maker->known[i].verdict);
    return 0;
}

int se_verdict_use_names(struct verdict_maker *maker, uint32_t generation, PyObject *ids)
{
    PyObject *before = maker->names.ids;
    Py_ssize_t count = ids ? PySequence_Size(ids) : 0;

    if (count < 0)
        return -1;
    maker->names = (struct rule_names){Py_XNewRef(ids), count, generation};
    Py_XDECREF(before);
    se_verdict_forget(maker);
    return 0;
}

static int set_field(const struct verdict_maker *maker, PyObject *verdict, int field, PyObject *value)
{
    return maker->set[field](maker->fields[field], verdict, value);
}

/* Sets the rule: None, or where its id is to be looked up. */
static int set_rule(const struct verdict_maker *maker, const struct rule_names *names, PyObject *verdict, uint32_t rule)
{
    PyObject *number;
    int rc;

    if (rule == SE_NO_RULE)
        return set_field(maker, verdict, SE_VERDICT_RULE_ID, Py_None);
    number = PyLong_FromUnsignedLong(rule);
    if (!number)
        return -1;
    rc = set_field(maker, verdict, SE_VERDICT_NAMES, names->ids) || set_field(maker, verdict, SE_VERDICT_RULE, number);
    Py_DECREF(number);
    return rc ? -1 : 0;
}

static int set_wait(const struct verdict_maker *maker, PyObject *verdict, uint64_t word, uint64_t retry_after)
{
    PyObject *seconds;
    int rc;

    if (!(word & SE_WORD_HAS_RETRY))
        return set_field(maker, verdict, SE_VERDICT_RETRY_AFTER, Py_None);
    seconds = PyFloat_FromDouble(se_to_seconds(retry_after));
    rc = seconds ? set_field(maker, verdict, SE_VERDICT_RETRY_AFTER, seconds) : -1;
    Py_XDECREF(seconds);
    return rc;
}

/* Makes the Verdict of a word that the names name. The collector need not see it: nothing in it can lead back to it. */
static PyObject *make_verdict(const struct verdict_maker *maker, const struct rule_names *names, uint64_t word, uint64_t retry_after)
{
    PyObject *action = PyTuple_GetItem(maker->actions, (Py_ssize_t)(word & 0xf));
    PyObject *reason = PyTuple_GetItem(maker->reasons, (Py_ssize_t)(word >> 8 & 0xff)), *verdict;

    if (!action || !reason)
        return NULL;
    verdict = PyType_GenericAlloc(maker->type, 0);
    if (!verdict)
        return NULL;
    PyObject_GC_UnTrack(verdict);
    if (set_field(maker, verdict, SE_VERDICT_ACTION, action) || set_field(maker, verdict, SE_VERDICT_REASON, reason) ||
        set_wait(maker, verdict, word, retry_after) || set_rule(maker, names, verdict, (uint32_t)(word >> 32)))
        Py_CLEAR(verdict);
    return verdict;
}

static struct known_verdict *find_set(const struct verdict_maker *maker, uint64_t word)
{
    return &maker->known[WAYS * ((word >> 32 ^ word >> 8) % SETS)];
}

/* Words are not 0: the reason of a rule is not, and the others have no rule. */
static struct known_verdict *find_known(struct known_verdict *set, uint64_t word)
{
    for (unsigned way = 0; way < WAYS; way++) {
        if (set[way].word == word)
            return &set[way];
    }
    return NULL;
}

/* Replaces the oldest word of a set. `verdict` may be NULL. */
static void keep(struct known_verdict *set, uint64_t word, PyObject *verdict)
{
    PyObject *oldest = set[WAYS - 1].verdict;

    memmove(set + 1, set, (WAYS - 1) * sizeof *set);
    set[0] = (struct known_verdict){word, Py_XNewRef(verdict)};
    Py_XDECREF(oldest);
}

PyObject *se_verdict_get(struct verdict_maker *maker, uint64_t word, uint64_t retry_after)
{
    struct known_verdict *set = find_set(maker, word), *known = find_known(set, word);
    bool is_made_here = se_verdict_has_name(&maker->names, word);
    PyObject *verdict;

    if (known && known->verdict)
        return Py_NewRef(known->verdict);
    if (is_made_here)
        verdict = make_verdict(maker, &maker->names, word, retry_after);
    else
        verdict = PyObject_CallFunction(maker->read, "Kd", (unsigned long long)word, se_to_seconds(retry_after));
    if (!verdict || word & SE_WORD_HAS_RETRY)
        return verdict;
    known = find_known(set, word); /* making it may have run other code */
    if (!known)
        keep(set, word, is_made_here && word >> 32 != SE_NO_RULE ? NULL : verdict);
    else if (!known->verdict)
        known->verdict = Py_NewRef(verdict);
    return verdict;
}

PyObject *se_verdict_get_by(struct verdict_maker *maker, const struct rule_names *names, uint64_t word)
{
    if (names->ids == maker->names.ids)
        return se_verdict_get(maker, word, 0);
    return make_verdict(maker, names, word, 0);
}
