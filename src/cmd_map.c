/* SPDX-License-Identifier: MIT */
/* smsnap map: what guest memory is made of. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "map_picture.h"
#include "new_file.h"
#include "progress.h"

/* Lines of a map, without the legend, that a screen has room for. */
enum { LINES = 16 };

/* Columns where nobody tells; those that an address takes; cells of a line are so many times some. */
enum { WIDTH = 80, ADDRESS_WIDTH = 14, CELLS_STEP = 16 };

static void print_json(const struct ram_map *map)
{
	const struct page_range *r;
	uint64_t start, end;

	printf("[");
	for (r = map->ranges; r < map->ranges + map->count; r++) {
		start = r->start * RAM_PAGE;
		end = start + r->count * RAM_PAGE;
		printf("%s\n  {\"start\": \"0x%" PRIx64 "\", \"end\": \"0x%" PRIx64 "\", \"class\": \"%s\"}",
		       r == map->ranges ? "" : ",", map->base + start,
		       map->base + (end < map->size ? end : map->size), page_class_name(r->of));
	}
	printf("\n]\n");
}

static unsigned cells_a_line(void)
{
	struct winsize w = { .ws_col = WIDTH };
	unsigned cells;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		w.ws_col = WIDTH;
	cells = w.ws_col > ADDRESS_WIDTH ? (w.ws_col - ADDRESS_WIDTH) / CELLS_STEP * CELLS_STEP : 0;
	return cells ? cells : CELLS_STEP;
}

struct print {
	const struct ram_map *map;
	uint64_t cell;
	unsigned cells; /* a line */
};

static void print_cell(void *ctx, uint64_t i, enum page_class of)
{
	const struct print *p = ctx;

	if (i % p->cells == 0)
		printf("%s0x%011" PRIx64 " ", i ? "\n" : "", p->map->base + i * p->cell * RAM_PAGE);
	putchar(class_looks[of].letter);
}

static void print_text(const struct ram_map *map)
{
	struct print p = { map, 1, cells_a_line() };
	char text[MAP_TEXT];
	enum page_class i;

	while ((map->pages - 1) / (p.cell * p.cells) >= LINES)
		p.cell *= 2;
	map_title(map, p.cell, "character", text);
	puts(text);
	ram_map_cells(map, p.cell, print_cell, &p);
	printf("\n\n");
	for (i = 0; i < PAGE_CLASSES; i++) {
		map_legend(map, i, text);
		printf(" %c  %s\n", class_looks[i].letter, text);
	}
}

static int fill(int fd, void *ctx)
{
	return map_picture(fd, ctx);
}

static int show(struct ram_map *map, const struct arguments *a)
{
	struct error e = { 0 };

	if (a->png && new_file(a->png, fill, map, &e))
		return complain(WRONG_INPUT, "%s: %s", a->png, e.text);
	if (a->json)
		print_json(map);
	else if (!a->png)
		print_text(map);
	return printed();
}

static int map_snapshot(struct snapshot *s, const char *path, const struct arguments *a)
{
	struct guest_memory memory = guest_memory_of(snapshot_container(s), snapshot_ram(s));
	struct progress progress;
	struct error e = { 0 };
	struct ram_map map;
	int err, status;

	if (guest_size(&memory) == 0)
		return complain(WRONG_INPUT, "%s: has no RAM, so there is no map", path);
	if (a->png && snapshot_is_file(s, a->png))
		return complain(WRONG_INPUT, "%s: is the snapshot itself, or its RAM", a->png);
	progress_start(&progress, path);
	err = ram_map_make(&map, &memory, progress_tell, &progress, &e);
	progress_end(&progress);
	if (err)
		return complain(WRONG_INPUT, "%s: %s", path, e.text);
	status = show(&map, a);
	ram_map_free(&map);
	return status;
}

static int map(const struct arguments *a)
{
	struct snapshot *s;
	int status = command_open(a->operands[0], a, SNAPSHOT_LOOK, &s);

	if (status)
		return status;
	status = map_snapshot(s, a->operands[0], a);
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	{ "png", 0, "FILE", offsetof(struct arguments, png), "write a picture to FILE, mode 0600" },
	{ "json", 0, NULL, offsetof(struct arguments, json), "print ranges of pages, all of RAM" },
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_map = {
	.name = "map",
	.operands = "SNAPSHOT",
	.least = 1,
	.most = 1,
	.summary = "show what guest memory is made of, page by page",
	.help = "A page is the first of these that fits: changed, a differential snapshot lists\n"
		"it; hole, not stored; zero; repeated, its content stands elsewhere in RAM too;\n"
		"data.\n",
	.options = options,
	.base_use = BASE_NEEDED,
	.run = map,
};
