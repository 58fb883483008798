/* SPDX-License-Identifier: MIT */
#include "inode.h"

#include <assert.h>

#include "class.h"
#include "computed.h"

/*
 * Inode numbers are computed: a place of the schema in the upper bits and an
 * offset, of 52 bits, in the lower ones name a node; numbers that are no places name
 * what is no node.
 */
enum {
	PLACE_SHIFT = 52,
	PLACE_SIDECAR = SCHEMA_MAX, /* and a number for each place of each */
	SIDECAR_PLACES = 64,
	PLACE_COMPUTED = PLACE_SIDECAR + SIDECARS * SIDECAR_PLACES, /* and a number for each row */
	PLACE_GUEST = 0xffc,
	PLACE_VMCORE,
	PLACE_RAM,
	PLACE_TEMP,
};
static_assert(PLACE_TEMP == 0xfff && (int)PLACE_COMPUTED + (int)COMPUTED_MAX <= (int)PLACE_GUEST,
	      "these are different numbers");

/*
 * What the kernel was told stays true until it is told otherwise, or changes it
 * by a call of its own.  Some things change behind its back (file_class), and are asked
 * for each time, as names of temporaries are.
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

fuse_ino_t vmcore_ino(void)
{
	return (fuse_ino_t)PLACE_VMCORE << PLACE_SHIFT;
}

fuse_ino_t guest_ino(unsigned i)
{
	return ((fuse_ino_t)PLACE_GUEST << PLACE_SHIFT) + i;
}

bool is_vmcore(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_VMCORE;
}

bool is_guest(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_GUEST;
}

bool is_node(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT < PLACE_SIDECAR;
}

unsigned guest_number(fuse_ino_t ino)
{
	return (unsigned)ino_offset(ino);
}

bool is_ram(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_RAM;
}

bool is_temp(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT == PLACE_TEMP;
}

fuse_ino_t computed_ino(unsigned row, struct node dir)
{
	return ((fuse_ino_t)(PLACE_COMPUTED + row) << PLACE_SHIFT) + dir.offset;
}

bool is_computed(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT >= PLACE_COMPUTED && ino >> PLACE_SHIFT < PLACE_GUEST;
}

unsigned ino_computed(fuse_ino_t ino)
{
	return (unsigned)(ino >> PLACE_SHIFT) - PLACE_COMPUTED;
}

uint64_t ino_offset(fuse_ino_t ino)
{
	return ino & ((UINT64_C(1) << PLACE_SHIFT) - 1);
}

uint64_t temp_id(fuse_ino_t ino)
{
	return ino_offset(ino);
}

struct node ino_node(fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return container_root();
	return (struct node){ (unsigned)(ino >> PLACE_SHIFT), ino_offset(ino) };
}

fuse_ino_t sidecar_ino(unsigned i, struct node n)
{
	assert(n.place < SIDECAR_PLACES);
	if (n.place == 0)
		i = 0;
	return ((fuse_ino_t)(PLACE_SIDECAR + i * SIDECAR_PLACES + n.place) << PLACE_SHIFT) + n.offset;
}

bool is_sidecar(fuse_ino_t ino)
{
	return ino >> PLACE_SHIFT >= PLACE_SIDECAR && ino >> PLACE_SHIFT < PLACE_COMPUTED;
}

unsigned ino_sidecar(fuse_ino_t ino)
{
	return (unsigned)((ino >> PLACE_SHIFT) - PLACE_SIDECAR) / SIDECAR_PLACES;
}

struct node ino_sidecar_node(fuse_ino_t ino)
{
	return (struct node){ (unsigned)((ino >> PLACE_SHIFT) - PLACE_SIDECAR) % SIDECAR_PLACES,
			      ino_offset(ino) };
}

int inode_stat(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	int err;

	*st = (struct stat){
		.st_ino = ino, .st_nlink = 1, .st_uid = fs->uid, .st_gid = fs->gid,
		.st_blksize = BLOCK_SIZE, .st_mtim = fs->mtime
	};
	err = class_of(ino)->stat(fs, ino, st);
	st->st_ctim = st->st_atim = st->st_mtim;
	return err;
}

double attr_timeout(struct fs *fs, fuse_ino_t ino)
{
	return class_of(ino)->changes(fs, ino) ? 0 : FOR_EVER;
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
