/* SPDX-License-Identifier: MIT */
#include "io.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

int io_read(int fd, void *to, size_t n, uint64_t offset)
{
	uint8_t *p = to;

	while (n > 0) {
		ssize_t done = pread(fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -ENODATA;
		p += done;
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

int io_write(int fd, const void *from, size_t n, uint64_t offset)
{
	const uint8_t *p = from;

	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -EIO;
		p += done;
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
	return 0;
}

static bool is_unsupported(int code)
{
	return code == EOPNOTSUPP || code == EXDEV || code == EINVAL || code == ENOTTY ||
	       code == ENOSYS;
}

int io_clone(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n)
{
	struct file_clone_range range = {
		.src_fd = from, .src_offset = from_offset, .src_length = n,
		.dest_offset = to_offset
	};

	while (ioctl(to, FICLONERANGE, &range) < 0)
		if (errno != EINTR)
			return is_unsupported(errno) ? -EOPNOTSUPP : -errno;
	return 0;
}

int io_truncate(int fd, uint64_t size)
{
	while (ftruncate(fd, (off_t)size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int io_sync(int fd)
{
	while (fsync(fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Copy bytes that are data. */
static int copy_data(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n,
		     void *chunk)
{
	while (n > 0) {
		size_t take = n < CHUNK ? n : CHUNK;
		int err = io_read(from, chunk, take, from_offset);

		if (!err)
			err = io_write(to, chunk, take, to_offset);
		if (err)
			return err;
		from_offset += take;
		to_offset += take;
		n -= take;
	}
	return 0;
}

/* 0 if the file's end is not before SIZE. */
static int has_size(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size < size ? -ENODATA : 0;
}

int io_copy(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n)
{
	uint64_t at = from_offset, end = from_offset + n;
	void *chunk = malloc(n < CHUNK ? n + 1 : CHUNK);
	int err = chunk ? 0 : -ENOMEM;

	while (!err && at < end) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO) {
			err = has_size(from, end);
			break; /* holes up to the end */
		}
		if (data < 0)
			data = (off_t)at; /* a file system that can't tell */
		if ((uint64_t)data >= end)
			break;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole <= data || (uint64_t)hole > end)
			hole = (off_t)end;
		err = copy_data(from, (uint64_t)data, to, to_offset + (uint64_t)data - from_offset,
				(uint64_t)(hole - data), chunk);
		at = (uint64_t)hole;
	}
	free(chunk);
	return err;
}

bool io_is_zero(int fd, uint64_t from, uint64_t to)
{
	uint8_t chunk[1 << 14];
	off_t data;
	size_t take, i;

	for (; from < to; from += take) {
		data = lseek(fd, (off_t)from, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data > 0 && (uint64_t)data > from)
			from = (uint64_t)data;
		if (from >= to)
			break;
		take = to - from < sizeof(chunk) ? to - from : sizeof(chunk);
		if (io_read(fd, chunk, take, from))
			return false;
		for (i = 0; i < take; i++)
			if (chunk[i])
				return false;
	}
	return true;
}

int io_zero(int fd, uint64_t offset, uint64_t n)
{
	static const uint8_t zeros[4096];
	int err = 0;

	while (n > 0 && !err) {
		size_t take = n < sizeof(zeros) ? n : sizeof(zeros);

		err = io_write(fd, zeros, take, offset);
		offset += take;
		n -= take;
	}
	return err;
}

bool io_is_ext4(int fd)
{
	struct statfs st;
	int flags;

	/* The three share a number. */
	return fstatfs(fd, &st) == 0 && st.f_type == EXT4_SUPER_MAGIC &&
	       ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_EXTENT_FL;
}
