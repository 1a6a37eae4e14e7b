"""Notifications: who is told, and what the message looks like (RFC 3461, 3464)."""
import email
import email.policy
import os
import re
import threading
import time

import pytest

from conftest import reachable

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name
SENDER = f"{USER}@example.test"
GONE = {"transport_maps": "inline:{ {gone.test = error:5.1.2 no such place}, {later.test = retry:4.4.1 not now} }",
        "smtpd_reject_unlisted_recipient": "no"}


def read(path):
    with open(path, "rb") as f:
        return email.message_from_binary_file(f, policy=email.policy.compat32)


def report(p, user=USER, count=1):
    """The latest mail of user as (message, text part, status part, original part or None)."""
    m = read(p.wait_mail(user, count)[-1])
    assert m.get_content_type() == "multipart/report" and m.get_param("report-type") == "delivery-status"
    parts = m.get_payload()
    return m, parts[0], parts[1], parts[2] if len(parts) > 2 else None


def sendmail(p, *args, text="Subject: x\n\nhello\n"):
    p.run("sendmail", *args, input=text, check=True)


def test_failure(postern):
    p = postern(GONE)
    sendmail(p, "-f", SENDER, "-V", "env-1", "u@gone.test", text="Subject: orig\nX-Mark: 1\n\nbody line\n")
    m, text, status, original = report(p)
    assert m["From"] == "Mail Delivery System <MAILER-DAEMON@mx.example.test>"
    assert m["To"] == SENDER
    assert m["Subject"] == "Undelivered Mail Returned to Sender"
    assert m["Auto-Submitted"] == "auto-replied"
    assert m["Return-Path"] == "<>"
    assert re.fullmatch(r"[0-9A-F]+\.\d+/mx\.example\.test", m.get_boundary())
    assert m["Message-Id"] and m["Date"]
    assert m.preamble.strip() == "This is a MIME-encapsulated message."
    assert text.get_content_type() == "text/plain" and text.get_content_charset() == "us-ascii"
    assert text["Content-Description"] == "Notification"
    assert "This is the mail system at host mx.example.test." in text.get_payload()
    assert "\n<u@gone.test>: no such place\n" in text.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    assert status["Content-Description"] == "Delivery report"
    message, recipient = status.get_payload()
    assert message["Reporting-MTA"] == "dns; mx.example.test"
    assert message["Original-Envelope-Id"] == "env-1"
    assert re.fullmatch("[0-9A-F]+", message["X-Postern-Queue-ID"])
    assert message["X-Postern-Sender"] == f"rfc822; {SENDER}"
    assert message["Arrival-Date"]
    assert recipient["Final-Recipient"] == "rfc822; u@gone.test"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.2"
    assert recipient["Diagnostic-Code"] == "X-Postern; no such place"
    assert original.get_content_type() == "message/rfc822" and original["Content-Description"] == "Undelivered Message"
    inner = original.get_payload()[0]
    assert inner["Subject"] == "orig" and inner["X-Mark"] == "1" and inner.get_payload() == "body line\n"
    assert inner["Return-Path"] == f"<{SENDER}>"
    qid = p.wait_log(r"sender non-delivery notification: [0-9A-F]+")[0].rsplit(" ", 1)[1]
    p.wait_log(rf"qmgr\[\d+\]: {qid}: from=<>, size=\d+, nrcpt=1")
    p.wait_empty()
    p.wait_queue(0, "bounce")


def test_several_recipients_one_report(postern):
    p = postern(GONE)
    sendmail(p, "-f", SENDER, "a@gone.test", "b@gone.test", f"{USER}@example.test")
    p.wait_mail(USER, 2)
    p.wait_empty()
    reports = [m for m in map(read, p.mails(USER)) if m.get_content_type() == "multipart/report"]
    assert len(reports) == 1
    fields = reports[0].get_payload()[1].get_payload()
    assert [f["Final-Recipient"] for f in fields[1:]] == ["rfc822; a@gone.test", "rfc822; b@gone.test"]


def test_headers_only(postern):
    p = postern({**GONE, "bounce_size_limit": "1000"})
    sendmail(p, "-f", SENDER, "-R", "hdrs", "u@gone.test")
    original = report(p)[3]
    assert original.get_content_type() == "text/rfc822-headers"
    assert original["Content-Description"] == "Undelivered Message Headers"
    assert "Subject: x" in original.get_payload() and "hello" not in original.get_payload()
    sendmail(p, "-f", SENDER, "u@gone.test", text="Subject: long\n\n" + "0123456789\n" * 200)
    original = report(p, count=2)[3]
    assert original.get_content_type() == "text/rfc822-headers" and "0123456789" not in original.get_payload()


def test_null_sender_is_not_answered(postern):
    p = postern(GONE)
    sendmail(p, "-f", "<>", "u@gone.test")
    p.wait_log("status=bounced")
    p.wait_log("removed")
    p.wait_empty()
    assert "notification" not in p.logs()
    p.wait_queue(0, "bounce")


@pytest.mark.parametrize("classes, sender, want", [
    ("bounce", SENDER, {"Postmaster Copy: Undelivered Mail", "Undelivered Mail Returned to Sender"}),
    ("2bounce", "<>", {"Postmaster Copy: Undelivered Mail"}),
    ("2bounce", SENDER, {"Undelivered Mail Returned to Sender"}),
])
def test_postmaster_copies(postern, classes, sender, want):
    p = postern({**GONE, "notify_classes": classes, "bounce_notice_recipient": SENDER, "2bounce_notice_recipient": SENDER})
    sendmail(p, "-f", sender, "u@gone.test")
    p.wait_mail(USER, len(want))
    p.wait_empty()
    mails = [read(f) for f in p.mails(USER)]
    assert {m["Subject"] for m in mails} == want
    for m in mails:
        if m["Subject"].startswith("Postmaster"):
            assert m["Return-Path"] == "<double-bounce@mx.example.test>" and m["Auto-Submitted"] == "auto-generated"
            p.wait_log("postmaster non-delivery notification: [0-9A-F]+")


@pytest.mark.parametrize("classes, main, wanted", [
    ("policy", {"smtpd_recipient_restrictions": "reject"}, True),
    ("resource, software", {"smtpd_recipient_restrictions": "reject"}, False),
    ("protocol", {}, True),
    ("resource, software", {}, False),
    ("software", {"smtpd_recipient_restrictions": "check_recipient_access fail:test"}, True),
    ("resource", {"message_size_limit": "0", "queue_minfree": "1000000000000000000"}, True),
])
def test_transcript_for_the_postmaster(postern, classes, main, wanted):
    p = postern({**main, "notify_classes": classes, "error_notice_recipient": SENDER, "smtpd_delay_reject": "no"})
    with p.raw() as c:
        c.cmd("EHLO client.test")
        c.cmd("FROB <secret>")
        c.cmd("AUTH PLAIN c2VjcmV0")
        c.cmd("MAIL FROM:<s@example.test>")
        c.cmd(f"RCPT TO:<{SENDER}>")
        c.cmd("QUIT")
    p.wait_log("disconnect from")
    p.wait_empty()
    if not wanted:
        assert p.mails(USER) == []
        return
    if classes == "resource":
        p.wait_log("postmaster notify: .*|status=sent")
        return
    p.wait_mail(USER, 1)
    m = read(p.mails(USER)[0])
    assert m["Subject"] == "Postern SMTP server: errors from localhost[127.0.0.1]"
    assert m["Return-Path"].startswith("<double-bounce@") and m["To"].endswith("(Postmaster)")
    text = m.get_payload()
    assert "\n  In: FROB <secret>\n" in text and "Out: 500 5.5.2" in text and "c2VjcmV0" not in text


def test_undeliverable_notice_ends(postern):
    """A postmaster notice that cannot be delivered makes no further mail."""
    p = postern({**GONE, "notify_classes": "2bounce", "2bounce_notice_recipient": "pm@gone.test"})
    sendmail(p, "-f", "<>", "u@gone.test")
    p.wait_log("to=<pm@gone.test>.*status=bounced")
    p.wait_empty()
    assert p.logs().count("(queue active)") == 2


def test_delay_warning(postern):
    p = postern({**GONE, "delay_warning_time": "1s", "notify_classes": "delay", "delay_notice_recipient": SENDER})
    sendmail(p, "-f", SENDER, "u@later.test")
    p.wait_queue(1, "deferred")
    time.sleep(1.2)  # it is older than a second then
    p.run("postqueue", "-f", check=True)
    p.wait_mail(USER, 2)
    mails = {m["Subject"]: m for m in map(read, p.mails(USER))}
    assert set(mails) == {"Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail"}
    m = mails["Delayed Mail (still being retried)"]
    text, status, original = m.get_payload()
    assert "5 day(s)" in text.get_payload() and "1 hour(s)" in text.get_payload()
    recipient = status.get_payload()[1]
    assert recipient["Action"] == "delayed" and recipient["Status"] == "4.4.1" and recipient["Will-Retry-Until"]
    assert original.get_content_type() == "text/rfc822-headers" and original["Content-Description"] == "Delayed Message Headers"
    p.wait_log("sender delay notification: [0-9A-F]+")
    p.wait_log("postmaster delay notification: [0-9A-F]+")
    p.wait_queue(1, "deferred")
    p.wait_queue(1, "defer")
    p.run("postqueue", "-f", check=True)
    p.wait_log("status=deferred", count=3)
    p.wait_queue(1, "deferred")
    assert len(p.mails(USER)) == 2


def test_expired_message_is_returned(postern):
    p = postern({**GONE, "maximal_queue_lifetime": "1s"})
    sendmail(p, "-f", SENDER, "u@later.test")
    p.wait_log("status=deferred")
    p.wait_empty()
    time.sleep(1.2)  # it is older than a second then, if it was not so before
    p.run("postqueue", "-f", check=True)
    recipient = report(p)[2].get_payload()[1]
    assert recipient["Action"] == "failed" and recipient["Status"] == "4.4.1"
    p.wait_log("status=expired, returned to sender")
    p.wait_empty()
    p.wait_queue(0, "deferred", "defer")


def test_success_report(postern):
    p = postern({**GONE, "default_transport": "discard:done"})
    sendmail(p, "-f", SENDER, "-N", "success", "u@elsewhere.test", text="Subject: s\n\nsecret body\n")
    m, text, status, original = report(p)
    assert m["Subject"] == "Successful Mail Delivery Report"
    recipient = status.get_payload()[1]
    assert recipient["Final-Recipient"] == "rfc822; u@elsewhere.test" and recipient["Status"] == "2.0.0"
    assert recipient["Action"] in ("delivered", "relayed")
    assert original.get_content_type() == "text/rfc822-headers" and "secret" not in original.get_payload()
    p.wait_log("sender delivery status notification: [0-9A-F]+")
    p.wait_empty()
    p.wait_queue(0, "trace")


def test_never_means_never(postern):
    p = postern(GONE)
    sendmail(p, "-f", SENDER, "-N", "never", "u@gone.test")
    p.wait_log("status=bounced")
    p.wait_empty()
    assert not p.mails(USER)
    p.wait_queue(0, "bounce")


@pytest.mark.parametrize("to, action, status, log", [
    ("u@elsewhere.test", "deliverable", "2.0.0", "status=deliverable"),
    ("u@gone.test", "undeliverable", "5.1.2", "status=undeliverable"),
    ("u@later.test", "undeliverable", "4.4.1", "status=undeliverable"),
])
def test_verify(postern, to, action, status, log):
    p = postern({**GONE, "default_transport": "discard:done"})
    r = p.run("sendmail", "-f", SENDER, "-bv", to, input="", check=True)
    assert r.stdout == f"Mail Delivery Status Report will be mailed to <{SENDER}>.\n"
    m, text, fields, original = report(p)
    assert m["Subject"] == "Mail Delivery Status Report"
    recipient = fields.get_payload()[1]
    assert (recipient["Action"], recipient["Status"]) == (action, status)
    p.wait_log(log)
    p.wait_empty()
    p.wait_queue(0, "deferred", "trace")


def test_first_attempt_report(postern):
    p = postern(GONE)
    sendmail(p, "-f", SENDER, "-v", "u@later.test")
    m, text, fields, original = report(p)
    assert m["Subject"] == "Mail Delivery Status Report"
    assert fields.get_payload()[1]["Action"] == "delayed"
    p.wait_queue(1, "deferred")


def test_first_attempt_only(postern):
    p = postern({**GONE, "default_transport": "discard:done"})
    sendmail(p, "-f", SENDER, "-v", "u@later.test", "u@elsewhere.test")
    m, text, fields, original = report(p)
    assert sorted(f["Action"] for f in fields.get_payload()[1:]) == ["delayed", "delivered"]
    p.wait_queue(1, "deferred")
    p.run("postqueue", "-f", check=True)
    p.wait_log("status=deferred", count=2)
    p.wait_queue(1, "deferred")
    p.wait_empty()
    assert len(p.mails(USER)) == 1


def test_report_of_success(postern):
    p = postern({**GONE, "default_transport": "discard:done"})
    sendmail(p, "-f", SENDER, "-v", "u@elsewhere.test")
    assert report(p)[0]["Subject"] == "Mail Delivery Status Report"


def test_delay_is_over(postern):
    p = postern({**GONE, "delay_warning_time": "1s", "confirm_delay_cleared": "yes"})
    sendmail(p, "-f", SENDER, "u@later.test")
    p.wait_queue(1, "deferred")
    time.sleep(1.2)  # it is older than a second then
    p.run("postqueue", "-f", check=True)
    p.wait_mail(USER)
    p.wait_queue(1, "deferred")
    p.main["transport_maps"] = "inline:{ {later.test = discard:at last} }"
    p.write_config()
    p.reload()
    p.run("postqueue", "-f", check=True)
    p.wait_mail(USER, 2)
    subjects = {read(f)["Subject"] for f in p.mails(USER)}
    assert subjects == {"Delayed Mail (still being retried)", "Successful Mail Delivery Report"}


def test_utf8(postern):
    p = postern({**GONE, "smtputf8_enable": "yes"})
    with p.smtp() as s:
        s.ehlo()
        s.docmd("MAIL", f"FROM:<{SENDER}> SMTPUTF8")
        s.sock.sendall("RCPT TO:<ü@gone.test>\r\n".encode())
        assert s.getreply()[0] == 250
        s.docmd("DATA")
        s.sock.sendall("Subject: ä\r\n\r\nhi\r\n.\r\n".encode())
        assert s.getreply()[0] == 250
    m, text, status, original = report(p)
    assert status.get_content_type() == "message/global-delivery-status"
    assert original.get_content_type() == "message/global"
    assert "Final-Recipient: utf-8; ü@gone.test" in open(p.mails(USER)[0], encoding="utf-8").read()


def test_long_reason(postern):
    p = postern(GONE)
    p.run("postfix", "-c", p.etc, "status")
    p.main["transport_maps"] = "inline:{ {gone.test = error:5.1.1 " + "long " * 190 + "} }"
    p.write_config()
    p.reload()
    sendmail(p, "-f", SENDER, "u@gone.test")
    m, text, status, original = report(p)
    assert all(len(line) < 200 for line in text.get_payload().splitlines())
    p.wait_empty()


def test_verp(postern):
    p = postern({**GONE, "recipient_delimiter": "+"})
    sendmail(p, "-f", SENDER, "-XV", "u@gone.test")
    m = report(p)[0]
    assert m["To"] == f"{USER}+u=gone.test@example.test"


def test_templates(postern, tmp_path):
    file = tmp_path / "bounce.cf"
    file.write_text("delay_template = <<END\nX-Bad: 1\n\nx\nEND\n# ours\nfailure_template = <<END\nSubject: Did not work\nFrom: Postman <postman>\nCharset: iso-8859-1\n\n"
                    "At $myhostname, $maximal_queue_lifetime_hours hours.\nEND\n")
    reachable(tmp_path)
    p = postern({**GONE, "bounce_template_file": str(file), "enable_threaded_bounces": "yes"})
    sendmail(p, "-f", SENDER, "u@gone.test", text="Subject: x\nMessage-Id: <m1@x.test>\nReferences: <m0@x.test>\n\nhello\n")
    m, text, status, original = report(p)
    assert m["Subject"] == "Did not work" and m["From"].startswith("Postman <postman@")
    assert text.get_content_charset() == "iso-8859-1"
    assert text.get_payload().startswith("At mx.example.test, 120 hours.\n")
    p.wait_log('warning: .*bounce.cf, line 2: unknown header "X-Bad".* -- ignoring this template')
    assert m["In-Reply-To"] == "<m1@x.test>" and m["References"].split() == ["<m0@x.test>", "<m1@x.test>"]


def test_bad_template_does_not_lose_the_notification(postern, tmp_path):
    p = postern({**GONE, "bounce_template_file": "/nonexistent/bounce.cf"})
    sendmail(p, "-f", SENDER, "u@gone.test")
    assert report(p)[0]["Subject"] == "Undelivered Mail Returned to Sender"
    p.wait_log("warning: .*/nonexistent/bounce.cf.* -- using built-in bounce templates instead")


def test_8bit_original(postern):
    p = postern(GONE)
    p.run("sendmail", "-f", SENDER, "-B", "8BITMIME", "u@gone.test", check=True, text=False,
          input="Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nä\n".encode())
    m, text, status, original = report(p)
    assert m["Content-Transfer-Encoding"] == "8bit" and original["Content-Transfer-Encoding"] == "8bit"
    assert "ä".encode() in open(p.mails(USER)[0], "rb").read()


def test_soft_bounce(postern):
    p = postern({**GONE, "soft_bounce": "yes"})
    sendmail(p, "-f", SENDER, "u@gone.test")
    p.wait_log("to=<u@gone.test>.*dsn=4.1.2, status=SOFTBOUNCE")
    p.wait_queue(1, "deferred")
    assert not p.mails(USER)


def test_bounce_service_missing_loses_nothing(postern):
    from conftest import DEFAULT_MASTER
    p = postern(GONE, master=DEFAULT_MASTER.replace("bounce unix - - n - 0 bounce\n", ""))
    sendmail(p, "-f", SENDER, "u@gone.test")
    p.wait_log("bounce service failure: .*; the recipient is tried again later")
    p.wait_queue(1, "deferred")


@pytest.mark.threads
def test_many_at_once(postern):
    """Agents and bounce serve several messages at a time."""
    p = postern({**GONE, "default_transport": "discard:done"})
    def one(i):
        sendmail(p, "-f", SENDER, "-N", "success,failure", f"a{i}@gone.test", f"b{i}@elsewhere.test")
    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    p.wait_mail(USER, 24)
    p.wait_empty()
    p.wait_queue(0, "bounce", "trace")
