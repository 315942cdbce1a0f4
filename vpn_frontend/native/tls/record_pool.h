/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory for records. wolfSSL takes a buffer for each record that it opens or seals and gives it back with the record. These
 * buffers are larger than what malloc keeps at hand for a thread (1 032 bytes in glibc 2.36), so that each would be looked for in
 * the heap, split off and merged again. A worker keeps a few of one size instead.
 */
#ifndef VPN_FRONTEND_RECORD_MEMORY_H
#define VPN_FRONTEND_RECORD_MEMORY_H

#define GW_RECORD_BLOCK 4096u       /* bytes: a record of an MTU of 1 500, and the 500 that wolfSSL adds for DTLS */
#define GW_RECORD_BLOCKS 4u         /* kept by a thread: one to open from, one to seal into, and as many partial records */

/* Makes wolfSSL allocate here. Calling it again has no effect. */
void gw_record_pool_init(void);
/* Between these two the calling thread keeps blocks; the end frees them. */
void gw_record_pool_begin(void);
void gw_record_pool_end(void);
/* Around the making of what outlives a record: wolfSSL's object holds 2 064 bytes as long as it lives, and would hold a block. */
void gw_record_pool_suspend(void);
void gw_record_pool_resume(void);

#endif
