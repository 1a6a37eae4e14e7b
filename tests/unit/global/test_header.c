#include "global/header.h"
#include "unit/unit.h"

static void names(void **state)
{
    static const struct {
        const char *line;
        size_t n;
    } rows[] = {
        {"Subject: x", 7},    {"Subject : x", 7},  {"Subject\t: x", 7},
        {"Subject x: y", 0},  {": x", 0},          {"", 0},
        {" Subject: x", 0},   {"Subject", 0},      {"a:", 1},
        {"S\303\274b: x", 0}, {"From a@b Mon", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(header_name_length(str_of(rows[i].line)), rows[i].n);
    assert_str(header_body(STR("Subject:  a b \n c ")), "a b \n c");
    assert_str(header_body(STR("Subject:")), "");
}

static void fields(void **state)
{
    static const struct {
        const char *name;
        int type;
    } rows[] = {
        {"to", HEADER_IS_TO},
        {"TO", HEADER_IS_TO},
        {"apparently-to", HEADER_IS_APPARENTLY_TO},
        {"Message-ID", HEADER_IS_MESSAGE_ID},
        {"mime-version", HEADER_IS_OTHER},
        {"Mail-Followup-To", HEADER_IS_OTHER},
        {"Received", HEADER_IS_RECEIVED},
        {"Resent-Message-Id", HEADER_IS_RESENT_MESSAGE_ID},
        {"content-transfer-encoding", HEADER_IS_CONTENT_ENCODING},
        {"Sender", HEADER_IS_SENDER},
        {"Cc", HEADER_IS_CC},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct header_field *f = header_find(str_of(rows[i].name));
        assert_non_null(f);
        assert_int_equal(f->type, rows[i].type);
    }
    assert_null(header_find(STR("Subject")));
    assert_null(header_find(STR("Receive")));
    assert_null(header_find(STR("Received-SPF")));
    assert_null(header_find(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(fields)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
