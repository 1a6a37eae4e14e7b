#include "dns/message.h"
#include "unit/unit.h"

/* Messages are written as text: "\x.." bytes between names; id 0x1234, one question. */
#define HEAD(flags, answers, authorities)                                                          \
    "\x12\x34" flags "\x00\x01\x00" answers "\x00" authorities "\x00\x00"
#define EXAMPLE                                                                                    \
    "\x07"                                                                                         \
    "example\x03"                                                                                  \
    "com\x00"
#define Q(type)   EXAMPLE "\x00" type "\x00\x01"
#define AT_NAME   "\xc0\x0c"                             /* example.com, the question */
#define RR(type)  "\x00" type "\x00\x01\x00\x00\x0e\x10" /* ttl 3600 */
#define MX_TYPE   "\x0f"
#define A_TYPE    "\x01"
#define OK_FLAGS  "\x81\x80"
#define NX_FLAGS  "\x81\x83"
#define BAD_FLAGS "\x81\x82"

static const struct {
    const char *bytes;
    size_t n;
    int type;
    enum dns_status status;
    size_t records;
    const char *first; /* data of the first record */
    const char *next;
    long ttl;
} answers[] = {
#define M(text) text, sizeof text - 1
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(MX_TYPE) AT_NAME RR(MX_TYPE) "\x00\x07\x00\x0a\x02mx"
                                                                     "\xc0\x0c"),
     DNS_MX, DNS_FOUND, 1, "mx.example.com", "", 3600},
    {M(HEAD(OK_FLAGS, "\x02", "\x00") Q(MX_TYPE)
           AT_NAME RR(MX_TYPE) "\x00\x07\x00\x0a\x02MX"
                               "\xc0\x0c" AT_NAME RR(MX_TYPE) "\x00\x05\x00\x14"
                                                              "\x01"
                                                              "x\x00"),
     DNS_MX, DNS_FOUND, 2, "mx.example.com", "", 3600},
    /* null MX */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(MX_TYPE) AT_NAME RR(MX_TYPE) "\x00\x03\x00\x00\x00"),
     DNS_MX, DNS_NULL_MX, 1, "", "", 3600},
    /* the root with another preference is no null MX */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(MX_TYPE) AT_NAME RR(MX_TYPE) "\x00\x03\x00\x0a\x00"),
     DNS_MX, DNS_INVALID, 1, "", "", 3600},
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(A_TYPE) AT_NAME RR(A_TYPE) "\x00\x04\xc0\x00\x02\x01"),
     DNS_A, DNS_FOUND, 1, "192.0.2.1", "", 3600},
    /* an address of three bytes */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(A_TYPE) AT_NAME RR(A_TYPE) "\x00\x03\xc0\x00\x02"), DNS_A,
     DNS_INVALID, 0, NULL, "", 0},
    {M(HEAD(NX_FLAGS, "\x00", "\x00") Q(A_TYPE)), DNS_A, DNS_NXDOMAIN, 0, NULL, "", 0},
    {M(HEAD(BAD_FLAGS, "\x00", "\x00") Q(A_TYPE)), DNS_A, DNS_RETRY, 0, NULL, "", 0},
    {M(HEAD(OK_FLAGS, "\x00", "\x00") Q(A_TYPE)), DNS_A, DNS_NODATA, 0, NULL, "", 0},
    /* an alias and what it leads to */
    {M(HEAD(OK_FLAGS, "\x02", "\x00") Q(A_TYPE)
           AT_NAME RR("\x05") "\x00\x04\x01y\xc0\x0c"
                              "\xc0\x29" RR(A_TYPE) "\x00\x04\xc0\x00\x02\x02"),
     DNS_A, DNS_FOUND, 1, "192.0.2.2", "", 3600},
    /* an alias that leads out */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(A_TYPE) AT_NAME RR("\x05") "\x00\x04\x01y\xc0\x0c"), DNS_A,
     DNS_NODATA, 0, NULL, "y.example.com", 0},
    /* text in two strings */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q("\x10") AT_NAME RR("\x10") "\x00\x05\x02"
                                                                   "ab\x01"
                                                                   "c"),
     DNS_TXT, DNS_FOUND, 1, "abc", "", 3600},
    /* a target that is no host name */
    {M(HEAD(OK_FLAGS, "\x01", "\x00") Q(MX_TYPE) AT_NAME RR(MX_TYPE) "\x00\x07\x00\x0a\x02"
                                                                     "m "
                                                                     "\xc0\x0c"),
     DNS_MX, DNS_INVALID, 0, NULL, "", 0},
    /* negative answer with SOA: ttl is its minimum, 300 */
    {M(HEAD(NX_FLAGS, "\x00", "\x01") Q(A_TYPE)
           AT_NAME RR("\x06") "\x00\x18\xc0\x0c\xc0\x0c"
                              "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1"
                              "\0\0\1\x2c"),
     DNS_A, DNS_NXDOMAIN, 0, NULL, "", 300},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        AUTO_ARENA a = arena_new(4096);
        struct dns_message m = {0};
        struct dns_answer answer;
        struct why why = {0};
        struct str next;
        long ttl;
        if (dns_message_parse((struct str){answers[i].bytes, answers[i].n}, a, &m, &why) != RC_OK)
            fail_msg("message %zu: %s", i, why.text);
        assert_int_equal(m.id, 0x1234);
        assert_str(m.question, "example.com");
        if (dns_message_answer(&m, STR("example.com"), answers[i].type, a, &answer, &next, &ttl) !=
            answers[i].status)
            fail_msg("message %zu: status %d", i, answer.status);
        assert_int_equal(answer.n, answers[i].records);
        if (answers[i].first)
            assert_str(answer.records[0].data, answers[i].first);
        assert_str(next, answers[i].next);
        assert_int_equal(ttl, answers[i].ttl);
    }
}

static void test_cut_messages_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        for (size_t n = 0; n < answers[i].n; n++) {
            AUTO_ARENA a = arena_new(4096);
            struct dns_message m = {0};
            struct why why = {0};
            if (dns_message_parse((struct str){answers[i].bytes, n}, a, &m, &why) == RC_OK)
                assert_true(m.n + m.n_malformed <= answers[i].records + 2);
        }
    }
}

static void test_pointer_loop(void **state)
{
    static const char loop[] = "\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01";
    AUTO_ARENA a = arena_new(4096);
    struct dns_message m = {0};
    struct why why = {0};

    (void)state;
    assert_int_equal(dns_message_parse((struct str){loop, sizeof loop - 1}, a, &m, &why), RC_PERM);
}

static void test_query(void **state)
{
    unsigned char out[DNS_QUERY_MAX];
    AUTO_ARENA a = arena_new(4096);
    struct dns_message m = {0};
    struct why why = {0};
    char label[70], name[300];
    size_t n = dns_query_make(out, 7, STR("www.Example.com."), DNS_AAAA, true, true);

    (void)state;
    assert_int_equal(n, 12 + 17 + 4 + 11);
    assert_int_equal(dns_message_parse((struct str){(char *)out, n}, a, &m, &why), RC_OK);
    assert_str(m.question, "www.example.com");
    assert_int_equal(m.question_type, DNS_AAAA);
    memset(label, 'x', sizeof label);
    assert_int_equal(dns_query_make(out, 7, (struct str){label, 64}, DNS_A, false, false), 0);
    assert_int_not_equal(dns_query_make(out, 7, (struct str){label, 63}, DNS_A, false, false), 0);
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_int_not_equal(dns_query_make(out, 7, (struct str){name, 253}, DNS_A, true, false), 0);
    assert_int_equal(dns_query_make(out, 7, (struct str){name, 257}, DNS_A, true, false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_cut_messages_end),
        cmocka_unit_test(test_pointer_loop),
        cmocka_unit_test(test_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
