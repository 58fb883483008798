/* SPDX-License-Identifier: MIT */
#include "inode.h"

/*
 * Inode numbers are computed: a place of the schema in the upper bits and an
 * offset in the lower ones name a node; two numbers that are no places name
 * RAM and the temporaries.
 */
enum { PLACE_SHIFT = 48, PLACE_RAM = 0x1000, PLACE_TEMP = 0x1001 };

/*
 * What the kernel was told stays true until it is told otherwise, or changes it
 * by a call of its own.  Some things change behind its back, and are asked for each
 * time: raw views, RAM that is passed through, and names of temporaries.
 */
static const double FOR_EVER = 1e9;

/* stdio writes in pieces of this size: a string must come in one. */
enum { BLOCK_SIZE = 128 << 10 };

fuse_ino_t node_ino(struct node n)
{
	return n.place == 0 ? FUSE_ROOT_ID : ((fuse_ino_t)n.place << PLACE_SHIFT) + n.offset;
}

fuse_ino_t temp_ino(uint64_t id)
{
	return ((fuse_ino_t)PLACE_TEMP << PLACE_SHIFT) + id;
}

fuse_ino_t ram_ino(const struct fs *fs)
{
	return ((fuse_ino_t)PLACE_RAM << PLACE_SHIFT) + fs->ram_renewals;
}

bool is_ram(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_RAM;
}

bool is_temp(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_TEMP;
}

uint64_t temp_id(fuse_ino_t ino)
{
	return ino & ((UINT64_C(1) << PLACE_SHIFT) - 1);
}

struct node ino_node(fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return container_root();
	return (struct node){ (unsigned)(ino >> PLACE_SHIFT),
			      ino & ((UINT64_C(1) << PLACE_SHIFT) - 1) };
}

static mode_t file_mode(const struct fs *fs, enum access access, bool fixed)
{
	mode_t mode = 0666 & ~fs->umask;

	if (fs->read_only || access == RO || fixed)
		mode &= 0444;
	if (access == SECRET)
		mode &= 0600;
	return S_IFREG | mode;
}

static mode_t directory_mode(const struct fs *fs)
{
	return S_IFDIR | ((0777 & ~fs->umask) & (fs->read_only ? 0555 : 0777));
}

/* What a kernel that keeps writes back has, nobody knows: then nothing is a hole. */
static uint64_t known_data(struct fs *fs)
{
	return fs->writeback ? ram_size(fs->mount.ram) : ram_stored(fs->mount.ram);
}

static void ram_stat(struct fs *fs, struct stat *st)
{
	st->st_mode = file_mode(fs, RW, false);
	st->st_size = (off_t)ram_size(fs->mount.ram);
	st->st_blocks = (blkcnt_t)((known_data(fs) + 511) / 512);
	ram_mtime(fs->mount.ram, &st->st_mtim);
}

static int node_stat(struct fs *fs, struct node n, struct stat *st)
{
	uint64_t size;
	int err;

	if (container_is_directory(fs->mount.container, n)) {
		st->st_mode = directory_mode(fs);
		return 0;
	}
	err = files_stat(&fs->files, n, &size, &st->st_mtim);
	if (err)
		return err;
	st->st_mode = file_mode(fs, container_row(fs->mount.container, n)->access, fs->writeback);
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	return 0;
}

static void temp_attributes(const struct temp_stat *temp, struct stat *st)
{
	st->st_mode = S_IFREG | 0600;
	st->st_size = (off_t)temp->size;
	st->st_blocks = (blkcnt_t)((temp->size + 511) / 512);
	st->st_mtim = temp->changed;
}

int inode_stat(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	struct temp_stat temp;
	int err = 0;

	*st = (struct stat){
		.st_ino = ino, .st_nlink = 1, .st_uid = fs->uid, .st_gid = fs->gid,
		.st_blksize = BLOCK_SIZE, .st_mtim = fs->mtime
	};
	if (is_ram(ino)) {
		ram_stat(fs, st);
	} else if (is_temp(ino)) {
		err = temps_stat(&fs->temps, temp_id(ino), &temp);
		if (!err)
			temp_attributes(&temp, st);
	} else {
		err = node_stat(fs, ino_node(ino), st);
	}
	st->st_ctim = st->st_atim = st->st_mtim;
	return err;
}

/* A raw view changes with other files. */
static bool is_raw(struct fs *fs, fuse_ino_t ino)
{
	return !is_ram(ino) && !is_temp(ino) &&
	       container_row(fs->mount.container, ino_node(ino))->kind == RAW;
}

double attr_timeout(struct fs *fs, fuse_ino_t ino)
{
	bool changes = is_ram(ino) ? fs->passthrough.backing != 0 : is_raw(fs, ino);

	return changes ? 0 : FOR_EVER;
}

int fill_entry(struct fs *fs, fuse_ino_t ino, struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){
		.ino = ino,
		.attr_timeout = attr_timeout(fs, ino),
		.entry_timeout = is_temp(ino) || (is_ram(ino) && fs->writeback) ? 0 : FOR_EVER,
	};
	return inode_stat(fs, ino, &entry->attr);
}
