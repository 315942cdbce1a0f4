/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The module sentry_engine._fast_calls: verdicts for Python, in the same library as the module that cffi writes. A call through
 * cffi costs more than a decision. A call here parses the address as the caller has it, and returns a Verdict that was made
 * before for an equal answer. Everything else of the core is called through cffi.
 *
 * It keeps to Python's stable ABI of 3.11, so that one wheel serves later versions.
 *
 * The GIL is held for one request, and for at most SE_BATCH requests of a list.
 */
#include "binding/source.h"
#include "binding/verdict_list.h"
#include "binding/verdicts.h"

#include "core_internal.h"
#include "nanoseconds.h"

/* Begins with what se_source_load_object expects. */
struct module_state {
    struct se_source_types types;
    PyObject *verdict_list; /* owned: the type of Verdicts */
};

struct fast_calls {
    PyObject_HEAD
    struct se_core *core;        /* the caller's; NULL once closed */
    PyObject *invalid;           /* owned: the Verdict for text that is no address */
    PyTypeObject *list_type;     /* owned: Verdicts */
    PyObject *add_hit;           /* owned: (generation, rule), for a hit of a policy that was replaced */
    struct verdict_maker maker;
    struct se_late_hit late;     /* of `answer`; the GIL protects it */
};

static int require_core(const struct fast_calls *calls)
{
    if (!calls->core)
        PyErr_SetString(PyExc_RuntimeError, "the core is closed");
    return calls->core ? 0 : -1;
}

/* The arguments of a call beside the address. */
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
    out->event = number < 0 || number > UINT16_MAX ? UINT16_MAX : (uint32_t)number; /* no such event: refused */
    out->now = se_to_ns(seconds);
    return 0;
}

/* Counts the verdict given last, which `answer` left. Returns 0, or -1 with an exception. */
static int count_late(struct fast_calls *calls)
{
    struct se_late_hit late = calls->late;
    PyObject *added;

    if (!late.generation || se_core_count_late(calls->core, &calls->late))
        return 0;
    calls->late.generation = 0;
    added = PyObject_CallFunction(calls->add_hit, "II", late.generation, late.rule);
    Py_XDECREF(added);
    return added ? 0 : -1;
}

/* answer(address, event, now, verified=True) */
static PyObject *calls_answer(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct fast_calls *calls = (struct fast_calls *)self;
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
    found = se_source_load(Py_TYPE((PyObject *)calls), args[0], request.address);
    if (found <= 0)
        return found ? NULL : Py_NewRef(calls->invalid);
    if (require_core(calls)) /* a method of the address may have closed it */
        return NULL;
    request.event = (uint16_t)question.event;
    request.verified = question.verified != 0;
    request.now = question.now;
    while (!se_core_decide_one(calls->core, &request, &verdict, &calls->late, &generation)) {
        if (count_late(calls) || require_core(calls))
            return NULL;
    }
    return se_verdict_get(&calls->maker, se_pack_word(&verdict, generation), verdict.retry_after);
}

/* Answers `count` (up to SE_BATCH) items from `first` on into `answers`. Returns 0, or -1 with an exception. */
static int answer_batch(struct fast_calls *calls, PyObject *items, Py_ssize_t first, uint32_t count,
                        const struct question *question, PyObject *answers)
{
    struct se_request requests[SE_BATCH];
    struct se_verdict verdicts[SE_BATCH];
    Py_ssize_t place[SE_BATCH]; /* of each request among the answers; text that is no address makes no request */
    const struct rule_names *names = se_verdict_list_names(answers);
    uint32_t asked = 0, generation;

    for (uint32_t i = 0; i < count; i++) {
        struct se_request *request = &requests[asked];
        *request = (struct se_request){
            .event = (uint16_t)question->event, .verified = question->verified != 0, .now = question->now};
        int found = se_source_load(Py_TYPE((PyObject *)calls), PyTuple_GetItem(items, first + i), request->address);
        if (found < 0)
            return -1;
        if (found)
            place[asked++] = first + i;
        else
            se_verdict_list_set(answers, first + i, Py_NewRef(calls->invalid));
    }
    if (!asked)
        return 0;
    if (require_core(calls))
        return -1;
    generation = se_core_decide(calls->core, requests, verdicts, asked);
    for (uint32_t i = 0; i < asked; i++) {
        uint64_t word = se_pack_word(&verdicts[i], generation);
        if (se_verdict_can_wait(names, word)) {
            se_verdict_list_set_word(answers, place[i], word);
            continue;
        }
        PyObject *verdict = se_verdict_get(&calls->maker, word, verdicts[i].retry_after);
        if (!verdict)
            return -1;
        se_verdict_list_set(answers, place[i], verdict);
    }
    return 0;
}

/* answer_many(addresses, event, now, verified): takes a tuple, returns Verdicts in its order */
static PyObject *calls_answer_many(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct fast_calls *calls = (struct fast_calls *)self;
    struct question question;
    PyObject *answers;
    Py_ssize_t total;

    if (count != 4 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "answer_many takes a tuple of addresses, an event, a time and whether it is verified");
        return NULL;
    }
    if (load_question(args[1], args[2], args[3], &question))
        return NULL;
    total = PyTuple_Size(args[0]);
    answers = se_verdict_list_new(calls->list_type, self, &calls->maker, total);
    for (Py_ssize_t done = 0, next; answers && done < total; done += next) {
        next = total - done < SE_BATCH ? total - done : SE_BATCH;
        if (done) {
            Py_BEGIN_ALLOW_THREADS /* lets other threads run between batches */
            Py_END_ALLOW_THREADS
        }
        if (answer_batch(calls, args[0], done, (uint32_t)next, &question, answers))
            Py_CLEAR(answers);
    }
    return answers;
}

static PyObject *calls_forget(PyObject *self, PyObject *unused)
{
    struct fast_calls *calls = (struct fast_calls *)self;

    (void)unused;
    se_verdict_forget(&calls->maker);
    Py_RETURN_NONE;
}

/* count(): counts the verdict given last, so that the hits of the core are complete */
static PyObject *calls_count(PyObject *self, PyObject *unused)
{
    struct fast_calls *calls = (struct fast_calls *)self;

    (void)unused;
    if (require_core(calls) || count_late(calls))
        return NULL;
    Py_RETURN_NONE;
}

/* use_names(generation, names): the rule ids of the policy in force; forgets the cached verdicts */
static PyObject *calls_use_names(PyObject *self, PyObject *args)
{
    struct fast_calls *calls = (struct fast_calls *)self;
    unsigned int generation;
    PyObject *names;

    if (!PyArg_ParseTuple(args, "IO", &generation, &names))
        return NULL;
    if (se_verdict_use_names(&calls->maker, generation, names))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *calls_close(PyObject *self, PyObject *unused)
{
    struct fast_calls *calls = (struct fast_calls *)self;

    (void)unused;
    calls->core = NULL;
    calls->late.generation = 0;
    se_verdict_use_names(&calls->maker, 0, NULL);
    Py_RETURN_NONE;
}

static int calls_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct fast_calls *calls = (struct fast_calls *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(calls->invalid);
    Py_VISIT(calls->list_type);
    Py_VISIT(calls->add_hit);
    return se_verdict_maker_visit(&calls->maker, visit, arg);
}

static int calls_clear(PyObject *self)
{
    struct fast_calls *calls = (struct fast_calls *)self;

    Py_CLEAR(calls->invalid);
    Py_CLEAR(calls->list_type);
    Py_CLEAR(calls->add_hit);
    se_verdict_maker_clear(&calls->maker);
    return 0;
}

static void calls_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    calls_clear(self);
    se_verdict_maker_close(&((struct fast_calls *)self)->maker);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* FastCalls(core, read, invalid, actions, reasons, add_hit): `core` is the address of a struct se_core that lives until close() */
static PyObject *calls_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct fast_calls *calls;
    PyObject *read, *invalid, *actions, *reasons, *add_hit;
    unsigned long long core;

    (void)keywords;
    if (!PyArg_ParseTuple(args, "KOOO!O!O", &core, &read, &invalid, &PyTuple_Type, &actions, &PyTuple_Type, &reasons, &add_hit))
        return NULL;
    calls = (struct fast_calls *)PyType_GenericAlloc(type, 0);
    if (!calls)
        return NULL;
    calls->core = (struct se_core *)(uintptr_t)core;
    calls->invalid = Py_NewRef(invalid);
    calls->add_hit = Py_NewRef(add_hit);
    calls->list_type = (PyTypeObject *)Py_NewRef(((struct module_state *)PyType_GetModuleState(type))->verdict_list);
    if (se_verdict_maker_open(&calls->maker, invalid, actions, reasons, read)) {
        Py_DECREF(calls);
        return NULL;
    }
    return (PyObject *)calls;
}

static PyMethodDef calls_methods[] = {
    {"answer", (PyCFunction)(void (*)(void))calls_answer, METH_FASTCALL, NULL},
    {"answer_many", (PyCFunction)(void (*)(void))calls_answer_many, METH_FASTCALL, NULL},
    {"count", calls_count, METH_NOARGS, NULL},
    {"forget", calls_forget, METH_NOARGS, NULL},
    {"use_names", calls_use_names, METH_VARARGS, NULL},
    {"close", calls_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot calls_slots[] = {
    {Py_tp_new, (void *)calls_new},           {Py_tp_dealloc, (void *)calls_free}, {Py_tp_traverse, (void *)calls_traverse},
    {Py_tp_clear, (void *)calls_clear},       {Py_tp_methods, calls_methods},      {0, NULL},
};

static PyType_Spec calls_spec = {
    .name = "sentry_engine._fast_calls.FastCalls",
    .basicsize = sizeof(struct fast_calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = calls_slots,
};

static int add_type(PyObject *module, PyObject *type)
{
    return type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
}

static int fill_module(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *type;
    int rc;

    if (se_source_types_open(&state->types))
        return -1;
    state->verdict_list = se_verdict_list_type(module);
    if (add_type(module, state->verdict_list))
        return -1;
    type = PyType_FromModuleAndSpec(module, &calls_spec, NULL);
    rc = add_type(module, type);
    Py_XDECREF(type);
    return rc;
}

static int traverse_module(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);

    Py_VISIT(state->types.ipv4);
    Py_VISIT(state->types.ipv6);
    Py_VISIT(state->types.word_bits);
    Py_VISIT(state->verdict_list);
    return 0;
}

static int clear_module(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    se_source_types_clear(&state->types);
    Py_CLEAR(state->verdict_list);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)fill_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sentry_engine._fast_calls",
    .m_size = sizeof(struct module_state),
    .m_slots = module_slots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
};

PyMODINIT_FUNC PyInit__fast_calls(void)
{
    return PyModuleDef_Init(&definition);
}
