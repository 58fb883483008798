/* SPDX-License-Identifier: MIT */
#include "head.h"

#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "save.h"

/* The first try reads so many bytes, the next ones more. */
enum { FIRST_READ = 256 << 10 };

int head_read(const struct field *root, int fd, uint64_t offset, uint64_t file_size,
	      struct container **out, uint64_t *sum, struct error *e)
{
	uint64_t left = offset < file_size ? file_size - offset : 0;
	uint64_t n = left < FIRST_READ ? left : FIRST_READ;
	uint8_t *bytes;
	int err;

	for (;; n = n < left / 4 ? n * 4 : left) {
		bytes = malloc(n ? n : 1);
		if (!bytes)
			return error_set(e, ENOMEM, "out of memory");
		err = io_read(fd, bytes, n, offset);
		if (err) {
			free(bytes);
			return error_set(e, -err, "cannot read the container: %s", strerror(-err));
		}
		err = container_decode(root, bytes, n, offset, out, e);
		if (!err && sum)
			*sum = save_sum(0, bytes, container_size(*out));
		if (!err)
			return 0;
		free(bytes);
		if (err != -ERR_TRUNCATED || n == left)
			return err;
	}
}
