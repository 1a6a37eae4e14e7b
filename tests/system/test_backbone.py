"""Mail flows: in by SMTP and sendmail, out to maildir, mbox, relay and bounce."""
import os
import re

import pytest

from conftest import alive

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name


def text_of(path):
    return open(path, errors="replace").read()


def test_smtp_to_discard(postern):
    p = postern({"default_transport": "discard:"})
    p.send("u@elsewhere.test")
    line = p.wait_log(r"status=sent")[0]
    assert re.search(r"discard\[\d+\]: [0-9A-F]{6,}: to=<u@elsewhere\.test>, relay=none, delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, status=sent", line)
    qid = re.search(r": ([0-9A-F]+): to=", line).group(1)
    for shape in (r"smtpd\[\d+\]: connect from ", rf"smtpd\[\d+\]: {qid}: client=", rf": {qid}: message-id=<.*>",
                  rf"qmgr\[\d+\]: {qid}: from=<sender@example\.test>, size=\d+, nrcpt=1 \(queue active\)",
                  rf"qmgr\[\d+\]: {qid}: removed", r"disconnect from .* ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"):
        p.wait_log(shape)
    p.wait_empty()


def test_smtp_to_maildir(postern):
    p = postern()
    p.send(f"{USER}@example.test", text="Subject: hello\r\n\r\n.leading dot\r\nbody\r\n")
    mail = text_of(p.wait_mail(USER)[0])
    assert mail.startswith("Return-Path: <sender@example.test>\n")
    assert f"\nDelivered-To: {USER}@example.test\n" in mail
    assert re.search(r"\nReceived: from client\.test \(.*\[127\.0\.0\.1\]\)\n\tby mx\.example\.test \(Postern\) with ESMTP id [0-9A-F]+\n\tfor <", mail)
    assert mail.endswith("\n\n.leading dot\nbody\n")
    p.wait_empty()


def test_sendmail_to_maildir(postern):
    p = postern()
    p.run("sendmail", "-f", "me@example.test", "-F", "Full Name", f"{USER}@example.test",
          input="Subject: local\n\nhi\n.\nnot this\n", check=True)
    mail = text_of(p.wait_mail(USER)[0])
    assert "Subject: local" in mail and "not this" not in mail
    assert re.search(r"\nMessage-Id: <\d{14}\.[0-9A-F]+@mx\.example\.test>\n", mail)
    assert "\nFrom: Full Name <me@example.test>\n" in mail
    p.wait_log(r"pickup\[\d+\]: [0-9A-F]+: uid=\d+ from=<me@example\.test>")


def test_sendmail_while_stopped(postern):
    p = postern(start=False)
    p.run("postfix", "-c", p.etc, "check")
    p.run("sendmail", f"{USER}@example.test", input="Subject: early\n\nhi\n", check=True)
    p.wait_queue(1, "maildrop")
    p.start()
    assert "Subject: early" in text_of(p.wait_mail(USER)[0])
    p.wait_empty()


def test_mbox(postern):
    p = postern()
    p.main["mail_spool_directory"] = p.mail
    p.write_config()
    p.reload()
    p.send(f"{USER}@example.test", text="Subject: m\r\n\r\nFrom here\r\n")
    p.wait_log("status=sent")
    box = text_of(f"{p.mail}/{USER}")
    assert re.match(r"From sender@example\.test  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", box)
    assert "\n>From here\n\n" in box


def test_unknown_recipient_is_refused(postern):
    p = postern({"local_recipient_maps": "unix:passwd.byname"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        assert c.cmd("RCPT TO:<nobody-here@example.test>") == \
            "550 5.1.1 <nobody-here@example.test>: Recipient address rejected: User unknown in local recipient table"
    p.wait_log(r"NOQUEUE: reject: RCPT from .*: 550 5\.1\.1 <nobody-here@example\.test>: .*; from=<s@x\.test> to=<nobody-here@example\.test> proto=ESMTP helo=<c\.test>")


def test_relay_is_refused(postern):
    p = postern({"mynetworks": "192.0.2.0/24"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        assert c.cmd("RCPT TO:<u@elsewhere.test>") == "554 5.7.1 <u@elsewhere.test>: Relay access denied"


def test_relay_to_another(postern):
    b = postern()
    a = postern({"relayhost": f"[127.0.0.1]:{b.port}", "mydestination": "", "myhostname": "a.example.test"})
    a.send(f"{USER}@example.test", text="Subject: relayed\r\n\r\nx\r\n.\r\n")
    assert "Subject: relayed" in text_of(b.wait_mail(USER)[0])
    line = a.wait_log("status=sent")[0]
    assert re.search(rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{b.port}, delay=[\d.]+, delays=[\d./]+, .*dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as [0-9A-F]+\)", line)
    a.wait_empty()


def test_bounce_reaches_the_sender(postern):
    p = postern({"transport_maps": "inline:{ gone.test=error:5.1.2_gone }", "smtpd_reject_unlisted_recipient": "no"})
    p.run("sendmail", "-f", f"{USER}@example.test", "u@gone.test", input="Subject: x\n\nhi\n", check=True)
    mail = text_of(p.wait_mail(USER)[0])
    assert "multipart/report" in mail and "Final-Recipient: rfc822; u@gone.test" in mail and "Action: failed" in mail
    p.wait_log(r"bounce\[\d+\]: [0-9A-F]+: sender non-delivery notification: [0-9A-F]+")
    p.wait_empty()


def test_deferred_then_flushed(postern):
    p = postern({"default_transport": "retry:4.3.0 later"})
    p.run("sendmail", "-f", "s@example.test", "u@elsewhere.test", input="Subject: x\n\nhi\n", check=True)
    p.wait_log(r"status=deferred")
    p.wait_queue(1, "deferred")
    listing = p.run("postqueue", "-p").stdout
    assert "u@elsewhere.test" in listing and "-- 0 Kbytes in 1 Request." in listing or "1 Request" in listing
    p.main["default_transport"] = "discard:"
    p.write_config()
    p.reload()
    p.run("postqueue", "-f", check=True)
    p.wait_log("status=sent")
    p.wait_queue(0)
    assert p.run("mailq").stdout == "Mail queue is empty\n"


def test_stop_leaves_no_process(postern):
    p = postern()
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)
    family = p.processes()
    assert p.stop().returncode == 0
    assert not [x for x in family if alive(x)]
    assert p.run("postfix", "-c", p.etc, "status").returncode == 1


@pytest.mark.parametrize("line, words", [
    ("smtpd_recipient_limit = many", "smtpd_recipient_limit"),
    ("smtpd_recipient_restrictions = permit_everything", "permit_everything"),
    ("virtual_alias_maps = nosuchtype:/x", "nosuchtype"),
])
def test_bad_configuration_is_refused(postern, line, words):
    p = postern(start=False)
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write(line + "\n")
    for command in ("check", "start"):
        r = p.run("postfix", "-c", p.etc, command)
        assert r.returncode != 0 and words in r.stderr + p.logs(), r
    assert not p.master_pid()
