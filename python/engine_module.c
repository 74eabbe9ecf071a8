// shufflenet._engine as a Python module: the one call that has to be quick. A small network runs for a quarter of a
// millisecond, behind which none of Python's memory is in a cache, and this touches less of it than ctypes does.
// All else is opened with ctypes (src/shufflenet/library.py).
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "team/pool.h"

// run(pool, network, arena, arena_bytes, x, logits), see _engine.pyi.
static PyObject *run(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 6)
        return PyErr_Format(PyExc_TypeError, "run takes 6 arguments, not %zd", count);
    shufflenet_pool *pool = arguments[0] == Py_None ? NULL : PyLong_AsVoidPtr(arguments[0]);
    const shufflenet_network *network = PyLong_AsVoidPtr(arguments[1]);
    void *arena = PyLong_AsVoidPtr(arguments[2]);
    const size_t arena_bytes = PyLong_AsSize_t(arguments[3]);
    Py_buffer x, logits;
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[4], &x, PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    if (PyObject_GetBuffer(arguments[5], &logits, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&x);
        return NULL;
    }
    if (x.ndim == 0 || logits.ndim == 0 || x.shape[0] != logits.shape[0]) {
        PyBuffer_Release(&logits);
        PyBuffer_Release(&x);
        return PyErr_Format(PyExc_ValueError, "x and logits must be of as many pictures");
    }
    const size_t batch = (size_t)x.shape[0];
    shufflenet_status status;
    Py_BEGIN_ALLOW_THREADS // other threads run Python meanwhile
        if (pool) status = shufflenet_pool_run(pool, network, arena, arena_bytes, x.buf, batch, logits.buf);
    else status = shufflenet_run(network, arena, arena_bytes, x.buf, batch, logits.buf);
    Py_END_ALLOW_THREADS PyBuffer_Release(&logits);
    PyBuffer_Release(&x);
    if (status)
        return PyErr_Format(PyExc_RuntimeError, "%s", shufflenet_message(status));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_engine",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__engine(void)
{
    return PyModuleDef_Init(&definition);
}
