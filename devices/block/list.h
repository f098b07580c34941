/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in order, linked by their next. All zero is empty. */
#ifndef BANTAM_DEVICES_BLOCK_LIST_H
#define BANTAM_DEVICES_BLOCK_LIST_H

#include "devices/block/blk.h"

struct blk_list {
	struct blk_request *head, *tail;
};

static inline void blk_list_add(struct blk_list *list, struct blk_request *req)
{
	req->next = NULL;
	if (list->head)
		list->tail->next = req;
	else
		list->head = req;
	list->tail = req;
}

/* NULL when it is empty. */
static inline struct blk_request *blk_list_pop(struct blk_list *list)
{
	struct blk_request *req = list->head;

	if (req)
		list->head = req->next;
	return req;
}

/*
 * Calls done for all of them, and not for what is added meanwhile, which the list has afterwards.
 * Returns how many they were.
 */
static inline unsigned int blk_list_deliver(struct blk_list *list)
{
	struct blk_list now = *list;
	struct blk_request *req;
	unsigned int count = 0;

	list->head = NULL;
	while ((req = blk_list_pop(&now)) != NULL) {
		req->done(req, req->error);
		count++;
	}
	return count;
}

/* Appends all of from, which is empty afterwards. */
static inline void blk_list_move(struct blk_list *list, struct blk_list *from)
{
	if (!from->head)
		return;
	if (list->head)
		list->tail->next = from->head;
	else
		list->head = from->head;
	list->tail = from->tail;
	from->head = NULL;
}

#endif
