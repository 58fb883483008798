/* SPDX-License-Identifier: MIT */
/*
 * The container's format as data (docs/format.md, "Container").
 *
 * The tables in format.c are the only place that knows a record's structure.
 * Decoding, encoding, the names in the tree, text and JSON interpret them, so
 * that a new field, or another encoding of a record, is an edit of a row.
 */
#ifndef SMFS_FORMAT_H
#define SMFS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind {
	END,     /* closes a list of rows */
	UINT,    /* SIZE little-endian bytes */
	BYTES,   /* SIZE bytes */
	STRING,  /* u32 count, then that many bytes of UTF-8, at most SIZE */
	BLOB,    /* u32 count, then that many bytes, at most SIZE */
	LIST,    /* u32 count, then that many of the row OF */
	OPTION,  /* u8 presence, 0 or 1, then the row OF if it is 1 */
	RECORD,  /* the rows OF, one after the other */
	VARIANT, /* u8 tag, then the rows of that one of CHOICES */

	/* Views have no bytes of their own, they show those of their parent. */
	TAG, /* the word of a VARIANT's tag */
	RAW, /* a RECORD or VARIANT as it is encoded */
};

/* How a UINT is shown.  Every form is read in decimal and in hexadecimal. */
enum base {
	DEC,
	HEX,
	SIZE, /* decimal; read with a suffix K, M, G or T as well */
};

enum access {
	RW,
	RO,
	SECRET, /* edited as RW is, and private to whoever mounted */
};

struct field {
	enum kind kind;
	const char *name;   /* in the tree; null for the row of a list or option */
	uint32_t size;      /* bytes, see enum kind */
	enum base base;     /* UINT */
	enum access access; /* leaves: whether the tree lets it be edited */
	uint64_t limit;     /* UINT: values from here on are malformed; 0: none are */
	const char *const *words;    /* UINT: shown as a word, value by value; ends
	                                with null, values past it are malformed */
	const struct field *of;      /* LIST, OPTION, RECORD */
	const struct field *views;   /* RECORD, VARIANT: their views, or null */
	const struct choice *choices; /* VARIANT, TAG: by tag; ends with a null
	                                 name, tags past it are malformed */
	const char *doc;    /* leaves: what a person reads about it */
};

struct choice {
	const char *name;
	const struct field *of;
};

/* The row of the whole container, a RECORD. */
extern const struct field format_container;

/* The greatest number of bytes in a string and in a blob. */
enum { FORMAT_STRING_MAX = 65536, FORMAT_BLOB_MAX = 16 << 20 };

/*
 * The word that a device's kind has for VIRTIO_ID, a device id of the virtio
 * specification (docs/format.md, "Device record").
 */
const char *format_device_kind(uint32_t virtio_id);

#endif
