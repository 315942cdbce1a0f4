/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Doubly linked lists through the members `previous` and `next` of their elements. `head` is an lvalue: the first element, or
 * NULL. An element is on one such list at a time. Adding and removing take constant time.
 */
#ifndef VPN_FRONTEND_LIST_H
#define VPN_FRONTEND_LIST_H

#include <stddef.h>

/* Adds `item` at the front. */
#define GW_LIST_ADD(head, item)                 \
    do {                                        \
        (item)->previous = NULL;                \
        (item)->next = (head);                  \
        if (head)                               \
            (head)->previous = (item);          \
        (head) = (item);                        \
    } while (0)

/* Removes `item`, which must be on the list. */
#define GW_LIST_REMOVE(head, item)              \
    do {                                        \
        if ((item)->previous)                   \
            (item)->previous->next = (item)->next; \
        else                                    \
            (head) = (item)->next;              \
        if ((item)->next)                       \
            (item)->next->previous = (item)->previous; \
    } while (0)

#endif
