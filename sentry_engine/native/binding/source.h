/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source as a Python object (text, 16 bytes, an ipaddress object), read into 16 bytes in network order.
 */
#ifndef SENTRY_ENGINE_BINDING_SOURCE_H
#define SENTRY_ENGINE_BINDING_SOURCE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "parse/address.h"

#include <string.h>

struct se_source_types {
    PyObject *ipv4, *ipv6; /* owned: the classes of ipaddress */
    PyObject *word_bits;   /* owned: 64, to shift by */
};

/* Returns 0, or -1 with an exception; the caller clears the types in either case. */
int se_source_types_open(struct se_source_types *types);
void se_source_types_clear(struct se_source_types *types);

/*
 * Reads an ipaddress object. `owner` is a type of the module whose state is a struct se_source_types. Returns 1, or -1 with an
 * exception. Runs methods of the object's class.
 */
int se_source_load_object(PyTypeObject *owner, PyObject *source, uint8_t out[16]);

/* Returns 1, 0 for text that is no address, or -1 with an exception. */
static inline int se_source_load(PyTypeObject *owner, PyObject *source, uint8_t out[16])
{
    Py_ssize_t size;

    if (PyUnicode_Check(source)) {
        const char *text = PyUnicode_AsUTF8AndSize(source, &size);
        if (text)
            return se_address_parse(text, (size_t)size, out);
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear(); /* a lone surrogate is in no address */
        return 0;
    }
    if (!PyBytes_Check(source))
        return se_source_load_object(owner, source, out);
    size = PyBytes_Size(source);
    if (size != 16) {
        PyErr_Format(PyExc_ValueError, "an address is 16 bytes, not %zd", size);
        return -1;
    }
    memcpy(out, PyBytes_AsString(source), 16);
    return 1;
}

#endif
