/* The functions that restrictions.def names, and what they share. */
#pragma once

#include "access/program.h"

typedef enum verdict restriction_run(struct access_context *c, const struct step *s);

/* basic.c */
restriction_run run_permit, run_reject, run_defer, run_defer_if_permit, run_defer_if_reject,
    run_sleep, run_class, reject_multi_recipient_bounce;
/* client.c */
restriction_run permit_mynetworks, permit_inet_interfaces, permit_sasl_authenticated,
    reject_plaintext_session, reject_unauth_pipelining, reject_unknown_client_hostname,
    reject_unknown_reverse_client_hostname;
/* tables.c */
restriction_run check_client_access, check_reverse_client_access, check_helo_access,
    check_sender_access, check_recipient_access, check_etrn_access, check_sasl_access,
    check_address_map;
/* ccert.c */
restriction_run permit_tls_clientcerts, permit_tls_all_clientcerts, check_ccert_access;
/* host_access.c */
restriction_run check_client_a_access, check_client_mx_access, check_client_ns_access,
    check_reverse_client_a_access, check_reverse_client_mx_access, check_reverse_client_ns_access,
    check_helo_a_access, check_helo_mx_access, check_helo_ns_access, check_sender_a_access,
    check_sender_mx_access, check_sender_ns_access, check_recipient_a_access,
    check_recipient_mx_access, check_recipient_ns_access;
/* names.c */
restriction_run reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname,
    reject_unknown_helo_hostname, reject_non_fqdn_sender, reject_non_fqdn_recipient,
    reject_unknown_sender_domain, reject_unknown_recipient_domain;
/* relay.c */
restriction_run permit_auth_destination, reject_unauth_destination, defer_unauth_destination,
    permit_mx_backup;
/* listed.c */
restriction_run reject_unlisted_recipient, reject_unlisted_sender;
/* logins.c */
restriction_run reject_sender_login_mismatch, reject_authenticated_sender_login_mismatch,
    reject_known_sender_login_mismatch, reject_unauthenticated_sender_login_mismatch;
/* dnslist.c */
restriction_run permit_dnswl_client, permit_rhswl_client, reject_rbl_client, reject_rhsbl_client,
    reject_rhsbl_reverse_client, reject_rhsbl_helo, reject_rhsbl_sender, reject_rhsbl_recipient;
/* verified.c */
restriction_run reject_unverified_sender, reject_unverified_recipient;
/* match_rules.c */
restriction_run match_rules;
/* check_rules.c */
restriction_run check_rules_file;
/* sender_checks.c, rbl_list.c */
restriction_run reject_null_sender, reject_malformed_sender, reject_relay_probe, check_rbl_list;
/* policy_service.c */
restriction_run check_policy_service;

/* What a reply says before "rejected:". */
#define CLASS_CLIENT    "Client host"
#define CLASS_REVERSE   "Unverified Client host"
#define CLASS_HELO      "Helo command"
#define CLASS_SENDER    "Sender address"
#define CLASS_RECIPIENT "Recipient address"
#define CLASS_DATA      "Data command"
#define CLASS_END       "End-of-data"
#define CLASS_ETRN      "Etrn command"
#define CLASS_CCERT     "Client certificate"
#define CLASS_SASL      "SASL login name"

/* ---- refusing ---- */

/* As access_refuse(), with "<subject>: class rejected: text". */
enum verdict refuse_subject(struct access_context *c, long code, const char *dsn,
                            struct str subject, const char *class, struct str text);

/* A table or the configuration fails: 451. */
enum verdict refuse_trouble(struct access_context *c, struct str subject, const char *class);

/* No, if nothing permits (rejects) later. */
enum verdict defer_if(struct access_context *c, struct access_pending *pending, long code,
                      const char *dsn, struct str text);

/* DNS did not answer: what the parameter (.._tempfail_action) says, "defer" or "defer_if_permit".
 */
enum verdict refuse_for_now(struct access_context *c, struct str action, long code, const char *dsn,
                            struct str subject, const char *class, struct str text);

struct str subject_text(struct access_context *c, struct str subject, const char *class,
                        struct str text);

/* smtpd_log_access_permit_actions */
void log_permit(struct access_context *c, struct str action, struct str subject, const char *class,
                struct str table);

/* ---- shared look-ups ---- */

/* Where an address goes; cached for the latest one. REJECT: trouble, the reply is made. */
enum verdict resolve(struct access_context *c, struct str address, const struct resolved **out);

/* "2.0.0.127.zone", or nibbles of an IPv6 address; empty when it would be too long. */
struct str dns_list_query(struct access_context *c, struct str zone);

/* The client's name as check rules see it; p == NULL: none. */
struct str rules_client_name(const struct access_context *c);

/* Domain of an address, empty without. */
struct str domain_of(struct str address);

/* Addresses of a host by DNS, else as this machine knows it (hosts file). False: none. */
bool host_addresses(struct access_context *c, struct str host, struct addr **addresses, size_t *n);

/* RC_OK and the verdict when the key is there; RC_NONE; RC_TEMP with the verdict of the failure. */
enum rc try_key(struct access_context *c, struct table *t, struct str key, struct str subject,
                const char *class, enum verdict *v);

/* Key search in one table, and what the result asks for. */
enum verdict check_host_table(struct access_context *c, struct table *t, struct str host,
                              struct str subject, const char *class, bool *found);
enum verdict check_address_table(struct access_context *c, struct table *t,
                                 const struct addr *address, struct str subject, const char *class,
                                 bool *found);

/* Do what a table's value says. */
enum verdict table_result(struct access_context *c, struct str table, struct str value,
                          struct str subject, const char *class);

/* Is the recipient (sender) a known address, as far as there are tables that tell? */
enum verdict check_listed(struct access_context *c, struct str address, const char *class);

/* smtpd_relay_client, or a client of smtpd_pop_before_smtp_maps: any destination is fine. */
bool may_relay(struct access_context *c);

/* smtpd_sender_check */
enum verdict check_sender_class(struct access_context *c);
/* smtpd_sender_tld_length, smtpd_rbl_list */
enum rc sender_checks_open(struct access *access, struct why *why) MUST_USE;

/* smtpd_rbl_list: RC_CONFIG names file and line. */
enum rc rbl_line_check(struct str line, struct arena *a, struct why *why) MUST_USE;
enum rc rbl_list_read(struct str path, const struct log *log, struct arena *a,
                      const struct rbl_list **out, struct why *why) MUST_USE;
bool rbl_list_has_changed(const struct rbl_list *list); /* NULL: no */

/* Let the client wait, or note how long it would have to. */
void let_wait(struct access_context *c, long seconds);

/* Compile-time preparation of arguments. */
/* "{ type:name, { search_order = a, b } }": *table is the part before; order as in struct step. */
enum rc ccert_compile(struct str text, struct str *table, unsigned char order[2],
                      struct why *why) MUST_USE;
enum rc dns_list_compile(struct arena *a, struct str text, const struct dns_list **out,
                         struct why *why) MUST_USE;
enum rc check_rules_open(struct access *access, struct str path, struct rules_file **out,
                         struct why *why) MUST_USE;
enum rc match_rules_open(struct access *access, struct str path, struct dispatch **out,
                         struct why *why) MUST_USE;
enum rc policy_server_compile(struct access *access, struct str text,
                              const struct policy_call **out, struct why *why) MUST_USE;
