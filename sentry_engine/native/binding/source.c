/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "binding/source.h"

#include "ip_address.h"

#define V4_MAPPED_WORD (UINT64_C(0xffff) << 32) /* the low word of ::ffff:0.0.0.0 */

int se_source_types_open(struct se_source_types *types)
{
    PyObject *ipaddress = PyImport_ImportModule("ipaddress");

    if (!ipaddress)
        return -1;
    types->ipv4 = PyObject_GetAttrString(ipaddress, "IPv4Address");
    types->ipv6 = PyObject_GetAttrString(ipaddress, "IPv6Address");
    Py_DECREF(ipaddress);
    types->word_bits = PyLong_FromLong(64);
    return types->ipv4 && types->ipv6 && types->word_bits ? 0 : -1;
}

void se_source_types_clear(struct se_source_types *types)
{
    Py_CLEAR(types->ipv4);
    Py_CLEAR(types->ipv6);
    Py_CLEAR(types->word_bits);
}

/* Stores a number of 32 or 128 bits. Returns 0, or -1 with an exception. */
static int store_number(const struct se_source_types *types, PyObject *number, bool is_ipv4, uint8_t out[16])
{
    PyObject *upper;
    uint64_t hi = 0, lo;

    if (is_ipv4) {
        lo = PyLong_AsUnsignedLongLong(number);
    } else {
        upper = PyNumber_Rshift(number, types->word_bits);
        if (!upper)
            return -1;
        hi = PyLong_AsUnsignedLongLong(upper);
        Py_DECREF(upper);
        lo = PyLong_AsUnsignedLongLongMask(number);
    }
    if ((hi == UINT64_MAX || lo == UINT64_MAX) && PyErr_Occurred())
        return -1;
    se_store_be64(out, hi);
    se_store_be64(out + 8, is_ipv4 ? V4_MAPPED_WORD | (uint32_t)lo : lo);
    return 0;
}

/* Returns 1 for an IPv4Address, 0 for an IPv6Address (subclasses included), or -1 with an exception. */
static int find_family(const struct se_source_types *types, PyObject *source)
{
    PyObject *name;
    int is_one;

    if (Py_IS_TYPE(source, (PyTypeObject *)types->ipv6)) /* PyObject_IsInstance would try IPv4 first, which is slow */
        return 0;
    is_one = PyObject_IsInstance(source, types->ipv4);
    if (is_one)
        return is_one;
    is_one = PyObject_IsInstance(source, types->ipv6);
    if (is_one < 0)
        return -1;
    if (is_one)
        return 0;
    name = PyType_GetName(Py_TYPE(source));
    if (name)
        PyErr_Format(PyExc_TypeError, "an address is text or an ipaddress object, not %U", name);
    Py_XDECREF(name);
    return -1;
}

int se_source_load_object(PyTypeObject *owner, PyObject *source, uint8_t out[16])
{
    const struct se_source_types *types = PyType_GetModuleState(owner);
    int is_ipv4 = find_family(types, source), rc;
    PyObject *number;

    if (is_ipv4 < 0)
        return -1;
    number = PyNumber_Long(source);
    if (!number)
        return -1;
    rc = store_number(types, number, is_ipv4 != 0, out);
    Py_DECREF(number);
    return rc ? -1 : 1;
}
