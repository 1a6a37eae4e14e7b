/* A server's challenges: whatever it says, the password leaves only where the mechanism has it. */
#include "fuzz.h"
#include "sasl/client.h"

#define SECRET "sEcReT-9"

static const char *const mechanisms[] = {"SCRAM-SHA-256", "CRAM-MD5",    "PLAIN",
                                         "LOGIN",         "OAUTHBEARER", "XOAUTH2"};

static void check(struct arena *a, const char *mechanism, enum login_status status,
                  const struct login_reply *reply)
{
    struct str bytes;

    if (status != LOGIN_OK && status != LOGIN_MORE) {
        FUZZ_CHECK(reply->reason.n > 0);
        FUZZ_CHECK(str_find(reply->reason, STR(SECRET)) < 0);
        return;
    }
    if (reply->text.p == NULL)
        return;
    FUZZ_CHECK(login_decode(a, reply->text, 1 << 20, &bytes, NULL) == RC_OK);
    if (mechanism[0] == 'S' || mechanism[0] == 'C')
        FUZZ_CHECK(str_find(bytes, STR(SECRET)) < 0);
}

/* First byte: the mechanism; then a challenge in each line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(1024);
    const struct login_client_options o = {.type = STR("builtin")};
    size_t which = size ? data[0] % (sizeof mechanisms / sizeof *mechanisms) : 0;
    struct login_account account = {.service = STR("smtp"),
                                    .server = STR("mx.example"),
                                    .username = STR("us=er,"),
                                    .password = STR(SECRET),
                                    .is_token = which > 3,
                                    .mechanisms = str_of(mechanisms[which])};
    struct str rest = str_from((struct str){(const char *)data, size}, 1), line;
    struct login_attempt *attempt = NULL;
    static struct login_client *client;
    struct login_reply reply;
    enum login_status status;

    if (client == NULL)
        FUZZ_CHECK(login_client_open(&o, &client, NULL) == RC_OK);
    status = login_client_begin(client, &account, a, &attempt, &reply);
    check(a, mechanisms[which], status, &reply);
    while (status == LOGIN_MORE && rest.p) {
        line = str_cut(&rest, '\n');
        status = login_client_step(attempt, line, &reply);
        check(a, mechanisms[which], status, &reply);
    }
    login_client_end(attempt);
    return 0;
}
