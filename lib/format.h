/* SPDX-License-Identifier: MIT */
/*
 * The snapshot's format as data (docs/format.md).
 *
 * A snapshot begins with its head: a header, which differs from layout to
 * layout, and the container.  The tables in format.c are the only place that
 * knows a record's structure.
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
	BLOB,    /* u32 count, then that many bytes, at most SIZE; what they mean is shown
	            beside it where they are one of its STATES */
	TEXT,    /* u32 count, then that many bytes of any kind, at most SIZE, which are
	            shown as a text */
	LIST,    /* a count of SIZE bytes, 4 or 8, then that many of the row OF; or TIMES
	            of them, always */
	MAP,     /* entries, RECORDs OF a u32 that is the entry's id, and, last, its value:
	            shown is the value of the last entry with an id, under the id's name;
	            how many there are, the UINT that is COUNTED rows before it says */
	OPTION,  /* u8 presence, 0 or 1, then SIZE bytes if it is 1 */
	MAGIC,   /* the SIZE bytes at MAGIC and no others; never shown */
	RECORD,  /* the rows OF, one after the other; without a name they are shown
	            as the rows of the record around it */
	STRUCT,  /* SIZE bytes, in which each of the rows OF stands AT its offset */
	VARIANT, /* u8 tag, then the rows of that one of CHOICES */

	/* Views have no bytes of their own, they show those of their parent. */
	TAG,  /* the word of a VARIANT's tag */
	RAW,  /* a RECORD or VARIANT as it is encoded */
	WORD, /* the first of WORDS, always */
};

/* How a UINT is shown.  Every form is read in decimal and in hexadecimal. */
enum base {
	DEC,
	HEX,
	SIZE, /* decimal; read with a suffix K, M, G or T as well */
	BOOL, /* 0, or 1 for every other value */
};

enum access {
	RW,
	RO,
	SECRET, /* edited as RW is, and private to whoever mounted */
};

struct buffer;
struct container;
struct node;
struct value;

/*
 * What the value V of a leaf with a follower means on this host, appended to OUT: 0 or -ENOMEM.
 * It asks the file system, which may take as long as that likes: no lock is held.
 */
typedef int resolve_hook(const struct value *v, struct buffer *out);

/*
 * What the blob BLOB, which has the value V, is to become where a leaf that it follows gets a
 * value that means RESOLVED, appended to OUT: 0 or a negative errno.
 */
typedef int follow_hook(const struct container *c, struct node blob, const struct value *v,
			const struct value *resolved, struct buffer *out);

struct field {
	enum kind kind;
	const char *name;   /* in the tree; null for the row of a list or map, and for a
	                       leaf that is not shown, which is built as zeros */
	uint32_t size;      /* bytes, see enum kind */
	enum base base;     /* UINT */
	enum access access; /* leaves: whether the tree lets it be edited */
	uint64_t only;      /* UINT: any other value is malformed; 0: none is */
	uint32_t most;      /* UINT: any greater value is malformed; 0: none is */
	uint64_t none;      /* UINT: the value that is shown as the word none; 0: there
	                       is no such value */
	uint32_t shown;     /* UINT: of any other, its low so many bytes count; 0: all */
	bool at_end;        /* UINT among views: it shows the last SIZE bytes of the head */
	uint32_t at;        /* in a STRUCT: bytes before it */
	uint32_t times;     /* LIST, MAP: how many there always are; 0: their count says.
	                       Of a map the count says how many of these are shown */
	uint32_t counted;   /* MAP */
	const struct id_name *names; /* MAP: of ids; ends with a null name.  Others are 0x
	                       and hexadecimal digits, ... */
	const char *prefix; /* ... or, where this is not null, this and decimal digits */
	const char *magic;  /* MAGIC; the RECORD of a state: SIZE bytes that it begins with */
	unsigned machines;  /* the RECORD of a head: what its blobs may hold */
	const char *const *words;    /* UINT, WORD: shown as a word, value by value; ends
	                                with null, values past it are malformed */
	const struct field *of;      /* LIST, MAP, RECORD, STRUCT */
	const struct field *views;   /* RECORD, VARIANT: their views, or null */
	const struct choice *choices; /* VARIANT, TAG: by tag; ends with a null
	                                 name, tags past it are malformed */
	const struct state_row *states;   /* BLOB: what it may hold, the first that fits to its
	                                 last byte; ends with a null row; or null */
	const char *follower; /* a leaf's: the RECORD after it whose blob is edited with it, ... */
	resolve_hook *resolve; /* ... by what it means ... */
	follow_hook *follow;   /* ... and how */
	const char *doc;    /* leaves: what a person reads about it */
};

struct choice {
	const char *name;
	const struct field *of;
};

struct id_name {
	uint32_t id;
	const char *name;
};

/* Whose states a snapshot has. */
enum { MACHINE_KVM = 1, MACHINE_HVF = 2, MACHINE_ANY = 3 };

struct state_row {
	unsigned machines;     /* that have it */
	const struct field *of; /* a RECORD */
};

/* What vCPUs, interrupt controllers and shares may hold, for the rows of the container. */
extern const struct field state_kvm_vcpu, state_kvm_intc; /* format_kvm.c */
extern const struct field state_hvf_vcpu;                 /* format_hvf.c */
extern const struct field state_share, state_share_1, state_dax; /* format_fuse.c */

/* The rows of whole heads, RECORDs, by layout: a header and the container. */
extern const struct field format_kvm, format_kvm_diff, format_hvf, format_bare;

/* Those of the files beside an hvf snapshot, RECORDs as well (format_sidecar.c). */
extern const struct field format_posixfs, format_dax, format_smpark;

/* The numbers of the formats that are read: in KVM's and hvf's magic, and hvf's version. */
enum { FORMAT_KVM_NUMBER = 7, FORMAT_HVF_MAGIC = 10, FORMAT_HVF_VERSION = 11 };

/* The greatest number of bytes in a string and in a blob. */
enum { FORMAT_STRING_MAX = 65536, FORMAT_BLOB_MAX = 16 << 20 };

#endif
