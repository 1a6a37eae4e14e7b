#include "postsuper/summary.h"

#include "postsuper/postsuper.h"

static void line(const struct postsuper *p, bool asked, const char *what, long n)
{
    if (n || asked)
        log_info(&p->command.log, "%s: %ld message%s", what, n, n == 1 ? "" : "s");
}

void summary(const struct postsuper *p)
{
    const bool *asked = p->asked;

    line(p, asked[ACTION_REQUEUE], "Requeued", p->counts.requeued);
    line(p, asked[ACTION_DELETE], "Deleted", p->counts.deleted);
    line(p, asked[ACTION_HOLD], "Placed on hold", p->counts.held);
    line(p, asked[ACTION_RELEASE], "Released from hold", p->counts.released);
    line(p, asked[ACTION_EXPIRE] || asked[ACTION_EXPIRE_AND_RELEASE], "Force-expired",
         p->counts.expired);
    line(p, false, "Renamed to match inode number", p->counts.renamed);
}
