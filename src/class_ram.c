/* SPDX-License-Identifier: MIT */
/* The file ram. */
#include <fcntl.h>

#include "class.h"
#include "inode.h"

/* What a kernel that keeps writes back has, nobody knows: then nothing is a hole. */
static uint64_t known_data(struct fs *fs)
{
	return fs->writeback ? ram_size(fs->mount.ram) : ram_stored(fs->mount.ram);
}

static int stat_ram(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	(void)ino;
	st->st_mode = class_mode(fs, RW);
	st->st_size = (off_t)ram_size(fs->mount.ram);
	st->st_blocks = (blkcnt_t)((known_data(fs) + 511) / 512);
	ram_mtime(fs->mount.ram, &st->st_mtim);
	return 0;
}

/* What is passed through does. */
static bool changes(struct fs *fs, fuse_ino_t ino)
{
	(void)ino;
	return fs->passthrough.backing != 0;
}

static int open_ram(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char text[sizeof(fs->passthrough.error.text) + 64];

	(void)ino;
	if (fi->flags & O_TRUNC)
		return -EPERM;
	if (passthrough_decide(&fs->passthrough, req, fs->mount.snapshot) && fs->mount.verbose) {
		passthrough_describe(&fs->passthrough, text, sizeof(text));
		fs->mount.report(text);
	}
	if (passthrough_open(&fs->passthrough, fi))
		return 0;
	/* Only the kernel's own writes change RAM: what it has cached is right. */
	fi->keep_cache = !fs->ram_direct;
	fi->direct_io = fs->ram_direct;
	return 0;
}

/*
 * The kernel copies from the mapping itself.  Where the file has been cut short
 * under it, it ends the request with EIO.
 */
static void reply_pieces(void *req, struct iovec *pieces, int count)
{
	fuse_reply_iov(req, pieces, count);
}

static void read_ram(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t offset,
		     const struct fuse_file_info *fi)
{
	struct ram *ram = fs->mount.ram;
	uint64_t left = offset < ram_size(ram) ? ram_size(ram) - offset : 0;
	int err = ram_view(ram, size < left ? size : left, offset, reply_pieces, req);

	(void)ino;
	(void)fi;
	if (err)
		fuse_reply_err(req, -err);
}

/* Write page by page: how many of the SIZE bytes RAM's limit lets in. */
static size_t write_pages(struct ram *ram, const char *bytes, size_t size, uint64_t offset)
{
	size_t done = 0, piece;

	while (done < size) {
		piece = RAM_PAGE - (offset + done) % RAM_PAGE;
		if (piece > size - done)
			piece = size - done;
		if (ram_write(ram, bytes + done, piece, offset + done))
			break;
		done += piece;
	}
	return done;
}

/*
 * Write what fits: RAM does not grow.  A kernel that keeps writes back has told the
 * program that it did, and believes so for good: it is to tell of an error after
 * all, and RAM is another file from now on.
 */
static int write_ram(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		     uint64_t offset, const struct fuse_file_info *fi)
{
	struct ram *ram = fs->mount.ram;
	uint64_t room = offset < ram_size(ram) ? ram_size(ram) - offset : 0;
	bool fits = *size <= room;
	int err;

	(void)ino;
	if (room == 0 && !fs->writeback)
		return -EPERM;
	if (!fits)
		*size = room;
	err = ram_write(ram, bytes, *size, offset);
	vmcore_ram_written(fs, offset, *size);
	/* A part is stored, which a program is told; of a page that it keeps the kernel isn't. */
	if (err == -ENOSPC && !fi->writepage) {
		*size = write_pages(ram, bytes, *size, offset);
		return *size ? 0 : err;
	}
	if (fits || !fs->writeback)
		return err;
	fs->ram_renewals++;
	return -EPERM;
}

static int truncate_ram(struct fs *fs, fuse_ino_t ino, uint64_t size,
			const struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	return size == ram_size(fs->mount.ram) ? 0 : -EPERM;
}

/* What is passed through is refused no write past the end: here it is. */
static int flush_ram(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	return ram_keep_size(fs->mount.ram);
}

static void release_ram(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	(void)fi;
}

static int64_t seek_ram(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	(void)ino;
	return ram_seek(fs->mount.ram, offset, whence);
}

static bool child_ram(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name, fuse_ino_t *ino)
{
	*name = "ram";
	*ino = ram_ino(fs);
	return dir == FUSE_ROOT_ID && fs->mount.ram && i == 0;
}

const struct file_class class_ram = {
	.stat = stat_ram,
	.changes = changes,
	.open = open_ram,
	.read = read_ram,
	.write = write_ram,
	.truncate = truncate_ram,
	.flush = flush_ram,
	.release = release_ram,
	.seek = seek_ram,
	.child = child_ram,
};
