/* SPDX-License-Identifier: MIT */
/* smsnap get: contents of files in the tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "tree.h"
#include "vmcore.h"

enum { PIECE = 1 << 20 };

static int write_out(const void *bytes, size_t n)
{
	return fwrite(bytes, 1, n, stdout) == n ? 0 : -EIO;
}

static int print_ram(struct ram *ram)
{
	uint64_t at, size = ram_size(ram);
	char *piece = malloc(PIECE);
	int err = piece ? 0 : -ENOMEM;

	for (at = 0; !err && at < size; at += PIECE) {
		size_t n = size - at < PIECE ? size - at : PIECE;

		err = ram_read(ram, piece, n, at);
		if (!err && write_out(piece, n))
			break; /* printed() tells */
	}
	free(piece);
	return err;
}

/* The core, as smsnap vmcore writes it. */
static int print_core(struct snapshot *s)
{
	struct guest_memory memory = guest_memory_of(snapshot_container(s), snapshot_ram(s));
	struct guest_kernel k;
	struct vmcore v;
	int err = guest_kernel_find(&k, &memory, NULL);

	if (err == -ENOMEM)
		return err;
	err = vmcore_make(&v, snapshot_container(s), &memory, err ? NULL : &k, NULL);
	guest_kernel_free(&k);
	if (err)
		return err;
	if (!write_out(v.head, v.head_size))
		err = print_ram(memory.ram);
	vmcore_free(&v);
	return err;
}

static int print_entry(struct snapshot *s, struct tree_entry entry)
{
	struct buffer out = { 0 };
	int err;

	if (tree_is_directory(s, entry))
		return -EISDIR;
	if (entry.kind == TREE_RAM)
		return print_ram(snapshot_ram(s));
	if (entry.kind == TREE_VMCORE)
		return print_core(s);
	err = tree_show(s, entry, &out);
	if (!err)
		write_out(out.bytes, out.size);
	buffer_free(&out);
	return err;
}

static int get(const struct arguments *a)
{
	struct tree_entry entry;
	struct snapshot *s = NULL;
	struct arguments how = *a;
	int i, err = 0, status;

	for (i = 1; i < a->count; i++)
		if (tree_reads_ram(a->operands[i]))
			how.base_use = BASE_WANTED;
	status = command_open(a->operands[0], &how, SNAPSHOT_LOOK, &s);
	for (i = 1; !status && i < a->count; i++) {
		err = tree_find(s, a->operands[i], &entry);
		if (!err)
			err = print_entry(s, entry);
		if (err)
			status = complain(WRONG_INPUT, "%s: %s: %s", a->operands[0], a->operands[i],
					  strerror(-err));
		else
			status = printed();
	}
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_get = {
	.name = "get",
	.operands = "SNAPSHOT PATH...",
	.least = 2,
	.most = -1,
	.summary = "print files of a snapshot's tree",
	.help = "PATH is one of the tree that smfs mounts, with or without a leading slash.\n"
		"What is printed is what the file of a mount would hold.\n",
	.options = options,
	.run = get,
};
