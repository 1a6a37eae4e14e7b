"""smtpctl: every command, with the output shapes of OpenSMTPD's. Fnn and Snnn are the numbers of doc/opensmtpd.md and its vectors."""
import os
import re
import socket
import subprocess
import time

import pytest

from conftest import SLOW, alive, free_port, wait_until
from dns_server import name_server
from test_opensmtpd import site  # noqa: F401
from test_queue import sink  # noqa: F401

LOCAL = {"home_mailbox": "", "mailbox_command": "", "virtual_mailbox_domains": "v.test",
         "virtual_mailbox_base": "{mail}", "virtual_mailbox_maps": "inline:{{ bob@v.test=bob/ ann@v.test=ann/ }}",
         "virtual_uid_maps": "static:{uid}", "virtual_gid_maps": "static:{gid}", "virtual_minimum_uid": "1"}


@pytest.fixture
def system(postern, tmp_path):
    """An instance that delivers v.test to maildirs, and everything else to a port where nobody listens."""
    p = postern(start=False)
    owner = os.stat(p.data)
    p.dead = free_port()
    p.main.update({k: v.format(mail=p.mail, uid=owner.st_uid or 65534, gid=owner.st_gid or 65534) for k, v in LOCAL.items()})
    p.main.update(relayhost=f"[127.0.0.1]:{p.dead}", minimal_backoff_time="300s", transport_retry_time="2s",
                  smtp_initial_destination_concurrency="1")
    p.write_config()
    return p.start()


def ctl(p, *words, **kw):
    return p.run("smtpctl", *words, **kw)


def queue(p, *words):
    return [line.split("|") for line in ctl(p, "show", "queue", *words, check=True).stdout.splitlines()]


def defer(p, *recipients, sender="ann@s.test"):
    """A message that waits in deferred/."""
    before = len(p.queue_files("deferred"))
    p.send(list(recipients), sender=sender)
    wait_until(lambda: len(p.queue_files("deferred")) > before and not p.queue_files("incoming", "active"), what="deferral")


# ---- words ----

def test_incomplete_command_lists_words(system):  # S092
    r = ctl(system, "log")
    assert r.returncode == 1 and "valid commands/args:" in r.stderr
    assert {"brief", "verbose"} <= set(r.stderr.split())


def test_unknown_word(system):
    r = ctl(system, "frobnicate")
    assert r.returncode == 1
    assert {"show", "pause", "log", "monitor", "trace", "encrypt", "spf"} <= set(r.stderr.split())


def test_ambiguous_prefix(postern, system):  # S093
    r = ctl(system, "sh", "st")
    assert r.returncode == 1 and "ambiguous argument: st" in r.stderr
    assert {"stats", "status"} <= set(r.stderr.split())
    system.main["smtpctl_dialect"] = "2011"
    system.write_config()
    r = ctl(system, "sh", "st")
    assert r.returncode == 0 and "parent.uptime=" in r.stdout


def test_abbreviation(system):  # S094
    defer(system, "bob@far.test")
    strip = re.compile(r"\|pending\|\d+\|").sub
    assert strip("", ctl(system, "sh", "q", check=True).stdout) == strip("", ctl(system, "show", "queue", check=True).stdout) != ""


def test_superfluous_argument(system):  # S107
    r = ctl(system, "show", "queue", "foo", "bar")
    assert r.returncode == 1 and "superfluous argument: bar" in r.stderr
    assert ctl(system, "monitor", "x").returncode == 1


@pytest.mark.parametrize("word", ["0", "zz", "11111111111111111", "-1", ""])  # S098 S099
def test_bad_identifier(system, word):
    r = ctl(system, "remove", word)
    assert r.returncode == 1 and "invalid msgid/evpid" in r.stderr


def test_not_running(postern):  # section 4
    p = postern(start=False)
    r = ctl(p, "show", "status")
    assert r.returncode == 1
    assert re.search(rf"connect: {p.spool}/public/smtpctl: ", r.stderr)
    for words in (["remove", "all"], ["schedule", "all"], ["pause", "envelope", "all"], ["discover", "11111111"], ["update", "table", "x"]):
        r = ctl(p, *words)
        assert r.returncode == 1 and "connect: " in r.stderr, words
    assert ctl(p, "show", "queue", check=True).stdout == ""  # that works as with the original


# ---- pauses ----

def test_status_and_pause_twice(system):  # S104
    assert ctl(system, "show", "status", check=True).stdout == "MDA running\nMTA running\nSMTP running\n"
    assert ctl(system, "pause", "mta", check=True).stdout == "command succeeded\n"
    r = ctl(system, "pause", "mta")
    assert r.returncode == 1 and r.stdout.startswith("command failed")
    assert ctl(system, "show", "status").stdout == "MDA running\nMTA paused\nSMTP running\n"
    assert ctl(system, "resume", "mta", check=True).stdout == "command succeeded\n"
    assert ctl(system, "resume", "mta").returncode == 1


def test_pause_mta(system, sink):  # S095
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    ctl(system, "pause", "mta", check=True)
    system.send(["bob@v.test", "bob@far.test"])
    system.wait_mail("bob")  # local mail flows
    rows = wait_until(lambda: [r for r in queue(system) if r[5] == "bob@far.test"], what="row")
    assert rows[0][2] == "mta" and s.got == []
    ctl(system, "resume", "mta", check=True)
    wait_until(lambda: s.got == ["bob@far.test"], what="delivery")
    system.wait_empty()
    assert queue(system) == []


def test_pause_mda(system, sink):  # S097
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    ctl(system, "pause", "mda", check=True)
    system.send("bob@v.test")
    system.send("bob@far.test")
    wait_until(lambda: s.got == ["bob@far.test"], what="remote delivery")
    rows = wait_until(lambda: [r for r in queue(system) if r[5] == "bob@v.test"], what="row")
    assert rows[0][2] == "mda" and not system.mails("bob")
    ctl(system, "resume", "mda", check=True)
    system.wait_mail("bob")


def test_pause_smtp(system):  # S096
    with system.raw() as old:
        ctl(system, "pause", "smtp", check=True)
        assert old.cmd("NOOP").startswith("250")  # sessions go on
        with socket.create_connection(("127.0.0.1", system.port), 5) as c:
            c.settimeout(1.5)
            with pytest.raises(TimeoutError):
                c.recv(100)
            assert ctl(system, "show", "status").stdout.endswith("SMTP paused\n")
            ctl(system, "resume", "smtp", check=True)
            c.settimeout(60 * SLOW)
            assert c.recv(100).startswith(b"220")
        assert old.cmd("QUIT").startswith("221")
    system.send("bob@v.test")
    system.wait_mail("bob")


def test_paused_from_the_start(postern):  # smtpd -P
    p = postern({"smtpctl_paused": "mda, mta"})
    assert ctl(p, "show", "status").stdout == "MDA paused\nMTA paused\nSMTP running\n"
    p.reload()
    wait_until(lambda: "MDA paused" in ctl(p, "show", "status").stdout, what="a reload changes nothing")


def test_pauses_survive_qmgr(system):
    ctl(system, "pause", "mda", check=True)
    system.send("bob@v.test")
    system.reload()
    time.sleep(0.5)
    assert not system.mails("bob")
    ctl(system, "resume", "mda", check=True)
    system.wait_mail("bob")


# ---- the queue ----

def test_show_queue_line(system):  # S102
    defer(system, "Bob@far.test", "eve@far.test")
    rows = queue(system)
    assert len(rows) == 2
    for r in rows:
        assert len(r) == 14
        assert re.fullmatch(r"[0-9a-f]{16}", r[0]) and r[1:5] == ["inet4", "mta", "", "ann@s.test"]
        creation, expiry, last = map(int, r[7:10])
        assert expiry - creation == 5 * 86400 and abs(last - time.time()) < 60 * SLOW and r[10] == "1"
        assert r[11] == "pending" and 200 < int(r[12]) <= 300
        assert "onnection refused" in r[13] or "suspended" in r[13]
    assert {r[5] for r in rows} == {"Bob@far.test", "eve@far.test"}
    assert len({r[0][:8] for r in rows}) == 1 and len({r[0] for r in rows}) == 2
    assert queue(system, rows[0][0][:8]) == rows or len(queue(system, rows[0][0][:8])) == 2
    assert [r[0] for r in queue(system, rows[1][0])] == [rows[1][0]]


def test_identifiers_last(system):
    defer(system, "bob@far.test")
    before = [r[0] for r in queue(system)]
    system.stop()
    rows = queue(system)
    assert [r[0] for r in rows] == before and rows[0][11] == "offline"
    subprocess.run(["rm", "-rf", f"{system.data}/queue-index"], check=True)
    system.start()
    assert [r[0] for r in queue(system)] == before


def test_show_queue_of_2011(system):
    defer(system, "bob@far.test")
    system.main["smtpctl_dialect"] = "2011"
    system.write_config()
    (line,) = ctl(system, "show", "queue", check=True).stdout.splitlines()
    assert re.fullmatch(r"MTA\|[0-9a-f]{16}\|-\|ann@s\.test\|bob@far\.test\|\d+\|\d+\|1\|.*refused.*", line)
    assert ctl(system, "show", "runqueue", check=True).stdout == ""
    assert "struct message" in ctl(system, "show", "sizes", check=True).stdout
    assert ctl(system, "log", "verbose").stdout == "logging request sent.\n"


def test_show_envelope_and_message(system):
    defer(system, "bob@far.test")
    (row,) = queue(system)
    fields = dict(line.split(": ", 1) for line in ctl(system, "show", "envelope", row[0], check=True).stdout.splitlines() if ": " in line)
    assert fields["version"] == "3" and fields["type"] == "mta" and fields["sender"] == "ann@s.test"
    assert fields["rcpt"] == fields["dest"] == "bob@far.test" and fields["ctime"] == row[7] and fields["sockaddr"] == "127.0.0.1"
    for word in (row[0], row[0][:8], fields["queue-id"]):
        text = ctl(system, "show", "message", word, check=True).stdout
        assert "Subject: t\n" in text and text.endswith("\nhello\n") and text.startswith("Received: ")
    assert ctl(system, "show", "envelope", "1111111111111111").returncode == 1
    assert ctl(system, "show", "message", "11111111").returncode == 1


def test_remove_message(system):  # S100
    defer(system, "bob@far.test", "eve@far.test")
    defer(system, "joe@far.test")
    message = next(r[0][:8] for r in queue(system) if r[5] == "bob@far.test")
    assert ctl(system, "remove", message, check=True).stdout == "2 envelopes removed\n"
    wait_until(lambda: [r[5] for r in queue(system)] == ["joe@far.test"], what="one envelope")
    assert ctl(system, "remove", "11111111", check=True).stdout == "0 envelope removed\n"
    defer(system, "x@far.test")
    assert ctl(system, "remove", "all", check=True).stdout == "2 envelopes removed\n"
    wait_until(lambda: queue(system) == [], what="no envelope")
    system.wait_queue(0)


def test_remove_one_recipient(system, sink):
    defer(system, "bob@far.test", "eve@far.test")
    envelope = next(r[0] for r in queue(system) if r[5] == "bob@far.test")
    assert ctl(system, "remove", envelope, check=True).stdout == "1 envelope removed\n"
    wait_until(lambda: [r[5] for r in queue(system)] == ["eve@far.test"], what="one envelope")
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    ctl(system, "schedule", "all", check=True)
    wait_until(lambda: s.got == ["eve@far.test"], what="delivery of the other")
    system.wait_empty()


@pytest.mark.parametrize("words", [("schedule", "all"), ("schedule-all",), ("schedule", "ID"), ("schedule-id", "ID")])  # S101
def test_schedule(system, sink, words):
    defer(system, "bob@far.test")
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    ident = queue(system)[0][0]
    assert ctl(system, *(w.replace("ID", ident) for w in words), check=True).stdout == "1 envelope scheduled\n"
    wait_until(lambda: s.got == ["bob@far.test"], what="delivery")


def test_pause_envelope(system, sink):
    defer(system, "bob@far.test")
    (row,) = queue(system)
    assert ctl(system, "pause", "envelope", row[0], check=True).stdout == "1 envelope paused\n"
    assert queue(system)[0][3] == "suspend" and system.queue_files("hold")
    assert ctl(system, "resume", "envelope", "all", check=True).stdout == "1 envelope resumed\n"
    wait_until(lambda: system.queue_files("deferred") and not system.queue_files("hold", "incoming"), what="release")


def listen(system, sink):
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    return s


def test_S4_pause_one_envelope_of_several(system, sink):
    """The other recipients go on; the envelope keeps its number, also when it is resumed."""
    defer(system, "ann@far.test", "bob@far.test", "joe@far.test")
    before = queue(system)
    rows = {r[5]: r[0] for r in before}
    assert len(rows) == 3
    assert ctl(system, "pause", "envelope", rows["bob@far.test"], check=True).stdout == "1 envelope paused\n"
    assert {(r[9], r[10], r[13]) for r in queue(system)} == {(r[9], r[10], r[13]) for r in before}  # last attempt, attempts, reason
    assert {r[5]: (r[0], r[3]) for r in queue(system)} == {
        "ann@far.test": (rows["ann@far.test"], ""), "joe@far.test": (rows["joe@far.test"], ""),
        "bob@far.test": (rows["bob@far.test"], "suspend")}
    (held,) = system.queue_files("hold")
    text = system.run("postcat", held, check=True).stdout
    assert "recipient: bob@far.test" in text and "done_recipient: ann@far.test" in text
    system.run("postsuper", check=True)
    assert ctl(system, "show", "envelope", rows["bob@far.test"], check=True).stdout
    s = listen(system, sink)
    ctl(system, "schedule", "all", check=True)
    wait_until(lambda: sorted(s.got) == ["ann@far.test", "joe@far.test"], what=system.logs()[-3000:])
    assert ctl(system, "resume", "envelope", rows["bob@far.test"], check=True).stdout == "1 envelope resumed\n"
    wait_until(lambda: sorted(s.got) == ["ann@far.test", "bob@far.test", "joe@far.test"], what=system.logs()[-3000:])
    wait_until(lambda: not system.queue_files())


def test_S4_resume_one_envelope_of_a_paused_message(system, sink):
    defer(system, "ann@far.test", "bob@far.test")
    rows = {r[5]: r[0] for r in queue(system)}
    ctl(system, "pause", "envelope", rows["ann@far.test"][:8], check=True)
    assert [r[3] for r in queue(system)] == ["suspend", "suspend"]
    assert ctl(system, "resume", "envelope", rows["bob@far.test"], check=True).stdout == "1 envelope resumed\n"
    assert {r[5]: (r[0], r[3]) for r in queue(system)} == {"ann@far.test": (rows["ann@far.test"], "suspend"),
                                                           "bob@far.test": (rows["bob@far.test"], "")}
    s = listen(system, sink)
    ctl(system, "schedule", "all", check=True)
    wait_until(lambda: s.got == ["bob@far.test"], what=system.logs()[-3000:])
    assert len(queue(system)) == 1


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_S4_split_packed_content(system, encrypted, late):
    """What stands compressed or encrypted in the queue file, or was queued before that was wanted, is copied as it is."""
    text = "Subject: packed\r\n\r\n" + "many words of the same kind\r\n" * 2000
    if late:
        system.send(["ann@far.test", "bob@far.test"], text=text)
    key = f"{system.dir}/key"
    with open(key, "w") as f:
        f.write("0123456789abcdef" * 4 + "\n")
    os.chmod(key, 0o600)
    system.main.update(queue_compression="yes", queue_encryption_key=key if encrypted else "")
    system.write_config()
    system.reload()
    if not late:
        system.send(["ann@far.test", "bob@far.test"], text=text)
    wait_until(lambda: len(queue(system)) == 2 and system.queue_files("deferred") and not system.queue_files("incoming"))
    ident = {r[5]: r[0] for r in queue(system)}["bob@far.test"]
    before = os.path.getsize(system.queue_files("deferred")[0])
    ctl(system, "pause", "envelope", ident, check=True)
    (held,) = system.queue_files("hold")
    assert abs(os.path.getsize(held) - before) < 100 < before and (before < len(text) / 4) == (not late)
    assert ctl(system, "show", "message", ident, check=True).stdout.count("many words of the same kind\n") == 2000
    system.main.update(relayhost="", transport_maps="inline:{ far.test=virtual: }", virtual_mailbox_maps="static:all/")
    system.write_config()
    system.reload()
    ctl(system, "resume", "envelope", ident, check=True)
    ctl(system, "schedule", "all", check=True)
    for path in system.wait_mail("all", 2):
        assert open(path).read().count("many words of the same kind\n") == 2000


def test_S4_schedule_one_envelope_of_several(system, sink):
    """Only that recipient is tried; the others wait as before, and how often each was tried is kept."""
    defer(system, "ann@far.test", "bob@far.test", "joe@far.test")
    before = {r[5]: r for r in queue(system)}
    ident = before["bob@far.test"][0]
    ctl(system, "resume", "route", ctl(system, "show", "routes", check=True).stdout.split(".")[0], check=True)
    assert ctl(system, "schedule", ident, check=True).stdout == "1 envelope scheduled\n"

    def rows():
        return {r[5]: r for r in queue(system)}
    wait_until(lambda: rows().get("bob@far.test", [0] * 14)[10] == "2", what=system.logs()[-3000:])
    for who in ("ann@far.test", "joe@far.test"):
        assert rows()[who][:12] == before[who][:12]  # identifier, last attempt, attempts
    assert rows()["bob@far.test"][0] == ident and len(system.queue_files("deferred")) == 2
    assert all(os.stat(f).st_uid == os.stat(system.data).st_uid for d, _, files in os.walk(f"{system.spool}/defer") for f in [f"{d}/{x}" for x in files])
    ctl(system, "schedule", "all", check=True)
    wait_until(lambda: {r[5][:3]: r[10] for r in queue(system)} == {"ann": "2", "bob": "3", "joe": "2"}, what=system.logs()[-3000:])
    s = listen(system, sink)
    assert ctl(system, "schedule", ident, check=True).stdout == "1 envelope scheduled\n"
    wait_until(lambda: s.got == ["bob@far.test"], what=system.logs()[-3000:])
    system.run("postsuper", check=True)
    ctl(system, "schedule", "all", check=True)
    wait_until(lambda: sorted(s.got) == ["ann@far.test", "bob@far.test", "joe@far.test"], what=system.logs()[-3000:])
    wait_until(lambda: not system.queue_files())


def test_S4_remove_one_leaves_the_others_alone(system):
    defer(system, "ann@far.test", "bob@far.test")
    before = {r[5]: r for r in queue(system)}
    assert ctl(system, "remove", before["ann@far.test"][0], check=True).stdout == "1 envelope removed\n"
    assert [r[:12] for r in queue(system)] == [before["bob@far.test"][:12]]
    wait_until(lambda: "bob@far.test" in (m := system.run("mailq").stdout) and "ann@far.test" not in m, what="listing")


def test_discover(system):
    defer(system, "bob@far.test")
    (path,) = system.wait_queue(1, "deferred")
    system.stop()
    ident = os.path.basename(path)
    os.rename(path, f"{system.dir}/aside")
    system.start()
    os.rename(f"{system.dir}/aside", path)
    assert ctl(system, "discover", ident, check=True).stdout == "1 envelope discovered\n"
    assert ctl(system, "discover", "11111111", check=True).stdout == "0 envelopes discovered\n"
    wait_until(lambda: ident in system.run("mailq").stdout, what="listing")


def test_uncorrupt(system):
    defer(system, "bob@far.test")
    (path,) = system.wait_queue(1, "deferred")
    ident = os.path.basename(path)
    ctl(system, "pause", "envelope", ident, check=True)
    os.makedirs(f"{system.spool}/corrupt", exist_ok=True)
    os.rename(f"{system.spool}/hold/{ident}", f"{system.spool}/corrupt/{ident}")
    wait_until(lambda: queue(system) == [], what="no envelope")
    assert ctl(system, "uncorrupt", ident, check=True).stdout == "command succeeded\n"
    assert [r[5] for r in queue(system)] == ["bob@far.test"]
    assert ctl(system, "uncorrupt", "11111111").returncode == 1


# ---- counters, destinations ----

def stats(p):
    return dict(line.split("=", 1) for line in ctl(p, "show", "stats", check=True).stdout.splitlines())


def test_stats(system):  # S103
    with system.raw():
        s = wait_until(lambda: (x := stats(system))["smtp.session"] == "1" and x, what="one session")  # wait_port() had one as well
        assert int(s["uptime"]) >= 0 and s["uptime.human"].endswith("s")
    system.send("bob@v.test")
    system.wait_mail("bob")
    defer(system, "bob@far.test")
    s = wait_until(lambda: (x := stats(system))["smtp.session"] == "0" and x, what="end of sessions")
    assert s["scheduler.delivery.ok"] == "1" and s["scheduler.delivery.tempfail"] == "1"
    assert s["postern.envelope.enqueued"] == "2" and s["postern.queue.message"] == "2" and int(s["smtp.session.inet4"]) >= 3
    assert s["scheduler.envelope"] == "1" and s["scheduler.ramqueue.envelope"] == "0" and s["queue.bounce"] == "0"
    assert s["mta.route"] == s["mta.relay"] == s["mda.user"] == "1" and s["mta.task"] == "0"
    names = [n for n in s if not n.startswith("postern.") and not n.startswith("uptime")]
    assert names == sorted(names)
    system.main.update(transport_maps="inline:{ no.test=error:5.1.1_no }")
    system.write_config()
    system.reload()
    system.run("sendmail", "-f", "bob@v.test", "x@no.test", input="Subject: x\n\n", check=True)
    wait_until(lambda: stats(system)["queue.bounce"] == "1", what="bounce")


def test_monitor(system):
    p = subprocess.Popen([f"{system.prefix}/sbin/smtpctl", "monitor"], env={**os.environ, "MAIL_CONFIG": system.etc},
                         stdout=subprocess.PIPE, text=True)
    try:
        head = [p.stdout.readline().split() for _ in range(2)]
        assert head[0] == "--- client --- -- envelope -- ---- relay/delivery --- ------- misc -------".split()
        assert head[1] == "curr conn disc curr enq deq ok tmpfail prmfail loop expire remove bounce".split()
        assert len(p.stdout.readline().split()) == 13
        system.reload()  # does not end it
        system.send("bob@v.test")
        lines = [list(map(int, p.stdout.readline().split()))]
        while sum(r[6] for r in lines) == 0:
            lines.append(list(map(int, p.stdout.readline().split())))
        assert sum(r[1] for r in lines) == 1 and sum(r[4] for r in lines) == 1 and sum(r[6] for r in lines) == 1
    finally:
        p.kill()
        p.wait()


def test_destinations(system):
    defer(system, "bob@far.test")
    nexthop = rf"\[127\.0\.0\.1\]:{system.dead}"
    line = ctl(system, "show", "routes", check=True).stdout
    m = re.fullmatch(rf"(\d+)\. smtp <-> {nexthop} [-N]D-- nconn=0 nerror=1 penalty=1 timeout=\S+\n", line)
    assert m, line
    assert re.fullmatch(rf"\[relay:{nexthop},smtp\] refcount=\d+ ntask=0 nconn=0 lastconn=\d+s timeout=- wait=connector\n",
                        ctl(system, "show", "relays", check=True).stdout)
    assert re.fullmatch(rf"{nexthop} \S+ refcount=0 nconn=0 lastconn=\d+s\n", ctl(system, "show", "hosts", check=True).stdout)
    assert re.fullmatch(rf"{nexthop}\|\d+\|.*refused.*\n", ctl(system, "show", "hoststats", check=True).stdout)
    assert ctl(system, "resume", "route", m[1], check=True).stdout == "command succeeded\n"
    assert not re.search(r" [-N]D-- ", ctl(system, "show", "routes", check=True).stdout)
    assert ctl(system, "resume", "route", "x").returncode == 1


def test_hold_back_a_destination(system, sink):
    s = sink()
    system.main["relayhost"] = f"[127.0.0.1]:{s.port}"
    system.write_config()
    system.reload()
    there = f"[127.0.0.1]:{s.port}"
    assert ctl(system, "show", "mta", "paused", check=True).stdout == ""
    r = ctl(system, "pause", "mta", "from", "foo", "for", there)
    assert r.returncode == 1 and "invalid address: foo" in r.stderr
    ctl(system, "pause", "mta", "from", "127.0.0.1", "for", there, check=True)
    assert ctl(system, "show", "mta", "paused", check=True).stdout == f"127.0.0.1 -> {there}\n"
    system.send("bob@far.test")
    system.send("bob@v.test")
    system.wait_mail("bob")
    assert s.got == []
    ctl(system, "resume", "mta", "from", "127.0.0.1", "for", there, check=True)
    wait_until(lambda: s.got == ["bob@far.test"], what="delivery")


# ---- log, trace ----

def test_log_verbose(system):  # S091
    assert ctl(system, "log", "verbose", check=True).stdout == "command succeeded\n"
    with system.raw() as c:
        c.cmd("QUIT")
    system.wait_log(r"smtpd\[\d+\]: < .*QUIT")
    assert ctl(system, "log", "brief", check=True).stdout == "command succeeded\n"
    n = len(re.findall(r"smtpd\[\d+\]: < ", system.logs()))
    with system.raw() as c:
        c.cmd("NOOP")
        c.cmd("QUIT")
    system.wait_log("disconnect from", count=3)  # the first is that of wait_port()
    assert len(re.findall(r"smtpd\[\d+\]: < ", system.logs())) == n


def test_trace_keywords(system):
    assert ctl(system, "trace", "smtp", check=True).stdout == "command succeeded\n"
    assert ctl(system, "untrace", "smtp", check=True).stdout == "command succeeded\n"
    assert ctl(system, "profile", "imsg", check=True).stdout == "command succeeded\n"
    assert ctl(system, "unprofile", "imsg", check=True).stdout == "command succeeded\n"
    r = ctl(system, "profile", "smtp")  # the original knows imsg and queue as well
    assert r.returncode == 1 and "invalid profile keyword: smtp" in r.stderr
    r = ctl(system, "trace", "foo")
    assert r.returncode == 1 and "invalid trace keyword: foo" in r.stderr


# ---- the rest ----

def test_update_table(system):
    with open(f"{system.etc}/people", "w") as f:
        f.write("x@v.test ann@v.test\n")
    system.main["virtual_alias_maps"] = f"texthash:{system.etc}/people"
    system.write_config()
    system.reload()
    with open(f"{system.etc}/people", "w") as f:
        f.write("x@v.test bob@v.test\n")
    assert ctl(system, "update", "table", "people", check=True).stdout == "command succeeded\n"
    system.send("x@v.test")
    system.wait_mail("bob")
    assert ctl(system, "update", "table", "nosuch").returncode == 1


def test_stop(system):  # S105
    family = system.processes()
    assert os.path.exists(f"{system.spool}/public/smtpctl")
    assert ctl(system, "stop", check=True).stdout == "command succeeded\n"
    assert not os.path.exists(f"{system.spool}/public/smtpctl")
    wait_until(lambda: not any(alive(pid) for pid in family), what="end of all processes")


def test_reload(system):
    assert ctl(system, "reload", check=True).stdout == "command succeeded\n"
    system.wait_log("reload -- version")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("words", [("show", "queue"), ("show", "status"), ("pause", "mta")])
def test_ordinary_user(system, words):  # S106
    r = ctl(system, *words, user="nobody")
    assert r.returncode == 1 and re.search("need root privileges|permission denied", r.stderr)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_mail_owner_may(system):  # section 7
    os.chmod(system.etc, 0o755)
    r = subprocess.run([f"{system.prefix}/sbin/smtpctl", "-c", system.etc, "pause", "mta"], user=system.main["mail_owner"], capture_output=True,
                       text=True, env=os.environ, timeout=60 * SLOW)
    assert r.stdout == "command succeeded\n", r
    assert "MTA paused" in ctl(system, "show", "status").stdout


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_peer_credentials_decide(system):
    """Also for those whom the directory lets in."""
    os.chmod(f"{system.spool}/public", 0o755)
    os.chmod(system.spool, 0o755)
    path = f"{system.spool}/public/smtpctl"
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); print(s.recv(1000)[8:])"
    r = subprocess.run(["/usr/bin/python3", "-c", code], user="nobody", capture_output=True, text=True, check=True, timeout=30)
    assert "permission denied" in r.stdout


def test_encrypt(postern):
    p = postern(start=False)
    hashed = ctl(p, "encrypt", "secret", check=True).stdout.strip()
    assert hashed.startswith("$6$")
    import crypt
    assert crypt.crypt("secret", hashed) == hashed
    lines = ctl(p, "encrypt", input="a\nb\n", check=True).stdout.split()
    assert [crypt.crypt(w, h) == h for w, h in zip("ab", lines)] == [True, True]


def linked(p, name):
    """smtpctl under another name."""
    path = f"{p.dir}/bin/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(f"{p.prefix}/sbin/smtpctl", path)

    def run(*args, **kw):
        return subprocess.run([path, *args], env={**os.environ, "MAIL_CONFIG": p.etc}, capture_output=True, text=True, timeout=60, **kw)
    return run


@pytest.mark.parametrize("name", ["sendmail", "send-mail"])
def test_mailer_conf_sendmail(system, name):  # F18 S108 S119
    run = linked(system, name)
    r = run("-t", "-F", "Joe", "-f", "joe@a.test", input="To: bob@v.test\nSubject: x\n\nhi\n")
    assert r.returncode == 0, r.stderr
    (path,) = system.wait_mail("bob")
    text = open(path).read()
    assert "Return-Path: <joe@a.test>" in text and "From: Joe <joe@a.test>" in text


def test_section5_options_of_the_original(system):
    """What the original takes and ignores."""
    run = linked(system, "sendmail")
    words = "-Ac -B8BITMIME -bm -E -em -i -J -Lx -m -odb -p x -x -S -N never -R hdrs -V id -v".split()
    r = run(*words, "bob@v.test", input="Subject: x\n\nhi\n")
    assert r.returncode == 0, r.stderr
    system.wait_mail("bob")


@pytest.mark.parametrize("name", ["sendmail", "/usr/sbin/send-mail", "mailq", "newaliases", "makemap"])
def test_section6_mailwrapper(system, name):
    """mailwrapper(8) runs /usr/sbin/smtpctl itself, with the name in argv[0]."""
    def run(*args, **kw):
        return subprocess.run([name, *args], executable=f"{system.prefix}/sbin/smtpctl", env={**os.environ, "MAIL_CONFIG": system.etc},
                              capture_output=True, text=True, timeout=60 * SLOW, **kw)
    aliases = f"{system.dir}/aliases"
    with open(aliases, "w") as f:
        f.write("root: joe\n")
    if "send" in name:
        assert run("-t", input="To: bob@v.test\nSubject: x\n\nhi\n").returncode == 0
        system.wait_mail("bob")
    elif name == "mailq":
        assert "Mail queue is empty" in run().stdout
    elif name == "makemap":
        assert run("-t", "aliases", aliases).returncode == 0 and run("-U", f"{aliases}.db").stdout == "root\tjoe\n"
    else:
        with open(f"{system.dir}/smtpd.conf", "w") as f:
            f.write(f"table aliases file:{aliases}\naction a mbox alias <aliases>\nmatch for local action a\n")
        assert run("-f", f"{system.dir}/smtpd.conf").stdout == f"{aliases}: 1 aliases\n"


def test_mailer_conf_mailq(system):
    assert "Mail queue is empty" in linked(system, "mailq")().stdout


def test_makemap(postern):  # S110 S111 S112 S113
    p = postern(start=False)
    run = linked(p, "makemap")
    with open(f"{p.dir}/aliases", "w") as f:
        f.write("# people\nroot: joe\nlist: ann, \\\n bob\n")
    assert run("-t", "aliases", f"{p.dir}/aliases").returncode == 0
    assert os.path.exists(f"{p.dir}/aliases.db")
    assert sorted(run("-U", f"{p.dir}/aliases.db").stdout.splitlines()) == ["list\tann,  bob", "root\tjoe"]
    assert p.run("postmap", "-q", "root", f"hash:{p.dir}/aliases").stdout == "joe\n"
    with open(f"{p.dir}/domains", "w") as f:
        f.write("a.test\nb.test\n")
    assert run("-o", f"{p.dir}/out.db", "-t", "set", f"{p.dir}/domains").returncode == 0
    assert sorted(run("-U", f"{p.dir}/out.db").stdout.splitlines()) == ["a.test\t", "b.test\t"]
    r = run("-d", "cdb", f"{p.dir}/aliases")
    assert r.returncode == 1 and "unsupported DB type" in r.stderr
    with open(f"{p.dir}/plain", "w") as f:  # where the word ends, comments, blanks: as the original has it
        f.write("smtp://l@h:25 u:p\nkey:v\nKey3 : v3\n[::1]:25 z\n@d.test v\n# no \\\n  k4\tv4 more\nc a\\\nb\n")
    os.chmod(f"{p.dir}/plain", 0o600)
    assert run(f"{p.dir}/plain").returncode == 0
    assert sorted(run("-U", f"{p.dir}/plain.db").stdout.splitlines()) == [
        "@d.test\tv", "[::1]\t25 z", "c\tab", "k4\tv4 more", "key\tv", "key3\tv3", "smtp\t//l@h:25 u:p"]
    assert os.stat(f"{p.dir}/plain.db").st_mode & 0o777 == 0o600
    assert run("-d", "btree", "-o", f"{p.dir}/std.db", "-", input="a b\n").returncode == 0
    assert run("-d", "btree", "-U", f"{p.dir}/std.db").stdout == "a\tb\n"
    assert run("-t", "foo", f"{p.dir}/plain").stderr == "makemap: unsupported type 'foo'\n"
    assert "empty map created" in run("-o", f"{p.dir}/std2.db", "-", input="# nothing\n").stderr
    with open(f"{p.dir}/aliases", "a") as f:
        f.write("root: eve\n")
    r = run("-t", "aliases", f"{p.dir}/aliases")
    assert r.returncode == 1 and "aliases:5: duplicate entry for root" in r.stderr
    assert "joe" in run("-U", f"{p.dir}/aliases.db").stdout  # the old table stays


def test_newaliases(postern):  # F19 S109
    p = postern(start=False)
    with open(f"{p.dir}/al", "w") as f:
        f.write("root: joe\n")
    with open(f"{p.dir}/smtpd.conf", "w") as f:
        f.write(f'# table aliases /nonexistent\ntable other {{ a }}\ntable aliases file:{p.dir}/al\nmatch for any reject\n')
    assert linked(p, "newaliases")("-f", f"{p.dir}/smtpd.conf").stdout == f"{p.dir}/al: 1 aliases\n"
    assert os.path.exists(f"{p.dir}/al.db")
    with open(f"{p.dir}/smtpd.conf", "w") as f:
        f.write(f'map aliases {{ source db "{p.dir}/al2.db" }}\n')
    os.rename(f"{p.dir}/al", f"{p.dir}/al2")
    r = subprocess.run([f"{p.dir}/bin/newaliases", "-f", f"{p.dir}/smtpd.conf"], env={**os.environ, "MAIL_CONFIG": p.etc})
    assert r.returncode == 0 and os.path.exists(f"{p.dir}/al2.db")


def test_trace_of_messages(system):  # F14 S089 S090
    assert "imsg:" not in system.logs()
    ctl(system, "trace", "imsg", check=True)
    system.send("bob@v.test")
    system.wait_mail("bob")
    for pair in (r"smtpd -> qmgr: message_ready", r"qmgr -> virtual: deliver_request", r"virtual -> qmgr: deliver_result"):
        system.wait_log(rf"imsg: {pair} \(len=\d+\)$")
    system.wait_empty()
    ctl(system, "untrace", "imsg", check=True)
    n = system.logs().count("imsg:")
    system.send("bob@v.test")
    system.wait_mail("bob", 2)
    assert system.logs().count("imsg:") == n


def test_trace_from_the_start(postern):  # smtpd -T
    p = postern({"trace_subsystems": "imsg smtp", "default_transport": "discard:"})
    p.send("bob@far.test")
    p.wait_log(r"imsg: qmgr -> discard: deliver_request \(len=\d+\)$")
    p.wait_log(r"(?i)smtpd\[\d+\]: < .*MAIL FROM")


@pytest.mark.parametrize("grammar, head", [
    ("current", 'table aliases {{ postmaster = nobody }}\naction a maildir "{mail}/%{{rcpt.user}}" user {me}\naction r relay host smtp://127.0.0.1:{dead}\n'
                'match from any for local action a\nmatch from any for any action r\n'),
    ("2011", "accept for local deliver to maildir \"{mail}/%a\" as {me}\naccept for all relay via 127.0.0.1 port {dead}\n"),
])
def test_of_a_system_from_smtpd_conf(site, grammar, head):
    s = site(f"listen on 127.0.0.1 port {{port}}\n{head}".replace("{dead}", str(free_port())))
    base = {**os.environ, "MAIL_CONFIG": s.base}

    def run(*words, name="smtpctl"):
        path = f"{s.dir}/{name}"
        if not os.path.exists(path):
            os.symlink(f"{s.prefix}/sbin/smtpctl", path)
        return subprocess.run([path, *words], env=base, capture_output=True, text=True, timeout=60 * SLOW)
    s.send("bob@far.test", sender="ann@s.test")
    wait_until(lambda: s.queue_files("deferred"), what="deferral")
    if grammar == "2011":
        assert re.fullmatch(r"MTA\|[0-9a-f]{16}\|-\|ann@s\.test\|bob@far\.test\|\d+\|\d+\|\d+\|.*\n", run("show", "queue").stdout)
    else:
        r = run("show", "queue").stdout
        assert re.match(r"[0-9a-f]{16}\|inet4\|mta\|\|ann@s\.test\|bob@far\.test\|bob@far\.test\|", r)
        assert run(name="mailq").stdout[:17] == r[:17]
        assert run("show", "status").stdout == "MDA running\nMTA running\nSMTP running\n"
        assert run("update", "table", "nosuch").returncode == 1
    assert run("remove", run("show", "queue").stdout.split("|")[grammar == "2011"]).stdout == "1 envelope removed\n"
    assert run("stop").stdout == "command succeeded\n"


def test_profile(system):
    ctl(system, "profile", "imsg", check=True)
    system.send("bob@v.test")
    system.send("x@far.test")
    system.wait_log(r"defer\[?.*profile-imsg: defer bounce_append \d+\.\d{6}|bounce\[\d+\]: profile-imsg: defer bounce_append \d+\.\d{6}")
    ctl(system, "unprofile", "imsg", check=True)
    assert "profile-queue:" not in system.logs()
    ctl(system, "profile", "queue", check=True)
    system.send("bob@v.test")
    for work in ("smtpd.*message_commit", "virtual.*envelope_done", "qmgr.*message_delete"):
        system.wait_log(rf"{work.split('.')[0]}\[\d+\]: \w+: profile-queue: {work.split('*')[1]} \d+\.\d{{6}}$")
    ctl(system, "schedule", "all", check=True)
    system.wait_log(r"qmgr\[\d+\]: profile-queue: message_load \d+\.\d{6}$")
    system.wait_log(r"qmgr\[\d+\]: \w+: profile-queue: message_defer \d+\.\d{6}$")
    ctl(system, "unprofile", "queue", check=True)


SPF = {
    "a.test": {"TXT": ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx/24//64 include:b.test -ip4:203.0.113.1 ~all"],
               "A": ["192.0.2.80"], "AAAA": ["2001:db8::80"], "MX": [(10, "mx.a.test")]},
    "mx.a.test": {"A": ["192.0.2.25"], "AAAA": ["2001:db8::25"]},
    "b.test": {"TXT": ["other", "V=SPF1 +IP4:198.51.100.0/24 a:h.test/28 include:a.test redirect=c.test"]},
    "h.test": {"A": ["198.51.100.9"], "AAAA": ["2001:db8::9"]},
    "c.test": {"TXT": ["v=spf1 exists:%{i}.x.test ip4:10.0.0.1 all"]},
    "d.test": {"TXT": ["v=spf10 ip4:192.0.2.9"]},
}
spf_dns = name_server(SPF)


def test_S4_spf_walk(postern, spf_dns):
    p = postern({"dns_resolver_file": spf_dns.file}, start=False)
    r = ctl(p, "spf", "walk", input="a.test\nb.test\nnone.test\nd.test\n", check=True)
    assert r.stdout.split() == ["192.0.2.0/24", "2001:db8::/32", "192.0.2.80", "2001:db8::80", "192.0.2.25/24", "2001:db8::25/64",
                                "198.51.100.0/24", "198.51.100.9/28", "2001:db8::9", "10.0.0.1"]
    assert "exists:%{i}.x.test" in r.stderr
