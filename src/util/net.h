/* Addresses, networks and sockets. IPv4-mapped IPv6 addresses are turned into IPv4 everywhere. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/arena.h"

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t bytes; /* 0: no address */
};

enum { ADDR_TEXT_SIZE = 64 };

/* Numeric address, [] and "IPv6:" allowed; port 0 when none. RC_PERM when it is none. */
enum rc addr_parse(struct str text, unsigned port, struct addr *out, struct why *why) MUST_USE;

/* "192.0.2.1", "2001:db8::1"; "" for no address, the path's kind word "unix" for UNIX sockets. */
void addr_format(const struct addr *a, char text[ADDR_TEXT_SIZE]);
unsigned addr_port(const struct addr *a);
void addr_set_port(struct addr *a, unsigned port);
int addr_family(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b); /* ports do not matter */
bool addr_is_loopback(const struct addr *a);
void addr_unmap(struct addr *a); /* ::ffff:192.0.2.1 becomes 192.0.2.1 */

/* The local / remote end of a socket. */
enum rc addr_of_socket(int fd, bool remote, struct addr *out, struct why *why) MUST_USE;

struct network {
    struct addr base;
    int bits;
};

/* "192.0.2.0/24", "[2001:db8::]/32", "192.0.2.1". RC_PERM: malformed, or host bits not zero (words
   name the right network). */
enum rc network_parse(struct str text, struct network *out, struct why *why) MUST_USE;
bool network_has(const struct network *n, const struct addr *a);

/* Port number or name in services(5); 0 when unknown. */
unsigned port_of(struct str text);

/* Split "host:port", "[host]:port", ":port", "host"; port empty when absent. */
enum rc host_port_split(struct str text, struct str *host, struct str *port,
                        struct why *why) MUST_USE;

/* Listening sockets; close-on-exec and non-blocking. mode: permissions of the UNIX socket. */
enum rc net_listen(const struct addr *at, int backlog, int *fd, struct why *why) MUST_USE;
enum rc net_listen_unix(const char *path, int type, mode_t mode, int backlog, int *fd,
                        struct why *why) MUST_USE;

/* Connect; blocking, at most timeout_ms. The descriptor is blocking afterwards. bind_to may be
 * NULL. */
enum rc net_connect(const struct addr *to, const struct addr *bind_to, long timeout_ms, int *fd,
                    struct why *why) MUST_USE;
enum rc net_connect_unix(const char *path, int type, long timeout_ms, int *fd,
                         struct why *why) MUST_USE;

/* Send one message with a descriptor along (fd < 0: none); receive likewise (*fd = -1: none came).
 */
ssize_t fd_send(int socket, const void *bytes, size_t n, int fd);
ssize_t fd_receive(int socket, void *bytes, size_t n, int *fd);
