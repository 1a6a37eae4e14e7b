"""smtpctl and what filters are told, compared with Debian's own (a private copy in namespaces of its own; nothing is installed)."""
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

from conftest import SLOW, TOP, free_port, wait_until
from test_filters import filtered  # noqa: F401
from test_opensmtpd import site  # noqa: F401
from test_smtpctl import ctl, defer, system  # noqa: F401

# runs in a mount namespace: accounts, spool and sockets of the other system are nobody else's
BEGIN = r"""
set -e
mount --bind {tmp}/passwd /etc/passwd; mount --bind {tmp}/group /etc/group
mount -t tmpfs tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /var/spool; mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd; chmod 711 /var/spool/smtpd
mount -t tmpfs -o mode=755,size=20m tmpfs /mnt
cp {where}/usr/sbin/smtpctl {where}/usr/sbin/smtpd /mnt/; chgrp opensmtpq /mnt/smtpctl; chmod 2555 /mnt/smtpctl
export LD_LIBRARY_PATH={where}/usr/lib/x86_64-linux-gnu
printf '%s\n' {conf} > /run/smtpd.conf
/mnt/smtpd -d -f /run/smtpd.conf > /run/log 2>&1 &
for i in $(seq 100); do [ -S /run/smtpd.sock ] && break; sleep 0.1; done
"""

CONTROL = r"""
/usr/bin/python3 -c "
import smtplib, time
for i in range(100):
    try: s = smtplib.SMTP('127.0.0.1', {port}); break
    except OSError: time.sleep(0.1)
s.sendmail('ann@s.test', ['bob@far.test', 'eve@far.test'], 'Subject: x\r\n\r\nhi\r\n')
"
id=$(/mnt/smtpctl show queue | head -n 1 | cut -d'|' -f 1)
run() {{ echo "== $*"; /mnt/smtpctl "$@" 2>&1 || true; }}
run show queue; run show queue $id; run show status; run pause mta; run pause mta; run show status; run resume mta; run log verbose; run log brief
run trace imsg; run trace foo; run show envelope $id; run pause envelope $id; run show queue $id; run resume envelope $id; run schedule 11111111; run discover 11111111
run show mta paused; run pause mta from 127.0.0.1 for far.test; run show mta paused; run show stats; run remove $id; run remove all; run show queue
kill %1; wait || true
"""

DIALOGUE = ["EHLO me.test", "NOOP", "MAIL FROM:<ann@a.test> SIZE=10", "RCPT TO:<bob@v.test>", "RCPT TO:<bad", "RSET", "MAIL FROM:<ann@a.test>",
            "RCPT TO:<bob@v.test>", "DATA", "Subject: x\r\n\r\nhi\r\n..x\r\n.", "FOO", "MAIL FROM:<eve@a.test>", "QUIT"]
TALK = r"""
import socket, sys, time
for i in range(100):
    try: s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); break
    except OSError: time.sleep(0.1)
f = s.makefile('rwb')
def reply():
    while f.readline()[3:4] == b'-': pass
reply()
for line in eval(sys.argv[2]):
    f.write(line.encode() + b'\r\n'); f.flush(); reply()
f.read()
time.sleep(1)
"""


def run_theirs(tmp, conf, script, **words):
    """Start Debian's smtpd with this configuration in a namespace and run a script beside it."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    where = os.path.join(tempfile.gettempdir(), "opensmtpd-oracle")
    r = subprocess.run([f"{TOP}/tests/opensmtpd-oracle", where], capture_output=True, text=True)
    if r.returncode:
        pytest.skip("the package opensmtpd cannot be had: " + r.stderr.strip())
    for name, more in (("passwd", "opensmtpd:x:991:991::/var/lib/opensmtpd/empty:/usr/sbin/nologin\nopensmtpq:x:992:992::/nonexistent:/usr/sbin/nologin\n"),
                       ("group", "opensmtpd:x:991:\nopensmtpq:x:992:\n")):
        (tmp / name).write_text(open(f"/etc/{name}").read() + more)
    conf = " ".join(shlex.quote(line) for line in conf)
    text = BEGIN.format(tmp=tmp, where=where, conf=conf) + script.format(**words)
    return subprocess.run(["unshare", "-m", "--fork", "--pid", "--mount-proc", "bash", "-c", text], capture_output=True, text=True, timeout=120 * SLOW)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    port = free_port()
    r = run_theirs(tmp_path_factory.mktemp("oracle"), [f"listen on 127.0.0.1 port {port}", f"action r relay host smtp://127.0.0.1:{free_port()}",
                                                       "match from any for any action r"], CONTROL, port=port)
    if "== show queue\n" not in r.stdout or "|inet4|" not in r.stdout:
        pytest.skip("OpenSMTPD does not run here: " + (r.stderr + r.stdout)[-300:])
    return r.stdout


def shape(text):
    """What differs from run to run becomes a sign."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "ID", text)
    text = re.sub(r"\|(inflight|pending)\|-?\d+\|[^\n]*", "|STATE|", text)
    return re.sub(r"\b\d{9,}\b", "TIME", text)


def part(text, command):
    """What a command printed; the first time it was run."""
    return text.split(f"== {command}\n", 1)[1].split("== ", 1)[0]


def test_same_shapes(theirs, system):
    defer(system, "bob@far.test", "eve@far.test")
    ident = re.search(r"\b[0-9a-f]{16}\b", theirs)[0]
    mine = ctl(system, "show", "queue").stdout.split("|")[0]

    def same(*words, change=lambda t: t):
        want = shape(part(theirs, " ".join(words).replace("ID", ident)))
        r = ctl(system, *(w.replace("ID", mine) for w in words))
        assert change(shape(r.stdout + r.stderr)) == change(want), words

    attempts = re.compile(r"\|TIME\|\d+\|STATE\|").sub
    same("show", "queue", change=lambda t: sorted(attempts("|", re.sub(r"(bob|eve)", "USER", t)).splitlines()))
    same("show", "status")
    same("pause", "mta")
    assert part(theirs.split("== pause mta\n", 1)[1], "pause mta") == "command failed\n"
    assert ctl(system, "pause", "mta").stdout.startswith("command failed")
    same("resume", "mta")
    same("log", "verbose")
    same("log", "brief")
    same("trace", "imsg")
    ctl(system, "untrace", "imsg", check=True)
    same("trace", "foo")
    same("schedule", "11111111")
    same("discover", "11111111")
    same("show", "mta", "paused")
    same("pause", "mta", "from", "127.0.0.1", "for", "far.test")
    ctl(system, "resume", "mta", "from", "127.0.0.1", "for", "far.test", check=True)
    envelope = part(theirs, f"show envelope {ident}")
    names = [line.split(":")[0] for line in envelope.splitlines()]
    mine_names = [line.split(":")[0] for line in ctl(system, "show", "envelope", mine, check=True).stdout.splitlines()]
    assert [n for n in mine_names if n in names] == [n for n in names if n in mine_names] and set(names) - {"flags"} <= set(mine_names)
    stats = {line.split("=")[0] for line in part(theirs, "show stats").splitlines()}
    ours = {line.split("=")[0] for line in ctl(system, "show", "stats", check=True).stdout.splitlines()}
    assert {"uptime", "uptime.human", "smtp.session", "smtp.session.inet4", "scheduler.envelope", "control.session"} <= stats & ours
    assert part(theirs, f"remove {ident}") == "1 envelope removed\n" == ctl(system, "remove", mine, check=True).stdout
    assert part(theirs, "remove all") == "1 envelope removed\n" == ctl(system, "remove", "all", check=True).stdout


ASKED = ["report|*", *(f"filter|{p}" for p in ("connect", "helo", "ehlo", "mail-from", "rcpt-to", "data", "data-line", "commit"))]
ANSWERS = {"mail-from eve@a.test": "reject|550 not you"}


def heard(text):
    """What a filter was told in the session, without what differs by nature. Content: apart, as its place does not matter."""
    lines = [f.split("|") for f in text.splitlines() if not f.startswith("config|")]
    session = next(f[5] for f in lines if f[4] == "link-identify")
    events, content, numbers = [], [], {}
    for f in lines:
        what, rest = f[4], f[7:] if f[0] == "filter" else f[6:]
        if f[5] != session or what in ("protocol-server", "link-greeting"):
            continue
        if what == "link-connect":
            rest = [rest[0], rest[1], *(x.split(":")[0] for x in rest[2:])]
        if what.startswith("tx-"):
            number = numbers.setdefault(rest[0], len(numbers))
            rest = [number] if what in ("tx-envelope", "tx-commit") else [number, *rest[1:]]
        if what == "data-line":
            content.append("|".join(rest))
        elif not (what == "filter-response" and rest[0] in ("noop", "rset", "quit")):
            events.append((f[0], what, *rest))
    return events, content[content.index("Subject: x"):]


def test_filters_hear_the_same(filtered, tmp_path):
    shutil.copy(f"{TOP}/tests/system/filter_program.py", tmp_path / "filter.py")
    (tmp_path / "f.json").write_text(json.dumps({"register": ASKED, "log": str(tmp_path / "theirs.log"), "answers": ANSWERS}))
    (tmp_path / "talk.py").write_text(TALK)
    port = free_port()
    r = run_theirs(tmp_path, [f'filter f proc-exec "/usr/bin/python3 {tmp_path}/filter.py {tmp_path}/f.json" user root',
                              f"listen on 127.0.0.1 port {port} filter f", f"action r relay host smtp://127.0.0.1:{free_port()}",
                              "match from any for any action r"],
                   "/usr/bin/python3 {talk} {port} {dialogue}; kill %1; wait || true", talk=tmp_path / "talk.py", port=port,
                   dialogue=shlex.quote(repr(DIALOGUE)))
    if not os.path.exists(tmp_path / "theirs.log") or "link-disconnect" not in (tmp_path / "theirs.log").read_text():
        pytest.skip("OpenSMTPD does not run here: " + (r.stderr + r.stdout)[-300:])
    p = filtered("f proc f\n", "f", {"f": {"register": ASKED, "answers": ANSWERS}})
    subprocess.run(["/usr/bin/python3", tmp_path / "talk.py", str(p.port), repr(DIALOGUE)], check=True, timeout=60 * SLOW)
    want = heard((tmp_path / "theirs.log").read_text())
    got = wait_until(lambda: (t := open(p.heard["f"]).read()).count("link-identify") and ("report", "link-disconnect") in heard(t)[0] and heard(t),
                     what="end of session")
    for mine, other in zip(got, want):
        assert mine == other
