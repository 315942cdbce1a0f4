/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Buffers for records. wolfSSL allocates one for each record that it opens or seals, and frees it with the record. They exceed
 * what malloc caches per thread (1 032 bytes in glibc 2.36), so malloc would split and merge the heap for each. Instead each worker
 * keeps a few blocks of one size.
 */
#ifndef VPN_FRONTEND_RECORD_POOL_H
#define VPN_FRONTEND_RECORD_POOL_H

#define GW_RECORD_BLOCK 4096u       /* bytes: a record of an MTU of 1 500, and the 500 that wolfSSL adds for DTLS */
#define GW_RECORD_BLOCKS 4u         /* kept by a thread: one to open from, one to seal into, and as many partial records */

/* Sets wolfSSL's allocators. Calling it again has no effect. */
void gw_record_pool_init(void);
/* The calling thread keeps blocks between these two; the second frees them. */
void gw_record_pool_begin(void);
void gw_record_pool_end(void);
/* Between these two no block is given out. For the making of a WOLFSSL object: it holds 2 064 bytes for its whole life. */
void gw_record_pool_suspend(void);
void gw_record_pool_resume(void);

#endif
