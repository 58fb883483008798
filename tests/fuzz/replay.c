/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on files: those given and those in folders given, or else what
 * the tree has for it, in corpus/ and in findings/.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static unsigned count;

static bool run_file(const char *path)
{
	struct buffer input = { 0 };
	char part[4096];
	FILE *f = fopen(path, "rbe");
	size_t n;

	while (f && (n = fread(part, 1, sizeof(part), f)) > 0)
		buffer_add(&input, part, n);
	if (!f || ferror(f)) {
		perror(path);
		return false;
	}
	fclose(f);
	/* To be seen if it aborts. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(input.size ? input.bytes : (const uint8_t *)"", input.size);
	buffer_free(&input);
	count++;
	return true;
}

static bool run_path(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char file[4096];
	bool good = true;

	if (!folder)
		return run_file(path);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		good &= run_file(file);
	}
	closedir(folder);
	return good;
}

static bool run_tree(const char *target)
{
	static const char *const folders[] = { "corpus", "findings" };
	const char *top = getenv("srcdir");
	char path[4096];
	bool good = true;
	DIR *folder;
	size_t i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/tests/fuzz/%s/%s", top ? top : ".", folders[i],
			 target);
		folder = opendir(path);
		if (!folder && i == 0)
			perror(path);
		if (folder) {
			closedir(folder);
			good &= run_path(path);
		}
	}
	return good;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '-');
	bool good = true;
	int i;

	if (argc == 1)
		good = name && run_tree(name + 1);
	for (i = 1; i < argc; i++)
		good &= run_path(argv[i]);
	printf("%u inputs\n", count);
	return good && count ? EXIT_SUCCESS : EXIT_FAILURE;
}
