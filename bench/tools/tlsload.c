/* tlsload: SMTP sessions with STARTTLS or AUTH, each on a thread of its own.
 *
 * tlsload -M mode [-s sessions] [-t seconds] [-l bytes] [-u user:password] [-r recipient] host:port
 *   new       connect, EHLO, STARTTLS, EHLO, QUIT, again and again; each handshake is a full one
 *   resume    the same, but each thread resumes its latest TLS session
 *   auth      connect, EHLO, AUTH PLAIN, QUIT, in clear
 *   send      STARTTLS, then messages of -l bytes until the time is over
 *   hold      open all sessions with STARTTLS and EHLO, report, hold them until standard input closes
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { NEW, RESUME, AUTH, SEND, HOLD };

struct session {
    int fd;
    SSL *ssl;
    SSL_SESSION *kept;
    char in[8192];
    size_t n;
};

static const char *const modes[] = {"new", "resume", "auth", "send", "hold"};
static struct sockaddr_in target;
static SSL_CTX *tls;
static enum mode mode;
static double until;
static long sessions = 20, length = 4096;
static double seconds = 4;
static char auth_line[1024];
static const char *recipient = "user@discard.test";
static char *body;
static size_t body_n;
static atomic_long done, errors, resumed;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int put(struct session *s, const char *p, size_t n)
{
    while (n) {
        ssize_t done_now = s->ssl ? SSL_write(s->ssl, p, n > 1 << 20 ? 1 << 20 : (int)n) : send(s->fd, p, n, MSG_NOSIGNAL);
        if (done_now <= 0)
            return -1;
        p += done_now;
        n -= (size_t)done_now;
    }
    return 0;
}

/* The code of the next reply; -1: none came. */
static int reply(struct session *s)
{
    for (;;) {
        char *end = memchr(s->in, '\n', s->n);
        if (end) {
            int code = atoi(s->in), last = s->in[3] != '-';
            size_t used = (size_t)(end - s->in) + 1;
            memmove(s->in, end + 1, s->n - used);
            s->n -= used;
            if (last)
                return code;
            continue;
        }
        if (s->n == sizeof s->in)
            return -1;
        ssize_t n = s->ssl ? SSL_read(s->ssl, s->in + s->n, (int)(sizeof s->in - s->n)) : recv(s->fd, s->in + s->n, sizeof s->in - s->n, 0);
        if (n <= 0)
            return -1;
        s->n += (size_t)n;
    }
}

static int ask(struct session *s, const char *command, int want)
{
    return put(s, command, strlen(command)) == 0 && reply(s) / 100 == want ? 0 : -1;
}

/* Not by the callback for new sessions: with it OpenSSL lets a ticket of TLS 1.3 be used once, and its successor never. */
static void keep(struct session *s)
{
    SSL_SESSION *fresh = SSL_get1_session(s->ssl);
    SSL_SESSION_free(s->kept);
    s->kept = fresh;
}

static int secure(struct session *s)
{
    if (ask(s, "STARTTLS\r\n", 2) < 0)
        return -1;
    s->ssl = SSL_new(tls);
    SSL_set_fd(s->ssl, s->fd);
    if (mode == RESUME && s->kept)
        SSL_set_session(s->ssl, s->kept);
    if (SSL_connect(s->ssl) != 1)
        return -1;
    resumed += SSL_session_reused(s->ssl);
    if (ask(s, "EHLO load.test\r\n", 2) < 0)
        return -1;
    if (mode == RESUME)
        keep(s);
    return 0;
}

static int begin(struct session *s)
{
    int on = 1;
    struct timeval limit = {60, 0};
    s->n = 0;
    s->ssl = NULL;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(s->fd, (struct sockaddr *)&target, sizeof target) < 0 || reply(s) != 220 || ask(s, "EHLO load.test\r\n", 2) < 0)
        return -1;
    return mode == AUTH ? ask(s, auth_line, 2) : secure(s);
}

static void end(struct session *s, int polite)
{
    if (polite)
        ask(s, "QUIT\r\n", 2);
    if (s->ssl) {
        SSL_set_quiet_shutdown(s->ssl, 0);
        if (polite)
            SSL_shutdown(s->ssl);
        SSL_free(s->ssl);
    }
    close(s->fd);
    ERR_clear_error();
}

static int message(struct session *s)
{
    char rcpt[300];
    snprintf(rcpt, sizeof rcpt, "RCPT TO:<%s>\r\n", recipient);
    return ask(s, "MAIL FROM:<load@load.test>\r\n", 2) == 0 && ask(s, rcpt, 2) == 0 && ask(s, "DATA\r\n", 3) == 0 && put(s, body, body_n) == 0 &&
                   reply(s) / 100 == 2 ? 0 : -1;
}

static void *run(void *unused)
{
    struct session s = {0};
    (void)unused;
    while (now() < until) {
        int good = begin(&s) == 0;
        if (mode == SEND) {
            while (good && now() < until)
                if ((good = message(&s) == 0))
                    done++;
        } else if (good)
            done++;
        if (!good && ++errors > 100)
            break;
        end(&s, good);
    }
    SSL_SESSION_free(s.kept);
    return NULL;
}

static void hold(void)
{
    struct session *all = calloc((size_t)sessions, sizeof *all);
    double start = now();
    char c;
    for (long i = 0; i < sessions; i++)
        if (begin(&all[i]) == 0)
            done++;
        else
            errors++;
    printf("{\"held\": %ld, \"errors\": %ld, \"seconds\": %.3f}\n", (long)done, (long)errors, now() - start);
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    for (long i = 0; i < sessions; i++)
        end(&all[i], 0);
    free(all);
}

static void make_body(void)
{
    body = malloc((size_t)length + 100);
    body_n = (size_t)sprintf(body, "Subject: load\r\n\r\n");
    for (long i = 0; i < length / 80; i++) {
        memset(body + body_n, 'x', 78);
        memcpy(body + body_n + 78, "\r\n", 2);
        body_n += 80;
    }
    memcpy(body + body_n, ".\r\n", 3);
    body_n += 3;
}

static void make_auth(const char *account)
{
    const char *colon = strchr(account, ':');
    unsigned char plain[512];
    int n = colon ? snprintf((char *)plain, sizeof plain, "%c%.*s%c%s", 0, (int)(colon - account), account, 0, colon + 1) : 0;
    int at = snprintf(auth_line, sizeof auth_line, "AUTH PLAIN ");
    at += EVP_EncodeBlock((unsigned char *)auth_line + at, plain, n);
    strcpy(auth_line + at, "\r\n");
}

static void options(int argc, char **argv)
{
    char *colon;
    int o, known = 0;
    while ((o = getopt(argc, argv, "M:s:t:l:u:r:")) > 0)
        switch (o) {
        case 'M':
            for (int i = 0; i < 5; i++)
                if (strcmp(optarg, modes[i]) == 0)
                    mode = (enum mode)i, known = 1;
            break;
        case 's': sessions = atol(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'l': length = atol(optarg); break;
        case 'u': make_auth(optarg); break;
        case 'r': recipient = optarg; break;
        default: known = 0;
        }
    colon = optind == argc - 1 ? strrchr(argv[optind], ':') : NULL;
    if (!known || !colon) {
        fprintf(stderr, "usage: tlsload -M new|resume|auth|send|hold [-s sessions] [-t seconds] [-l bytes] [-u user:password] [-r recipient] host:port\n");
        exit(2);
    }
    *colon = 0;
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    inet_pton(AF_INET, argv[optind], &target.sin_addr);
}

int main(int argc, char **argv)
{
    pthread_t threads[1000];
    double start, took;

    signal(SIGPIPE, SIG_IGN);
    options(argc, argv);
    make_body();
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    start = now();
    until = start + seconds;
    if (mode == HOLD) {
        hold();
        return 0;
    }
    if (sessions > 1000)
        sessions = 1000;
    for (long i = 0; i < sessions; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (long i = 0; i < sessions; i++)
        pthread_join(threads[i], NULL);
    took = now() - start;
    printf("{\"mode\": \"%s\", \"done\": %ld, \"rate\": %.1f, \"mib_per_s\": %.2f, \"errors\": %ld, \"resumed\": %ld, \"seconds\": %.3f}\n", modes[mode],
           (long)done, (double)done / took, (double)done * (double)body_n / took / 1048576, (long)errors, (long)resumed, took);
    return 0;
}
