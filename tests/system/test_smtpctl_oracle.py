"""Output shapes of smtpctl compared with Debian's own (a private copy in namespaces of its own; nothing is installed)."""
import os
import re
import subprocess
import tempfile

import pytest

from conftest import SLOW, TOP, free_port, wait_until
from test_smtpctl import ctl, defer, system  # noqa: F401

# runs in a mount namespace: accounts, spool and sockets of the other system are nobody else's
SCRIPT = r"""
set -e
mount --bind {tmp}/passwd /etc/passwd; mount --bind {tmp}/group /etc/group
mount -t tmpfs tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /var/spool; mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd; chmod 711 /var/spool/smtpd
mount -t tmpfs -o mode=755,size=20m tmpfs /mnt
cp {where}/usr/sbin/smtpctl {where}/usr/sbin/smtpd /mnt/; chgrp opensmtpq /mnt/smtpctl; chmod 2555 /mnt/smtpctl
mkdir -p /run/lib; echo {where}/usr/lib/x86_64-linux-gnu > /run/lib/conf; ldconfig -f /run/lib/conf -C /run/lib/cache -N 2>/dev/null || true
export LD_LIBRARY_PATH={where}/usr/lib/x86_64-linux-gnu
printf '%s\n' 'listen on 127.0.0.1 port {port}' 'action r relay host smtp://127.0.0.1:{dead}' 'match from any for any action r' > /run/smtpd.conf
/mnt/smtpd -d -f /run/smtpd.conf > /run/log 2>&1 &
for i in $(seq 100); do [ -S /run/smtpd.sock ] && break; sleep 0.1; done
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


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    if os.getuid() != 0:
        pytest.skip("needs root")
    where = os.path.join(tempfile.gettempdir(), "opensmtpd-oracle")
    r = subprocess.run([f"{TOP}/tests/opensmtpd-oracle", where], capture_output=True, text=True)
    if r.returncode:
        pytest.skip("the package opensmtpd cannot be had: " + r.stderr.strip())
    tmp = tmp_path_factory.mktemp("oracle")
    for name, more in (("passwd", "opensmtpd:x:991:991::/var/lib/opensmtpd/empty:/usr/sbin/nologin\nopensmtpq:x:992:992::/nonexistent:/usr/sbin/nologin\n"),
                       ("group", "opensmtpd:x:991:\nopensmtpq:x:992:\n")):
        (tmp / name).write_text(open(f"/etc/{name}").read() + more)
    script = SCRIPT.format(tmp=tmp, where=where, port=free_port(), dead=free_port())
    r = subprocess.run(["unshare", "-m", "--fork", "--pid", "--mount-proc", "bash", "-c", script], capture_output=True, text=True, timeout=120 * SLOW)
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
