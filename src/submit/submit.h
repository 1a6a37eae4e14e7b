/*
 * Message intake, the whole of what cleanup does: headers, rewriting, checks, aliases, limits, the
 * queue file, hand-over to qmgr. In process (smtpd), or through the cleanup service, which is this
 * library behind a socket.
 */
#pragma once

#include "ipc/ipc.h"
#include "queue/queue.h"
#include "rewrite/rewrite.h"
#include "util/log.h"

struct submit_library; /* one per process: configuration, tables, connection to qmgr */

enum submit_flags { /* Postfix's bits */
                    SUBMIT_BOUNCE = 1,
                    SUBMIT_FILTER = 2,
                    SUBMIT_HOLD = 4,
                    SUBMIT_DISCARD = 8,
                    SUBMIT_BCC_OK = 16,
                    SUBMIT_MAP_OK = 32,
                    SUBMIT_MILTER = 64,
                    SUBMIT_SMTP_REPLY = 128,
                    SUBMIT_SMTPUTF8 = 256,
                    SUBMIT_AUTO_UTF8 = 512,
                    SUBMIT_REQUIRETLS = 1024,
                    SUBMIT_MASQUERADE_FROM = 1 << 20, /* ours: From: becomes the envelope sender */
};
enum { /* usual sets */
       SUBMIT_FLAGS_EXTERNAL = SUBMIT_FILTER | SUBMIT_BCC_OK | SUBMIT_MAP_OK | SUBMIT_MILTER,
       SUBMIT_FLAGS_INTERNAL =
           SUBMIT_MAP_OK, /* bounces, forwards; less when internal_mail_filter_classes says so */
};

/* Flags for a source, as receive_override_options, internal_mail_filter_classes and
 * smtputf8_autodetect_classes of its configuration say. */
enum submit_source {
    SUBMIT_FROM_SMTPD,
    SUBMIT_FROM_SENDMAIL,
    SUBMIT_FROM_QMQPD,
    SUBMIT_FROM_FORWARD,
    SUBMIT_FROM_BOUNCE,
    SUBMIT_FROM_NOTIFY,
    SUBMIT_FROM_VERIFY
};
unsigned submit_flags_for(const struct config *config, enum submit_source source);

enum submit_status { /* Postfix's bits; 0: queued */
                     SUBMIT_BAD = 1,
                     SUBMIT_WRITE = 2,
                     SUBMIT_SIZE = 4,
                     SUBMIT_CONTENT = 8,
                     SUBMIT_HOPS = 16,
                     SUBMIT_NO_RECIPIENTS = 64,
                     SUBMIT_PROXY = 128,
                     SUBMIT_DEFER = 256,
                     SUBMIT_NOPERM = 512,
                     SUBMIT_BARE_LF = 65536,
};

/* config: of the cleanup service (config_for_service), rewriter: of the rewrite service. */
enum rc submit_open(const struct config *config, struct rewriter *rewriter, const struct log *log,
                    struct submit_library **out, struct why *why) MUST_USE;
void submit_close(struct submit_library *lib);
bool submit_tables_have_changed(struct submit_library *lib);

/* Is there room for a message of that size (0: unknown)? queue_minfree, and 1.5 times
 * message_size_limit. RC_TEMP: no. Looks at the file system at most once a second. */
enum rc submit_has_space(struct submit_library *lib, long message_size, struct why *why) MUST_USE;

struct submission; /* one message, on the session's arena: freed (and its file removed) with it
                      unless finished */

/* Creates the queue file. begin: envelope without recipients; it must stay where it is, and its
 * origin may still be filled, until the first recipient (or content) comes. log: gets the queue id.
 */
enum rc submit_begin(struct submit_library *lib, const struct submit_begin *begin, struct arena *a,
                     const struct log *log, struct submission **out, struct why *why) MUST_USE;
const char *submit_queue_id(const struct submission *s);

/* sendmail(1) writes the queue id to the descriptor of that number (for smtpd, in sendmail -bs). */
#define QUEUE_ID_FD_ENVIRONMENT "POSTERN_QUEUE_ID_FD"

/* One envelope recipient (internal form), before the content, or after it (sendmail -t); expanded
 * and rewritten here. Trouble is remembered and shows in submit_finish(). */
void submit_recipient(struct submission *s, const struct recipient *r);

/* Attribute record "name=value" into the envelope, before the first recipient (client attributes of
 * smtpd). */
void submit_attribute(struct submission *s, const char *name, struct str value);

/* Flags and actions decided by access tables during the dialogue. */
void submit_set_flags(struct submission *s, unsigned flags); /* hold, discard */
/* Instead of message_size_limit of the cleanup service; 0: no limit. */
void submit_set_size_limit(struct submission *s, long bytes);
void submit_set_filter(struct submission *s, struct str filter);
void submit_set_redirect(struct submission *s, struct str address);
void submit_add_bcc(struct submission *s, struct str address);

/* Headers put in front of the content (Received:, PREPEND), one logical line, may be folded with
 * "\n\t". */
void submit_prepend_header(struct submission *s, struct str header);

/* Content, line by line without line end; more: the line goes on in the next call (over-long
 * lines). After trouble lines are taken and forgotten, except for what a bounce must show. */
void submit_line(struct submission *s, struct str line, bool more);

/* Trouble so far (bits of enum submit_status): smtpd stops storing early, still reads to the end.
 */
unsigned submit_status(const struct submission *s);

/*
 * End of content: header and body checks done, aliases expanded, file committed and synced, qmgr
 * told. Returns the status bits; reason: "X.Y.Z text" in the arena or empty. 0 means queued (or
 * discarded as told).
 */
unsigned submit_finish(struct submission *s, struct str *reason);

/* Content size in bytes so far. */
long submit_size(const struct submission *s);

/* DSN, SMTP code and text for a status; what smtpd answers and pickup logs. */
struct submit_outcome {
    unsigned bit;
    int smtp_code;
    const char *dsn;
    const char *text;
};
const struct submit_outcome *submit_outcome(unsigned status);

/*
 * The content as records in frames submit_text, read from c: take() gets each record. rest (a buf
 * of RECORD_BYTES_MAX that stays with the message) keeps a record that goes on in the next frame.
 */
typedef enum rc submit_record_fn(void *context, int type, struct str payload);
enum rc submit_read_text(struct ipc *c, struct buf *rest, submit_record_fn *take, void *context,
                         struct why *why) MUST_USE;
