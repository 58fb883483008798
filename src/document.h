/* SPDX-License-Identifier: MIT */
/* Names in the document that smsnap dump prints and smsnap build reads. */
#ifndef SMSNAP_DOCUMENT_H
#define SMSNAP_DOCUMENT_H

#define DOCUMENT_LAYOUT "layout"

/* Members of the layout, those that the head of some layouts does not have. */
#define DOCUMENT_CONTAINER_OFFSET "container_offset"
#define DOCUMENT_RAM_OFFSET "ram_offset"

#endif
