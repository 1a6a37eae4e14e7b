/* Frames between services: what the decoder accepts, the encoder writes back byte for byte. */
#include <stdlib.h>

#include "fuzz.h"
#include "ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_BUF again, text;
    struct str frame = {(const char *)data, size};
    enum ipc_type type;
    struct why why;
    void *message;

    buf_init(&again, IPC_FRAME_MAX);
    buf_init(&text, IPC_FRAME_MAX);
    if (size < 2 || data[1] == IPC_NONE || data[1] >= IPC_TYPES)
        return 0;
    type = (enum ipc_type)data[1];
    message = arena_alloc(a, ipc_size(type));
    if (ipc_decode(frame, type, a, message, &why) != RC_OK)
        return 0;
    FUZZ_CHECK(ipc_encode(&again, type, message, &why) == RC_OK);
    FUZZ_CHECK(str_eq(buf_str(&again), frame));
    ipc_print(&text, type, message);
    return 0;
}
