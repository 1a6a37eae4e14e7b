/* A name server in a thread that knows a script: "name TYPE value; name TYPE value"; A, MX and NS.
 */
#pragma once

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns.h"
#include "unit/unit.h"

struct name_server {
    int fd;
    char script[4096];
    pthread_t thread;
    char resolv_conf[64];
};

static size_t put_name(unsigned char *out, struct str name)
{
    size_t n = 0;

    while (name.n) {
        struct str label = str_cut(&name, '.');
        out[n++] = (unsigned char)label.n;
        memcpy(out + n, label.p, label.n);
        n += label.n;
    }
    out[n++] = 0;
    return n;
}

static size_t put_data(unsigned char *out, struct str type, struct str value)
{
    if (str_eq(type, STR("A"))) {
        char text[64];
        snprintf(text, sizeof text, STR_FMT, STR_ARG(value));
        inet_pton(AF_INET, text, out);
        return 4;
    }
    if (str_eq(type, STR("MX"))) {
        out[0] = 0;
        out[1] = 10;
        return 2 + put_name(out + 2, value);
    }
    return put_name(out, value);
}

static int type_number(struct str type)
{
    return str_eq(type, STR("A")) ? DNS_A : str_eq(type, STR("MX")) ? DNS_MX : DNS_NS;
}

static size_t name_server_answer(const struct name_server *s, unsigned char *p, size_t n)
{
    char text[256] = "";
    size_t at = 12, length = 0;
    struct str rest = str_of(s->script), record;
    int asked, found = 0;
    bool exists = false;

    while (at < n && p[at]) {
        if (length)
            text[length++] = '.';
        memcpy(text + length, p + at + 1, p[at]);
        length += p[at];
        at += 1 + p[at];
    }
    asked = p[at + 1] << 8 | p[at + 2];
    n = at + 5;
    while (str_token(&rest, ";", &record)) {
        struct str words = str_trim(record), name = str_cut(&words, ' '),
                   type = str_cut(&words, ' ');
        if (!str_eq_nocase(name, str_of(text)))
            continue;
        exists = true;
        if (type_number(type) != asked)
            continue;
        memcpy(p + n, "\300\014", 2);
        memcpy(p + n + 2, (unsigned char[]){0, (unsigned char)asked, 0, 1, 0, 0, 1, 44, 0, 0}, 10);
        length = put_data(p + n + 12, type, words);
        p[n + 11] = (unsigned char)length;
        n += 12 + length;
        found++;
    }
    memcpy(p + 2,
           (unsigned char[]){0x81, exists ? 0x80 : 0x83, 0, 1, 0, (unsigned char)found, 0, 0, 0, 0},
           10);
    return n;
}

static void *name_server_run(void *context)
{
    const struct name_server *s = context;
    unsigned char packet[1500];
    struct sockaddr_in peer;
    socklen_t bytes = sizeof peer;
    ssize_t n;

    while ((n = recvfrom(s->fd, packet, 512, 0, (struct sockaddr *)&peer, &bytes)) > 12) {
        n = (ssize_t)name_server_answer(s, packet, (size_t)n);
        sendto(s->fd, packet, (size_t)n, 0, (struct sockaddr *)&peer, bytes);
        bytes = sizeof peer;
    }
    return NULL;
}

static void name_server_start(struct name_server *s, const char *script)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    int fd;

    snprintf(s->script, sizeof s->script, "%s", script);
    s->fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &bytes), 0);
    snprintf(s->resolv_conf, sizeof s->resolv_conf, "/tmp/test_rules.XXXXXX");
    fd = mkstemp(s->resolv_conf);
    dprintf(fd, "nameserver [127.0.0.1]:%d\noptions timeout:2 attempts:2\n", ntohs(at.sin_port));
    close(fd);
    pthread_create(&s->thread, NULL, name_server_run, s);
}

static void name_server_stop(struct name_server *s)
{
    shutdown(s->fd, SHUT_RDWR); /* wakes recvfrom */
    struct sockaddr_in at;
    socklen_t bytes = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    getsockname(s->fd, (struct sockaddr *)&at, &bytes);
    sendto(fd, "", 0, 0, (struct sockaddr *)&at, sizeof at);
    pthread_join(s->thread, NULL);
    close(fd);
    close(s->fd);
    unlink(s->resolv_conf);
}
