/*
 * An exchange with the embedded back end: "MECHANISM NEWLINE initial response or '-' NEWLINE
 * response NEWLINE ...", texts not in base64. Nobody gets in who does not say the password.
 */
#include "fuzz.h"
#include "sasl/server.h"

/* of "secret" */
#define HASH "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2"

static enum login_status run(struct login_server *server, struct str rest, struct arena *a,
                             struct login_reply *reply)
{
    const struct login_peer peer = {.certificate = STR("nobody")};
    struct str mechanism = str_cut(&rest, '\n'), initial = str_cut(&rest, '\n');
    struct login_exchange *x;
    enum login_status status;

    initial = str_eq(initial, STR("-")) ? STR_NONE : login_encode(a, initial);
    status = login_server_begin(server, &peer, a, mechanism, initial, &x, reply);
    for (int i = 0; i < 5 && status == LOGIN_MORE; i++) {
        FUZZ_CHECK(login_is_base64(reply->text));
        status = login_server_step(x, login_encode(a, str_cut(&rest, '\n')), reply);
    }
    login_server_end(x);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct login_server_options options = {.type = STR("file"),
                                                 .path = STR("inline:{one=" HASH "}")};
    AUTO_ARENA a = arena_new(4096);
    struct str in = {(const char *)data, size};
    struct login_server *server = NULL;
    struct login_reply reply;

    FUZZ_CHECK(login_server_open(&options, &server, NULL) == RC_OK);
    if (run(server, in, a, &reply) == LOGIN_OK) {
        FUZZ_CHECK(str_eq(reply.username, STR("one")));
        FUZZ_CHECK(str_find(in, STR("secret")) >= 0);
    }
    login_server_close(server);
    return 0;
}
