/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/thread_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

int gw_thread_filter_load(const uint8_t *program, uint32_t size)
{
    struct sock_fprog fprog = {
        .len = (unsigned short)(size / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)program,     /* the kernel copies it, and writes nothing */
    };

    if (!size)
        return 0;
    if (size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > BPF_MAXINSNS)
        return -EINVAL;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &fprog) ? -errno : 0;
}
