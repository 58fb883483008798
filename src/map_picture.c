/* SPDX-License-Identifier: MIT */
#include "map_picture.h"

#include <inttypes.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glyphs.h"
#include "io.h"

const struct class_look class_looks[PAGE_CLASSES] = {
	[PAGE_CHANGED] = { '!', 0xd6, 0x27, 0x28, "listed by the differential snapshot" },
	[PAGE_HOLE] = { '.', 0xe6, 0xe6, 0xe6, "not stored; the guest reads zeros" },
	[PAGE_ZERO] = { '0', 0x9f, 0xb4, 0xc4, "stored, and all zeros" },
	[PAGE_REPEATED] = { '=', 0xf0, 0xa8, 0x2c, "stands elsewhere in RAM too" },
	[PAGE_DATA] = { '#', 0x1f, 0x55, 0xa0, "stands nowhere else in RAM" },
};

/* At most this, with its NUL: "1023.9 GiB". */
enum { SIZE_TEXT = 16 };

static const char *pages_text(uint64_t pages, char out[SIZE_TEXT])
{
	static const char units[] = "KMGTP";
	double size = (double)pages * RAM_PAGE / 1024;
	const char *u = units;

	for (; size >= 1024 && u[1]; u++)
		size /= 1024;
	snprintf(out, SIZE_TEXT, size == (double)(uint64_t)size ? "%.0f %ciB" : "%.1f %ciB", size, *u);
	return out;
}

void map_title(const struct ram_map *map, uint64_t cell, const char *what, char text[MAP_TEXT])
{
	char size[SIZE_TEXT], part[SIZE_TEXT];

	snprintf(text, MAP_TEXT, cell > 1 ? "%s of guest RAM; a %s shows what most of its %s are" :
					    "%s of guest RAM; a %s is a page of %s",
		 pages_text(map->pages, size), what, pages_text(cell, part));
}

void map_legend(const struct ram_map *map, enum page_class of, char text[MAP_TEXT])
{
	char size[SIZE_TEXT];

	snprintf(text, MAP_TEXT, "%-8s %10s %5.1f %%  %s", page_class_name(of), pages_text(map->of[of], size),
		 100.0 * (double)map->of[of] / (double)map->pages, class_looks[of].meaning);
}

/* Colours beyond those of the classes. */
enum { PAPER = PAGE_CLASSES, INK, COLOURS };

/* All in dots; the map has at most MAP_MOST on a side, and as few only if RAM is small. */
enum {
	MARGIN = 16,
	MAP_LEAST = 512,
	MAP_MOST = 1024,
	TEXT_SCALE = 2,
	TEXT_STEP = (GLYPH_WIDTH + 1) * TEXT_SCALE, /* from letter to letter */
	LINE_STEP = (GLYPH_HEIGHT + 3) * TEXT_SCALE,
	LABEL_STEP = 64, /* between addresses at least */
};

struct canvas {
	const struct ram_map *map;
	size_t width, height;
	uint8_t *dots; /* owned; colours */

	uint64_t cell;   /* pages of a square */
	size_t cells;    /* squares a row, a power of two */
	size_t rows;
	size_t square;   /* dots on its side */
	size_t left, top; /* of the map */
};

static void fill(struct canvas *c, size_t x, size_t y, size_t width, size_t height, uint8_t colour)
{
	for (; height > 0; height--, y++)
		memset(c->dots + y * c->width + x, colour, width);
}

/* Its first letter's top left is at X, Y. */
static void write_text(struct canvas *c, size_t x, size_t y, const char *text)
{
	const uint8_t *rows;
	unsigned i, j;

	for (; *text && x + TEXT_STEP <= c->width; text++, x += TEXT_STEP) {
		rows = glyph_of(*text);
		for (i = 0; i < GLYPH_HEIGHT; i++)
			for (j = 0; j < GLYPH_WIDTH; j++)
				if (rows[i] >> (GLYPH_WIDTH - 1 - j) & 1)
					fill(c, x + j * TEXT_SCALE, y + i * TEXT_SCALE, TEXT_SCALE, TEXT_SCALE, INK);
	}
}

static void draw_cell(void *ctx, uint64_t i, enum page_class of)
{
	struct canvas *c = ctx;

	fill(c, c->left + i % c->cells * c->square, c->top + i / c->cells * c->square, c->square, c->square,
	     (uint8_t)of);
}

static uint64_t address_of(const struct canvas *c, uint64_t row)
{
	return c->map->base + row * c->cells * c->cell * RAM_PAGE;
}

/* How large all is, and where. */
static void lay_out(struct canvas *c)
{
	const uint64_t pages = c->map->pages;
	char text[MAP_TEXT];
	size_t width, i;
	uint64_t cells;

	for (c->cell = 1; (pages - 1) / c->cell >= MAP_MOST * MAP_MOST; c->cell *= 2)
		;
	cells = (pages - 1) / c->cell + 1;
	for (c->cells = 1; c->cells * c->cells < cells; c->cells *= 2)
		;
	c->rows = (cells - 1) / c->cells + 1;
	c->square = c->cells < MAP_LEAST ? MAP_LEAST / c->cells : 1;
	snprintf(text, sizeof(text), "0x%" PRIx64, address_of(c, c->rows));
	c->left = MARGIN + (strlen(text) + 1) * TEXT_STEP;
	c->top = MARGIN + LINE_STEP;
	c->width = c->left + c->cells * c->square + MARGIN;
	c->height = c->top + c->rows * c->square + MARGIN + PAGE_CLASSES * LINE_STEP + MARGIN;
	for (i = 0; i < PAGE_CLASSES; i++) {
		map_legend(c->map, i, text);
		width = 2 * MARGIN + LINE_STEP + strlen(text) * TEXT_STEP;
		c->width = width > c->width ? width : c->width;
	}
}

static void draw(struct canvas *c)
{
	char text[MAP_TEXT];
	size_t y, i, step;

	memset(c->dots, PAPER, c->width * c->height);
	map_title(c->map, c->cell, "square", text);
	write_text(c, MARGIN, MARGIN, text);
	ram_map_cells(c->map, c->cell, draw_cell, c);
	for (step = 1; step * c->square < LABEL_STEP; step *= 2)
		;
	for (i = 0; i < c->rows; i += step) {
		snprintf(text, sizeof(text), "0x%" PRIx64, address_of(c, i));
		write_text(c, c->left - (strlen(text) + 1) * TEXT_STEP, c->top + i * c->square, text);
	}
	y = c->top + c->rows * c->square + MARGIN;
	for (i = 0; i < PAGE_CLASSES; i++, y += LINE_STEP) {
		fill(c, MARGIN, y, GLYPH_HEIGHT * TEXT_SCALE, GLYPH_HEIGHT * TEXT_SCALE, (uint8_t)i);
		map_legend(c->map, i, text);
		write_text(c, MARGIN + LINE_STEP, y, text);
	}
}

/*
 * PNG
 */

struct writing {
	int fd;
	uint64_t at;
	int err;
};

static void write_bytes(png_structp png, png_bytep bytes, size_t n)
{
	struct writing *w = png_get_io_ptr(png);

	w->err = io_write(w->fd, bytes, n, w->at);
	if (w->err)
		png_error(png, "write");
	w->at += n;
}

static void flush(png_structp png)
{
	(void)png;
}

static void fail(png_structp png, png_const_charp text)
{
	(void)text;
	png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void palette_of(png_color palette[COLOURS])
{
	const struct class_look *look;

	for (look = class_looks; look < class_looks + PAGE_CLASSES; look++)
		*palette++ = (png_color){ look->red, look->green, look->blue };
	*palette++ = (png_color){ 0xff, 0xff, 0xff };
	*palette = (png_color){ 0x20, 0x20, 0x20 };
}

static int write_png(int fd, const struct canvas *c)
{
	struct writing w = { .fd = fd };
	png_color palette[COLOURS];
	png_infop info;
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, fail, ignore);
	size_t y;

	if (!png)
		return -ENOMEM;
	info = png_create_info_struct(png);
	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return w.err ? w.err : -ENOMEM;
	}
	palette_of(palette);
	png_set_write_fn(png, &w, write_bytes, flush);
	png_set_IHDR(png, info, (png_uint_32)c->width, (png_uint_32)c->height, 8, PNG_COLOR_TYPE_PALETTE,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_PLTE(png, info, palette, COLOURS);
	png_write_info(png, info);
	for (y = 0; y < c->height; y++)
		png_write_row(png, c->dots + y * c->width);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return 0;
}

int map_picture(int fd, const struct ram_map *map)
{
	struct canvas c = { .map = map };
	int err = -ENOMEM;

	lay_out(&c);
	c.dots = malloc(c.width * c.height);
	if (c.dots) {
		draw(&c);
		err = write_png(fd, &c);
	}
	free(c.dots);
	return err;
}
