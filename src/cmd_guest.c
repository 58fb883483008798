/* SPDX-License-Identifier: MIT */
/* smsnap guest: what the guest's Linux tells of itself. */
#include <stdio.h>

#include "command.h"
#include "guest.h"

/* Their names, each after a blank, in LIST, which it returns. */
static const char *list_files(char *list, size_t size)
{
	const struct guest_file *f;
	size_t used = 0;

	for (f = guest_files; f->name && used < size; f++)
		used += (size_t)snprintf(list + used, size - used, " %s", f->name);
	return list;
}

static int guest(const struct arguments *a)
{
	const struct guest_file *f = guest_file_named(a->operands[0]);
	const char *path = a->operands[1];
	struct buffer out = { 0 };
	struct guest_memory memory;
	struct error e = { 0 };
	struct snapshot *s;
	char list[256];
	int status;

	if (!f)
		return complain(WRONG_USAGE, "guest: %s: there is no such file, only%s", a->operands[0],
				list_files(list, sizeof(list)));
	status = command_open(path, a, SNAPSHOT_LOOK, &s);
	if (status)
		return status;
	memory = guest_memory_of(snapshot_container(s), snapshot_ram(s));
	if (guest_file_read(f, &memory, &out, &e)) {
		status = complain(WRONG_INPUT, "%s: %s: %s", path, f->name, e.text);
	} else {
		fwrite(out.bytes, 1, out.size, stdout);
		status = printed();
	}
	buffer_free(&out);
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_guest = {
	.name = "guest",
	.operands = "WHAT SNAPSHOT",
	.least = 2,
	.most = 2,
	.summary = "print what the guest's Linux tells of itself",
	.help = "WHAT is a file of the mount's folder guest: vmcoreinfo, banner, release,\n"
		"cmdline, kaslr, dmesg, kallsyms, tasks.  cmdline and dmesg may hold the token.\n",
	.options = options,
	.base_use = BASE_WANTED,
	.run = guest,
};
