"""Obtuse smtpd and smtpfwdd. F numbers are those of the table in doc/obtuse.md; O numbers are rows of
tests/data/obtuse-rules.tests.tsv."""
import contextlib
import email
import glob
import grp
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from conftest import BUILD, SLOW, TOP, Instance, Logging, Raw, alive, descendants, free_port, wait_until
from dns_server import NameServer, name_server
from test_durability import USER, Load

ROOT = os.getuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: chroot, other users, port 113")


# ---- vectors ----

def vectors():
    def text(field):
        return field.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    with open(f"{TOP}/tests/data/obtuse-rules.tests.tsv") as f:
        names = f.readline().rstrip("\n").split("\t")
        for line in f:
            row = dict(zip(names, line.rstrip("\n").split("\t")))
            row["rules"] = text(row["rules"])
            yield row


def zone_of(rows):
    zone = {}
    for row in rows:
        for record in row["dns"].split(";"):
            if len(words := record.split()) == 3:
                name, kind, value = words
                values = zone.setdefault(name, {}).setdefault(kind, [])
                value = (10, value) if kind == "MX" else value
                if value not in values:
                    values.append(value)
    return zone


ROWS = list(vectors())
LOOPBACK = {"203.0.113.7": "127.113.7.7", "10.9.3.4": "127.9.3.4"}  # hosts that tests can be


def on_loopback(row):
    """The same vector with a client whose IDENT question this machine can answer."""
    out = dict(row)
    if row["ident"] == "-":
        return out
    for field in ("rules", "client_ip", "reply_or_error"):
        for here, there in LOOPBACK.items():
            out[field] = out[field].replace(here, there)
        out[field] = out[field].replace("10.0.0.0/8", "127.0.0.0/8")
    return out


def with_enhanced_code(reply):
    return f"{reply[:3]} {reply[0]}.7.1{reply[3:]}"


dns = name_server(zone_of(ROWS))


@pytest.fixture
def explain(prefix, tmp_path, dns):
    """explain(rules, client, ...) -> what postexplain --json says."""
    def run(rules, client, sender, recipient, ident=None, name="unknown", status=0, **settings):
        path = tmp_path / "rules"
        path.write_text(rules, newline="")
        settings.setdefault("dns_resolver_file", dns.file)
        args = [f"{prefix}/sbin/postexplain", "--json", "--check-rules", str(path), "--client", f"{client},{name}",
                "--sender", sender, "--recipient", recipient]
        args += ["--ident", ident] if ident else []
        for k, v in settings.items():
            args += ["-o", f"{k}={v}"]
        r = subprocess.run(args, capture_output=True, text=True, timeout=60 * SLOW)
        assert r.returncode == status, r
        said = json.loads(r.stdout)
        if said["file"]:
            assert said["file"] == str(path)
        return said
    return run


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["id"])
def test_vectors_explained(explain, row):
    ident = None if row["ident"] == "-" else row["ident"]
    name = "unknown" if row["client_name"] == "-" else row["client_name"]
    bad = row["outcome"] == "load-error"
    said = explain(row["rules"], row["client_ip"], row["mail_from"], row["rcpt_to"], ident, name, status=int(bad))
    assert str(said["line"] or "-") == row["rule_line"]
    if bad:
        assert said["verdict"] == "error" and row["reply_or_error"] in said["text"]
        return
    outcome, _, delay = row["outcome"].partition("+")
    assert said["verdict"] == {"allow": "permit", "dunno": "none"}.get(
        outcome, "defer" if row["reply_or_error"][0] == "4" else "reject")
    assert said["close"] == (outcome == "deny")
    assert (said["delay_seconds"] > 0) == (delay == "delay")
    if said["reply"]:
        assert said["reply"] == with_enhanced_code(row["reply_or_error"])


def test_servers_that_do_not_answer_are_not_all_asked(explain):
    """A domain names many servers; it can neither make us wait for each of them nor get in by that. Names need no answer."""
    servers = [f"ns{i}.lost.test" for i in range(40)]
    dns = NameServer({"many.test": {"NS": servers}}, {s: "servfail" for s in servers})
    try:
        rules = "noto:ALL:NS={}:ALL:550 bad\nallow:ALL:ALL:ALL\n"
        said = explain(rules.format("192.0.2.0/24"), "10.0.0.1", "a@many.test", "c@d.test", dns_resolver_file=dns.file)
        assert (said["verdict"], said["reply"][:9]) == ("defer", "451 4.3.0")
        assert 1 <= len({name for name, _, _ in dns.asked if name in servers}) <= 3
        dns.asked.clear()
        said = explain(rules.format("*.lost.test"), "10.0.0.1", "a@many.test", "c@d.test", dns_resolver_file=dns.file)
        assert said["reply"] == "550 5.7.1 bad" and not {name for name, _, _ in dns.asked if name in servers}
    finally:
        dns.close()


# ---- sessions ----

class IdentHosts:
    """Answers IDENT questions on port 113 of loopback addresses."""

    def __init__(self, users):
        self.asked, self.sockets = [], []
        for address, user in users.items():
            s = socket.create_server((address, 113))
            self.sockets.append(s)
            threading.Thread(target=self.serve, args=(s, user), daemon=True).start()

    def serve(self, s, user):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = s.accept()
                with peer:
                    question = peer.makefile().readline().strip()
                    self.asked.append(question)
                    if user:
                        peer.sendall(f"{question} : USERID : UNIX : {user}\r\n".encode())
                    else:
                        peer.recv(1)  # never answers

    def close(self):
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


FEATURES = {  # HELO name -> rules
    "f2": "deny:192.0.2.1:ALL:ALL", "f3": "noto:*.dialup.test:ALL:ALL", "f4": "noto:ALL:*@spam.r.us:ALL",
    "f5": "noto:ALL:ALL:old@d.test", "f16": "allow:TRUSTED:ALL:ALL\nnoto:UNTRUSTED:ALL:ALL:550 outside",
    "f26": "deny:ALL:ALL:no@d.test\nallow:ALL:ALL:ALL", "f27": "noto:ALL:ALL:no@d.test\nallow:ALL:ALL:ALL",
    "f29": "deny:10.0.0.1 *.x.test:ALL:ALL:550 listed", "f46": "noto_delay:ALL:ALL:ALL:551 slow",
    "f49": "deny:joe@127.0.0.0/8:ALL:ALL:550 user %U\nallow:ALL:ALL:ALL", "none": "# nothing\n",
    "silent": "noto:KNOWN@ALL:ALL:ALL:550 known\nnoto:ALL:ALL:ALL:550 unknown %U",
}


@pytest.fixture(scope="module")
def front(prefix, dns):
    """One instance for all rule sets: the HELO name chooses one."""
    top = tempfile.mkdtemp(prefix="pi-", dir="/tmp")
    os.chmod(top, 0o755)
    sets = {r["id"].lower(): on_loopback(r)["rules"] for r in ROWS if r["outcome"] != "load-error"} | FEATURES
    for name, rules in sets.items():
        with open(f"{top}/{name}", "w", newline="") as f:
            f.write(rules)
    with open(f"{top}/choose", "w") as f:
        f.writelines(f"{name} rules_{name}\n" for name in sets)
    main = {
        "smtpd_restriction_classes": ", ".join(f"rules_{n}" for n in sets),
        **{f"rules_{n}": f"check_rules_file {top}/{n}" for n in sets},
        "smtpd_relay_restrictions": f"check_helo_access texthash:{top}/choose, reject",
        "smtpd_authorized_xclient_hosts": "127.0.0.1", "mynetworks": "192.0.2.0/24", "mydestination": "",
        "default_transport": "discard:", "dns_resolver_file": dns.file,
        "check_rules_noto_delay": "2s", "check_rules_deny_delay": "2s", "check_rules_ident_timeout": "3s" if ROOT else "0",
        "smtpd_client_connection_count_limit": "0",
    }
    i = Instance(f"{top}/i", prefix, main=main).start()
    yield i
    i.stop()
    shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def session(front, helo, ip="198.51.100.9", name=None, sender="<a@b.test>"):
    with Raw(front.port) as c:
        assert c.cmd(f"XCLIENT ADDR={'IPV6:' if ':' in ip else ''}{ip} NAME={name or '[UNAVAILABLE]'}")[:3] == "220"
        assert c.cmd(f"EHLO {helo}")[:3] == "250"
        assert c.cmd(f"MAIL FROM:{sender}")[:3] == "250"
        yield c


def closes(c):
    return c.line() == b""


@pytest.fixture(scope="module")
def ident_hosts():
    if not ROOT:
        yield None
        return
    hosts = IdentHosts({LOOPBACK["10.9.3.4"]: "ann", LOOPBACK["203.0.113.7"]: "joe", "127.34.3.4": "JOE", "127.77.7.7": None})
    yield hosts
    hosts.close()


@pytest.mark.parametrize("row", [r for r in ROWS if r["outcome"] != "load-error"], ids=lambda r: r["id"])
def test_vectors_in_sessions(front, ident_hosts, row):
    row = on_loopback(row)
    if row["ident"] == "JOE":
        row["client_ip"] = "127.34.3.4"
    if row["ident"] != "-" and not ROOT:
        pytest.skip("IDENT needs port 113")
    outcome, _, delay = row["outcome"].partition("+")
    name = None if row["client_name"] == "-" else row["client_name"]
    with session(front, row["id"].lower(), row["client_ip"], name, row["mail_from"]) as c:
        start = time.time()
        reply = c.cmd(f"RCPT TO:{row['rcpt_to']}")
        waited = time.time() - start
        if outcome == "allow":
            assert reply == "250 2.1.5 Ok"
        elif outcome == "dunno":  # the "reject" behind it
            assert reply.startswith("554 5.7.1") and "Access denied" in reply
        else:
            assert reply == with_enhanced_code(row["reply_or_error"])
        assert not delay or waited >= 2
        if outcome == "deny":
            assert closes(c)
        else:
            assert c.cmd("RSET")[:3] == "250"


def rcpt(front, helo, ip="198.51.100.9", name=None, sender="<a@b.test>", to="<c@d.test>"):
    with session(front, helo, ip, name, sender) as c:
        return c.cmd(f"RCPT TO:{to}")


def default_reply(sender="<a@b.test>", to="<c@d.test>", name="UNKNOWN", ip="198.51.100.9"):
    return f"550 5.7.1 Mail from {sender} to {to} prohibited from your location (UNKNOWN@{name} ip={ip})"


def test_F02_reject_by_client_address(front):
    with session(front, "f2", "192.0.2.1") as c:
        assert c.cmd("RCPT TO:<c@d.test>") == default_reply(ip="192.0.2.1")
        assert closes(c)


def test_F03_reject_by_client_name(front):
    with session(front, "f3", name="a.dialup.test") as c:
        assert c.cmd("RCPT TO:<c@d.test>") == default_reply(name="a.dialup.test")
        assert c.cmd("NOOP")[:3] == "250"


def test_F04_reject_by_sender(front):
    with session(front, "f4", sender="<x@spam.r.us>") as c:
        for to in ("<c@d.test>", "<e@f.test>"):
            assert c.cmd(f"RCPT TO:{to}") == default_reply("<x@spam.r.us>", to)


def test_F05_reject_by_recipient(front):
    assert rcpt(front, "f5", to="<old@d.test>") == default_reply(to="<old@d.test>")
    assert "Access denied" in rcpt(front, "f5", to="<new@d.test>")  # no opinion


def test_F16_trusted_and_untrusted(front):
    assert rcpt(front, "f16", "192.0.2.77")[:3] == "250"
    assert rcpt(front, "f16") == "550 5.7.1 outside"


@needs_root
def test_F18_F49_ident_is_asked_only_when_a_rule_needs_it(front, ident_hosts):
    before = len(ident_hosts.asked)
    assert rcpt(front, "f27", "127.9.3.4")[:3] == "250"
    assert len(ident_hosts.asked) == before
    with session(front, "f49", "127.113.7.7") as c:
        assert c.cmd("RCPT TO:<c@d.test>") == "550 5.7.1 user joe"
        assert closes(c)
    assert len(ident_hosts.asked) == before + 1
    with session(front, "f49", "127.9.3.4") as c:
        for _ in range(3):  # once in a session
            assert c.cmd("RCPT TO:<c@d.test>")[:3] == "250"
    assert len(ident_hosts.asked) == before + 2
    front.wait_log(r"check_rules=\S+/f49:1$")


@needs_root
def test_F18_0_asks_nobody(postern):
    """Then a rule with user@ never matches."""
    path, p = rules_instance(postern, "deny:KNOWN@ALL:ALL:ALL\n", main={"check_rules_ident_timeout": "0"})
    hosts = IdentHosts({"127.66.18.1": "joe"})
    try:
        for timeout, reply in (("0", "250"), ("5s", "550")):
            p.run("postconf", "-e", f"check_rules_ident_timeout={timeout}", check=True)
            p.reload()

            def answer():
                with socket.create_connection(("127.0.0.1", p.port), 20 * SLOW, source_address=("127.66.18.1", 0)) as s:
                    f = s.makefile("rw", newline="")
                    f.readline()
                    for command in ("HELO x", "MAIL FROM:<a@b.test>", "RCPT TO:<user@example.test>"):
                        f.write(command + "\r\n")
                        f.flush()
                        line = f.readline()
                    return line[:3]
            wait_until(lambda: answer() == reply, what=reply)
            assert bool(hosts.asked) == (timeout != "0")
    finally:
        hosts.close()


@needs_root
def test_F18_ident_is_bounded_in_time(front, ident_hosts):
    start = time.time()
    assert rcpt(front, "silent", "127.77.7.7") == "550 5.7.1 unknown UNKNOWN"
    assert 2.5 < time.time() - start < 60


def test_F25_F26_F27_F28_allow_deny_noto_first_match(front):
    with session(front, "f27") as c:  # refused, then judged afresh
        assert c.cmd("RCPT TO:<no@d.test>")[:3] == "550"
        assert c.cmd("RCPT TO:<yes@d.test>")[:3] == "250"
    with session(front, "f26") as c:
        assert c.cmd("RCPT TO:<yes@d.test>")[:3] == "250"
        assert c.cmd("RCPT TO:<no@d.test>")[:3] == "550"
        assert closes(c)
    front.wait_log(r"reject: RCPT from unknown\[198\.51\.100\.9\]: 550 5\.7\.1 .*helo=<f26> check_rules=\S+/f26:1$")
    front.wait_log(r"disconnect after deny: unknown\[198\.51\.100\.9\]: \S+/f26:1$")


def test_F29_list_of_several(front):
    assert rcpt(front, "f29", "10.0.0.1") == "550 5.7.1 listed"
    assert rcpt(front, "f29", name="h.x.test") == "550 5.7.1 listed"
    assert "Access denied" in rcpt(front, "f29", "10.0.0.2")


def test_F46_delay_holds_up_nobody_else(front):
    slow = {}

    def wait():
        slow["start"] = time.time()
        slow["reply"] = rcpt(front, "f46")
        slow["end"] = time.time()
    threads = [threading.Thread(target=wait) for _ in range(3)]
    for t in threads:
        t.start()
    assert rcpt(front, "f27")[:3] == "250"
    for t in threads:
        t.join()
    assert slow["reply"] == "551 5.7.1 slow" and slow["end"] - slow["start"] >= 2


@pytest.mark.threads
def test_F46_delayed_sessions_share_a_process(postern):
    """200 clients wait; one process carries them all, and serves others meanwhile."""
    _, p = rules_instance(postern, "noto_delay:ALL:*@slow.test:ALL:551 slow\n", main={
        "check_rules_noto_delay": "10000s", "smtpd_process_sessions": "300", "default_process_limit": "300",
        "smtpd_client_connection_count_limit": "0", "mynetworks": "127.0.0.0/8"})

    def servers():
        return [x for x in p.processes() if open(f"/proc/{x}/comm").read() == "smtpd\n"]

    def threads():
        return sum(len(os.listdir(f"/proc/{x}/task")) for x in servers())
    with contextlib.ExitStack() as clients:
        for _ in range(200):
            c = clients.enter_context(p.raw())
            assert c.cmd("HELO slow.test")[:3] == c.cmd("MAIL FROM:<a@slow.test>")[:3] == "250"
            c.send("RCPT TO:<user@example.test>\r\n")
        wait_until(lambda: threads() >= 200, what="200 waiting threads")
        assert len(servers()) == 1
        assert answer(p) == 250
    p.wait_log(r"disconnect from \S+ helo=1 mail=1", count=200)


def test_F46_client_that_leaves_ends_the_delay(postern):
    _, p = rules_instance(postern, FEATURES["f46"], {"check_rules_noto_delay": "1000s"})
    with p.raw() as c:
        assert c.cmd("EHLO leaver.test")[:3] == c.cmd("MAIL FROM:<a@b.test>")[:3] == "250"
        c.send("RCPT TO:<c@d.test>\r\n")
    p.wait_log(r"disconnect from \S+ ehlo=1 mail=1")


# Features of the language, by one rule set each: F -> rows of the vectors that show it.
SHOWN_BY = {
    "F22": ["O33"], "F23": ["O33"], "F24": ["O01", "O07"], "F25": ["O10"], "F26": ["O02"], "F27": ["O06"], "F28": ["O55"],
    "F30": ["O16", "O17", "O18", "O19"], "F31": ["O10"], "F32": ["O14"], "F33": ["O15"], "F34": ["O24", "O25", "O26", "O27"],
    "F35": ["O20", "O22", "O23"], "F36": ["O27", "O28", "O29"], "F37": ["O08"], "F38": ["O15"], "F39": ["O06"], "F40": ["O06"],
    "F41": ["O15"], "F42": ["O15"], "F43": ["O34"], "F44": ["O03", "O04"],
    "F45": ["O01", "O02", "O03", "O04", "O05", "O06", "O07"], "F46": ["O30", "O31"], "F47": ["O52"],
    "F48": ["O40", "O41", "O42", "O43"], "F49": ["O34", "O35", "O36", "O37"],
}


@pytest.mark.parametrize("feature", SHOWN_BY)
def test_features_of_the_language(explain, feature):
    for row in ROWS:
        if row["id"] in SHOWN_BY[feature]:
            test_vectors_explained(explain, row)


# ---- start, check, reload ----

def rules_instance(postern, text, main=None, **kw):
    top = tempfile.mkdtemp(prefix="rules-", dir="/tmp")
    os.chmod(top, 0o755)
    path = f"{top}/check_rules"
    with open(path, "w") as f:
        f.write(text)
    return path, postern({"smtpd_recipient_restrictions": f"check_rules_file {path}, permit", **(main or {})}, **kw)


def rewrite(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def test_F09_one_file_and_one_restriction(postern):
    path, p = rules_instance(postern, "noto:ALL:*@spam.test:ALL\n")
    with pytest.raises(Exception, match="550"):
        p.send("user@example.test", sender="x@spam.test")
    p.send("user@example.test", sender="x@fine.test")


@pytest.mark.parametrize("row", [r for r in ROWS if r["outcome"] == "load-error"], ids=lambda r: r["id"])
def test_bad_files_are_refused_at_check(postern, row):
    path, p = rules_instance(postern, row["rules"], start=False)
    r = p.run("postfix", "-c", p.etc, "check")
    assert r.returncode and f"{path}, line {row['rule_line']}: " in r.stderr and row["reply_or_error"] in r.stderr


def test_missing_and_bad_files_do_not_start(postern):
    path, p = rules_instance(postern, "allow:ALL\n", start=False)
    r = p.run("postfix", "-c", p.etc, "start")
    assert r.returncode and f"{path}, line 1: bad field count" in r.stderr
    os.unlink(path)
    r = p.run("postfix", "-c", p.etc, "start")
    assert r.returncode and f"{path}: No such file" in r.stderr


def test_rules_that_are_no_file(postern):
    """A pipe would never end; a directory is none either."""
    path, p = rules_instance(postern, "", start=False)
    os.unlink(path)
    for make in (os.mkfifo, os.mkdir):
        make(path)
        r = p.run("postfix", "-c", p.etc, "check")
        assert r.returncode and f"{path}: not a regular file" in r.stderr
        (os.rmdir if make is os.mkdir else os.unlink)(path)


def answer(p, sender="a@b.test"):
    with p.smtp() as s:
        s.ehlo()
        s.mail(sender)
        return s.rcpt("user@example.test")[0]


def test_changed_rules_are_read_bad_ones_are_not(postern):
    path, p = rules_instance(postern, "noto:ALL:*:ALL:550 one\n")
    assert answer(p) == 550
    rewrite(path, "noto:ALL:*:ALL:551 two\n")
    wait_until(lambda: answer(p) == 551, what="the new rules")
    rewrite(path, "noto:ALL:*:ALL:552 three\nnonsense\n")
    wait_until(lambda: answer(p) and "line 2: unknown action" in p.logs(), what="a complaint")
    assert answer(p) == 551
    p.wait_log("the rules read before stay in force")
    assert p.run("postfix", "-c", p.etc, "reload").returncode  # refused as well
    assert answer(p) == 551
    rewrite(path, "noto:ALL:*:ALL:553 four\n")
    wait_until(lambda: answer(p) == 553, what="the right rules")


def test_processes_that_start_later_have_the_rules_of_the_last_reload(postern):
    path, p = rules_instance(postern, "noto:ALL:*:ALL:550 one\n", main={"max_use": "1", "smtpd_process_sessions": "1"})
    assert answer(p) == 550
    rewrite(path, "noto:ALL:*:ALL:551 two\n")
    p.reload()
    rewrite(path, "nonsense\n")
    assert {answer(p) for _ in range(4)} == {551}
    p.wait_log(r"line 1: unknown action .*; the rules of the last start or reload stay in force")
    os.unlink(path)
    assert answer(p) == 551
    p.wait_log(r"check_rules: No such file .*stay in force")


@pytest.mark.parametrize("stage", ["client", "helo", "sender", "relay", "recipient", "data", "end_of_data"])
def test_every_stage(postern, stage):
    """deny ends the session wherever the rules stand; at DATA and after, the only recipient is known, one of several is not."""
    one = tempfile.mkdtemp(prefix="rules-", dir="/tmp")
    os.chmod(one, 0o755)
    with open(f"{one}/check_rules", "w") as f:
        f.write("deny:ALL:bad@a.test:user@example.test:554 %F to %T\n")
    others = "" if stage in ("data", "end_of_data") else "permit_mynetworks, reject"
    rules = f"check_rules_file {one}/check_rules"
    p = postern({f"smtpd_{stage}_restrictions": f"{rules}, {others}" if stage == "relay" else rules})

    def run(*recipients, sender="bad@a.test"):
        with p.raw() as c:
            c.cmd("EHLO h.test")
            c.cmd(f"MAIL FROM:<{sender}>")
            for r in recipients:
                reply = c.cmd(f"RCPT TO:<{r}>")
            if reply[:3] == "250":
                reply = c.cmd("DATA")
            if reply[:3] == "354":
                reply = c.cmd("Subject: x\r\n\r\nx\r\n.")
            return reply, reply[0] == "5" and closes(c)
    assert run("user@example.test", sender="good@a.test")[0][:3] == "250"
    assert run("user@example.test") == ("554 5.7.1 <bad@a.test> to <user@example.test>", True)
    if stage in ("data", "end_of_data"):
        assert run("user@example.test", "other@example.test")[0][:3] == "250"
    shutil.rmtree(one)


def test_warning_for_a_place_without_effect(postern):
    path, p = rules_instance(postern, "allow:joe@ALL:ALL:ALL\n", start=False,
                             main={"smtpd_delay_reject": "no", "smtpd_helo_restrictions": "check_rules_file /dev/null"})
    p.main["smtpd_helo_restrictions"] = f"check_rules_file {path}"
    p.write_config()
    r = p.run("postfix", "-c", p.etc, "check")
    assert "smtpd_helo_restrictions: check_rules_file has no effect there" in r.stderr
    assert "check_rules_ident_timeout is 0" in r.stderr


def test_F17_libraries_need_no_setting():
    """makedefs has found them; the programs are linked with what was found."""
    config = open(f"{BUILD}/config.mk").read()
    assert re.search("^AUXLIBS = *$", config, re.M) and re.search("^LIBS_[A-Z0-9]+ = -l", config, re.M)


def test_F15_ehlo_after_a_refusal(postern):
    p = postern({"smtpd_ehlo_disable": "yes"})
    with p.raw() as c:
        assert c.cmd("EHLO h.test")[:3] == "500"
        assert c.cmd("HELO h.test") == "250 mx.example.test"
    with p.raw() as c:
        assert c.cmd("EHLO h.test")[:3] == "500"
        assert c.cmd("EHLO h.test") == "250 mx.example.test"


def test_F50_example_files_load(prefix):
    files = glob.glob(f"{TOP}/doc/examples/obtuse/check_rules.*")
    assert sorted(os.path.basename(f) for f in files) == ["check_rules.relay", "check_rules.spam"]
    for f in files:
        r = subprocess.run([f"{prefix}/sbin/postexplain", "--json", "--check-rules", f, "--client", "203.0.113.7,unknown",
                            "--sender", "a@b.test", "--recipient", "x@elsewhere.test"], capture_output=True, text=True)
        assert r.returncode == 0 and json.loads(r.stdout)["verdict"] in ("reject", "defer", "none")
    assert os.path.exists(f"{TOP}/man/man5/check_rules.5")


# ---- the two programs ----

MAILER = """#!/bin/sh
dir={dir}
n=$(mktemp "$dir/XXXXXX.part")
for a; do echo "$a"; done >"$n"; echo --- >>"$n"; cat >>"$n"
mv "$n" "${{n%.part}}.mail"
[ -f "$dir/status" ] && exit $(cat "$dir/status")
exit 0
"""


class Mailer:
    """A program that is called like sendmail, and notes that."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mailer-", dir="/tmp")
        os.chmod(self.dir, 0o777)
        self.path = f"{self.dir}/sendmail"
        with open(self.path, "w") as f:
            f.write(MAILER.format(dir=self.dir))
        os.chmod(self.path, 0o755)

    def status(self, n):
        with open(f"{self.dir}/status", "w") as f:
            f.write(str(n))

    def calls(self):
        out = []
        for path in glob.glob(f"{self.dir}/*.mail"):
            args, _, text = open(path).read().partition("---\n")
            out.append((args.split("\n")[:-1], text))
        return out

    def wait(self, n, timeout=60):
        return wait_until(lambda: len(c := self.calls()) >= n and c, timeout, what=f"{n} calls of the mailer")


@pytest.fixture
def mailer():
    m = Mailer()
    yield m
    shutil.rmtree(m.dir, ignore_errors=True)


@pytest.fixture
def spool():
    """A spool directory of user daemon (or ours)."""
    d = tempfile.mkdtemp(prefix="spool-", dir="/tmp")
    os.chmod(d, 0o700)
    if ROOT:
        shutil.chown(d, "daemon", "daemon")
    yield d
    shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def fwdd(prefix, spool, mailer):
    """fwdd(*options): run smtpfwdd; leaves no daemon behind."""
    started = []

    def run(*options, wait=True, mail_program=None, directory=None):
        args = [f"{prefix}/libexec/smtpfwdd", "-d", directory or spool, "-s", mail_program or mailer.path]
        args += ["-u", "daemon", "-g", "daemon"] if ROOT else []
        env = {**os.environ, "MAIL_CONFIG": f"{prefix}/etc"}
        if wait:
            return subprocess.run([*args, *options], env=env, capture_output=True, text=True, timeout=60 * SLOW)
        p = subprocess.Popen([*args, *options], env=env, stderr=subprocess.PIPE, text=True)
        started.append(p)
        return p
    yield run
    for p in started:
        p.terminate()
        p.wait(60)


def spool_file(spool, name, text, mode=0o750, age=0):
    path = f"{spool}/{name}"
    with open(path, "w") as f:
        f.write(text)
    if ROOT:
        shutil.chown(path, "daemon", "daemon")
    os.utime(path, (time.time() - age,) * 2)
    os.chmod(path, mode)
    return path


MESSAGE = "FROM <a@b.test>\nRCPT <c@d.test>\nRCPT <e@f.test>\nBODY\nSubject: hi\n\nFROM here\n"


def test_F07_F08_F59_mailer_gets_the_message(fwdd, spool, mailer):
    spool_file(spool, "smtpdAAAAAA", MESSAGE)
    spool_file(spool, "smtpdBBBBBB", "FROM <>\nRCPT c@d.test\nBODY\nx\n")
    r = fwdd("--once")
    assert r.returncode == 0
    assert sorted(mailer.calls()) == [(["-oi", "-f", "<>", "c@d.test"], "x\n"),
                                      (["-oi", "-f", "a@b.test", "c@d.test", "e@f.test"], "Subject: hi\n\nFROM here\n")]
    assert not glob.glob(f"{spool}/smtpd*")
    assert "smtpdAAAAAA: forwarded to 2 recipients" in r.stderr


def test_F58_incomplete_files_wait_the_rest_is_picked_up(fwdd, spool, mailer):
    path = spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\nRCPT", mode=0o600)
    p = fwdd("--foreground", "-P", "1", wait=False)
    spool_file(spool, "smtpdBBBBBB", MESSAGE)
    mailer.wait(1)
    assert os.path.exists(path) and p.poll() is None
    for options in (["--once"], []):
        second = fwdd(*options)
        assert second.returncode == 78 and "already running" in second.stderr
    with open(path, "w") as f:
        f.write(MESSAGE)
    os.chmod(path, 0o750)
    mailer.wait(2)
    wait_until(lambda: not glob.glob(f"{spool}/smtpd*"), what="an empty spool directory")


def test_daemon_is_known_by_its_lock(fwdd, spool, mailer):
    """The process id stands in the lock as soon as the command is done; who is told to end frees it."""
    assert fwdd("-P", "1").returncode == 0
    pid = int(open(f"{spool}/.smtpfwdd.lock").read())
    try:
        assert alive(pid) and open(f"/proc/{pid}/comm").read() == "smtpfwdd\n"
        spool_file(spool, "smtpdAAAAAA", MESSAGE)
        mailer.wait(1)
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: fwdd("--once").returncode == 0, what="the lock")


def test_one_line_about_a_file_that_nobody_completes(fwdd, spool, mailer):
    """Once a day, however often the directory is looked at; only when it has been so for a day."""
    spool_file(spool, "smtpdAAAAAA", "FROM", mode=0o600, age=90000)
    spool_file(spool, "smtpdBBBBBB", "FROM", mode=0o600, age=80000)
    p = fwdd("--foreground", "-P", "1", wait=False)
    for n in range(3):  # three looks at least
        path = spool_file(spool, f"smtpdC{n:05}", MESSAGE)
        wait_until(lambda: not os.path.exists(path), what="the message to leave")
    p.terminate()
    _, said = p.communicate(timeout=60 * SLOW)
    assert len(re.findall("not complete for 25 hours", said)) == 1 and "smtpdAAAAAA: not complete" in said and "BBBBBB" not in said


def test_quiet_is_one_line_for_a_message(fwdd, spool, mailer):
    spool_file(spool, "smtpdAAAAAA", MESSAGE)
    r = fwdd("--once", "-q")
    assert [line.split(": ", 1)[1] for line in r.stderr.splitlines()] == ["smtpdAAAAAA: from=<a@b.test>, nrcpt=2, forwarded"]


def test_part_that_is_done_is_not_done_again(fwdd, spool, mailer):
    """The second batch must wait; the first is SENT."""
    statuses(mailer, ("u200@d.test", 75))
    path = spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\n" + "".join(f"RCPT <u{i}@d.test>\n" for i in range(201)) + "BODY\nx\n")
    fwdd("--once")
    text = open(path).read()
    assert text.count("SENT <") == 192 and text.count("RCPT <") == 9 and os.stat(path).st_mode & 0o777 == 0o755
    with open(mailer.path) as f:
        again = f.read().replace("exit 75", "exit 0")
    with open(mailer.path, "w") as f:
        f.write(again)
    fwdd("--once")
    assert not os.path.exists(path) and sorted(len(args) - 3 for args, _ in mailer.calls()) == [9, 9, 96, 96]


@pytest.mark.parametrize("status", [69, 71, 72, 74, 75])
def test_temporary_statuses_are_tried_again(fwdd, spool, mailer, status):
    path = spool_file(spool, "smtpdAAAAAA", MESSAGE)
    mailer.status(status)
    fwdd("--once")
    assert os.stat(path).st_mode & 0o777 == 0o755 and "RCPT <c@d.test>" in open(path).read()
    p = fwdd("--foreground", "-P", "1", "--retry", "600", wait=False)  # not before its time
    spool_file(spool, "smtpdBBBBBB", "FROM <>\nRCPT c@d.test\nBODY\nx\n")
    mailer.wait(2)
    wait_until(lambda: os.stat(f"{spool}/smtpdBBBBBB").st_mode & 0o777 == 0o755, what="the end of the attempt")
    assert len(mailer.calls()) == 2
    p.terminate()
    p.wait(60)
    mailer.status(0)
    os.utime(path, (time.time() - 601,) * 2)
    fwdd("--foreground", "-P", "1", wait=False)
    wait_until(lambda: not os.path.exists(path), what="the message to leave")


def test_a_mailer_that_dies_loses_nothing(fwdd, spool, mailer):
    path = spool_file(spool, "smtpdAAAAAA", MESSAGE)
    with open(mailer.path, "w") as f:
        f.write("#!/bin/sh\nkill -9 $$\n")
    fwdd("--once")
    assert os.path.exists(path) and os.stat(path).st_mode & 0o777 == 0o755


def statuses(mailer, *cases):
    """Another exit status by what is among the arguments; else 0."""
    with open(mailer.path) as f:
        text = f.read()
    lines = "".join(f'case " $* " in *"{word}"*) exit {status} ;; esac\n' for word, status in cases)
    with open(mailer.path, "w") as f:
        f.write(text.replace("[ -f", lines + "[ -f", 1))


def test_F59_the_sender_is_told_about_refused_mail(fwdd, spool, mailer):
    """67: user unknown. The notification goes the same way, from the null sender."""
    statuses(mailer, ("f.test", 67))
    spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\n" + "".join(f"RCPT <u{i}@d.test>\n" for i in range(96)) +
               "RCPT <-x@d.test>\nRCPT <e@f.test>\nBODY\nSubject: hi\n\n\xe9\n")
    r = fwdd("--once")
    assert r.returncode == 0 and "user unknown" in r.stderr and "sender non-delivery notification: handed on for <a@b.test>" in r.stderr
    assert not glob.glob(f"{spool}/*smtpd*")
    text, = (t for a, t in mailer.calls() if a == ["-oi", "-f", "<>", "a@b.test"])
    message = email.message_from_string(text)
    assert message["To"] == "a@b.test" and message["Auto-Submitted"] == "auto-replied" and message.get_content_type() == "multipart/report"
    words, status, original = message.get_payload()
    assert "<e@f.test>: user unknown" in words.as_string() and "u1@d.test" not in words.as_string()
    reports = status.get_payload()
    assert [(r["Final-Recipient"], r["Action"], r["Status"]) for r in reports[1:]] == [
        ("rfc822; -x@d.test", "failed", "5.1.3"), ("rfc822; e@f.test", "failed", "5.1.1")]
    assert original.get_payload()[0]["Subject"] == "hi"


def test_F59_notification_that_must_wait(fwdd, spool, mailer):
    statuses(mailer, ("f.test", 70), ("<>", 75))
    path = spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\nRCPT <e@f.test>\nBODY\nx\n")
    fwdd("--once")
    assert os.stat(path).st_mode & 0o777 == 0o755 and "FAIL <e@f.test>" in open(path).read()
    with open(mailer.path) as f:
        text = f.read()
    with open(mailer.path, "w") as f:
        f.write(text.replace("exit 75", "exit 0"))
    calls = len(mailer.calls())
    fwdd("--once")
    assert not glob.glob(f"{spool}/*smtpd*") and len(mailer.calls()) == calls + 1  # nobody gets the message again


@pytest.mark.parametrize("sender", ["", "a@b.test"])
def test_refused_mail_is_kept_when_nobody_can_be_told(fwdd, spool, mailer, sender):
    mailer.status(67)
    spool_file(spool, "smtpdAAAAAA", MESSAGE.replace("a@b.test", sender))
    r = fwdd("--once")
    assert "user unknown" in r.stderr
    text = open(f"{spool}/failed.smtpdAAAAAA").read()
    assert "FAIL <c@d.test>" in text and text.endswith("FROM here\n")
    assert len(mailer.calls()) == (2 if sender else 1)


def test_corrupt_files_are_kept(fwdd, spool, mailer):
    for name, text in {"smtpdAAAAAA": "nonsense\n", "smtpdBBBBBB": "FROM <a@b.test>\nRCPT <c@d.test>\n",
                       "smtpdCCCCCC": "FROM <" + "x" * 5000 + ">\nRCPT <c@d.test>\nBODY\n"}.items():
        spool_file(spool, name, text)
    fwdd("--once")
    assert sorted(os.listdir(spool)) == [".smtpfwdd.lock", "corrupt.smtpdAAAAAA", "corrupt.smtpdBBBBBB", "corrupt.smtpdCCCCCC"]
    assert not mailer.calls()


def test_addresses_that_look_like_options(fwdd, spool, mailer):
    spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\nRCPT <-bad@d.test>\nRCPT <good@d.test>\nBODY\nx\n")
    spool_file(spool, "smtpdBBBBBB", "FROM <-C/etc/passwd>\nRCPT <good@d.test>\nBODY\nx\n")
    fwdd("--once")
    assert sorted(c[0] for c in mailer.calls()) == [["-oi", "-f", "<>", "a@b.test"], ["-oi", "-f", "a@b.test", "good@d.test"]]


def test_many_recipients_go_in_batches_and_once(fwdd, spool, mailer):
    everybody = [f"u{i}@d.test" for i in range(250)]
    path = spool_file(spool, "smtpdAAAAAA", "FROM <a@b.test>\n" + "".join(f"{'SENT' if i < 10 else 'RCPT'} <{a}>\n" for i, a in enumerate(everybody)) + "BODY\nx\n")
    fwdd("--once")
    got = [a for args, _ in mailer.calls() for a in args[3:]]
    assert got.sort() is None and sorted(everybody[10:]) == got
    assert all(len(args) <= 99 for args, _ in mailer.calls()) and not os.path.exists(path)


def test_misconfigured_mailer_ends_the_daemon(fwdd, spool, mailer):
    mailer.status(78)
    path = spool_file(spool, "smtpdAAAAAA", MESSAGE)
    assert fwdd("--once").returncode == 78
    assert os.path.exists(path)


@needs_root
def test_F10_F12_F54_users_and_modes(fwdd, spool, prefix):
    assert fwdd("-u", "root", "--once").returncode == 78
    r = fwdd("-u", "nobody-at-all", "--once")
    assert r.returncode == 64 and "nobody-at-all" in r.stderr
    os.chmod(spool, 0o755)
    r = fwdd("--once")
    assert r.returncode == 78 and spool in r.stderr and "0755" in r.stderr
    r = fwdd("--once", directory="relative")
    assert r.returncode == 64


# ---- obtuse-smtpd ----

class Obtuse(Logging):
    """obtuse-smtpd in a home of its own. Its log, and that of smtpfwdd, is a file."""

    def __init__(self, prefix, rules, *options, group="daemon", rootless=not ROOT):
        self.top = tempfile.mkdtemp(prefix="ob-", dir="/tmp")
        os.chmod(self.top, 0o755)
        self.who = {}
        if rootless and ROOT:  # the programs are started by an ordinary user
            self.who = {"user": "daemon", "group": "daemon", "extra_groups": []}
            shutil.chown(self.top, "daemon", "daemon")
        self.home, self.log, self.prefix = f"{self.top}/h", f"{self.top}/log", prefix
        etc = f"{self.top}/etc"
        os.mkdir(etc)
        shutil.copy(f"{prefix}/etc/main.cf", etc)
        with open(f"{etc}/main.cf", "a") as f:
            f.write(f"maillog_file = {self.log}\nmaillog_file_prefixes = /\ninet_protocols = ipv4\ncompatibility_level = 3.11\n"
                    "import_environment = MAIL_CONFIG MAIL_LOGTAG TZ LANG=C ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS\n")
        self.env = {**os.environ, "MAIL_CONFIG": etc}
        self.port = free_port()
        self.options = ["-c", self.home, "-d", "/spool", *([] if rootless else ["-u", "daemon", "-g", group]), "-L", *options]
        r = self.run("--setup")
        assert r.returncode == 0, r
        with open(f"{self.home}/etc/smtpd_check_rules", "w") as f:
            f.write(rules)

    def run(self, *options, program="obtuse-smtpd", **kw):
        kw.setdefault("timeout", 100 * SLOW)
        return subprocess.run([f"{self.prefix}/sbin/{program}", *self.options, *options], env=self.env, capture_output=True,
                              text=True, **self.who, **kw)

    def start(self, *options):
        r = self.run("-D", "-l", "127.0.0.1", "-p", str(self.port), *options)
        assert r.returncode == 0, (r, self.logs())
        return self

    def files(self):
        return sorted(glob.glob(f"{self.home}/spool/smtpd*"))

    def master(self):
        with contextlib.suppress(OSError, ValueError):
            pid = int(open(f"{self.home}/pid/master.pid").read())
            return pid if alive(pid) else None

    def stop_master(self):
        pid = self.master()
        family = [pid, *descendants(pid)] if pid else []
        if pid:
            subprocess.run([f"{self.prefix}/sbin/postfix", "-c", f"{self.home}/etc/postern", "stop"], env=self.env, capture_output=True)
        for p in family:
            if alive(p):
                with contextlib.suppress(OSError):
                    os.kill(p, signal.SIGKILL)

    def stop(self):
        self.stop_master()
        shutil.rmtree(self.top, ignore_errors=True)


LISTING = ("# internal network 192.0.2.0/24, mail hub 198.51.100.5\nallow:192.0.2.0/24:*foo.bar.com:ALL\n"
           "deny:192.0.2.0/24:ALL:ALL:550 Forging of e-mail Denied - %F from %H(%I) to %T\n"
           "deny:ALL:*@spam.r.us *@spammer.com:ALL\nallow:198.51.100.5/32:ALL:*@hosted.example\n"
           "allow:ALL:ALL:*@bar.com *@*.bar.com\nnoto:ALL:ALL:ALL:551 Relaying Denied - %F from %H(%I) to %T\n")


@pytest.fixture
def obtuse(prefix):
    made = []

    def make(*options, rules=LISTING, **kw):
        made.append(Obtuse(prefix, rules, *options, **kw))
        return made[-1]
    yield make
    for o in made:
        o.stop()


def dialogue(c):
    """As the article shows it; returns the reply to the message."""
    assert c.cmd("EHLO m.test")[:3] == "500"
    assert c.cmd("HELO m.test")[:3] == "250"
    assert c.cmd("MAIL FROM:<a@b.test>")[:3] == "250"
    assert re.match(r"551 5\.7\.1 Relaying Denied - <a@b\.test> from \S+\(127\.0\.0\.1\) to <joe@third\.test>$",
                    c.cmd("RCPT TO:<joe@third.test>"))
    assert c.cmd("RCPT TO:<joe@bar.com>") == "250 2.1.5 Ok"
    assert c.cmd("DATA")[:3] == "354"
    return c.cmd("Subject: hello\r\n\r\n..dot\r\n.")


def check_spooled(o, user="daemon"):
    path, = o.files()
    st = os.stat(path)
    text = open(path).read()
    assert re.match(r"smtpd\w{6}$", os.path.basename(path)) and st.st_mode & 0o777 == 0o750
    assert text.startswith("FROM <a@b.test>\nRCPT <joe@bar.com>\nBODY\nReceived: from m.test (")
    assert text.endswith("\nSubject: hello\n\n.dot\n")
    return path


@needs_root
def test_F01_F06_F14_F19_F21_F52_F56_F57_daemon_spools(obtuse, prefix, mailer):
    o = obtuse().start()
    with Raw(o.port) as c:
        assert re.match(r"250 2\.0\.0 Ok: queued as smtpd\w{6}$", dialogue(c))
        path = check_spooled(o)  # on disk before the reply
    owner = os.stat(path)
    assert (owner.st_uid, owner.st_gid) == tuple(map(int, subprocess.run(["id", "-u", "daemon"], capture_output=True, text=True).stdout.split() +
                                                     subprocess.run(["id", "-g", "daemon"], capture_output=True, text=True).stdout.split()))
    # F19: the process lives in the home directory; F10: without root
    smtpd, = (p for p in descendants(o.master()) if "smtpd" in open(f"/proc/{p}/comm").read())
    assert os.readlink(f"/proc/{smtpd}/root") == o.home
    assert re.search(r"^Uid:\t(?!0\t)(\d+)\t\1\t\1\t\1$", open(f"/proc/{smtpd}/status").read(), re.M)
    # F56: it logs though there is no /dev/log in the jail
    assert not os.path.exists(f"{o.home}/dev/log")
    o.wait_log(r"obtuse/smtpd\[\d+\]: smtpd\w{6}: spooled: from=<a@b\.test>")
    # F11, F58: smtpfwdd hands it on
    r = subprocess.run([f"{prefix}/sbin/smtpfwdd", "-d", f"{o.home}/spool", "-u", "daemon", "-g", "daemon", "-s", mailer.path, "--once"],
                       env=o.env, capture_output=True, text=True)
    assert r.returncode == 0 and not o.files()
    (args, text), = mailer.calls()
    assert args == ["-oi", "-f", "a@b.test", "joe@bar.com"] and text.endswith("Subject: hello\n\n.dot\n")


def test_F10_ordinary_user_starts_everything(obtuse, prefix, mailer):
    """Without root there is no chroot, which one warning says; all else is the same."""
    o = obtuse(rootless=True)
    r = o.run("-D", "-l", "127.0.0.1", "-p", str(o.port))
    assert r.returncode == 0 and r.stderr.count("chroot of 1 services in master.cf is ignored: this instance runs without root") == 1
    with Raw(o.port) as c:
        assert dialogue(c).startswith("250 2.0.0 Ok")
    path = check_spooled(o)
    smtpd, = (p for p in descendants(o.master()) if "smtpd" in open(f"/proc/{p}/comm").read())
    assert os.stat(path).st_uid == os.stat(f"/proc/{smtpd}").st_uid == os.stat(o.home).st_uid

    def fwdd(*options):
        return subprocess.run([f"{prefix}/sbin/smtpfwdd", "-d", f"{o.home}/spool", "-s", mailer.path, "--once", *options], env=o.env,
                              capture_output=True, text=True, **o.who)
    for run in (fwdd, o.run):
        r = run("-u", "root")
        assert r.returncode == 78 and "does not run as root" in r.stderr
        r = run("-u", "bin")
        assert r.returncode == 78 and "only root can become user bin" in r.stderr
        r = run("-u", "no-such-user")
        assert r.returncode == 64 and "no-such-user" in r.stderr
    assert fwdd().returncode == 0 and not o.files() and len(mailer.calls()) == 1
    r = o.run("-D", "-p", "1")
    assert r.returncode == 78 and ("already running" in r.stderr)
    o.stop_master()
    if not ROOT or int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) > 1:
        r = o.run("-D", "-p", "1")
        assert r.returncode == 78 and "take a port above 1023" in r.stderr + o.logs()
    r = subprocess.run([f"{prefix}/sbin/obtuse-smtpd", "-c", "/proc/none", "--setup"], env=o.env, capture_output=True, text=True, **o.who)
    assert r.returncode == 78 and "name a directory of your own with -c" in r.stderr


def serve_one(o, *tracer):
    """A session as inetd starts it: the client, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Raw.__new__(Raw)
        client.s, client.buf = socket.create_connection(server.getsockname(), 60 * SLOW), b""
        with server.accept()[0] as peer:
            p = subprocess.Popen([*tracer, f"{o.prefix}/sbin/obtuse-smtpd", *o.options], env=o.env, stdin=peer, stdout=peer, **o.who)
    assert client.reply()[:4] == "220 "
    return client, p


@pytest.mark.parametrize("rootless", [False, True])
def test_F06_file_and_directory_are_on_disk_before_the_reply(obtuse, rootless):
    """Contents, then the mode that makes it a message, then its name; only then 250."""
    if not rootless and not ROOT:
        pytest.skip("needs root")
    o = obtuse(rootless=rootless)
    trace = f"{o.top}/trace"
    c, p = serve_one(o, "strace", "-f", "-y", "-o", trace, "-e", "trace=openat,open,fsync,fchmod,write,writev,sendto,sendmsg")
    assert dialogue(c).startswith("250 2.0.0 Ok: queued as")
    name = os.path.basename(check_spooled(o))
    c.cmd("QUIT")
    c.close()
    p.wait(60 * SLOW)
    kinds = [("create", rf'open(at)?\(.*{name}".*O_EXCL'), ("content", rf"write\(.*{name}>"), ("sync", rf"fsync\(.*{name}>\) *= 0"),
             ("mode", rf"fchmod\(.*{name}>, 0750\) *= 0"), ("directory", r"fsync\([^)]*spool>\) *= 0"), ("reply", r'(write|writev|send\w+)\(.*"250 2\.0\.0 Ok: queued')]
    steps = [kind for line in open(trace, errors="replace") for kind, pattern in kinds if re.search(pattern, line)]
    assert steps == ["create", "content", "sync", "mode", "sync", "directory", "reply"], open(trace, errors="replace").read()[-4000:]


class Forwarder(threading.Thread):
    """Runs smtpfwdd, again whenever it has ended."""

    def __init__(self, o, mailer):
        super().__init__(daemon=True)
        self.args = [f"{o.prefix}/sbin/smtpfwdd", "-d", f"{o.home}/spool", *(["-u", "daemon", "-g", "daemon"] if ROOT else []), "-s", mailer.path, "-P", "1"]
        self.o, self.pid, self.stop = o, None, False

    def run(self):
        while not self.stop:
            p = subprocess.Popen([*self.args, "--foreground"], env=self.o.env, stderr=subprocess.DEVNULL)
            self.pid = p.pid
            p.wait()
            self.pid = None
            time.sleep(0.05)

    def drain(self):
        return subprocess.run([*self.args, "--once"], env=self.o.env, capture_output=True, text=True)


@pytest.mark.heavy
def test_F06_kill_9_at_random_moments_loses_nothing(obtuse, mailer):
    """What smtpd acknowledged reaches the mailer whole, whatever is killed: sessions, master, smtpfwdd, the mailer."""
    o = obtuse("-H", rules="allow:ALL:ALL:ALL\n").start()
    loads, forwarder = [Load(o, f"c{i}") for i in range(4)], Forwarder(o, mailer)
    rnd = random.Random(os.environ.get("POSTERN_SEED", "7"))
    for t in [*loads, forwarder]:
        t.start()

    def kill(pids):
        for pid in pids:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").startswith(o.prefix) or mailer.path in open(f"/proc/{pid}/cmdline").read():
                    os.kill(pid, signal.SIGKILL)
    round_ = 0
    while round_ < 12 or sum(len(load.acked) for load in loads) < 50:
        time.sleep(rnd.uniform(0.1, 0.5))
        family = {0: lambda: [rnd.choice(descendants(o.master()) or [None])],  # a service: master goes on
                  1: lambda: [o.master(), *descendants(o.master())],
                  2: lambda: [forwarder.pid, *descendants(forwarder.pid)],
                  3: lambda: descendants(forwarder.pid)[:1]}[round_ % 4]()
        kill(family)
        if not o.master():
            wait_until(lambda: o.run("-D", "-l", "127.0.0.1", "-p", str(o.port)).returncode == 0, what=f"a new start: {o.logs()[-2000:]}")
        round_ += 1
    for load in loads:
        load.stop = True
    for load in loads:
        load.join(60 * SLOW)
    forwarder.stop = True
    while forwarder.is_alive():  # it may just be starting the next one
        kill([forwarder.pid])
        forwarder.join(0.2)
    complete = lambda: [f for f in o.files() if os.path.exists(f) and os.stat(f).st_mode & 0o110]
    wait_until(lambda: forwarder.drain().returncode == 0 and not complete(), what="an empty spool directory")
    acked, got = set().union(*(load.acked for load in loads)), set()
    for _, text in mailer.calls():
        key = re.search(r"^Subject: (\S+)$", text, re.M).group(1)
        assert text.count(f"line of {key}\n") == 40 and text.endswith("end\n"), f"damaged: {text}"
        got.add(key)
    assert acked <= got, f"{len(acked - got)} of {len(acked)} acknowledged messages are lost, e.g. {sorted(acked - got)[:5]}\n{o.logs()[-3000:]}"
    assert not glob.glob(f"{o.home}/spool/*.smtpd*")  # none set aside as corrupt or failed


@needs_root
@pytest.mark.parametrize("group,gid", [("mail", grp.getgrnam("mail").gr_gid), ("4242", 4242)])
def test_F13_F54_any_group(obtuse, fwdd, mailer, group, gid):
    """-g: the only group of the server, of its files, and of what hands them on."""
    o = obtuse(group=group).start()
    smtpd = None
    with Raw(o.port) as c:
        assert dialogue(c).startswith("250 2.0.0 Ok")
        smtpd, = (p for p in descendants(o.master()) if "smtpd" in open(f"/proc/{p}/comm").read())
        status = dict(line.split(":", 1) for line in open(f"/proc/{smtpd}/status"))
    uid = pwd.getpwnam("daemon").pw_uid
    assert status["Uid"].split() == [str(uid)] * 4 and status["Gid"].split() == [str(gid)] * 4 and status["Groups"].split() == [str(gid)]
    st = os.stat(check_spooled(o))
    assert (st.st_uid, st.st_gid) == (uid, gid)
    with open(mailer.path) as f:
        text = f.read()
    with open(mailer.path, "w") as f:
        f.write(text.replace("dir=", f"id -G >{mailer.dir}/groups\ndir=", 1))
    os.chmod(mailer.dir, 0o777)
    assert fwdd("-g", group, "--once", directory=f"{o.home}/spool").returncode == 0
    assert not o.files() and open(f"{mailer.dir}/groups").read().split() == [str(gid)]


@pytest.mark.parametrize("group", ["daemon", pytest.param("mail", marks=needs_root)])
def test_F55_inetd_serves_one_client(obtuse, group):
    o = obtuse(group=group)
    client, p = serve_one(o)
    assert dialogue(client).startswith("250 2.0.0 Ok")
    check_spooled(o)
    assert client.cmd("QUIT")[:3] == "221"
    client.close()
    assert p.wait(60 * SLOW) == 0


def test_inetd_on_another_address(obtuse):
    o = obtuse("-l", "127.0.0.9")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        p = subprocess.run([f"{o.prefix}/sbin/obtuse-smtpd", *o.options], env=o.env, stdin=peer, stdout=peer, timeout=60 * SLOW)
        peer.close()
        assert client.recv(100)[:4] == b"521 " and p.returncode == 0


@pytest.mark.parametrize("group", ["daemon", pytest.param("mail", marks=needs_root)])
def test_F61_natively_with_a_queue(obtuse, mailer, group):
    o = obtuse("-o", "legacy_spool=no", group=group)
    with open(f"{o.env['MAIL_CONFIG']}/main.cf", "a") as f:
        f.write(f"sendmail_path = {mailer.path}\n")
    mailer.status(75)
    o.start()
    with Raw(o.port) as c:
        assert dialogue(c).startswith("250 2.0.0 Ok: queued as")
    mailer.wait(1)
    o.wait_log(r"to=<joe@bar\.com>, relay=smtpfwdd, .*dsn=4\.3\.0, status=deferred \(temporary failure")
    mailer.status(0)
    queue = lambda *a: subprocess.run([f"{o.prefix}/sbin/postqueue", "-c", f"{o.home}/etc/postern", *a], env=o.env, capture_output=True, text=True)
    assert "joe@bar.com" in queue("-p").stdout  # F51
    queue("-f")
    o.wait_log(r"forwarded to 1 recipients by ")
    assert mailer.calls()[-1][0] == ["-oi", "-f", "a@b.test", "joe@bar.com"]
    wait_until(lambda: "empty" in queue("-p").stdout, what="an empty queue")


@pytest.mark.parametrize("status,log", [
    (0, r"dsn=2\.0\.0, status=sent \(forwarded by "),
    (67, r"dsn=5\.1\.1, status=bounced \(user unknown"),
    (69, r"dsn=4\.3\.0, status=deferred \(service unavailable"),
    (74, r"dsn=4\.3\.0, status=deferred \(input/output error"),
    (78, r"dsn=4\.3\.5, status=deferred \(configuration error"),
    (99, r"dsn=5\.3\.0, status=bounced \(mailer refused the message"),
    ("signal", r"dsn=4\.3\.0, status=deferred \(mailer died with a signal"),
    ("missing", r"dsn=4\.3\.0, status=deferred \(cannot run command"),
])
def test_statuses_for_the_delivery_agent(postern, mailer, status, log):
    if status == "signal":
        with open(mailer.path, "w") as f:
            f.write("#!/bin/sh\nkill -9 $$\n")
    elif status == "missing":
        os.unlink(mailer.path)
    else:
        mailer.status(status)
    p = postern({"default_transport": "smtpfwdd", "mydestination": "", "allow_min_user": "yes"},
                master_extra=f"smtpfwdd unix - n n - 10 smtpfwdd user=daemon command={mailer.path}\n")
    p.send(["c@d.test", "-x@d.test"], sender="a@b.test")
    p.wait_log(r"to=<c@d\.test>, relay=smtpfwdd, .*" + log)
    p.wait_log(r"to=<-x@d\.test>, relay=smtpfwdd, .*dsn=5\.1\.3, status=bounced")
    if status in (78, "missing"):
        p.wait_log(r"warning: .*see command= of service smtpfwdd in master\.cf")
    if status == 0:
        assert (["-oi", "-f", "a@b.test", "c@d.test"], True) in [(a, "Subject: t" in t) for a, t in mailer.calls()]
        assert p.run("postconf", "-c", p.etc, "smtpfwdd_destination_recipient_limit").stdout == "smtpfwdd_destination_recipient_limit = 96\n"


def test_quiet_agent(postern, mailer):
    p = postern({"default_transport": "smtpfwdd", "mydestination": "", "smtpfwdd_quiet": "yes"},
                master_extra=f"smtpfwdd unix - n n - 10 smtpfwdd user=daemon command={mailer.path}\n")
    p.send(["c@d.test"], sender="a@b.test")
    p.wait_log(r"to=<c@d\.test>, relay=smtpfwdd, .*status=sent \(forwarded by ")
    p.wait_empty()
    assert "forwarded to" not in p.logs()


@pytest.mark.parametrize("args,status,words", [
    (["-d", "relative"], 64, "absolute inside the home directory"),  # F53
    (["-c", "relative"], 64, "absolute path"),
    (["-s", "0"], 64, "positive number"),
    (["-l", "nonsense"], 64, "needs an address"),
    (["-x"], 64, "usage"),
    (["-u", "no-such-user"], 64, "no-such-user"),  # F54
    (["-u", "root"], 78, "does not run as root"),  # F10
    (["-u", "daemon", "-g", "root"], 78, "does not run as root"),
    (["-u", "daemon", "-g", "0"], 78, "does not run as root"),
    (["-u", "daemon", "-g", "no-such-group"], 64, "no-such-group"),
])
def test_F10_F53_F54_wrong_options(prefix, args, status, words):
    r = subprocess.run([f"{prefix}/sbin/obtuse-smtpd", *args, "-n"], env={**os.environ, "MAIL_CONFIG": f"{prefix}/etc"},
                       capture_output=True, text=True)
    assert r.returncode == status and words in r.stderr


def test_F13_F14_options_become_parameters(prefix):
    r = subprocess.run([f"{prefix}/sbin/obtuse-smtpd", "-c", "/h", "-d", "/s", "-u", "daemon", "-g", "daemon", "-H", "-P", "-L", "-D", "-m", "own.test",
                        "-s", "12345", "-q", "x", "-l", "127.0.0.1", "-p", "2525", "-n"], env={**os.environ, "MAIL_CONFIG": f"{prefix}/etc"},
                       capture_output=True, text=True)
    for line in ("queue_directory = /h", "smtpd_spool_directory = /s", "mail_owner = daemon", "service_user = daemon:daemon", "smtpd_peername_lookup = no", "smtpd_paranoid = yes",
                 "myhostname = own.test", "message_size_limit = 12345", "smtpd_brief_log = yes", "inet_interfaces = 127.0.0.1",
                 "smtpd_relay_restrictions = check_rules_file /h/etc/smtpd_check_rules, reject"):
        assert line in r.stdout.splitlines()
    r = subprocess.run([f"{prefix}/sbin/obtuse-smtpd", "-u", "daemon", "-n"], env={**os.environ, "MAIL_CONFIG": f"{prefix}/etc"}, capture_output=True, text=True)
    assert "check_rules_file /etc/smtpd_check_rules" in r.stdout  # F21: the default


def test_F12_spool_that_others_may_enter(obtuse):
    o = obtuse()
    os.chmod(f"{o.home}/spool", 0o750)
    r = o.run("-D", "-l", "127.0.0.1", "-p", str(o.port))
    assert r.returncode == 78 and "mode 0750 lets others in" in r.stderr


def test_F20_jail_has_what_name_service_needs(obtuse):
    o = obtuse()
    for name in ("resolv.conf", "localtime"):
        if os.path.exists(f"/etc/{name}"):
            assert open(f"{o.home}/etc/{name}", "rb").read() == open(f"/etc/{name}", "rb").read()


def test_paranoid(postern):
    p = postern({"smtpd_paranoid": "yes"})
    with p.raw() as c:
        assert c.cmd("HELO a;b")[:4] == "421 " and c.line() == b""
    with p.raw() as c:
        assert c.cmd("HELO fine.test")[:3] == "250"
        assert c.cmd("MAIL FROM:<a|b@c.test>")[:4] == "421 " and c.line() == b""
    with p.raw() as c:
        for text in ("HELO fine.test", "MAIL FROM:<a@c.test>", "RCPT TO:<user@example.test>"):
            assert c.cmd(text)[:3] == "250"
        assert c.cmd("DATA")[:3] == "354"
        c.send(b"Subject: \x07\r\n\r\nx\r\n.\r\n")
        assert c.reply()[:4] == "421 " and c.line() == b""


# ---- the command smtpd ----

@pytest.mark.parametrize("args,name", [
    (["-c", "/h", "-d", "/s", "-u", "u", "-g", "g", "-D", "-L"], "obtuse-smtpd"), (["-D", "-L"], "obtuse-smtpd"), (["-H"], "obtuse-smtpd"),
    (["-dm", "x"], "obtuse-smtpd"), (["-dnv"], "opensmtpd"), (["-n", "-f", "/etc/smtpd.conf"], "opensmtpd"),
    (["-D", "macro=-c", "-T", "imsg"], "opensmtpd"), (["-fc"], "opensmtpd"), ([], "opensmtpd"),
])
def test_one_command_for_two_systems(prefix, tmp_path, args, name):
    for program in ("obtuse-smtpd", "opensmtpd"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho {program} \"$@\"\n")
        (tmp_path / program).chmod(0o755)
    (tmp_path / "main.cf").write_text(f"compatibility_level = 3.11\ncommand_directory = {tmp_path}\n")
    r = subprocess.run([f"{prefix}/libexec/smtpd-front", *args], env={**os.environ, "MAIL_CONFIG": str(tmp_path)}, capture_output=True, text=True)
    assert r.stdout == " ".join([name, *args]) + "\n"


def test_F60_interval_of_queue_runs_is_taken(postern):
    r = postern(start=False).run("sendmail", "-q15m", input="")
    assert (r.returncode, r.stderr) == (0, ""), r


def test_example_setup_of_the_article(postern, prefix):
    """F1, F7, F11, F51, F58, F61: doc/examples/obtuse as given, in front of a mail system; mail is delivered at the end."""
    p = postern({"mydestination": "$myhostname, bar.com", "virtual_alias_maps": f"inline:{{joe@bar.com={USER}@bar.com}}"})
    top = tempfile.mkdtemp(prefix="ob-", dir="/tmp")
    os.chmod(top, 0o755)
    port = free_port()
    env = {**os.environ, "PATH": f"{prefix}/sbin:{os.environ['PATH']}", "MAIL_CONFIG": p.etc, "OBTUSE_HOME": f"{top}/h",
           "OBTUSE_SENDMAIL": f"{prefix}/sbin/sendmail", "OBTUSE_LISTEN": f"-l 127.0.0.1 -p {port}"}
    start = f"{TOP}/doc/examples/obtuse/start"
    try:
        r = subprocess.run([start], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=100 * SLOW)
        assert r.returncode == 0, r.stdout
        with Raw(port) as c:
            assert dialogue(c).startswith("250 2.0.0 Ok")
        mail, = p.wait_mail(USER)
        text = open(mail).read()
        assert "Subject: hello" in text and text.startswith("Return-Path: <a@b.test>")
        wait_until(lambda: not glob.glob(f"{top}/h/spool/smtpd*"), what="an empty spool directory")
    finally:
        subprocess.run([start, "stop"], env=env, capture_output=True)
        shutil.rmtree(top, ignore_errors=True)
