/* SPDX-License-Identifier: MIT */
/* A map of guest memory as a picture, with its legend. */
#ifndef SMSNAP_MAP_PICTURE_H
#define SMSNAP_MAP_PICTURE_H

#include "ram_map.h"

/* What a class is shown as: by a letter, and in a picture by a colour. */
struct class_look {
	char letter;
	uint8_t red, green, blue;
	const char *meaning; /* for map_legend */
};

extern const struct class_look class_looks[PAGE_CLASSES];

/* Room for a line of text with a map. */
enum { MAP_TEXT = 80 };

/* The line above MAP, where CELL pages are shown by a WHAT. */
void map_title(const struct ram_map *map, uint64_t cell, const char *what, char text[MAP_TEXT]);

/* How many pages of MAP are OF a class, and what that means. */
void map_legend(const struct ram_map *map, enum page_class of, char text[MAP_TEXT]);

/* Write MAP as PNG to FD, which is empty: 0 or a negative errno. */
int map_picture(int fd, const struct ram_map *map);

#endif
