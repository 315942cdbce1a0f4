/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A seccomp filter for one thread.
 */
#ifndef VPN_FRONTEND_THREAD_FILTER_H
#define VPN_FRONTEND_THREAD_FILTER_H

#include <stdint.h>

/* Puts the calling thread under `program`, an array of struct sock_filter of `size` bytes; 0 bytes: nothing is done. Requires
 * no_new_privs. Returns 0 or a negative errno. */
int gw_thread_filter_load(const uint8_t *program, uint32_t size);

#endif
