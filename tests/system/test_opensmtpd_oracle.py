"""`smtpd -n` compared with Debian's own OpenSMTPD (a private copy, nothing is installed): all vectors of the current grammar, and
files of our own. Differences that are meant are named here."""
import os
import re
import subprocess
import tempfile

import pytest

from conftest import BUILD, SLOW, TOP
from test_opensmtpd import site  # noqa: F401


@pytest.fixture(scope="module")
def oracle():
    where = os.path.join(tempfile.gettempdir(), "opensmtpd-oracle")
    r = subprocess.run([f"{TOP}/tests/opensmtpd-oracle", where], capture_output=True, text=True)
    if r.returncode:
        pytest.skip("the package opensmtpd cannot be had: " + r.stderr.strip())
    libs = f"{where}/usr/lib/x86_64-linux-gnu"
    return lambda *args, cwd: subprocess.run([f"{where}/usr/sbin/smtpd", *args], capture_output=True, text=True, cwd=cwd,
                                             timeout=60 * SLOW, env={**os.environ, "LD_LIBRARY_PATH": libs})


def vectors():
    for line in open(f"{TOP}/tests/data/opensmtpd.tsv"):
        fields = line.rstrip("\n").split("\t")
        if fields[1] == "conf-current":
            text = "" if fields[2] == "-" else re.sub(r"\\([nr\\])", lambda m: {"n": "\n", "r": "\r", "\\": "\\"}[m.group(1)], fields[2])
            yield pytest.param(text, id=fields[0])


OWN = {
    "two errors": "match fo\naction a mbox alias <b>\nmatch for local reject\n",
    "dispatcher before": "match for any action a\naction a relay\nmatch for any reject\n",
    "list of addresses": "table a { 10.0.0.1, 192.0.2.0/24 }\nmatch from src <a> for any reject\n",
    "map is no list": "table t { a = b, c = d }\nmatch from any for domain <t> reject\n",
    "dhe": "pki x key \"/none\"\npki x dhe foo\nmatch for any reject\n",
    "srs without key": "action a relay srs\nmatch for any reject\n",
    "tls twice": "listen on 127.0.0.1 smtps tls\nmatch for any reject",
    "limits of mta": "mta limit conn-delay-relay 5 inet4 session-mail-max 3 task-hiwat 1\nmta limit for domain x.y max-conn-per-host 1\n"
                     "match for any reject\n",
    "limits of mda": "mda limit max-session 5 max-session-per-user 2 task-hiwat 3\nmatch for any reject\n",
    "limits of the scheduler": "scheduler limit max-inflight 5 task-hiwat 1\nmatch for any reject\n",
    "wrapper twice": "mda wrapper w x\nmda wrapper w y\nmatch for any reject\n",
    "limits": "mta limit foo 3\nscheduler limit foo 3\nmatch for any reject\n",
    "session limit": "smtp limit foo 3\nmatch for any reject\n",
    "warn intervals": "bounce warn-interval 1h, 2h, 3h, 4h\nmatch for any reject\n",
    "ttl unit": "queue ttl 1w\nmatch for any reject\n",
    "no interface": "listen on nosuchif\nmatch for any reject\n",
    "processor": "filter f proc x\nmatch for any reject\n",
    "filter twice": "filter f proc-exec \"/bin/cat\"\nfilter f proc-exec \"x\"\nmatch for any reject\n",
    "phase": "filter f phase connect match helo \"x\" junk\nmatch for any reject\n",
    "auth without host": "table s { a = \"b:c\" }\naction a relay auth <s>\nmatch for any reject\n",
    "socket": "listen on socket tag A mask-src\nmatch for any reject\n",
    "word that begins with a slash": "table a /etc/aliases\nmatch for any reject\n",
    "delimiter": "smtp sub-addr-delim \"++\"\nmatch for any reject\n",
    "size as number": "smtp max-message-size 1000\nmatch for any reject\n",
    "table file": "table t file:/nonexistent\nmatch for any reject\n",
    "manual": "table a { root = me }\nlisten on lo\naction l mbox alias <a>\naction o relay\nmatch for local action l\n"
              "match for any action o\nmatch !from src 10.0.0.1 mail-from \"@example.com\" for any \\\n      reject\n",
    "no line end": "match for any reject",
}


def compare(oracle, tmp_path, text):
    (tmp_path / "smtpd.conf").write_text(text, newline="")
    args = ["-n", "-f", "smtpd.conf"]
    theirs = oracle(*args, cwd=tmp_path)
    ours = subprocess.run([f"{BUILD}/bin/opensmtpd", *args, "-o", "grammar=current"], capture_output=True, text=True, cwd=tmp_path,
                          timeout=60 * SLOW)
    lines = theirs.stderr.splitlines()
    if len(lines) > 1:  # what follows from other errors is not worth a line
        lines = [x for x in lines if x != "warn: no rules, nothing to do"]
    lines = [x.removeprefix("pushfile: ") for x in lines]
    mine = [x for x in ours.stderr.splitlines() if "carriage return" not in x]
    assert (ours.returncode, mine) == (theirs.returncode, lines)


@pytest.mark.parametrize("text", vectors())
def test_vectors(oracle, tmp_path, text):
    compare(oracle, tmp_path, text)


@pytest.mark.parametrize("name", sorted(OWN))
def test_own(oracle, tmp_path, name):
    compare(oracle, tmp_path, OWN[name])


# ---- options: each alone, twice, and behind another ----

PRELUDE = """table t {{ a = b }}
table l {{ x, y }}
table f file:{dir}/map
table fl "{dir}/list"
pki p cert "{dir}/cert" key "{dir}/key"
ca c cert "{dir}/cert"
mda wrapper w "x %{{mda}}"
filter fi phase connect match rdns bypass
filter ch chain {{ fi }}
proc pr "/bin/cat"
srs key secret
"""

LISTEN = ["inet4", "inet6", "port 25", "port 0", "port 99999", "port smtp", "port foo", "port", "auth", "auth <t>", "auth <nope>",
          "auth-optional <f>", "ca c", "filter fi", "filter nope", "filter { fi, fi }", "filter { }", "hostname h", "hostname",
          "hostnames <t>", "hostnames <l>", "hostnames x", "mask-src", "no-dsn", "pki p", "proxy-v2", "received-auth", "senders <t>",
          "senders <t> masquerade", "senders <fl>", "senders x", "masquerade", "smtps", "smtps verify", "tag x", "tag", "tls",
          "tls-require", "tls-require verify", "tls verify", "foo", "user x", "hostname 5"]
LOCAL = ["alias <t>", "alias <l>", "alias <f>", "alias <fl>", "alias <nope>", "alias x", "alias { a = b }", "alias { a, b }",
         "virtual <t>", "virtual <l>", "virtual x", "userbase <t>", "userbase <fl>", "user nobody", "wrapper w", "wrapper nope",
         "junk", "rcpt-to", "foo", "alias", "user", "virtual { \"@\" = x }", "ttl 4d", "ttl 0d", "ttl 4", "ttl 4w", "ttl x", "ttl -1d",
         "ttl 99999999999d"]
RELAY = ["backup", "backup mx x", "ca c", "helo h", "helo-src <t>", "helo-src <l>", "helo-src x", "domain <t>", "domain <l>",
         "domain x", "host x", "host <t>", "host smtp://a@x", "host smtps://x:99", "host { a, b }", "host", "pki p", "srs", "tls",
         "tls no-verify", "tls verify", "mail-from x", "mail-from \"@x\"", "src 1.2.3.4", "src <t>", "filter fi", "filter nope", "foo"]
MATCH = ["for any", "for local", "for domain x", "for domain <l>", "for domain <t>", "for domain <nope>", "for domain { a, b }",
         "for domain regex <l>", "for rcpt-to x", "for rcpt-to <t>", "for", "from any", "from local", "from socket", "from auth",
         "from auth x", "from auth <t>", "from mail-from x", "from rdns", "from rdns <t>", "from src 1.2.3.4", "from src regex x",
         "from", "auth", "auth <t>", "helo x", "helo <t>", "mail-from regex x", "mail-from <t>", "rcpt-to x", "rcpt-to <t>",
         "tag <l>", "tag <t>", "tls", "foo", "src x", "rdns"]
PHASES = ["connect", "helo", "ehlo", "auth", "mail-from", "rcpt-to", "data", "commit", "noop", "rset", "quit"]
CONDITIONS = ["fcrdns", "rdns", "rdns x", "rdns <l>", "rdns regex x", "src 1.2.3.4", "src <nope>", "helo x", "helo regex \"x\"", "auth",
              "auth x", "mail-from x", "rcpt-to x", "!fcrdns", "! src <l>", "foo", "", "helo", "tls"]
DECISIONS = ["bypass", "junk", "disconnect", "reject \"450 x\"", "reject", "rewrite \"x\"", "rewrite", "report \"x\"", "foo", "",
             "bypass bypass", "disconnect \"421 bye\""]
OTHERS = """filter
filter g chain fi
filter g chain {{ g }}
filter g chain {{ ch }}
filter g chain {{ fi, fi }}
filter g chain {{ }}
filter g proc nope
filter g proc pr
filter g proc-exec "x" user nobody group nogroup chroot "/tmp"
filter g proc-exec "x" user a user b
filter fi proc pr
filter g phase connect rdns bypass
proc x
proc x y user nobody
proc pr z
proc x y foo
proc x y group g group h
admd
admd x y
bounce warn-interval
bounce warn-interval 4h,
bounce warn-interval 4h 5h
bounce warn-interval 1h,2h,3h,4h,5h
bounce warn-interval 0h
bounce warn-interval 4
ca x cert
ca x key y
pki p dhe none
pki p dhe foo
pki p foo
queue
queue compression compression
queue ttl 4d 5d
queue ttl -1d
scheduler limit
scheduler limit max-inflight
scheduler limit foo 1
smtp limit
smtp limit max-mails x
smtp limit max-mails 1 max-rcpt 2
smtp max-message-size -1
smtp max-message-size 10MB
smtp max-message-size "1.5K"
smtp max-message-size ".5"
smtp max-message-size "1.x"
smtp max-message-size "2E"
smtp max-message-size 99999999999999999999
smtp sub-addr-delim "@"
smtp sub-addr-delim " "
srs key backup x
srs ttl 0d
srs ttl 4
mta limit
mta limit for domain
mta limit for domain x inet4
mta limit for host x inet4
mda limit
mda wrapper w y
table x
table x y
table x file:map
table x db:map
table x static:
table x {{ }}
table x {{ a b }}
table x {{ a, b, }}
table x {{ a = b, c }}
table x {{ a => b }}
table x {{ , a }}
table t {{ a }}
table x {{ alias }}
table x file:/etc/passwd
listen
listen on
listen on socket smtps
listen on "nosuchif"
action
action a foo
action "a b" mbox
action a mbox mbox
action a lmtp
action a maildir "/x" junk
action a relay domain <t> auth <t>
action a relay host x domain <t>
match
match reject
match ! for any reject
match !! for any reject
match for any action nope
match from auth auth for any reject
match for domain -99999999999999999999 reject
match for domain 99999999999999999999 reject
match for domain a;b:c/d-e_f+g.h@i reject
match for domain a=b reject
match for domain a(b) reject
foo bar
foo=bar
"foo bar" = x
x = any
x = 5
x = "any" 5
match = x
5 = x
= x
}}
$x
'x'
x = 'a "b" c'
x = "any reject"\nmatch for $x
x = y\nmatch for domain $xz reject
x = y\nmatch for domain "a$x" reject
match for domain "a\\"b" reject
# a \\\n\\\nfoo
match for \\\n any foo
listen on socket\nlisten on socket""".split("\n")
# What is meant: what the original finds out only when it runs, options of later versions, and the place in a line.
MEANT = [r"ttl \S+ \S", r"relay.*\bauth\b.*host", "pki requires tls", "auth requires tls", "Address family", "load_pki_tree", "does not exist", "wrapper w wrapper w",
         "socket no-dsn", "phase commit .* bypass", "phase (.|\\n)*no such table"]
if os.getuid():
    MEANT.append("ficate file")  # the original takes only what belongs to root


def cases():
    for options, before in ((LISTEN, "listen on 127.0.0.1"), (LISTEN, "listen on socket"), (LISTEN, "listen on 127.0.0.1 tls pki p"),
                            (LOCAL, "action a expand-only"), (LOCAL, "action a maildir"), (LOCAL, "action a mbox"), (RELAY, "action a relay"),
                            (RELAY, "action a relay host x"), (RELAY, "action a relay backup")):
        yield before, [f"{before} {o}" for o in options] + [f"{before} {o} {o}" for o in options]
    for before in ("match", "match !", "match from any", "match auth", "match for any"):
        yield before, [f"{before} {o} reject" for o in MATCH] + [f"{before} {o} {o} reject" for o in MATCH[::3]]
    yield "filter", [f"filter g phase {p} match {c} bypass" for p in PHASES for c in CONDITIONS[::2 if p in PHASES[1:7:2] else 1]]
    yield "decisions", [f"filter g phase {p} match src 1.2.3.4 {d}" for p in ("connect", "auth", "commit") for d in DECISIONS]
    yield "others", OTHERS


def prelude(where):
    os.makedirs(where)
    for file, text in (("map", "a b\nc d\n"), ("list", "a\nb\n"), ("mixed", "a\nb c\n")):
        with open(f"{where}/{file}", "w") as f:
            f.write(text)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{where}/key", "-out", f"{where}/cert", "-subj",
                    "/CN=x", "-days", "9"], check=True, capture_output=True)
    return PRELUDE.format(dir=where)


@pytest.mark.parametrize("name,lines", [pytest.param(n, x, id=n) for n, x in cases()])
def test_options(oracle, tmp_path, name, lines):
    where = tmp_path / "tables"
    head, wrong = prelude(where), []
    for line in lines:
        line = line.format(dir=where) if name == "others" else line
        try:
            compare(oracle, tmp_path, head + line.replace("\\n", "\n") + "\nmatch for local reject\n")
        except AssertionError as e:
            if not any(re.search(x, line) or re.search(x, str(e)) for x in MEANT):
                wrong.append(f"{line}\n{e}")
    assert not wrong, "\n".join(wrong)


def test_what_is_right_passes_the_check(site):
    """What -n accepts becomes a configuration that postfix check has nothing to say about."""
    s = site("", start=False)
    where = f"{s.dir}/tables"
    head, checked = prelude(where), 0
    etc = f"{s.data}/smtpd.d"
    for line in [line for name, lines in cases() if name != "others" for line in lines][::14]:
        s.write(head + line + "\n" + ("match from any for any action a\n" if line.startswith("action a ") else "match for local reject\n"))
        if s.smtpd("-n").returncode:
            continue
        assert s.smtpd("-o", "write").returncode == 0
        r = subprocess.run([f"{s.prefix}/sbin/postfix", "-c", etc, "check"], env={**os.environ, "MAIL_CONFIG": etc}, capture_output=True, text=True)
        assert (r.returncode, r.stdout + r.stderr) == (0, ""), line
        checked += 1
    assert checked > 10
