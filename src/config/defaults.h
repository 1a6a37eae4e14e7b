/*
 * Names that an installation may choose: directories, accounts, table types.
 *
 * The values here are those of Postfix on Debian. Another one is given at build time:
 * ./makedefs queue_directory=/srv/spool/postfix. Only src/config sees them.
 */
#pragma once

#define MAIL_VERSION_INTERFACE "3.12.0"      /* the interface that scripts compare with */
#define MAIL_VERSION_OWN       "postern-1.0" /* ours */
#define DEF_MAIL_VERSION       MAIL_VERSION_INTERFACE "-" MAIL_VERSION_OWN

#ifndef DEF_MAIL_RELEASE_DATE
#    define DEF_MAIL_RELEASE_DATE "20260901"
#endif
#ifndef DEF_CONFIG_DIRECTORY
#    define DEF_CONFIG_DIRECTORY "/etc/postfix"
#endif
#ifndef DEF_COMMAND_DIRECTORY
#    define DEF_COMMAND_DIRECTORY "/usr/sbin"
#endif
#ifndef DEF_DAEMON_DIRECTORY
#    define DEF_DAEMON_DIRECTORY "/usr/lib/postfix/sbin"
#endif
#ifndef DEF_DATA_DIRECTORY
#    define DEF_DATA_DIRECTORY "/var/lib/postfix"
#endif
#ifndef DEF_QUEUE_DIRECTORY
#    define DEF_QUEUE_DIRECTORY "/var/spool/postfix"
#endif
#ifndef DEF_MAIL_SPOOL_DIRECTORY
#    define DEF_MAIL_SPOOL_DIRECTORY "/var/mail"
#endif
#ifndef DEF_MAIL_OWNER
#    define DEF_MAIL_OWNER "postfix"
#endif
#ifndef DEF_SETGID_GROUP
#    define DEF_SETGID_GROUP "postdrop"
#endif
#ifndef DEF_SENDMAIL_PATH
#    define DEF_SENDMAIL_PATH "/usr/sbin/sendmail"
#endif
#ifndef DEF_MAILQ_PATH
#    define DEF_MAILQ_PATH "/usr/bin/mailq"
#endif
#ifndef DEF_NEWALIASES_PATH
#    define DEF_NEWALIASES_PATH "/usr/bin/newaliases"
#endif
#ifndef DEF_MANPAGE_DIRECTORY
#    define DEF_MANPAGE_DIRECTORY "/usr/share/man"
#endif
#ifndef DEF_HTML_DIRECTORY
#    define DEF_HTML_DIRECTORY "no"
#endif
#ifndef DEF_README_DIRECTORY
#    define DEF_README_DIRECTORY "no"
#endif
#ifndef DEF_SAMPLE_DIRECTORY
#    define DEF_SAMPLE_DIRECTORY "/etc/postfix"
#endif
#ifndef DEF_META_DIRECTORY
#    define DEF_META_DIRECTORY "/etc/postfix"
#endif
#ifndef DEF_SHLIB_DIRECTORY
#    define DEF_SHLIB_DIRECTORY "/usr/lib/postfix"
#endif

/* Table types in defaults: what Postfix says where Berkeley DB is there, else LMDB. */
#ifndef DEF_DATABASE_TYPE
#    ifdef HAVE_DB
#        define DEF_DATABASE_TYPE "hash"
#    else
#        define DEF_DATABASE_TYPE "lmdb"
#    endif
#endif
#ifndef DEF_CACHE_DB_TYPE
#    ifdef HAVE_DB
#        define DEF_CACHE_DB_TYPE "btree"
#    else
#        define DEF_CACHE_DB_TYPE "lmdb"
#    endif
#endif
