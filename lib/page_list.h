/* SPDX-License-Identifier: MIT */
/*
 * The pages that a differential snapshot lists, by their place in RAM (docs/format.md,
 * "Page list").  What is kept in memory is where each stands, not what is in it.
 */
#ifndef SMFS_PAGE_LIST_H
#define SMFS_PAGE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Bytes of a listed page, and of its entry, which its index is before. */
enum { LISTED_PAGE = 4096, LIST_ENTRY = 4 + LISTED_PAGE };

struct page_list;

/*
 * Index the COUNT entries at OFFSET of FD, a file of FILE_LEN bytes, which the caller may
 * close, for RAM of MEM_SIZE bytes.  *OUT is the caller's, to close.  -ERR_TRUNCATED where
 * the file has not that many, -ERR_MALFORMED for a page that RAM does not have, -EIO, -ENOMEM.
 */
int page_list_open(int fd, uint64_t offset, uint64_t count, uint64_t file_len, uint64_t mem_size,
		   struct page_list **out, struct error *e);

/* L may be null. */
void page_list_close(struct page_list *l);

/* The same entries are now at OFFSET of FD.  On failure all stays as it was.  Nothing else may run. */
int page_list_move(struct page_list *l, int fd, uint64_t offset, struct error *e);

/* How many pages are listed; one that is repeated counts once. */
size_t page_list_count(const struct page_list *l);

/* The number, among those that are listed, of the first page that is PAGE or after it. */
size_t page_list_find(const struct page_list *l, uint64_t page);

/* Which page the listed one NUMBER is; UINT64_MAX past the last. */
uint64_t page_list_page(const struct page_list *l, size_t number);

/*
 * Copy N bytes of the listed page NUMBER, from byte FROM of it on.  False if they are not
 * there any more.  They are read and not mapped: what is looked at in a large diff would
 * stay in our memory.
 */
bool page_list_copy(const struct page_list *l, size_t number, void *to, size_t from, size_t n);

#endif
