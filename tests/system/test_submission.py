"""sendmail(1), postdrop(1), pickup(8): mail of local programs."""
import os
import pwd
import re
import signal
import subprocess
import time

import pytest

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else pwd.getpwuid(os.getuid()).pw_name
ME = pwd.getpwuid(os.getuid()).pw_name
TO = f"{USER}@example.test"


@pytest.fixture
def postern(postern):
    """As the general one; an instance that is not started has its directories."""
    def make(*args, **kw):
        p = postern(*args, **kw)
        if not kw.get("start", True):
            p.run("postfix", "-c", p.etc, "check")
        return p
    return make


def text_of(path):
    return open(path, errors="replace").read()


def sendmail(p, *args, text="Subject: x\n\nhello\n", check=True, **kw):
    return p.run("sendmail", *args, input=text, check=check, **kw)


def mail(p, user=USER, count=1):
    return text_of(p.wait_mail(user, count)[-1])


def record(kind, payload=b""):
    n, out = len(payload), b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return kind.encode() + out + payload


def test_received_and_log(postern):
    p = postern()
    sendmail(p, "-f", "s@x.test", TO)
    m = mail(p)
    uid = os.getuid()
    assert re.search(rf"\nReceived: by mx\.example\.test \(Postern, from userid {uid}\)\n\tid [0-9A-F]+; \w+, [ \d]\d \w+ \d{{4}} [\d:]+ [+-]\d{{4}} \(\w+\)\n", m)
    p.wait_log(rf"pickup\[\d+\]: [0-9A-F]+: uid={uid} from=<s@x\.test>$")


def test_default_sender_and_name(postern):
    p = postern()
    p.run("sendmail", TO, input="Subject: x\n\nhi\n", check=True)
    m = mail(p)
    assert f"\nReturn-Path: <{ME}@mx.example.test>\n" in "\n" + m
    assert re.search(rf"\nFrom: .*{ME}@mx\.example\.test", m)


def test_from_headers(postern):
    p = postern({"default_transport": "discard:away"})
    sendmail(p, "-t", "-f", "s@x.test", "-N", "sometimes", "-R", "half", "f@y.test", text=f"Subject: t\nTo: A <{TO}>,\n  \"B, C\" <b@y.test>\nCc: c@y.test (comment)\nBcc: d@y.test\n\nTo: e@y.test\n")
    m = mail(p)
    assert "Bcc" not in m and "\nTo: A <" in m
    p.wait_empty()
    assert set(re.findall(r"to=<(\w)@y\.test>", p.logs())) == {"b", "c", "d", "f"}


def test_resent_headers_win(postern):
    p = postern({"default_transport": "discard:away"})
    sendmail(p, "-t", "-f", "s@x.test", text="Resent-To: new@y.test\nResent-From: s@x.test\nTo: old@y.test\nSubject: t\n\nhi\n")
    p.wait_log("to=<new@y.test>")
    p.wait_empty()
    assert "old@y.test" not in p.logs()


def test_no_recipients(postern):
    p = postern()
    for args, text, words in (([], "Subject: x\n\n", "Recipient addresses must be specified on the command line or via the -t option"),
                              (["-t"], "Subject: x\n\nhi\n", "No recipient addresses found in message header"),
                              (["-bp", TO], "", "display queue mode requires no recipient"), (["-qSx"], "", "-qS is not implemented"), (["-XVabc", TO], "", "-X"),
                              (["-B", "9BIT", TO], "", "-B"), (["-bz", TO], "", "-b")):
        r = sendmail(p, *args, text=text, check=False)
        assert r.returncode == 75 and words in r.stderr, (args, r)
    p.wait_queue(0)


@pytest.mark.parametrize("args, sent, got", [
    ([], "a\n.\nb\n", "a\n"), (["-i"], "a\n.\nb\n", "a\n.\nb\n"), (["-oi"], "a\n.\nb\n", "a\n.\nb\n"),
    ([], "a\n..\n", "a\n..\n"), ([], "no end", "no end\n"), ([], "cr\r\n.\r\nlost\r\n", "cr\n"),
])
def test_end_of_input(postern, args, sent, got):
    p = postern()
    p.run("sendmail", *args, TO, input=("Subject: x\n\n" + sent).encode(), text=False, check=True)
    assert open(p.wait_mail(USER)[0], "rb").read().split(b"\n\n", 1)[1] == got.encode()


@pytest.mark.parametrize("fix, sent, got", [("always", "a\r\nb\n", "a\nb\n"), ("never", "a\r\nb\n", "a\r\nb\n"), ("strict", "a\nb\r\n", "a\nb\r\n")])
def test_line_endings(postern, fix, sent, got):
    p = postern({"sendmail_fix_line_endings": fix, "cleanup_replace_stray_cr_lf": "no"})
    p.run("sendmail", TO, input=("Subject: x\n\n" + sent).encode(), text=False, check=True)
    assert open(p.wait_mail(USER)[0], "rb").read().split(b"\n\n", 1)[1] == got.encode()


def test_long_lines_and_nul(postern):
    p = postern()
    body = b"x" * 300000 + b"\n\0nul\n" + b"y" * 2048 + b"\n"
    p.run("sendmail", TO, input=b"Subject: x\n\n" + body, text=False, check=True)
    assert open(p.wait_mail(USER)[0], "rb").read().split(b"\n\n", 1)[1] == body


@pytest.mark.parametrize("running", [True, False])
def test_too_big(postern, running):
    p = postern({"message_size_limit": "10000", "mailbox_size_limit": "20000"}, start=running)
    r = sendmail(p, TO, text="Subject: x\n\n" + "0123456789\n" * 2000, check=False)
    assert r.returncode == 75 and "message file too big" in r.stderr
    p.wait_queue(0)


def test_mbox_separator_is_dropped(postern):
    p = postern()
    sendmail(p, TO, text="From someone Mon Jan  1\nSubject: x\n\nFrom here on\n")
    m = mail(p)
    assert "someone" not in m and "\nFrom here on\n" in m


def test_dsn_and_context_options(postern):
    p = postern({"default_transport": "retry:4.0.0 wait"})
    r = sendmail(p, "-f", "s@x.test", "-V", "e1", "-R", "hdrs", "-N", "success,delay", "-G", "-B", "8BITMIME", "a@y.test", check=False)
    assert r.returncode == 0
    p.wait_log("status=deferred")
    out = p.run("postcat", "-e", p.wait_queue(1, "deferred")[0]).stdout
    for line in ("envelope_id=e1", "ret_flags=2", "notify_flags=10", "rewrite_context=remote"):
        assert line in out, out


def test_modes(postern):
    p = postern()
    assert sendmail(p, "-bp", text="").stdout == "Mail queue is empty\n"
    assert sendmail(p, "-q", text="").returncode == 0
    assert sendmail(p, "-q1h", text="").returncode == 0
    assert sendmail(p, "-bh", text="").returncode == 0
    assert p.run("mailq").stdout == "Mail queue is empty\n"
    say_by_hand(p)
    assert "Subject: bs" in mail(p)


def say_by_hand(p, greeting="HELO", parameters=""):
    """A message through sendmail -bs; returns its queue id."""
    c = subprocess.Popen([f"{p.prefix}/sbin/sendmail", "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         bufsize=1, env={**os.environ, "MAIL_CONFIG": p.etc})
    assert c.stdout.readline().startswith("220 ")
    for command, code in ((f"{greeting} c.test", "250"), (f"MAIL FROM:<s@x.test>{parameters}", "250"), (f"RCPT TO:<{TO}>", "250"), ("DATA", "354"),
                          ("Subject: bs\r\n\r\nhi\r\n.", "250 2.0.0 Ok: queued as "), ("QUIT", "221")):
        c.stdin.write(command + "\r\n")
        reply = c.stdout.readline()
        while reply[3:4] == "-":
            reply = c.stdout.readline()
        assert reply.startswith(code)
        if "queued as" in code:
            queue_id = reply.split()[-1]
    assert c.wait(60) == 0
    c.stdin.close()
    return queue_id


def test_queue_id_of_a_dialogue(postern):
    p = postern()
    queue_id = say_by_hand(p)
    p.wait_log(rf"{queue_id}: to=.*status=sent")
    p.stop()
    queue_id = say_by_hand(p, "EHLO", " BODY=8BITMIME SMTPUTF8")  # through postdrop: the name of the file in maildrop/
    assert os.listdir(f"{p.spool}/maildrop") == [queue_id]
    assert "encoding=8bit" in p.run("postcat", "-e", f"{p.spool}/maildrop/{queue_id}").stdout


def test_newaliases(postern):
    p = postern(start=False)
    with open(f"{p.dir}/aliases", "w") as f:
        f.write(f"me: {USER}\n")
    p.main.update(alias_maps=f"lmdb:{p.dir}/aliases", alias_database=f"lmdb:{p.dir}/aliases")
    p.write_config()
    p.run("newaliases", check=True)
    assert os.path.exists(f"{p.dir}/aliases.lmdb")
    p.start()
    p.send("me@example.test")
    p.wait_mail(USER)


# ---- who may ----

@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("sender, fine", [("me@example.test", True), ("me+x@example.test", True), ("a@ours.test", True), ("other@example.test", False), ("<>", False)])
def test_login_sender_maps(postern, running, sender, fine):
    p = postern({"local_login_sender_maps": f"inline:{{ {{ {ME} = me@example.test @ours.test }} }}", "recipient_delimiter": "+"}, start=running)
    r = sendmail(p, "-f", sender, TO, check=False)
    assert r.returncode == (0 if fine else 75), r
    if fine:
        assert running or p.queue_files("maildrop")
    else:
        p.wait_queue(0)
        assert "not owned by user" in r.stderr + p.logs()


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.skipif(not ROOT, reason="acts as another account")
def test_authorized_submit_users(postern, running):
    p = postern({"authorized_submit_users": "!nobody, static:all"}, start=running)
    assert sendmail(p, TO).returncode == 0
    before = len(p.queue_files("maildrop"))
    r = sendmail(p, TO, check=False, user="nobody", group="nogroup", extra_groups=[])
    assert r.returncode == 75
    assert len(p.queue_files("maildrop")) == before


@pytest.mark.skipif(not ROOT, reason="acts as another account")
def test_ordinary_user(postern):
    p = postern()
    kw = dict(user="nobody", group="nogroup", extra_groups=[])
    sendmail(p, TO, **kw)
    uid = pwd.getpwnam("nobody").pw_uid
    p.wait_log(rf"uid={uid} from=<nobody>")
    assert f"from userid {uid})" in mail(p)


# ---- postdrop and maildrop/ ----

def good(**change):
    parts = {"S": record("S", b"s@x.test"), "R": record("R", TO.encode()), "M": record("M"), "N": record("N", b"Subject: d") + record("N") + record("N", b"hi"),
             "X": record("X"), "E": record("E"), **change}
    return b"".join(parts.values())


def postdrop(p, data, *args):
    return p.run("postdrop", "-r", *args, input=data, text=False)


def test_postdrop(postern):
    p = postern()
    r = postdrop(p, good())
    assert r.returncode == 0
    m = re.fullmatch(rb"protocol\0postdrop_protocol\0queue_id\0([0-9A-F]+)\0\0status\x000\0reason\0\0\0", r.stdout)
    assert m, r.stdout
    assert "Subject: d" in mail(p)
    p.wait_log("from=<s@x.test>")
    p.wait_empty()


def test_postdrop_late_recipients(postern):
    p = postern()
    assert postdrop(p, good(R=b"", X=record("X") + record("A", b"notify_flags=1") + record("R", TO.encode()))).returncode == 0
    mail(p)
    p.wait_empty()


def test_postdrop_attributes(postern):
    p = postern({"default_transport": "retry:4.0.0 wait"})
    r = postdrop(p, record("A", b"envelope_id=e9") + record("A", b"log_client_name=evil") + record("A", b"rewrite_context=other") + record("T", b"1 1")
                 + good(R=record("R", b"a@y.test")))
    assert r.returncode == 0
    for name in ("log_client_name=evil", "rewrite_context=other"):
        p.wait_log(f"warning: uid={os.getuid()}: ignoring attribute record: {name}")
    p.wait_log("status=deferred")
    out = p.run("postcat", "-e", p.wait_queue(1, "deferred")[0]).stdout
    assert "envelope_id=e9" in out and "evil" not in out and "rewrite_context=local" in out and "1970" not in out


@pytest.mark.parametrize("data", [
    b"", good()[:-2], good(S=b""), good(R=b""), good(M=record("p", b"              0")), good(N=record("R", b"x")),
    good(S=record("S", b"s@x.test\nR\x01x")), good(S=record("D", b"x")), b"S\xff\xff\xff\xff\xff\xff", good(X=record("X") + record("N", b"x")),
    good(S=record(">", b"x@y.test") + record("S", b"s")), good(S=record("L", b"smtp:evil") + record("S", b"s")),
])
def test_postdrop_refuses(postern, data):
    p = postern(start=False)
    r = postdrop(p, data)
    assert r.returncode != 0
    p.wait_queue(0)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_postdrop_interrupted(postern, sig):
    p = postern(start=False)
    c = subprocess.Popen([f"{p.prefix}/sbin/postdrop", "-r"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "MAIL_CONFIG": p.etc},
                         preexec_fn=lambda: signal.signal(sig, signal.SIG_DFL))  # not ignored by a background job
    c.stdin.write(good()[:-2])
    c.stdin.flush()
    assert c.stdout.read(10)
    time.sleep(0.1)
    c.send_signal(sig)
    c.wait(60)
    assert c.returncode != 0
    p.wait_queue(0)
    c.stdin.close()


def test_damaged_drop_goes_to_corrupt(postern):
    p = postern(start=False)
    assert postdrop(p, good()).returncode == 0
    path = p.queue_files("maildrop")[0]
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - 4)
    p.start()
    p.wait_log("corrupt")
    p.wait_queue(0)
    p.wait_queue(1, "corrupt")


def test_unfinished_drop_is_left_alone(postern):
    p = postern(start=False)
    assert postdrop(p, good()).returncode == 0
    os.chmod(p.queue_files("maildrop")[0], 0o644)
    p.start()
    sendmail(p, TO)
    mail(p)
    p.wait_queue(1, "maildrop")


def test_requeue(postern):
    p = postern({"default_transport": "retry:4.0.0 wait"})
    sendmail(p, "-f", "s@x.test", "a@y.test", "b@z.test", text="Subject: again\n\nhi\n")
    p.wait_log("status=deferred", count=2)
    p.main["transport_maps"] = "inline:{ y.test=discard:done }"
    p.write_config()
    p.reload()
    assert p.run("postsuper", "-r", "ALL").returncode == 0
    line = p.wait_log(r"uid=\d+ from=<s@x\.test> orig_id=[0-9A-F]+")[0]
    assert line
    p.wait_log(r"to=<a@y\.test>.*status=sent")
    p.wait_log("status=deferred", count=3)


# ---- when pickup does not help ----

def test_without_socket(postern):
    p = postern()
    os.unlink(f"{p.spool}/submit/submit")
    sendmail(p, TO)
    mail(p)


@pytest.mark.threads
def test_many_at_once(postern):
    p = postern({"default_transport": "discard:x"})
    kids = [subprocess.Popen([f"{p.prefix}/sbin/sendmail", "-f", "s@x.test", "u@y.test"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**os.environ, "MAIL_CONFIG": p.etc}) for _ in range(60)]
    for k in kids:
        k.stdin.write(b"Subject: x\n\nhi\n")
    for k in kids:
        k.stdin.close()
    assert all(k.wait(60) == 0 for k in kids)
    p.wait_log("status=sent", count=60)
    p.wait_empty()


def test_no_stdin_no_message(postern):
    """An interrupted sendmail leaves nothing."""
    p = postern()
    c = subprocess.Popen([f"{p.prefix}/sbin/sendmail", TO], stdin=subprocess.PIPE, env={**os.environ, "MAIL_CONFIG": p.etc})
    c.stdin.write(b"Subject: half\n\nhalf a mess")
    c.stdin.flush()
    time.sleep(0.2)
    c.kill()
    c.wait(60)
    c.stdin.close()
    time.sleep(0.5)
    p.wait_queue(0)
    assert "uid=" not in p.logs()


def test_exit_zero_survives_a_crash(postern):
    p = postern({"default_transport": "retry:4.0.0 wait"})
    for i in range(20):
        sendmail(p, "-f", "s@x.test", f"u{i}@y.test")
    p.kill9()
    p.start()
    p.run("postqueue", "-f")
    listing = p.run("postqueue", "-p").stdout
    assert all(f"u{i}@y.test" in listing for i in range(20)), listing


def test_user_who_has_no_name(postern):
    if not ROOT:
        pytest.skip("acts as another account")
    p = postern()
    r = sendmail(p, TO, check=False, user=54321, group="nogroup", extra_groups=[])
    assert r.returncode == 75
    sendmail(p, "-f", "s@x.test", TO, user=54321, group="nogroup", extra_groups=[])
    p.wait_log("uid=54321 from=<s@x.test>")
