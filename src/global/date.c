#include "global/date.h"

#include <stdio.h>
#include <stdlib.h>

/* No strftime: with the C library it looks at /etc/localtime each time. */
static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void date_rfc5322(char text[DATE_SIZE], time_t t)
{
    struct tm tm;
    long minutes;
    int n;

    localtime_r(&t, &tm);
    minutes = tm.tm_gmtoff / 60;
    n = snprintf(text, DATE_SIZE, "%s, %2d %s %d %02d:%02d:%02d %c%02ld%02ld (%s)",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                 tm.tm_min, tm.tm_sec, minutes < 0 ? '-' : '+', labs(minutes) / 60,
                 labs(minutes) % 60, tm.tm_zone);
    if (n >= DATE_SIZE) /* a strange zone name */
        text[0] = '\0';
}

void date_ctime(char text[DATE_SIZE], time_t t)
{
    struct tm tm;

    localtime_r(&t, &tm);
    snprintf(text, DATE_SIZE, "%s %s %2d %02d:%02d:%02d %d", days[tm.tm_wday], months[tm.tm_mon],
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
}
