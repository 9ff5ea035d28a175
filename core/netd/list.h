/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Doubly linked lists through a member of what is listed. A head points to itself when empty; so does a member in no list. */
#ifndef NETD_LIST_H
#define NETD_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct list { struct list *prev, *next; };
#define LIST_INIT(l) { &(l), &(l) }

static inline void list_init(struct list *l) { l->prev = l->next = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_del(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}
/* Puts l, which is in no list, at the end. */
static inline void list_add(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/* The entry of type at the front; only where the list is not empty. */
#define LIST_FIRST(head, type, member) CONTAINER_OF((head)->next, type, member)
/* The current entry may be taken out, and nothing else. */
#define LIST_EACH(at, after, head) \
	for (struct list *at = (head)->next, *after = at->next; at != (head); at = after, after = at->next)

#endif
