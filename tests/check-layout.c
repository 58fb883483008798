/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "save.h"
#include "snapshot.h"

/*
 * Telling layouts apart
 */

/* Detect the layout of the N bytes at BYTES, as a file. */
static int detect(const void *bytes, size_t n, bool bare, const struct layout **out,
		  struct error *e)
{
	char name[] = "/tmp/check-layout-XXXXXX";
	int fd = mkstemp(name), err;

	ck_assert_int_ge(fd, 0);
	unlink(name);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	*e = (struct error){ 0 };
	err = layout_detect(fd, n, bare, out, e);
	close(fd);
	return err;
}

static void check_is(const char *layout, const void *bytes, size_t n, bool bare)
{
	const struct layout *found = NULL;
	struct error e;

	if (detect(bytes, n, bare, &found, &e))
		ck_abort_msg("%s: %s", layout, e.text);
	ck_assert_str_eq(found->name, layout);
	ck_assert_ptr_eq(layout_named(layout), found);
}

static void check_refused(const char *bytes, size_t n, int code, const char *text)
{
	const struct layout *found;
	struct error e;

	ck_assert_int_eq(detect(bytes, n, false, &found, &e), -code);
	ck_assert_str_eq(e.text, text);
	check_is("bare", bytes, n, true);
}

START_TEST(by_magic)
{
	check_is("kvm", "SMSNAP07", 8, false);
	check_is("kvm", "SMSNAP07and more", 16, false);
	check_is("kvm-diff", "SMSNAP7D", 8, false);
	check_is("hvf", "SMSNAP\x0a\0", 8, false);
	check_is("bare", "\1\0\0\0\x20\0\0\0\0", 9, false);
	check_is("bare", "SMSNA", 5, false);
	check_is("bare", "smsnap07", 8, false);
	check_is("bare", "SMSTSNP0", 8, false);
	check_is("bare", "SMSTSNP", 7, false);
	check_is("bare", "", 0, false);
	/* Whoever says that it is bare is believed. */
	check_is("bare", "SMSNAP07", 8, true);
	check_is("bare", "SMSNAP\x0a\0", 8, true);
	ck_assert_ptr_null(layout_named("qcow2"));
	ck_assert_ptr_null(layout_named(""));
}
END_TEST

START_TEST(by_number)
{
	static const struct layout expected[] = {
		{ .name = "kvm", .head = &format_kvm, .find_ram = region_at_ram_offset,
		  .is_base = true, .ram_multiple = 4096, .ram_step = 4096 },
		{ .name = "kvm-diff", .head = &format_kvm_diff, .is_diff = true },
		{ .name = "hvf", .head = &format_hvf, .find_ram = region_at_ram_offset,
		  .ram_multiple = 4096, .ram_step = 16384 },
		/* Only a bare file does not say itself where its RAM is. */
		{ .name = "bare", .head = &format_bare, .find_ram = region_at_end,
		  .offsets_given = true, .ram_multiple = 1, .ram_step = 4096 },
	};
	unsigned i;

	for (i = 0; i < 4; i++) {
		const struct layout *l = layout_number(i), *want = &expected[i];

		ck_assert_str_eq(l->name, want->name);
		ck_assert_ptr_eq(layout_named(want->name), l);
		ck_assert_ptr_eq(l->head, want->head);
		ck_assert_ptr_eq(l->find_ram, want->find_ram);
		ck_assert_int_eq(l->is_diff, want->is_diff);
		ck_assert_int_eq(l->is_base, want->is_base);
		ck_assert_int_eq(l->offsets_given, want->offsets_given);
		ck_assert_uint_eq(l->ram_multiple, want->ram_multiple);
		ck_assert_uint_eq(l->ram_step, want->ram_step);
	}
	ck_assert_ptr_null(layout_number(4));
	ck_assert_ptr_null(layout_number(UINT32_MAX));
}
END_TEST

START_TEST(neighbours)
{
	check_refused("SMSNAP06", 8, EINVAL,
		      "is an ordinary snapshot of the older format SMSNAP06, only SMSNAP07 is read here; it has to be baked again");
	check_refused("SMSNAP08....", 12, EINVAL,
		      "is an ordinary snapshot of the newer format SMSNAP08, only SMSNAP07 is read here; a newer smfs may read it");
	check_refused("SMSNAP10", 8, EINVAL,
		      "is an ordinary snapshot of the newer format SMSNAP10, only SMSNAP07 is read here; a newer smfs may read it");
	check_refused("SMSNAP00", 8, EINVAL,
		      "is an ordinary snapshot of the older format SMSNAP00, only SMSNAP07 is read here; it has to be baked again");
	check_refused("SMSNAP99", 8, EINVAL,
		      "is an ordinary snapshot of the newer format SMSNAP99, only SMSNAP07 is read here; a newer smfs may read it");
	check_refused("SMSNAP4D", 8, EINVAL,
		      "is a differential snapshot of the older format SMSNAP4D, only SMSNAP7D is read here; it has to be baked again");
	check_refused("SMSNAP8D", 8, EINVAL,
		      "is a differential snapshot of the newer format SMSNAP8D, only SMSNAP7D is read here; a newer smfs may read it");
	check_refused("SMSNAP\x09\0", 8, EINVAL,
		      "is an hvf snapshot of format 9, only 10 is read here; take it anew with a monitor that writes that");
	check_refused("SMSNAP\x0b\0", 8, EINVAL,
		      "is an hvf snapshot of format 11, only 10 is read here; take it anew with a monitor that writes that");
	check_refused("SMSNAPxy", 8, EINVAL, "is a snapshot of an unknown format: SMSNAPxy");
	check_refused("SMSNAP0:", 8, EINVAL, "is a snapshot of an unknown format: SMSNAP0:");
	check_refused("SMSNAP/7", 8, EINVAL, "is a snapshot of an unknown format: SMSNAP/7");
	check_refused("SMSNAPDD", 8, EINVAL, "is a snapshot of an unknown format: SMSNAPDD");
	check_refused("SMSNAP7d", 8, EINVAL, "is a snapshot of an unknown format: SMSNAP7d");
	check_refused("SMSTSNP1", 8, EINVAL,
		      "is a process snapshot (SMSTSNP1): there is no machine in it");
	check_refused("SMSNAP0", 7, ERR_TRUNCATED, "is cut short: it ends after 7 bytes");
	/* The zero that is missing is not read. */
	check_refused("SMSNAP\x0a", 7, ERR_TRUNCATED, "is cut short: it ends after 7 bytes");
	check_refused("SMSNAP", 6, ERR_TRUNCATED, "is cut short: it ends after 6 bytes");
}
END_TEST

/* What detection says of tests/vectors/NAME: the layout's name, or why there is none. */
static void check_vector(const char *name, const char *says)
{
	const char *top = getenv("srcdir");
	const struct layout *found = NULL;
	struct error e = { 0 };
	char path[4096];
	struct stat st;
	int fd, err;

	snprintf(path, sizeof(path), "%s/tests/vectors/%s", top ? top : ".", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		ck_abort_msg("%s: %s", path, strerror(errno));
	err = layout_detect(fd, (uint64_t)st.st_size, false, &found, &e);
	close(fd);
	if (err)
		ck_assert_int_eq(err, -e.code);
	if (!strstr(err ? e.text : found->name, says))
		ck_abort_msg("%s: \"%s\", not \"%s\"", name, err ? e.text : found->name, says);
	ck_assert_int_eq(err != 0, strncmp(says, "is ", 3) == 0);
}

START_TEST(vectors)
{
	check_vector("kvm-01.snap", "kvm");
	check_vector("hvf-01.snap", "hvf");
	check_vector("bare-01.bin", "bare");
	check_vector("refuse-smsnap04.snap", "is an ordinary snapshot of the older format SMSNAP04");
	check_vector("refuse-smsnap06.snap", "is an ordinary snapshot of the older format SMSNAP06");
	check_vector("refuse-smsnap08.snap", "is an ordinary snapshot of the newer format SMSNAP08");
	check_vector("refuse-smsnap4d.snap", "is a differential snapshot of the older format SMSNAP4D");
	check_vector("refuse-smsnap8d.snap", "is a differential snapshot of the newer format SMSNAP8D");
	check_vector("refuse-hvf-magic-09.snap", "is an hvf snapshot of format 9");
	check_vector("refuse-smtstsnp1.snap", "is a process snapshot (SMSTSNP1)");
	/* These are told apart by what comes after the magic. */
	check_vector("refuse-hvf-v10.snap", "hvf");
	check_vector("refuse-truncated-header.snap", "kvm");
	check_vector("refuse-empty.snap", "bare");
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
	const struct layout *found = NULL;
	struct error e = { 0 };

	ck_assert_int_eq(layout_detect(-1, 4096, false, &found, &e), -EBADF);
	ck_assert_str_eq(e.text, "cannot be read: Bad file descriptor");
	/* Where nothing has to be known nothing is read. */
	ck_assert_int_eq(layout_detect(-1, 4096, true, &found, &e), 0);
	ck_assert_str_eq(found->name, "bare");
}
END_TEST

/*
 * The parts of a file after a save
 */

static void check_next(struct parts old, uint64_t size, struct parts expected)
{
	struct parts next = parts_next(&old, size);

	ck_assert_uint_eq(next.head_offset, expected.head_offset);
	ck_assert_uint_eq(next.head_size, expected.head_size);
	ck_assert_uint_eq(next.tail_offset, expected.tail_offset);
	ck_assert_uint_eq(next.file_size, expected.file_size);
	ck_assert_int_eq(next.glued, old.glued);
}

enum { RAM = 1 << 20 };

START_TEST(fits)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM, false };

	check_next(old, 449, old);
	check_next(old, 31, (struct parts){ 0, 31, 4096, 4096 + RAM, false });
	check_next(old, 4095, (struct parts){ 0, 4095, 4096, 4096 + RAM, false });
	check_next(old, 4096, (struct parts){ 0, 4096, 4096, 4096 + RAM, false });
}
END_TEST

START_TEST(no_room_to_begin_with)
{
	/* The container ends right where RAM starts. */
	const struct parts old = { 0, 4096, 4096, 4096 + RAM, false };

	check_next(old, 4096, old);
	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM, false });
}
END_TEST

START_TEST(outgrows)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM, false };

	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM, false });
	check_next(old, 65535, (struct parts){ 0, 65535, 65536, 65536 + RAM, false });
	check_next(old, 65536, (struct parts){ 0, 65536, 65536, 65536 + RAM, false });
	check_next(old, 65537, (struct parts){ 0, 65537, 131072, 131072 + RAM, false });
	check_next(old, 16 << 20, (struct parts){ 0, 16 << 20, 16 << 20, (16 << 20) + RAM, false });
}
END_TEST

START_TEST(ram_never_moves_back)
{
	const struct parts old = { 0, 65537, 131072, 131072 + RAM, false };

	check_next(old, 449, (struct parts){ 0, 449, 131072, 131072 + RAM, false });
}
END_TEST

START_TEST(a_tail_that_is_not_aligned_stays)
{
	const struct parts old = { 0, 449, 5000, 5123, false };

	check_next(old, 5000, (struct parts){ 0, 5000, 5000, 5123, false });
	check_next(old, 5001, (struct parts){ 0, 5001, 65536, 65536 + 123, false });
}
END_TEST

START_TEST(bare)
{
	const struct parts old = { 0, 449, 449, 449, true };

	check_next(old, 449, old);
	check_next(old, 100, (struct parts){ 0, 100, 100, 100, false });
	check_next(old, 450, (struct parts){ 0, 450, 450, 450, false });
	check_next(old, 70000, (struct parts){ 0, 70000, 70000, 70000, false });
}
END_TEST

START_TEST(bare_after_other_bytes)
{
	const struct parts old = { 512, 449, 961, 961, true };

	check_next(old, 500, (struct parts){ 512, 500, 1012, 1012, false });
	check_next(old, 400, (struct parts){ 512, 400, 912, 912, false });
}
END_TEST

START_TEST(after_other_bytes)
{
	const struct parts old = { 4096, 449, 8192, 8192 + RAM, false };
	const struct parts odd = { 70000, 449, 73728, 73728 + RAM, false };

	check_next(old, 4096, (struct parts){ 4096, 4096, 8192, 8192 + RAM, false });
	check_next(old, 4097, (struct parts){ 4096, 4097, 65536, 65536 + RAM, false });
	check_next(old, 61440, (struct parts){ 4096, 61440, 65536, 65536 + RAM, false });
	check_next(old, 61441, (struct parts){ 4096, 61441, 131072, 131072 + RAM, false });
	check_next(odd, 3728, (struct parts){ 70000, 3728, 73728, 73728 + RAM, false });
	check_next(odd, 3729, (struct parts){ 70000, 3729, 131072, 131072 + RAM, false });
}
END_TEST

START_TEST(bytes_after_ram_move_with_it)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM + 77, false };

	check_next(old, 4096, (struct parts){ 0, 4096, 4096, 4096 + RAM + 77, false });
	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM + 77, false });
}
END_TEST

START_TEST(beyond_4_gib)
{
	const uint64_t ram = UINT64_C(1) << 40;
	const struct parts old = { UINT64_C(5) << 30, 449, (UINT64_C(5) << 30) + 4096,
				    (UINT64_C(5) << 30) + 4096 + ram, false };

	check_next(old, 4097,
		   (struct parts){ UINT64_C(5) << 30, 4097, (UINT64_C(5) << 30) + 65536,
				    (UINT64_C(5) << 30) + 65536 + ram, false });
}
END_TEST

/* Its tail has to follow at once: it moves both ways. */
START_TEST(a_tail_that_is_glued)
{
	const struct parts old = { 0, 500, 500, 5000, true };

	check_next(old, 500, old);
	check_next(old, 501, (struct parts){ 0, 501, 501, 5001, true });
	check_next(old, 100, (struct parts){ 0, 100, 100, 4600, true });
}
END_TEST

START_TEST(what_is_left_behind)
{
	const struct parts old = { 100, 500, 4096, 8192, false };
	struct parts next = parts_next(&old, 400);

	ck_assert_uint_eq(parts_left_behind(&old, &next), 100);
	next = parts_next(&old, 500);
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
	next = parts_next(&old, 600);
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
	/* Where a tail or the end is, there is nothing left to be zeros. */
	next = (struct parts){ 100, 400, 550, 8192, false };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 50);
	next = (struct parts){ 100, 400, 550, 520, false };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 20);
	next = (struct parts){ 100, 400, 500, 4596, true };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
}
END_TEST

/*
 * Files that are opened, and what a save leaves of them
 */

/* The file that the tests open, in a folder that is the process's own. */
static char folder[] = "/tmp/check-layout-XXXXXX";
static char path[64];

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/snap", folder);
}

static void tear_down(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0); /* so nothing is left beside it */
}

static void write_file(const struct bytes *b)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(b->at, 1, b->size, f), b->size);
	ck_assert_int_eq(fclose(f), 0);
}

static struct bytes read_file(void)
{
	FILE *f = fopen(path, "rb");
	struct bytes b = { 0 };
	int c;

	ck_assert_ptr_nonnull(f);
	while ((c = getc(f)) != EOF)
		add_uint(&b, 1, (unsigned)c);
	fclose(f);
	return b;
}

/*
 * A snapshot whose only device is a disk with so many letters in its path, with RAM at
 * RAM_OFFSET, if there is any, and bytes of somebody else's after it.
 */
static struct bytes disk_file(const char *layout, size_t letters, uint64_t ram_offset,
			      uint64_t mem_size, size_t after)
{
	struct bytes b = { 0 };
	uint64_t i;

	if (strcmp(layout, "kvm") == 0) {
		add(&b, "SMSNAP07", 8);
	} else if (strcmp(layout, "hvf") == 0) {
		add(&b, "SMSNAP\x0a\0", 8);
		add_uint(&b, 8, 11);
		add_uint(&b, 8, 0x80000000);
	}
	if (strcmp(layout, "bare"))
		add_uint(&b, 8, ram_offset);
	add_head(&b, 1, mem_size);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, 1);
	add_uint(&b, 1, 0);
	add_fill(&b, 0, 20);
	add_uint(&b, 1, 1);
	add_uint(&b, 4, letters);
	add_fill(&b, 'a', letters);
	add_uint(&b, 8, 1 << 20);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 0);
	if (b.size < ram_offset)
		add_fill(&b, 0, ram_offset - b.size);
	for (i = 0; i < mem_size; i++)
		add_uint(&b, 1, i * 7 + i / 256 + 1);
	add_fill(&b, 0xaa, after);
	return b;
}

/* Where that ends that disk_file makes, if it is not followed by anything. */
static uint64_t head_end(const char *layout, size_t letters)
{
	struct bytes b = disk_file(layout, letters, 0, 0, 0);
	uint64_t size = b.size;

	bytes_free(&b);
	return size;
}

static struct snapshot *open_good(const struct snapshot_options *options)
{
	struct snapshot *s = NULL;
	struct error e;

	if (snapshot_open(path, options, &s, &e))
		ck_abort_msg("%s", e.text);
	return s;
}

/* Give the disk a path of so many letters, in one save. */
static void save_path(size_t letters, bool replace)
{
	const struct snapshot_options options = { .access = SNAPSHOT_EDIT, .replace = replace };
	struct snapshot *s = open_good(&options);
	struct container *c = snapshot_container(s);
	struct edits edits = { 0 };
	struct bytes text = { 0 };
	struct value v;
	struct error e;

	add_fill(&text, 'a', letters);
	v = (struct value){ text.at, text.size };
	ck_assert_int_eq(edits_add(&edits, c, find(c, "devices/0/backing/path"), &v,
				   (struct timespec){ .tv_sec = 1 }), 0);
	if (snapshot_save(s, &edits, false, &e))
		ck_abort_msg("%s", e.text);
	ck_assert_ptr_nonnull(snapshot_way(s));
	edits_free(&edits);
	snapshot_close(s);
	bytes_free(&text);
}

/* What is in the file is EXPECTED, and RAM is found at RAM_OFFSET. */
static void check_file(struct bytes expected, uint64_t ram_offset)
{
	const struct snapshot_options options = { .access = SNAPSHOT_READ };
	struct snapshot *s = open_good(&options);
	struct bytes now = read_file();

	check_bytes("file", now.at, now.size, expected.at, expected.size);
	ck_assert_uint_eq(snapshot_ram_offset(s), ram_offset);
	snapshot_close(s);
	bytes_free(&now);
	bytes_free(&expected);
}

/* Each way of saving. */
static void check_save(const char *layout, size_t from, uint64_t from_ram, size_t to,
		       uint64_t to_ram, uint64_t mem_size, size_t after)
{
	unsigned replace;

	for (replace = 0; replace < 2; replace++) {
		struct bytes b = disk_file(layout, from, from_ram, mem_size, after);

		write_file(&b);
		bytes_free(&b);
		save_path(to, replace);
		check_file(disk_file(layout, to, to_ram, mem_size, after), to_ram);
	}
}

START_TEST(a_header_follows_its_ram)
{
	check_save("kvm", 10, 8192, 20, 8192, 4096, 0);
	check_save("kvm", 10, 8192, 9000, 65536, 4096, 0);
	check_save("kvm", 10, 8192, 9000, 65536, 4096, 77);
	check_save("kvm", 60000, 65536, 65536, 131072, 5000, 3);
	check_save("kvm", 9000, 65536, 10, 65536, 4096, 0);
	check_save("hvf", 10, 16384, 20, 16384, 4096, 0);
	check_save("hvf", 10, 16384, 17000, 65536, 4096, 5);
	check_save("hvf", 17000, 32768, 0, 32768, 4096, 0);
	/* Room to the last byte, and one more. */
	check_save("kvm", 10, 8192, 8192 - head_end("kvm", 0), 8192, 4096, 0);
	check_save("kvm", 10, 8192, 8193 - head_end("kvm", 0), 65536, 4096, 0);
	check_save("hvf", 10, 16384, 16384 - head_end("hvf", 0), 16384, 4096, 0);
	check_save("hvf", 10, 16384, 16385 - head_end("hvf", 0), 65536, 4096, 0);
	/* With no RAM it is where that would be. */
	check_save("kvm", 10, 8192, 9000, 65536, 0, 0);
	check_save("kvm", 10, 8192, 20, 8192, 0, 0);
}
END_TEST

START_TEST(a_bare_file_is_saved)
{
	const uint64_t end = head_end("bare", 10);

	/* RAM that follows the container at once, anywhere in a page. */
	check_save("bare", 10, end, 11, 65536, 5001, 0);
	check_save("bare", 10, end, 9, end, 5001, 0);
	check_save("bare", 10, end + 1, 11, end + 1, 5001, 0);
	/* A container with nothing behind it is as long as it is. */
	check_save("bare", 10, end, 11, end + 1, 0, 0);
	check_save("bare", 10, end, 9000, end + 8990, 0, 0);
	check_save("bare", 10, end, 3, end - 7, 0, 0);
}
END_TEST

static void check_not_opened(const struct bytes *b, const struct snapshot_options *options,
			     int code, const char *text)
{
	struct snapshot *s = NULL;
	struct error e = { 0 };
	size_t length = strlen(path);

	write_file(b);
	ck_assert_int_eq(snapshot_open(path, options, &s, &e), -code);
	ck_assert_ptr_null(s);
	ck_assert_int_eq(e.code, code);
	ck_assert_int_eq(strncmp(e.text, path, length), 0);
	ck_assert_int_eq(strncmp(e.text + length, ": ", 2), 0);
	ck_assert_str_eq(e.text + length + 2, text);
}

START_TEST(what_is_not_opened)
{
	const struct snapshot_options look = { .access = SNAPSHOT_READ };
	struct snapshot_options given = look, elsewhere = look, there = look;
	struct bytes b = { 0 };
	struct snapshot *s;

	check_not_opened(&b, &look, EINVAL, "is empty, not a snapshot; was it copied whole?");
	add(&b, "SMSTSNP1 and more", 17);
	check_not_opened(&b, &look, EINVAL,
			 "is a process snapshot (SMSTSNP1): there is no machine in it");
	b.size = 0;
	add_fill(&b, 0xff, 100);
	check_not_opened(&b, &look, ERR_MALFORMED,
			 "not a snapshot (no SMSNAP at its start), nor a bare container: intc/raw: offset 0x1f: 4294967295 bytes, at most 16777216 are allowed");
	/* Zeros are a container too, but a file of many is more likely something else. */
	b.size = 0;
	add_fill(&b, 0, 100);
	check_not_opened(&b, &look, EINVAL,
			 "not a snapshot (no SMSNAP at its start); is it a RAM image? To have it read as a bare container without RAM, give the option container_offset=0");
	there.region.container_offset_given = true;
	s = open_good(&there);
	snapshot_close(s);
	bytes_free(&b);

	given.region.ram_offset_given = true;
	given.region.ram_offset = 8192;
	elsewhere.ram_file = "/dev/null";
	b = disk_file("kvm", 10, 8192, 4096, 0);
	check_not_opened(&b, &given, EINVAL,
			 "says itself where RAM is (layout kvm): leave the ram_offset option out");
	check_not_opened(&b, &elsewhere, EINVAL,
			 "has its RAM itself (layout kvm): leave the ram option out");
	bytes_free(&b);
	b = disk_file("hvf", 10, 16384, 4096, 0);
	check_not_opened(&b, &given, EINVAL,
			 "says itself where RAM is (layout hvf): leave the ram_offset option out");
	check_not_opened(&b, &elsewhere, EINVAL,
			 "has its RAM itself (layout hvf): leave the ram option out");
	/* And where it is has to be right. */
	b.size--;
	check_not_opened(&b, &look, EINVAL,
			 "snapshot RAM region [16384, 20480) exceeds file length 20479");
	bytes_free(&b);
	b = disk_file("bare", 10, 0, 4096, 0);
	b.size--;
	check_not_opened(&b, &look, EINVAL,
			 "snapshot RAM region [92, 4188) exceeds file length 4187");
	bytes_free(&b);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("layout");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, by_magic);
	tcase_add_test(t, by_number);
	tcase_add_test(t, neighbours);
	tcase_add_test(t, vectors);
	tcase_add_test(t, a_file_that_cannot_be_read);
	tcase_add_test(t, fits);
	tcase_add_test(t, no_room_to_begin_with);
	tcase_add_test(t, outgrows);
	tcase_add_test(t, ram_never_moves_back);
	tcase_add_test(t, a_tail_that_is_not_aligned_stays);
	tcase_add_test(t, bare);
	tcase_add_test(t, bare_after_other_bytes);
	tcase_add_test(t, after_other_bytes);
	tcase_add_test(t, bytes_after_ram_move_with_it);
	tcase_add_test(t, beyond_4_gib);
	tcase_add_test(t, a_tail_that_is_glued);
	tcase_add_test(t, what_is_left_behind);
	tcase_add_test(t, a_header_follows_its_ram);
	tcase_add_test(t, a_bare_file_is_saved);
	tcase_add_test(t, what_is_not_opened);
	return check_run(t);
}
