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
