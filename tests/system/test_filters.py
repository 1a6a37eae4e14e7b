"""Filters of SMTP sessions: conditions, programs that speak OpenSMTPD's protocol, chains of them."""
import http.server
import json
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import threading

import pytest

from conftest import SLOW, TOP, alive, descendants, wait_until

PROGRAM = f"{TOP}/tests/system/filter_program.py"
EVERYTHING = ["report|*", *(f"filter|{p}" for p in
                            ("connect", "helo", "ehlo", "mail-from", "rcpt-to", "data", "data-line", "commit", "rset", "quit", "noop"))]


@pytest.fixture
def filtered(postern):
    """filtered(definitions, filters, programs={name: settings}): an instance with filters on its listener."""
    def make(definitions, filters, programs=None, main=None):
        p = postern({"virtual_mailbox_domains": "v.test", "virtual_mailbox_base": "/", "virtual_minimum_uid": "1",
                     "virtual_mailbox_maps": "inline:{ bob@v.test=bob/ }",
                     "smtpd_filters": filters, **(main or {})}, start=False)
        owner = os.stat(p.data)
        p.main.update(virtual_mailbox_base=p.mail, virtual_uid_maps=f"static:{owner.st_uid or 65534}",
                      virtual_gid_maps=f"static:{owner.st_gid or 65534}", smtpd_filter_definitions=f"{p.etc}/filters")
        with open(f"{p.etc}/filters", "w") as f:
            f.write(definitions)
        p.heard = {}
        shutil.copy(PROGRAM, f"{p.dir}/filter.py")
        os.chmod(f"{p.dir}/filter.py", 0o755)
        os.makedirs(f"{p.dir}/filters")
        os.chmod(f"{p.dir}/filters", 0o1777)
        for name, settings in (programs or {}).items():
            p.heard[name] = f"{p.dir}/filters/{name}.log"
            with open(f"{p.dir}/filters/{name}.json", "w") as f:
                json.dump({"register": EVERYTHING, "log": p.heard[name], **settings}, f)
            os.chmod(f"{p.dir}/filters/{name}.json", 0o644)
            p.master += f"{name} unix - n n - 0 filterd user=nobody argv=/usr/bin/python3 {p.dir}/filter.py {p.dir}/filters/{name}.json\n"
        p.write_config()
        return p.start()
    return make


def heard(p, name="f"):
    try:
        return [line.split("|") for line in open(p.heard[name]).read().splitlines()]
    except OSError:
        return []


def events(p, session, name="f"):
    """EVENT and fields of the reports about a session."""
    return [f[4:5] + f[6:] for f in heard(p, name) if f[0] == "report" and f[5] == session]


def programs(p):
    return [pid for pid in descendants(p.master_pid()) if alive(pid) and re.match("[^\0]*python3\0.*filter\\.py", open(f"/proc/{pid}/cmdline").read())]


def body(path):
    return open(path).read().split("\n\n", 1)[1]


# ---- conditions ----

@pytest.mark.parametrize("definition, dialogue", [
    ('a phase connect match src { 127.0.0.0/8 } disconnect "550 go away"', [(None, "550 go away")]),
    ('a phase connect match !src { 10.0.0.0/8 } reject "554 not from here"',
     [(None, "554 not from here"), ("EHLO x", "503"), ("QUIT", "221")]),
    ('a phase ehlo match helo { "bad.*", worse } reject "550 no such name"',
     [("EHLO bad.test", "550 no such name"), ("EHLO good.test", "250"), ("HELO bad.test", "250")]),
    ('a phase helo match helo regex { ^b[a-z]+$ } disconnect "421 later"', [("HELO bad", "421 later")]),
    ('a phase mail-from match mail-from { @spam.test } reject "550 no spam"',
     [("HELO x", "250"), ("MAIL FROM:<a@spam.test>", "550 no spam"), ("MAIL FROM:<a@ok.test>", "250")]),
    ('a phase rcpt-to match rcpt-to { trap, joe@v.test } reject "451 try later"',
     [("HELO x", "250"), ("MAIL FROM:<a@ok.test>", "250"), ("RCPT TO:<joe@v.test>", "451 try later"),
      ("RCPT TO:<trap@else.test>", "451"), ("RCPT TO:<bob@v.test>", "250")]),
    ('a phase data match mail-from { a@* } !auth reject "550 not you"',
     [("HELO x", "250"), ("MAIL FROM:<a@ok.test>", "250"), ("RCPT TO:<bob@v.test>", "250"), ("DATA", "550 not you"), ("RSET", "250")]),
    ('a phase commit match mail-from { * } reject "550 5.7.1 not this"',
     [("HELO x", "250"), ("MAIL FROM:<a@ok.test>", "250"), ("RCPT TO:<bob@v.test>", "250"), ("DATA", "354"),
      ("Subject: x\r\n\r\nx\r\n.", "550 5.7.1 not this"), ("NOOP", "250")]),
    ('a phase rcpt-to match rcpt-to { alias@v.test } rewrite bob@v.test',
     [("HELO x", "250"), ("MAIL FROM:<a@ok.test>", "250"), ("RCPT TO:<alias@v.test>", "250"), ("RCPT TO:<else@v.test>", "550")]),
    ('b chain a\na phase ehlo match helo { x } bypass\nc phase ehlo match helo { * } reject "550 no"',
     [("EHLO x", "250"), ("EHLO y", "550 no")]),
])
def test_conditions(filtered, definition, dialogue):
    names = " ".join(sorted({line.split()[0] for line in definition.splitlines()} - ({"a"} if "chain" in definition else set())))
    p = filtered(definition + "\n", names, main={"smtpd_reject_unlisted_recipient": "yes"})
    with p.raw() as c:
        for command, want in dialogue:
            got = c.cmd(command) if command else c.greeting
            assert got.splitlines()[-1].startswith(want), (command, got)
        if any(r.startswith(("421", "550 go")) for _, r in dialogue):
            assert c.s.recv(10) == b""


def test_junk(filtered):
    p = filtered("a phase connect match src { 127.0.0.1 } junk\n", "a")
    p.send("bob@v.test")
    assert re.search(r"^X-Spam: yes$", open(p.wait_mail("bob")[0]).read(), re.M)


def test_table_in_a_file(filtered, tmp_path):
    p = filtered("", "")
    with open(f"{p.etc}/bad", "w") as f:
        f.write("# senders\n@spam.test\neve@x.test  since May\n")
    with open(f"{p.etc}/filters", "w") as f:
        f.write(f'a phase mail-from\n  match mail-from {p.etc}/bad\n  reject "550 listed"\n')
    p.main["smtpd_filters"] = "a"
    p.write_config()
    p.reload()
    wait_until(lambda: "550 listed" in try_mail(p, "eve@x.test"), what="new configuration")
    assert try_mail(p, "joe@x.test").startswith("250")


def try_mail(p, sender):
    with p.raw() as c:
        c.cmd("HELO x")
        return c.cmd(f"MAIL FROM:<{sender}>")


@pytest.mark.parametrize("definition, words", [
    ("a phase connect match helo { x } junk", r"filters, line 1: condition helo is not known in phase connect"),
    ("\na phase commit match src { ::1 } junk", r"filters, line 2: junk is not possible in phase commit"),
    ('a phase helo match src { ::1 } reject "no code"', r"line 1: reject text must begin with 4NN or 5NN"),
    ("a phase helo match src { 10.0.0.1/8 } junk", r"line 1: .*10\.0\.0\.0/8"),
    ("a phase helo match src /nonexistent junk", r"line 1: .*/nonexistent"),
    ("a phase helo match helo regex { ( } junk", r"line 1: bad regular expression"),
    ("b proc x", r"filters: no filter with the name a"),
    ("a chain a", r"chain a contains itself"),
    ("a proc", r"proc needs the name of a service"),
    ("a phase helo match src { ::1 junk", r"brace is not closed"),
    ("a phase helo match auth junk", r"condition auth is not known in phase helo"),
])
def test_wrong_definitions(filtered, definition, words):
    p = filtered("", "")
    with open(f"{p.etc}/filters", "w") as f:
        f.write(definition + "\n")
    r = p.run("smtpd", "--check", "-o", "smtpd_filters=a", "-n", "smtp", "-t", "inet")
    assert r.returncode and re.search(words, r.stderr), r.stderr


# ---- programs ----

def test_reports_of_a_session(filtered):
    p = filtered("f proc f\n", "f", {"f": {"register": ["report|*"]}})
    with p.raw() as c:
        for command in ("EHLO me.test", "MAIL FROM:<ann@a.test> SIZE=10", "RCPT TO:<bob@v.test>", "RCPT TO:<x@far.test>", "RSET",
                        "MAIL FROM:<ann@a.test>", "RCPT TO:<bob@v.test>", "DATA", "Subject: x\r\n\r\nhi\r\n.", "QUIT"):
            c.cmd(command)
    p.wait_mail("bob")
    session = wait_until(lambda: next((f[5] for f in heard(p) if f[4:5] == ["link-identify"]), None), what="report")
    wait_until(lambda: ["link-disconnect"] in events(p, session), what="end of session")
    got = events(p, session)
    assert re.fullmatch("[0-9a-f]{16}", session)
    assert got[0][0] == "link-connect" and got[0][2] in ("pass", "fail")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", got[0][3]) and got[0][4] == f"127.0.0.1:{p.port}"
    assert ["link-greeting", "mx.example.test"] in got and ["link-identify", "EHLO", "me.test"] in got
    names = [e[0] for e in got if not e[0].startswith("protocol-")]
    assert [n for n in names if n != "filter-response"] == [
        "link-connect", "link-greeting", "link-identify", "tx-begin", "tx-mail", "tx-envelope", "tx-rcpt", "tx-envelope", "tx-rcpt",
        "tx-rollback", "tx-reset", "tx-begin", "tx-mail", "tx-envelope", "tx-rcpt", "tx-data", "tx-commit", "tx-reset", "link-disconnect"]
    assert ["filter-response", "connected", "proceed"] in got and ["filter-response", "commit", "proceed"] in got
    message = next(e[1] for e in got if e[0] == "tx-begin")
    assert re.fullmatch("[0-9a-f]{8}", message)
    assert ["tx-mail", message, "ok", "ann@a.test"] in got and ["tx-rcpt", message, "ok", "bob@v.test"] in got
    assert ["protocol-client", "MAIL FROM:<ann@a.test> SIZE=10"] in got and ["protocol-server", "250 2.1.0 Ok"] in got
    greeting = [f for f in heard(p) if f[0] == "config"]
    assert ["config", "protocol", "0.7"] in greeting and ["config", "subsystem", "smtp-in"] in greeting and greeting[-1] == ["config", "ready"]


def test_results_of_refused_commands(filtered):
    p = filtered("f proc f\n", "f", {"f": {"register": ["report|tx-mail", "report|tx-rcpt"]}}, main={"mynetworks": "10.0.0.0/8"})
    with p.raw() as c:
        c.cmd("HELO x")
        c.cmd("MAIL FROM:<ann@a.test>")
        c.cmd("RCPT TO:<x@far.test>")
        c.cmd("QUIT")
    wait_until(lambda: any(f[4] == "tx-rcpt" and f[7:] == ["permfail", "x@far.test"] for f in heard(p) if f[0] == "report"), what="report")


@pytest.mark.parametrize("answers, dialogue", [
    ({"connect": "disconnect|550 go away"}, [(None, "550 go away")]),
    ({"ehlo bad.test": "reject|550 no", "ehlo": "rewrite|other.test"}, [("EHLO bad.test", "550 no"), ("EHLO good.test", "250")]),
    ({"mail-from eve@a.test": "reject|451 later|with bar"}, [("HELO x", "250"), ("MAIL FROM:<eve@a.test>", "451 later|with bar")]),
    ({"rcpt-to": "rewrite|bob@v.test"}, [("HELO x", "250"), ("MAIL FROM:<a@a.test>", "250"), ("RCPT TO:<nobody@v.test> NOTIFY=NEVER", "250")]),
    ({"data": "reject|550 5.7.1 no data"}, [("EHLO x", "250"), ("MAIL FROM:<a@a.test>", "250"), ("RCPT TO:<bob@v.test>", "250"),
                                            ("DATA", "550 5.7.1 no data"), ("BDAT 3\r\nabc", "550 5.7.1 no data")]),
    ({"commit": "reject|550 no mail"}, [("HELO x", "250"), ("MAIL FROM:<a@a.test>", "250"), ("RCPT TO:<bob@v.test>", "250"),
                                        ("DATA", "354"), (".", "550 no mail"), ("NOOP", "250")]),
    ({"noop": "reject|500 not even that", "quit": "proceed"}, [("NOOP", "500 not even that"), ("QUIT", "221")]),
])
def test_decisions(filtered, answers, dialogue):
    p = filtered("f proc f\n", "f", {"f": {"answers": answers}}, main={"smtpd_reject_unlisted_recipient": "yes"})
    with p.raw() as c:
        for command, want in dialogue:
            got = c.cmd(command) if command else c.greeting
            assert got.splitlines()[-1].startswith(want), (command, got)
    if answers.get("connect"):
        p.wait_log(r"filter f: disconnect at connect from localhost\[127\.0\.0\.1\]: 550 go away")


def test_junk_of_one_message(filtered):
    p = filtered("f proc f\n", "f", {"f": {"answers": {"mail-from spam@a.test": "junk"}}})
    p.send("bob@v.test", sender="spam@a.test")
    p.wait_mail("bob")
    p.send("bob@v.test", sender="ham@a.test")
    texts = [open(f).read() for f in p.wait_mail("bob", 2)]
    assert {("spam@a.test" in t.split("\n")[0], "X-Spam: yes" in t) for t in texts} == {(True, True), (False, False)}


CONTENT = "Subject: t\r\n\r\nfirst\r\n..dot\r\n.. \r\nplease drop this\r\n" + "x" * 5000 + "\r\nlast\r\n"


@pytest.mark.parametrize("how, want", [
    ("echo", "first\n.dot\n. \nplease drop this\n" + "x" * 5000 + "\nlast\n"),
    ("drop", "first\n.dot\n. \n" + "x" * 5000 + "\nlast\n"),
    ("upper", "FIRST\n.DOT\n. \nPLEASE DROP THIS\n" + "X" * 5000 + "\nLAST\n"),
])
@pytest.mark.parametrize("chunking", [False, True])
def test_content(filtered, how, want, chunking):
    p = filtered("f proc f\n", "f", {"f": {"register": ["filter|data-line"], "lines": how}})
    with p.raw() as c:
        c.cmd("EHLO x")
        c.cmd("MAIL FROM:<a@a.test>")
        c.cmd("RCPT TO:<bob@v.test>")
        if chunking:
            text = re.sub(r"(?m)^\.\.", ".", CONTENT)
            assert c.cmd(f"BDAT {len(text)} LAST\r\n{text[:-2]}").startswith("250")
        else:
            c.cmd("DATA")
            assert c.cmd(CONTENT + ".").startswith("250")
    assert body(p.wait_mail("bob")[0]) == want


def test_large_message(filtered):
    """More than pipes and buffers hold at once, through two programs."""
    p = filtered("f proc f\ng proc g\n", "f, g", {"f": {"register": ["filter|data-line"]}, "g": {"register": ["filter|data-line"], "lines": "X-G: yes"}},
                 main={"message_size_limit": "50000000"})
    line = "0123456789" * 7
    p.send("bob@v.test", text="Subject: big\r\n\r\n" + f"{line}\r\n" * 150000)
    text = open(p.wait_mail("bob")[0]).read()
    assert text.count(line + "\n") == 150000 and "\nX-G: yes\nReceived: " in text


def test_chain(filtered):
    """What the first rewrites is what the second sees."""
    p = filtered('all chain f cond g\nf proc f\ng proc g\ncond phase mail-from match mail-from { two@a.test } reject "550 not two"\n', "all",
                 {"f": {"answers": {"mail-from one@a.test": "rewrite|two@a.test", "mail-from three@a.test": "rewrite|<four@a.test>"}},
                  "g": {"answers": {"mail-from four@a.test": "report|saw four"}, "register": ["filter|mail-from", "report|filter-report"]}})
    assert try_mail(p, "one@a.test") == "550 not two"
    assert try_mail(p, "three@a.test").startswith("250")
    wait_until(lambda: any(f[4:5] == ["filter-report"] and f[6:] == ["proc", "g", "saw four"] for f in heard(p, "g")), what="report")


def test_many_sessions_one_process(filtered):
    p = filtered("f proc f\n", "f", {"f": {"register": ["filter|data-line", "filter|mail-from"], "lines": "upper"}})
    sessions = [p.raw() for _ in range(20)]
    for i, c in enumerate(sessions):
        c.cmd("HELO x")
        assert c.cmd(f"MAIL FROM:<s{i}@a.test>").startswith("250")
        c.cmd("RCPT TO:<bob@v.test>")
        c.cmd("DATA")
    for i, c in enumerate(sessions):
        c.send(f"Subject: {i}\r\n\r\nmessage {i}\r\n")
    for c in reversed(sessions):
        assert c.cmd(".").startswith("250")
    texts = [open(f).read() for f in p.wait_mail("bob", 20)]
    pairs = {(re.search(r"<s(\d+)@", t)[1], re.search(r"MESSAGE (\d+)", t)[1]) for t in texts}
    assert pairs == {(str(i), str(i)) for i in range(20)}
    assert len(programs(p)) == 1
    p.wait_log("filter .*: hello on standard error")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_identity(filtered):
    p = filtered("f proc f\n", "f", {"f": {}})
    with p.raw():
        (pid,) = programs(p)
        status = open(f"/proc/{pid}/status").read()
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M)
        assert set(os.listdir(f"/proc/{pid}/fd")) <= {"0", "1", "2", "3", "4"}


@pytest.mark.parametrize("settings, pattern", [
    ({"die_at": "mail-from"}, r"filter \S+ ended with status 3; filters must not end"),
    ({"answers": {"mail-from": "nonsense"}}, r'unknown decision "nonsense"'),
    ({"answers": {"mail-from": "reject|hello"}}, r'does not begin with 4NN or 5NN'),
])
def test_program_in_trouble(filtered, settings, pattern):
    """Mail never goes past a filter that does not answer."""
    p = filtered("f proc f\n", "f", {"f": settings})
    assert try_mail(p, "a@a.test").startswith("421 4.3.0")
    p.wait_log(pattern)


def test_program_that_does_not_answer(filtered):
    p = filtered("f proc f\n", "f", {"f": {"silent_at": "mail-from"}}, main={"smtpd_filter_timeout": "5s"})
    assert try_mail(p, "a@a.test").startswith("421 4.3.0")
    p.wait_log("filter: f at mail-from: .*timeout")


def test_no_such_program(filtered):
    p = filtered("", "")
    with open(f"{p.etc}/filters", "w") as f:
        f.write("f proc nosuch\n")
    p.main["smtpd_filters"] = "f"
    p.write_config()
    p.reload()
    wait_until(lambda: p.raw().greeting.startswith("421 4.3.0"), what="new configuration")


def test_reload_keeps_sessions(filtered):
    p = filtered("f proc f\n", "f", {"f": {"answers": {"mail-from bad@a.test": "reject|550 bad"}}})
    with p.raw() as c:
        c.cmd("HELO x")
        p.reload()
        assert try_mail(p, "bad@a.test") == "550 bad"
        assert c.cmd("MAIL FROM:<bad@a.test>") == "550 bad"


# ---- mail of sendmail(1) ----

def local_filters(filtered, definitions, filters, programs=None):
    return filtered(definitions, "", programs, main={"non_smtpd_filters": filters})


def test_S3_3_filter_of_the_socket(filtered):
    """listen on socket filter: sendmail's mail goes through connect, ehlo, mail-from, rcpt-to, data, content, commit."""
    p = local_filters(filtered, "f proc f\n", "f", {"f": {"lines": "upper", "answers": {
        "mail-from spam@a.test": "reject|550 5.7.1 no spam", "mail-from late@a.test": "reject|451 later",
        "mail-from old@a.test": "rewrite|new@a.test", "mail-from junk@a.test": "junk"}}})

    def sendmail(sender):
        return p.run("sendmail", "-f", sender, "bob@v.test", input="Subject: x\n\nhello\n")
    assert sendmail("ann@a.test").returncode == 0
    text = open(p.wait_mail("bob")[0]).read()
    assert "HELLO" in text and "RECEIVED: BY" in text
    r = sendmail("spam@a.test")
    assert r.returncode and "no spam" in r.stderr, (r, p.logs())
    r = sendmail("late@a.test")
    assert r.returncode == 0, (r, p.logs())
    p.wait_log("maildrop/.*later")  # it waits there
    assert sendmail("old@a.test").returncode == 0
    p.wait_log("from=<new@a.test>")
    assert sendmail("junk@a.test").returncode == 0
    texts = [open(f).read() for f in p.wait_mail("bob", 3)]
    assert sum("X-SPAM: YES" in t for t in texts) == 1
    session = next(f[5] for f in heard(p) if f[4:5] == ["link-connect"])
    names = [e[0] for e in events(p, session) if e[0] != "filter-response"]
    assert names == ["link-connect", "link-greeting", "link-identify", "tx-begin", "tx-mail", "tx-envelope", "tx-rcpt", "tx-data",
                     "tx-commit", "link-disconnect"]
    assert ["link-connect", "localhost", "pass", "unix:local", "unix:local"] in events(p, session)


def test_S3_3_filter_of_the_socket_and_maildrop(filtered):
    """What is found in maildrop/ has nobody who waits: a refusal is mail to the sender."""
    p = local_filters(filtered, "", "")
    p.stop()
    with open(f"{p.etc}/filters", "w") as f:
        f.write('f phase rcpt-to match rcpt-to { nosuch@v.test } reject "550 5.7.1 not for him"\n')
    p.main["non_smtpd_filters"] = "f"
    p.write_config()
    r = p.run("sendmail", "-f", "bob@v.test", "nosuch@v.test", input="Subject: x\n\nhello\n")
    assert r.returncode == 0, r.stderr
    p.start()
    p.wait_log("to=<nosuch@v.test>.*status=bounced .not for him")
    assert "not for him" in open(p.wait_mail("bob")[0]).read()


def test_S3_3_filter_of_the_socket_in_trouble(filtered):
    p = local_filters(filtered, "f proc f\n", "f", {"f": {"die_at": "commit"}})
    r = p.run("sendmail", "-f", "ann@a.test", "bob@v.test", input="Subject: x\n\nhello\n")
    assert r.returncode == 0, (r, p.logs())
    p.wait_log("maildrop/.*filter is not available")
    assert not os.path.exists(f"{p.mail}/bob") and os.listdir(f"{p.spool}/maildrop")


# ---- mail that leaves ----

def outgoing(filtered, server_port, **main):
    return filtered("f proc f\n", "", {"f": {"register": ["out|*"]}},
                    main={"smtp_filters": "f", "relayhost": f"[127.0.0.1]:{server_port}", "smtp_connection_cache_on_demand": "no", **main})


def test_S3_3_filter_of_a_relay(filtered):
    """relay filter: programs hear of smtp-out what happens in sessions with servers."""
    from test_opensmtpd import Server
    server = Server(rcpt=lambda line: "550 5.1.1 nobody" if "nosuch" in line else "250 2.1.5 Ok")
    p = outgoing(filtered, server.port)
    p.run("sendmail", "-f", "ann@a.test", "x@far.test", "nosuch@far.test", input="Subject: x\n\nhello\n", check=True)
    wait_until(lambda: any(f[4:5] == ["link-disconnect"] for f in heard(p)), what=p.logs())
    first = heard(p)
    assert {f[3] for f in first if f[0] == "report"} == {"smtp-out"}
    session = next(f[5] for f in first if f[4:5] == ["link-connect"])
    told = events(p, session)
    assert told[0][:3] == ["link-connect", "127.0.0.1", "pass"] and told[0][4] == f"127.0.0.1:{server.port}"
    names = [e[0] for e in told if not e[0].startswith("protocol-")]
    assert names == ["link-connect", "link-greeting", "link-identify", "tx-begin", "tx-mail", "tx-envelope", "tx-rcpt", "tx-rcpt",
                     "tx-data", "tx-commit", "tx-reset", "link-disconnect"], told
    assert ["link-greeting", "server.test"] in told
    message = next(e[1] for e in told if e[0] == "tx-begin")
    assert ["tx-mail", message, "ok", "ann@a.test"] in told
    assert ["tx-rcpt", message, "ok", "x@far.test"] in told and ["tx-rcpt", message, "permfail", "nosuch@far.test"] in told
    assert ["protocol-client", "RCPT TO:<x@far.test>"] in [e[:2] for e in told]
    assert any(e[0] == "protocol-server" and e[1].startswith("220 server.test") for e in told)


def test_S3_3_filter_of_a_relay_with_password_and_timeout(filtered, tmp_path):
    """link-auth when the server has judged the password, timeout when it says nothing."""
    from test_opensmtpd import Server
    cert, over = (f"{tmp_path}/cert", f"{tmp_path}/key"), threading.Event()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", cert[1], "-out", cert[0], "-subj", "/CN=x"],
                   check=True, capture_output=True)
    server = Server(tls=cert, wrapped=True, rcpt=lambda line: "250 late" if over.wait(60 * SLOW) else "")
    p = outgoing(filtered, server.port, relayhost=f"smtps://me@[127.0.0.1]:{server.port}", smtp_tls_security_level="encrypt",
                 smtp_sasl_auth_enable="yes", smtp_sasl_password_maps="inline:{{me = user:pass}}", smtp_sasl_tls_security_options="noanonymous",
                 smtp_rcpt_timeout="1s")
    p.run("sendmail", "-f", "ann@a.test", "x@far.test", input="Subject: x\n\nhello\n", check=True)
    p.wait_log("to=<x@far.test>.*status=deferred .conversation with 127.0.0.1.* timed out")
    over.set()
    wait_until(lambda: any(f[4:5] == ["link-disconnect"] for f in heard(p)), what=p.logs())
    session = next(f[5] for f in heard(p) if f[4:5] == ["link-connect"])
    told = [e for e in events(p, session) if not e[0].startswith(("protocol-", "tx-"))]
    assert [e[0] for e in told][-3:] == ["link-auth", "timeout", "link-disconnect"], told
    assert ["link-auth", "pass", "user"] in told


def test_S3_3_filter_of_a_relay_in_trouble(filtered):
    """Mail does not wait for a program that only listens."""
    from test_opensmtpd import Server
    server = Server()
    p = outgoing(filtered, server.port)
    p.stop()
    p.main["smtp_filters"] = "g"
    with open(f"{p.etc}/filters", "w") as f:
        f.write("g proc nosuch\n")
    p.write_config()
    p.start()
    p.run("sendmail", "-f", "ann@a.test", "x@far.test", input="Subject: x\n\nhello\n", check=True)
    server.wait(p)
    p.wait_log("warning: filter: g: .*hears no more of 127.0.0.1")


# ---- programs of others ----

@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """Directory with the programs of Debian's filter packages, unpacked and not installed."""
    if os.path.exists("/usr/libexec/opensmtpd/filter-senderscore") and os.path.exists("/usr/libexec/opensmtpd/filter-rspamd"):
        return "/usr/libexec/opensmtpd"
    where = os.path.join(tempfile.gettempdir(), "opensmtpd-filters")
    if not os.path.exists(f"{where}/usr/libexec/opensmtpd/filter-rspamd"):
        debs = tmp_path_factory.mktemp("debs")
        r = subprocess.run(["apt-get", "-qq", "download", "opensmtpd-filter-senderscore", "opensmtpd-filter-rspamd"], cwd=debs,
                           capture_output=True, text=True)
        if r.returncode:
            pytest.skip("the packages of filters cannot be had: " + r.stderr.strip())
        for deb in debs.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, where], check=True)
    return f"{where}/usr/libexec/opensmtpd"


def with_program(filtered, *words):
    p = filtered("x proc x\n", "")
    p.stop()
    p.main["smtpd_filters"] = "x"
    p.master += f"x unix - n n - 0 filterd argv={' '.join(words)}\n"
    p.write_config()
    return p.start()


def test_filter_senderscore(filtered, packaged):
    """Loopback has no reputation: the filter lets it pass; its protocol handling is what counts."""
    p = with_program(filtered, f"{packaged}/filter-senderscore", "-blockBelow", "10", "-scoreHeader")
    p.send("bob@v.test")
    assert "hello" in open(p.wait_mail("bob")[0]).read()


class Rspamd(http.server.BaseHTTPRequestHandler):
    """Answers as rspamd does: what has "buy" in it is spam, what has "virus" is refused."""

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), text))
        action = "add header" if b"buy" in text else "reject" if b"virus" in text else "no action"
        answer = json.dumps({"action": action, "score": 7.5, "required_score": 5, "symbols": {"TEST": {"score": 7.5}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


def test_filter_rspamd(filtered, packaged):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rspamd)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        p = with_program(filtered, f"{packaged}/filter-rspamd", "-url", f"http://127.0.0.1:{server.server_port}")
        p.send("bob@v.test", text="Subject: a\r\n\r\nhello\r\n.dot\r\n")
        p.send("bob@v.test", text="Subject: b\r\n\r\nbuy this\r\n")
        with pytest.raises(smtplib.SMTPDataError) as e:
            p.send("bob@v.test", text="Subject: c\r\n\r\nvirus\r\n")
        assert e.value.smtp_code == 550
        texts = [open(f).read() for f in p.wait_mail("bob", 2)]
        assert {("buy" in t, "X-Spam: " in t or "X-Spam-Action: add header" in t) for t in texts} == {(True, True), (False, False)}
        assert any("hello\n.dot\n" in t for t in texts)
        headers = server.seen[0][0]
        assert headers["From"] == "sender@example.test" and headers["Rcpt"] == "bob@v.test"
    finally:
        server.shutdown()
