/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "binding/verdict_list.h"

struct item {
    uint64_t word;
    PyObject *verdict; /* owned; NULL: to be made of the word */
};

struct verdict_list {
    PyObject_VAR_HEAD
    PyObject *owner; /* owned: of the maker */
    struct verdict_maker *maker;
    struct rule_names names; /* the ids are owned */
    struct item items[];
};

PyObject *se_verdict_list_new(PyTypeObject *type, PyObject *owner, struct verdict_maker *maker, Py_ssize_t count)
{
    struct verdict_list *list = (struct verdict_list *)PyType_GenericAlloc(type, count);

    if (!list)
        return NULL;
    list->owner = Py_NewRef(owner);
    list->maker = maker;
    list->names = maker->names;
    Py_XINCREF(list->names.ids);
    return (PyObject *)list;
}

const struct rule_names *se_verdict_list_names(PyObject *list)
{
    return &((struct verdict_list *)list)->names;
}

void se_verdict_list_set_word(PyObject *list, Py_ssize_t at, uint64_t word)
{
    ((struct verdict_list *)list)->items[at].word = word;
}

void se_verdict_list_set(PyObject *list, Py_ssize_t at, PyObject *verdict)
{
    ((struct verdict_list *)list)->items[at].verdict = verdict;
}

static Py_ssize_t list_length(PyObject *self)
{
    return Py_SIZE(self);
}

static PyObject *list_item(PyObject *self, Py_ssize_t at)
{
    struct verdict_list *list = (struct verdict_list *)self;

    if (at < 0 || at >= Py_SIZE(self)) {
        PyErr_SetString(PyExc_IndexError, "no such verdict");
        return NULL;
    }
    if (!list->items[at].verdict) {
        PyObject *verdict = se_verdict_get_by(list->maker, &list->names, list->items[at].word);
        if (!verdict)
            return NULL;
        list->items[at].verdict = verdict;
    }
    return Py_NewRef(list->items[at].verdict);
}

static PyObject *list_slice(PyObject *self, PyObject *slice)
{
    Py_ssize_t start, stop, step, count;
    PyObject *found;

    if (PySlice_Unpack(slice, &start, &stop, &step))
        return NULL;
    count = PySlice_AdjustIndices(Py_SIZE(self), &start, &stop, step);
    found = PyList_New(count);
    for (Py_ssize_t i = 0; found && i < count; i++) {
        PyObject *verdict = list_item(self, start + i * step);
        if (verdict)
            PyList_SetItem(found, i, verdict);
        else
            Py_CLEAR(found);
    }
    return found;
}

static PyObject *list_subscript(PyObject *self, PyObject *key)
{
    Py_ssize_t at;

    if (PySlice_Check(key))
        return list_slice(self, key);
    at = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    return list_item(self, at < 0 ? at + Py_SIZE(self) : at);
}

/* Equal to a list of equal verdicts, and to another of these. */
static PyObject *list_compare(PyObject *self, PyObject *other, int operation)
{
    PyObject *left, *right, *result;

    if ((operation != Py_EQ && operation != Py_NE) || !(PyList_Check(other) || Py_IS_TYPE(other, Py_TYPE(self))))
        Py_RETURN_NOTIMPLEMENTED;
    left = PySequence_List(self);
    right = left ? PySequence_List(other) : NULL;
    result = right ? PyObject_RichCompare(left, right, operation) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(right);
    return result;
}

static PyObject *list_repr(PyObject *self)
{
    PyObject *verdicts = PySequence_List(self), *text;

    if (!verdicts)
        return NULL;
    text = PyUnicode_FromFormat("Verdicts(%R)", verdicts);
    Py_DECREF(verdicts);
    return text;
}

static PyObject *list_index(PyObject *self, PyObject *verdict)
{
    Py_ssize_t at = PySequence_Index(self, verdict);

    return at < 0 ? NULL : PyLong_FromSsize_t(at);
}

static PyObject *list_count(PyObject *self, PyObject *verdict)
{
    Py_ssize_t count = PySequence_Count(self, verdict);

    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static int list_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct verdict_list *list = (struct verdict_list *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(list->owner);
    Py_VISIT(list->names.ids);
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++)
        Py_VISIT(list->items[i].verdict);
    return 0;
}

static void list_free(PyObject *self)
{
    struct verdict_list *list = (struct verdict_list *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++)
        Py_XDECREF(list->items[i].verdict);
    Py_XDECREF(list->names.ids);
    Py_XDECREF(list->owner);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef list_methods[] = {
    {"index", list_index, METH_O, NULL},
    {"count", list_count, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot list_slots[] = {
    {Py_tp_dealloc, (void *)list_free},
    {Py_tp_traverse, (void *)list_traverse},
    {Py_tp_methods, list_methods},
    {Py_tp_richcompare, (void *)list_compare},
    {Py_tp_hash, (void *)PyObject_HashNotImplemented},
    {Py_tp_repr, (void *)list_repr},
    {Py_sq_length, (void *)list_length},
    {Py_sq_item, (void *)list_item},
    {Py_mp_length, (void *)list_length},
    {Py_mp_subscript, (void *)list_subscript},
    {0, NULL},
};

static PyType_Spec list_spec = {
    .name = "sentry_engine._fast_calls.Verdicts",
    .basicsize = sizeof(struct verdict_list),
    .itemsize = sizeof(struct item),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = list_slots,
};

PyObject *se_verdict_list_type(PyObject *module)
{
    return PyType_FromModuleAndSpec(module, &list_spec, NULL);
}
