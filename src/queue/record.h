/* What the files of this folder share about the record format. */
#pragma once

#include "util/str.h"

enum {
    RECORD_HEAD_MAX = 12,
    RECORD_LENGTH_MAX = 8 * 1024 * 1024, /* anything longer is damage */
    POINTER_BYTES = 2 + 15,
    READER_SMALL = 8 * 1024,
    READER_BIG = 64 * 1024
};

/* Type and length; returns how many bytes. */
size_t record_head(char head[RECORD_HEAD_MAX], int type, size_t length);

/* The size record: content in the file, where it begins, recipients, flags of qmgr, size of the
 * message, sendopts. Files of old versions have fewer numbers; those are 0. */
enum { SIZE_DATA, SIZE_OFFSET, SIZE_RECIPIENTS, SIZE_FLAGS, SIZE_MESSAGE, SIZE_SENDOPTS, SIZES };
void record_sizes(struct str payload, long sizes[SIZES]);
