from cffi import FFI
ffi = FFI()
ffi.cdef("int dummy(void);")
ffi.set_source("sentry_engine._core", "static int dummy(void){return 3;}")
