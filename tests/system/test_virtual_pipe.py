"""virtual(8), pipe(8), spawn(8), and delivery_status_filter."""
import os
import pwd
import re
import shutil
import socket
import stat
import sys
import tempfile
import time

import pytest

ROOT = os.getuid() == 0
UID, GID = (12345, 12346) if ROOT else (os.getuid(), os.getgid())
ACCOUNT = "nobody" if ROOT else pwd.getpwuid(os.getuid()).pw_name


def text_of(path):
    return open(path, errors="replace").read()


@pytest.fixture
def area():
    d = tempfile.mkdtemp(prefix="agents-", dir="/tmp")
    os.chmod(d, 0o1777)
    yield d
    shutil.rmtree(d, ignore_errors=True)


# ---- virtual ----

@pytest.fixture
def virtual(postern, area):
    def make(main=None, **kw):
        return postern({
            "virtual_mailbox_domains": "v.test", "virtual_mailbox_base": area, "virtual_minimum_uid": "1",
            "virtual_mailbox_maps": "inline:{ a@v.test=a/, b@v.test=box, {+x@v.test = x/}, @all.test=all/ }",
            "virtual_uid_maps": f"static:{UID}", "virtual_gid_maps": f"static:{GID}", "recipient_delimiter": "+",
            "smtpd_reject_unlisted_recipient": "no", **(main or {})}, **kw)
    return make


def test_virtual_maildir(virtual, area):
    p = virtual()
    p.send("a@v.test", text="Subject: v\r\n\r\nFrom me\r\n")
    p.wait_log(r"to=<a@v\.test>, relay=virtual, .*dsn=2\.0\.0, status=sent \(delivered to maildir\)")
    names = os.listdir(f"{area}/a/new")
    assert re.fullmatch(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.mx\.example\.test", names[0])
    path = f"{area}/a/new/{names[0]}"
    st = os.stat(path)
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (UID, GID, 0o600)
    mail = text_of(path)
    assert mail.startswith("Return-Path: <sender@example.test>\nX-Original-To: a@v.test\nDelivered-To: a@v.test\n")
    assert mail.endswith("\n\nFrom me\n") and not os.listdir(f"{area}/a/tmp")
    for d in ("", "cur", "new", "tmp"):
        assert stat.S_IMODE(os.stat(f"{area}/a/{d}").st_mode) == 0o700


def test_virtual_mbox_and_extension(virtual, area):
    p = virtual()
    p.send(["b+ext@v.test", "b@v.test"], text="Subject: v\r\n\r\nFrom me\r\n")
    p.wait_log(r"status=sent \(delivered to mailbox\)", count=2)
    box = text_of(f"{area}/box")
    assert len(re.findall(r"^From sender@example\.test  ", box, re.M)) == 2 and box.count("\n>From me\n\n") == 2
    assert os.stat(f"{area}/box").st_uid == UID and not os.path.exists(f"{area}/box.lock")


@pytest.mark.parametrize("main, to, dsn, words", [
    ({}, "no@v.test", "5.1.1", 'bounced \\(unknown user: "no@v.test"\\)'),
    ({"virtual_mailbox_maps": "fail:x"}, "a@v.test", "4.3.0", "deferred"),
    ({"virtual_uid_maps": "inline:{ z=1 }"}, "a@v.test", "4.3.5", "deferred \\(mail system configuration error\\)"),
    ({"virtual_uid_maps": "static:root"}, "a@v.test", "4.3.5", "deferred"),
    ({"virtual_gid_maps": "static:0"}, "a@v.test", "4.3.5", "deferred"),
    ({"virtual_uid_maps": "static:99", "virtual_minimum_uid": "100"}, "a@v.test", "4.3.5", "deferred"),
])
def test_virtual_trouble(virtual, area, main, to, dsn, words):
    p = virtual({"virtual_mailbox_domains": "v.test", **main})
    p.send(to)
    p.wait_log(rf"to=<{to}>, relay=virtual, .*dsn={dsn}, status={words}")
    assert os.listdir(area) == []


def test_virtual_loop(virtual):
    p = virtual()
    p.send("a@v.test", text="Delivered-To: a@v.test\r\n\r\nx\r\n")
    p.wait_log(r"dsn=5\.4\.6, status=bounced \(mail forwarding loop for a@v\.test\)")


@pytest.mark.skipif(not ROOT, reason="needs a directory of somebody else")
def test_virtual_cannot_write(virtual, area):
    os.mkdir(f"{area}/a", 0o700)
    p = virtual()
    p.send("a@v.test")
    p.wait_log(r"dsn=4\.2\.0, status=deferred \(maildir delivery failed: .*Permission denied\)")


def test_virtual_table_changes_are_seen(virtual, area):
    table = f"{area}/users"
    with open(table, "w") as f:
        f.write("a@v.test a/\n")
    p = virtual(start=False)
    p.main["virtual_mailbox_maps"] = f"lmdb:{table}"
    p.write_config()
    p.run("postmap", f"lmdb:{table}", check=True)
    p.start()
    p.send("a@v.test")
    p.wait_log(r"delivered to maildir")
    with open(table, "a") as f:
        f.write("c@v.test c/\n")
    p.run("postmap", f"lmdb:{table}", check=True)
    time.sleep(1.1)
    p.send("c@v.test")
    p.wait_log(r"to=<c@v\.test>.*status=")
    assert os.path.isdir(f"{area}/c/new"), p.logs()


# ---- pipe ----

PROBE = """\
import os, sys
with open(sys.argv[1], "ab") as f:
    f.write(("|".join(sys.argv[2:]) + "\\n").encode())
with open(sys.argv[1] + ".mail", "wb") as f:
    f.write(sys.stdin.buffer.read())
with open(sys.argv[1] + ".env", "w") as f:
    f.write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
with open(sys.argv[1] + ".who", "w") as f:
    f.write(f"{os.getuid()} {os.getgid()} {os.getgroups()} {os.getcwd()}")
"""


@pytest.fixture
def pipe(postern, area):
    """pipe(arguments, attributes): mail for any domain goes to a command that notes them."""
    probe = f"{area}/probe.py"
    with open(probe, "w") as f:
        f.write(PROBE)

    def make(arguments, attributes="", main=None):
        entry = f"probe unix - n n - - pipe {attributes} user={ACCOUNT} argv={sys.executable} {probe} {area}/out {arguments}\n"
        return postern({"default_transport": "probe:next", "recipient_delimiter": "+", **(main or {})}, master_extra=entry)
    return make


def test_pipe_macros(pipe, area):
    p = pipe("s=${sender} r=${recipient} u=$user e=${extension} m=${mailbox} d=$domain n=${nexthop} z=$size c=${client_address} h=${client_helo} p=$client_protocol x=$$")
    p.send("User+Ext@Elsewhere.Test")
    p.wait_log(r"to=<User\+Ext@Elsewhere\.Test>, relay=probe, .*dsn=2\.0\.0, status=sent \(delivered via probe service\)")
    line = text_of(f"{area}/out").strip()
    assert re.fullmatch(r"s=sender@example\.test\|r=User\+Ext@Elsewhere\.Test\|u=User\|e=Ext\|m=User\+Ext\|d=Elsewhere\.Test\|n=next\|z=\d+\|c=127\.0\.0\.1\|h=client\.test\|p=ESMTP\|x=\$", line), line
    if ROOT:
        entry = pwd.getpwnam(ACCOUNT)
        assert text_of(f"{area}/out.who").startswith(f"{entry.pw_uid} {entry.pw_gid} [{entry.pw_gid}] ")
    assert text_of(f"{area}/out.who").endswith(os.path.realpath(p.spool))


def test_pipe_recipients_are_arguments_of_their_own(pipe, area):
    p = pipe("-- ${recipient} end", "flags=uh")
    p.send(["A@X.test", "B@X.test"])
    p.wait_log("status=sent", count=2)
    assert sorted(text_of(f"{area}/out").strip().split("|")) == ["--", "a@x.test", "b@x.test", "end"]


def test_pipe_prefix_headers(pipe, area):
    p = pipe("$recipient", "flags=DFORB", {"probe_destination_recipient_limit": "1"})
    p.send("u@x.test", text="Subject: x\r\n\r\nFrom a\r\n.dot\r\n")
    p.wait_log("status=sent")
    mail = text_of(f"{area}/out.mail")
    assert re.match(r"From sender@example\.test  .*\nReturn-Path: <sender@example\.test>\nX-Original-To: u@x\.test\nDelivered-To: u@x\.test\n", mail)
    assert mail.endswith("\n\nFrom a\n.dot\n\n")
    p.send("u@x.test", text="Delivered-To: u@x.test\r\n\r\nx\r\n")
    p.wait_log(r"dsn=5\.4\.6, status=bounced \(mail forwarding loop for u@x\.test\)")


def test_pipe_content_flags(pipe, area):
    p = pipe("$sender", "flags=.> eol=\\r\\n null_sender=nobody")
    p.send("u@x.test", sender="", text="Subject: x\r\n\r\nFrom a\r\n.dot\r\n")
    p.wait_log("status=sent")
    assert open(f"{area}/out.mail", "rb").read().endswith(b"\r\n\r\n>From a\r\n..dot\r\n")
    assert text_of(f"{area}/out").strip() == "nobody"


def test_pipe_quoting(pipe, area):
    p = pipe("$recipient", "flags=q")
    p.send('"a b"@x.test')
    p.wait_log("status=sent")
    assert text_of(f"{area}/out").strip() == '"a b"@x.test'


def test_pipe_size_and_directory(pipe, area):
    p = pipe("x", f"size=1000 directory={area}")
    p.send("u@x.test")
    p.wait_log("status=sent")
    assert text_of(f"{area}/out.who").endswith(area)
    p.send("u@x.test", text="Subject: x\r\n\r\n" + "0123456789\r\n" * 200)
    p.wait_log(r"dsn=5\.2\.3, status=bounced \(message size \d+ exceeds size limit 1000 of mail destination probe\)")


@pytest.mark.parametrize("attributes, words", [
    ("flags=Z user=nobody argv=/bin/cat", "flags=Z"), ("user=nobody", "argv= is missing"), ("argv=/bin/cat", "user= is missing"),
    ("user=no-such-user argv=/bin/cat", "no-such-user"), ("user=nobody colour=red argv=/bin/cat", "colour"),
    pytest.param("user=root argv=/bin/cat", "root", marks=pytest.mark.skipif(not ROOT, reason="root only")),
    pytest.param("user=postern argv=/bin/cat", "mail_owner", marks=pytest.mark.skipif(not ROOT, reason="root only")),
])
def test_pipe_configuration_errors(postern, attributes, words):
    p = postern({"default_transport": "probe:"}, master_extra=f"probe unix - n n - - pipe {attributes}\n")
    p.send("u@x.test")
    p.wait_log(f"fatal: .*{words}")
    p.wait_queue(1)


def test_pipe_unknown_macro(pipe):
    p = pipe("$colour")
    p.send("u@x.test")
    p.wait_log(r"dsn=4\.3\.5, status=deferred \(mail system configuration error\)")
    p.wait_log(r"warning: .*unknown macro \$colour")


def test_pipe_time_limit(postern):
    p = postern({"default_transport": "slow:", "slow_time_limit": "1s"}, master_extra=f"slow unix - n n - - pipe user={ACCOUNT} argv=/bin/sleep 60\n")
    p.send("u@x.test")
    p.wait_log(r'dsn=5\.3\.0, status=bounced \(Command time limit exceeded: "/bin/sleep 60"\)')


# ---- delivery status filter ----

def test_status_filter(postern):
    p = postern({"default_transport": "error:5.1.1 gone", "transport_maps": "inline:{ b.test=discard:x }",
                 "default_delivery_status_filter": "regexp:{{/^5\\.1\\.1 gone/ 4.1.1 perhaps later} {/^2\\.0\\.0 x/ 5.0.0 no}}"})
    p.run("sendmail", "u@a.test", input="Subject: x\n\nx\n", check=True)
    p.wait_log(r"to=<u@a\.test>.*dsn=4\.1\.1, status=deferred \(perhaps later\)")
    p.send("u@b.test")
    p.wait_log(r"to=<u@b\.test>.*dsn=2\.0\.0, status=sent \(x\)")
    p.wait_log("warning: .*bad status code")


# ---- spawn ----

def test_spawn(postern, area):
    p = postern(master_extra=f"echo unix - n n - - spawn user={ACCOUNT} argv=/bin/sh -c {{read x; echo got $x; id -un; pwd}}\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(f"{p.spool}/private/echo")
        s.sendall(b"hello\n")
        out = b""
        while more := s.recv(1000):
            out += more
    assert out.decode().split("\n")[:2] == ["got hello", ACCOUNT]


def test_spawn_failure_is_logged(postern):
    p = postern(master_extra=f"bad unix - n n - - spawn user={ACCOUNT} argv=/bin/sh -c {{exit 3}}\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(f"{p.spool}/private/bad")
        assert s.recv(10) == b""
    p.wait_log(r"warning: command /bin/sh exit status 3")
