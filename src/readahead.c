/* SPDX-License-Identifier: MIT */
#include "readahead.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The device number, as "MAJOR:MINOR", of the last mount on MOUNTPOINT. */
static bool find_device(const char *mountpoint, char device[32])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char number[32], *line = NULL, *path;
	bool found = false;
	size_t room = 0;

	while (f && getline(&line, &room, f) > 0) {
		/* id, parent, device, root, mount point; blanks in paths are escaped */
		if (sscanf(line, "%*s %*s %31s %*s %ms", number, &path) != 2)
			continue;
		if (strcmp(path, mountpoint) == 0) {
			strcpy(device, number);
			found = true;
		}
		free(path);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

void readahead_set(const char *mountpoint, unsigned kib)
{
	char device[32], path[80];
	FILE *f;

	if (find_device(mountpoint, device)) {
		snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
		f = fopen(path, "we");
		if (f) {
			fprintf(f, "%u", kib);
			fclose(f);
		}
	}
}
