#include "postsuper/summary.h"

#include "postsuper/postsuper.h"

static void line(const struct postsuper *p, const char *what, long n)
{
    if (n)
        log_info(&p->command.log, "%s: %ld message%s", what, n, n == 1 ? "" : "s");
}

void summary(const struct postsuper *p)
{
    line(p, "Deleted", p->counts.deleted);
    line(p, "Requeued", p->counts.requeued);
    line(p, "Placed on hold", p->counts.held);
    line(p, "Released from hold", p->counts.released);
    line(p, "Force-expired", p->counts.expired);
    line(p, "Renamed to match inode number", p->counts.renamed);
}
