/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How Python asks for verdicts: the module sentry_engine._ask, which lies in the same library as the one cffi writes. A call
 * through cffi costs more than a decision; this takes the address as the caller has it, parses it, and hands out a Verdict
 * that was made before for the same answer. Everything else of the core is reached through cffi.
 *
 * The GIL is held for a question, and for at most SE_BATCH of them in a row.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "core.h"
#include "parse/address.h"

#define SETS 1024u         /* of verdicts kept, a power of two: 64 KB for rules that decide often */
#define WAYS 4u            /* verdicts of a set, the newest first: one cache line */
#define KNOWN (SETS * WAYS)
#define V4_MAPPED_WORD (UINT64_C(0xffff) << 32) /* the low word of ::ffff:0.0.0.0 */

struct known_verdict {
    uint64_t word;
    PyObject *verdict; /* owned; NULL: free */
};

struct asker {
    PyObject_HEAD
    struct se_core *core;          /* the caller's; NULL once closed */
    PyObject *read;                /* owned: (word, retry_after) -> Verdict, for words that are not kept */
    PyObject *invalid;             /* owned: the Verdict on what is no address */
    struct known_verdict *known;   /* owned: KNOWN of them */
};

struct module_state {
    PyObject *ipv4, *ipv6; /* owned: the classes of ipaddress */
    PyObject *word_bits;   /* owned: 64, to shift by */
};

static struct module_state *state_of(struct asker *asker)
{
    return PyType_GetModuleState(Py_TYPE(asker));
}

/* The number of an address of 32 or 128 bits. Returns 0 or -1 with an exception. */
static int store_number(const struct module_state *state, PyObject *number, bool is_ipv4, uint8_t out[16])
{
    PyObject *upper;
    uint64_t hi = 0, lo;

    if (is_ipv4) {
        lo = PyLong_AsUnsignedLongLong(number);
    } else {
        upper = PyNumber_Rshift(number, state->word_bits);
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

/* 1: IPv4Address, 0: IPv6Address, or of a class made of one of them; -1 with an exception. */
static int find_family(const struct module_state *state, PyObject *source)
{
    int is_one;

    if (Py_IS_TYPE(source, (PyTypeObject *)state->ipv6)) /* isinstance() would ask about IPv4 first, the long way */
        return 0;
    is_one = PyObject_IsInstance(source, state->ipv4);
    if (is_one)
        return is_one;
    is_one = PyObject_IsInstance(source, state->ipv6);
    if (is_one < 0)
        return -1;
    if (is_one)
        return 0;
    PyErr_Format(PyExc_TypeError, "an address is text or an ipaddress object, not %s", Py_TYPE(source)->tp_name);
    return -1;
}

/* Returns 1, or -1 with an exception. */
static int load_object(struct asker *asker, PyObject *source, uint8_t out[16])
{
    const struct module_state *state = state_of(asker);
    int is_ipv4 = find_family(state, source), rc;
    PyObject *number;

    if (is_ipv4 < 0)
        return -1;
    number = PyNumber_Long(source);
    if (!number)
        return -1;
    rc = store_number(state, number, is_ipv4 != 0, out);
    Py_DECREF(number);
    return rc ? -1 : 1;
}

/* Returns 1, 0 for what is no address, or -1 with an exception. */
static int load_source(struct asker *asker, PyObject *source, uint8_t out[16])
{
    if (PyUnicode_Check(source)) {
        if (PyUnicode_READY(source))
            return -1;
        return PyUnicode_IS_ASCII(source) &&
               se_address_parse((const char *)PyUnicode_1BYTE_DATA(source), (size_t)PyUnicode_GET_LENGTH(source), out);
    }
    if (!PyBytes_Check(source))
        return load_object(asker, source, out);
    if (PyBytes_GET_SIZE(source) != 16) {
        PyErr_Format(PyExc_ValueError, "an address is 16 bytes, not %zd", PyBytes_GET_SIZE(source));
        return -1;
    }
    memcpy(out, PyBytes_AS_STRING(source), 16);
    return 1;
}

/* Puts a verdict in the place of the oldest of its set. */
static void keep_verdict(struct known_verdict *set, uint64_t word, PyObject *verdict)
{
    PyObject *oldest = set[WAYS - 1].verdict;

    memmove(set + 1, set, (WAYS - 1) * sizeof *set);
    set[0] = (struct known_verdict){word, Py_NewRef(verdict)};
    Py_XDECREF(oldest);
}

/* A new reference to the value of an answer, NULL with an exception. */
static PyObject *make_verdict(struct asker *asker, uint64_t word, uint64_t retry_after)
{
    struct known_verdict *set = &asker->known[WAYS * ((word >> 32 ^ word >> 8) % SETS)];
    PyObject *verdict;

    for (unsigned way = 0; way < WAYS; way++) {
        if (set[way].word == word && set[way].verdict)
            return Py_NewRef(set[way].verdict);
    }
    verdict = PyObject_CallFunction(asker->read, "Kd", (unsigned long long)word, se_to_seconds(retry_after));
    if (verdict && !(word & SE_WORD_HAS_RETRY))
        keep_verdict(set, word, verdict);
    return verdict;
}

static int require_core(const struct asker *asker)
{
    if (!asker->core)
        PyErr_SetString(PyExc_RuntimeError, "the core is closed");
    return asker->core ? 0 : -1;
}

/* What every question has beside its address. */
struct question {
    uint32_t event;
    int verified;
    uint64_t now;
};

static int load_question(PyObject *event, PyObject *now, PyObject *verified, struct question *out)
{
    long number = PyLong_AsLong(event);
    double seconds;

    if (number == -1 && PyErr_Occurred())
        return -1;
    seconds = PyFloat_AsDouble(now);
    if (seconds == -1 && PyErr_Occurred())
        return -1;
    out->verified = verified ? PyObject_IsTrue(verified) : 1;
    if (out->verified < 0)
        return -1;
    out->event = number < 0 || number > UINT16_MAX ? UINT16_MAX : (uint32_t)number; /* beyond the last event: refused */
    out->now = se_to_ns(seconds);
    return 0;
}

/* answer(address, event, now, verified=True) */
static PyObject *asker_answer(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct asker *asker = (struct asker *)self;
    struct se_request request = {0};
    struct se_verdict verdict;
    struct question question;
    uint32_t generation;
    int found;

    if (count < 3 || count > 4) {
        PyErr_SetString(PyExc_TypeError, "answer takes an address, an event, a time and whether it is verified");
        return NULL;
    }
    if (load_question(args[1], args[2], count > 3 ? args[3] : NULL, &question))
        return NULL;
    found = load_source(asker, args[0], request.address);
    if (found <= 0)
        return found ? NULL : Py_NewRef(asker->invalid);
    if (require_core(asker)) /* an address of the caller's own class may have closed it */
        return NULL;
    request.event = (uint16_t)question.event;
    request.verified = question.verified != 0;
    request.now = question.now;
    generation = se_core_decide(asker->core, &request, &verdict, 1);
    return make_verdict(asker, se_pack_word(&verdict, generation), verdict.retry_after);
}

/* Answers up to SE_BATCH of the items from `first` on and puts the verdicts into `answers`. Returns 0, -1 with an exception. */
static int answer_batch(struct asker *asker, PyObject *const *items, Py_ssize_t first, uint32_t count,
                        const struct question *question, PyObject *answers)
{
    struct se_request requests[SE_BATCH];
    struct se_verdict verdicts[SE_BATCH];
    Py_ssize_t place[SE_BATCH]; /* of each request among the answers: what is no address is not asked about */
    uint32_t asked = 0, generation;

    for (uint32_t i = 0; i < count; i++) {
        struct se_request *request = &requests[asked];
        *request = (struct se_request){
            .event = (uint16_t)question->event, .verified = question->verified != 0, .now = question->now};
        int found = load_source(asker, items[first + i], request->address);
        if (found < 0)
            return -1;
        if (found)
            place[asked++] = first + i;
        else
            PyList_SET_ITEM(answers, first + i, Py_NewRef(asker->invalid));
    }
    if (!asked)
        return 0;
    if (require_core(asker))
        return -1;
    generation = se_core_decide(asker->core, requests, verdicts, asked);
    for (uint32_t i = 0; i < asked; i++) {
        PyObject *verdict = make_verdict(asker, se_pack_word(&verdicts[i], generation), verdicts[i].retry_after);
        if (!verdict)
            return -1;
        PyList_SET_ITEM(answers, place[i], verdict);
    }
    return 0;
}

/* answer_many(addresses, event, now, verified): a tuple of addresses, a list of verdicts in their order */
static PyObject *asker_answer_many(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct asker *asker = (struct asker *)self;
    struct question question;
    PyObject *answers;
    Py_ssize_t total;

    if (count != 4 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "answer_many takes a tuple of addresses, an event, a time and whether it is verified");
        return NULL;
    }
    if (load_question(args[1], args[2], args[3], &question))
        return NULL;
    total = PyTuple_GET_SIZE(args[0]);
    answers = PyList_New(total);
    for (Py_ssize_t done = 0, next; answers && done < total; done += next) {
        next = total - done < SE_BATCH ? total - done : SE_BATCH;
        if (done) {
            Py_BEGIN_ALLOW_THREADS /* a long list lets other threads have a turn */
            Py_END_ALLOW_THREADS
        }
        if (answer_batch(asker, ((PyTupleObject *)args[0])->ob_item, done, (uint32_t)next, &question, answers))
            Py_CLEAR(answers);
    }
    return answers;
}

static PyObject *asker_forget(PyObject *self, PyObject *unused)
{
    struct asker *asker = (struct asker *)self;

    (void)unused;
    for (uint32_t i = 0; i < KNOWN; i++)
        Py_CLEAR(asker->known[i].verdict);
    Py_RETURN_NONE;
}

static PyObject *asker_close(PyObject *self, PyObject *unused)
{
    ((struct asker *)self)->core = NULL;
    return asker_forget(self, unused);
}

static int asker_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct asker *asker = (struct asker *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(asker->read);
    Py_VISIT(asker->invalid);
    for (uint32_t i = 0; asker->known && i < KNOWN; i++)
        Py_VISIT(asker->known[i].verdict);
    return 0;
}

static int asker_clear(PyObject *self)
{
    struct asker *asker = (struct asker *)self;

    for (uint32_t i = 0; asker->known && i < KNOWN; i++)
        Py_CLEAR(asker->known[i].verdict);
    Py_CLEAR(asker->read);
    Py_CLEAR(asker->invalid);
    return 0;
}

static void asker_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    asker_clear(self);
    PyMem_Free(((struct asker *)self)->known);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Asker(core, read, invalid): the address of a struct se_core that lives until close(), see struct asker */
static PyObject *asker_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct asker *asker;
    PyObject *read, *invalid;
    unsigned long long core;

    (void)keywords;
    if (!PyArg_ParseTuple(args, "KOO", &core, &read, &invalid))
        return NULL;
    asker = (struct asker *)type->tp_alloc(type, 0);
    if (!asker)
        return NULL;
    asker->core = (struct se_core *)(uintptr_t)core;
    asker->read = Py_NewRef(read);
    asker->invalid = Py_NewRef(invalid);
    asker->known = PyMem_Calloc(KNOWN, sizeof *asker->known);
    if (!asker->known) {
        Py_DECREF(asker);
        return PyErr_NoMemory();
    }
    return (PyObject *)asker;
}

static PyMethodDef asker_methods[] = {
    {"answer", (PyCFunction)(void (*)(void))asker_answer, METH_FASTCALL, NULL},
    {"answer_many", (PyCFunction)(void (*)(void))asker_answer_many, METH_FASTCALL, NULL},
    {"forget", asker_forget, METH_NOARGS, NULL},
    {"close", asker_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot asker_slots[] = {
    {Py_tp_new, (void *)asker_new},           {Py_tp_dealloc, (void *)asker_free}, {Py_tp_traverse, (void *)asker_traverse},
    {Py_tp_clear, (void *)asker_clear},       {Py_tp_methods, asker_methods},      {0, NULL},
};

static PyType_Spec asker_spec = {
    .name = "sentry_engine._ask.Asker",
    .basicsize = sizeof(struct asker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = asker_slots,
};

static int fill_module(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *ipaddress = PyImport_ImportModule("ipaddress"), *type;
    int rc;

    if (!ipaddress)
        return -1;
    state->ipv4 = PyObject_GetAttrString(ipaddress, "IPv4Address");
    state->ipv6 = PyObject_GetAttrString(ipaddress, "IPv6Address");
    Py_DECREF(ipaddress);
    state->word_bits = PyLong_FromLong(64);
    if (!state->ipv4 || !state->ipv6 || !state->word_bits)
        return -1;
    type = PyType_FromModuleAndSpec(module, &asker_spec, NULL);
    if (!type)
        return -1;
    rc = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return rc;
}

static int traverse_module(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);

    Py_VISIT(state->ipv4);
    Py_VISIT(state->ipv6);
    Py_VISIT(state->word_bits);
    return 0;
}

static int clear_module(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    Py_CLEAR(state->ipv4);
    Py_CLEAR(state->ipv6);
    Py_CLEAR(state->word_bits);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)fill_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sentry_engine._ask",
    .m_size = sizeof(struct module_state),
    .m_slots = module_slots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
};

PyMODINIT_FUNC PyInit__ask(void)
{
    return PyModuleDef_Init(&definition);
}
