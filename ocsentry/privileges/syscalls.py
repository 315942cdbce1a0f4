# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls that each kind of thread may make after the start. Everything else is refused.

Names are those of Linux on x86-64 and arm64; one that an architecture lacks is passed over. Calls with conditions on
their arguments are in ``filters``.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


THREAD = _names(
    """
    futex futex_waitv set_robust_list get_robust_list rseq sched_yield exit exit_group restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack
    getpid gettid getrandom getcpu clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times
    brk munmap mremap madvise membarrier
    """
)

STREAMS = _names(
    """
    read write readv writev close fstat lseek poll ppoll select pselect6
    epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    accept accept4 recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg shutdown
    getsockname getpeername getsockopt setsockopt
    """
)

FILES = _names(
    """
    open openat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64 getcwd
    statfs fstatfs pread64 preadv pwrite64 pwritev ftruncate fsync fdatasync fallocate fadvise64 flock
    mkdir mkdirat unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat fchown utimensat umask
    dup dup2 dup3 fcntl pipe2 eventfd2 sendfile copy_file_range
    inotify_init1 inotify_add_watch inotify_rm_watch
    """
)

PROCESS = _names(
    """
    getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp uname sysinfo getrusage
    sched_getaffinity wait4 waitid set_tid_address
    """
)

NETWORK = _names("connect bind listen")  # TCP ports are Landlock's; `socket` is in filters

TIMERS = frozenset(["timerfd_create", "timerfd_settime"])

MAIN = THREAD | STREAMS | FILES | PROCESS | NETWORK | TIMERS
WORKER = (THREAD | STREAMS | TIMERS) - _names("accept poll ppoll select pselect6 epoll_create1 timerfd_create")
HELPER = (THREAD | STREAMS | FILES | PROCESS | frozenset(["bind"])) - _names(
    """
    accept accept4 mkdir mkdirat unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat fchown
    inotify_init1 inotify_add_watch inotify_rm_watch sendfile copy_file_range wait4 waitid
    """
)

SIGNER = THREAD | _names("read write close fstat recvfrom recvmsg sendto sendmsg geteuid")

FORBIDDEN = _names(
    """
    execve execveat fork vfork ptrace process_vm_readv process_vm_writev process_madvise kcmp
    mount umount2 pivot_root chroot swapon swapoff reboot unshare setns bpf perf_event_open userfaultfd
    init_module finit_module delete_module kexec_load kexec_file_load keyctl add_key request_key
    setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset
    kill tkill rt_sigqueueinfo rt_tgsigqueueinfo personality iopl ioperm acct quotactl nfsservctl
    settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname syslog vhangup
    mknod mknodat open_by_handle_at name_to_handle_at memfd_create
    """
)  # never in one of the lists above; a test holds that
