"""`smtpd -n` compared with Debian's own OpenSMTPD (a private copy, nothing is installed): all vectors of the current grammar, and
files of our own. Differences that are meant are named here."""
import os
import re
import subprocess
import tempfile

import pytest

from conftest import BUILD, SLOW, TOP


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
