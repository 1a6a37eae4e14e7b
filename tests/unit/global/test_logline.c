#include <stdlib.h>
#include <time.h>

#include "global/date.h"
#include "global/logline.h"
#include "unit/unit.h"

static void seconds(void **state)
{
    static const struct {
        double seconds;
        long digits;
        const char *text;
    } rows[] = {
        {0, 2, "0"},
        {0.004999, 2, "0"},
        {0.005, 2, "0.01"},
        {0.014, 2, "0.01"},
        {0.049999, 2, "0.05"},
        {0.123456, 2, "0.12"},
        {0.999, 2, "1"},
        {1.049999, 2, "1"},
        {1.05, 2, "1.1"},
        {1.234567, 2, "1.2"},
        {9.94, 2, "9.9"},
        {9.96, 2, "10"},
        {10.4, 2, "10"},
        {10.6, 2, "11"},
        {123.456789, 2, "123"},
        {0.1, 2, "0.1"},
        {0.2, 2, "0.2"},
        {-1, 2, "0"},
        {0.001234, 6, "0.0012"},
        {0.05, 3, "0.05"},
        {0.0004, 3, "0"},
        {0.0005, 3, "0.001"},
        {1.5, 0, "2"},
        {0.4, 0, "0"},
        {86400, 2, "86400"},
        {0.000001, 6, "0.000001"},
    };
    char text[LOGLINE_SECONDS_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_str(logline_seconds_text(text, rows[i].seconds, rows[i].digits), rows[i].text);
}

static void dates(void **state)
{
    char text[DATE_SIZE];

    (void)state;
    setenv("TZ", "UTC0", 1);
    tzset();
    date_rfc5322(text, 1795257300);
    assert_string_equal(text, "Sat, 21 Nov 2026 10:35:00 +0000 (UTC)");
    date_rfc5322(text, 0);
    assert_string_equal(text, "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)");
    date_ctime(text, 1795257300);
    assert_string_equal(text, "Sat Nov 21 10:35:00 2026");
    setenv("TZ", "XYZ3:30", 1);
    tzset();
    date_rfc5322(text, 1795257300);
    assert_string_equal(text, "Sat, 21 Nov 2026 07:05:00 -0330 (XYZ)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seconds), cmocka_unit_test(dates)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
