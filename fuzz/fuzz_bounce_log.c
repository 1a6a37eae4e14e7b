/* Bounce, defer and trace logs; and queue ids, which come from file names and from people. */
#include "fuzz.h"
#include "queue/queue.h"

static void check_text(struct str s, struct str all)
{
    if (s.n == 0)
        return;
    FUZZ_CHECK(s.p >= all.p && s.p + s.n <= all.p + all.n);
    FUZZ_CHECK(str_index(s, '\n') < 0);
}

static void check_id(struct str id)
{
    struct timespec created;
    struct why why;
    ino_t inode;
    char again[QUEUE_ID_SIZE];

    if (!queue_id_is_valid(id) || queue_id_time(id, &created, &why) != RC_OK ||
        queue_id_inode(id, &inode, &why) != RC_OK)
        return;
    FUZZ_CHECK(created.tv_nsec >= 0 && created.tv_nsec < 1000000000);
    queue_id_make(again, created, inode, queue_id_is_long(id));
    FUZZ_CHECK(queue_id_is_valid(str_of(again)));
    FUZZ_CHECK(queue_id_is_long(str_of(again)) == queue_id_is_long(id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text = arena_copy(a, (struct str){(const char *)data, size});
    struct bounce_log_entry *e = NULL;
    size_t n = 0;

    bounce_log_parse(text, a, &e, &n);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(e[i].recipient.address.p != NULL);
        check_text(e[i].dsn.reason, text);
        check_text(e[i].dsn.status, text);
        check_text(e[i].recipient.dsn_orcpt, text);
        FUZZ_CHECK(e[i].recipient.offset >= 0 && e[i].recipient.dsn_notify >= 0);
    }
    check_id(str_head(text, 30));
    return 0;
}
