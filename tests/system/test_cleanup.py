"""What happens to messages on their way into the queue."""
import os
import re

from conftest import wait_until

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name
MAILBOX = f"{USER}@example.test"


def text_of(path):
    return open(path, errors="replace").read()


def test_header_check_refuses(postern):
    p = postern({"header_checks": "regexp:{ { /^X-Rej/ REJECT no x-rej } }"})
    with p.raw() as c:
        c.cmd("EHLO cl.test")
        c.cmd("MAIL FROM:<warn@x.test>")
        c.cmd(f"RCPT TO:<{MAILBOX}>")
        c.cmd("DATA")
        c.send("X-Rej: 1\r\n\r\nbody\r\n.\r\n")
        assert c.reply() == "550 5.7.1 no x-rej"
        assert c.cmd("NOOP").startswith("250")
    line = p.wait_log("reject: header")[0]
    qid = re.search(r": ([0-9A-F]+): reject", line).group(1)
    assert line.endswith(f"{qid}: reject: header X-Rej: 1 from localhost[127.0.0.1]; from=<warn@x.test> to=<{MAILBOX}> "
                         "proto=ESMTP helo=<cl.test>: 5.7.1 no x-rej")
    p.wait_log(rf"{qid}: removed \(canceled\)")
    p.wait_queue(0)


def test_refused_local_mail_comes_back(postern):
    p = postern({"header_checks": "regexp:{ { /^Subject: bad/ REJECT 5.6.7 not this } }"})
    p.run("sendmail", "-f", MAILBOX, "u@elsewhere.test", input="Subject: bad\n\nhi\n", check=True)
    mail = text_of(p.wait_mail(USER)[0])
    assert "multipart/report" in mail and "Status: 5.6.7" in mail and "not this" in mail and "Subject: bad" in mail
    p.wait_empty()


def test_refused_with_many_recipients_comes_back(postern):
    p = postern({"header_checks": "regexp:{ { /^Subject: bad/ REJECT 5.6.7 not this } }"})
    p.run("sendmail", "-f", MAILBOX, *(f"u{i}@elsewhere.test" for i in range(321)), input="Subject: bad\n\nhi\n", check=True)
    mail = text_of(p.wait_mail(USER)[0])
    assert set(re.findall(r"<u(\d+)@elsewhere", mail)) == {str(i) for i in range(321)}
    p.wait_empty()
    assert len(p.mails(USER)) == 1 and not p.queue_files("bounce")


def test_nothing_is_left_of_what_cannot_come_back(postern):
    p = postern({"header_checks": "regexp:{ { /^Subject: bad/ REJECT 5.6.7 not this } }"}, start=False)
    p.master = re.sub(r"(?m)^cleanup .*$", "cleanup unix n - n - 0 discard", p.master)  # bounce cannot send its notice
    p.write_config()
    p.start()
    p.run("sendmail", "-f", MAILBOX, "u@elsewhere.test", input="Subject: bad\n\nhi\n")
    p.wait_log("cannot return the message to its sender")
    wait_until(lambda: not p.queue_files("bounce", "incoming"))


def test_alias_of_many(postern):
    p = postern({"virtual_alias_maps": f"inline:{{ {{ all@example.test = {MAILBOX}, {USER}+x@example.test, {MAILBOX} }} }}", "recipient_delimiter": "+"})
    p.send("all@example.test")
    p.wait_mail(USER, 2)
    p.wait_empty()
    with p.raw() as c:
        assert c.cmd("EHLO c.test").startswith("250") and c.cmd("MAIL FROM:<s@x.test>").startswith("250")
        assert c.cmd("RCPT TO:<all@example.test> NOTIFY=SUCCESS").startswith("250")
        assert p.queue_files("trace")
        assert c.cmd("QUIT").startswith("221")
    wait_until(lambda: not p.queue_files("trace"))
    assert len(p.mails(USER)) == 2
    assert "\nX-Original-To: all@example.test\n" in text_of(p.mails(USER)[0])


def test_alias_loop_is_put_off(postern):
    p = postern({"virtual_alias_maps": "inline:{ a@v.test=b@v.test, b@v.test=a@v.test }", "virtual_alias_domains": "v.test"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        assert c.cmd("RCPT TO:<a@v.test>").startswith("250")
        c.cmd("DATA")
        c.send("Subject: x\r\n\r\n.\r\n")
        assert c.reply() == "451 4.6.0 Alias expansion error"
    p.wait_log(r"warning: .*unreasonable virtual_alias_maps map nesting for a@v\.test")
    p.wait_queue(0)


def test_broken_table_puts_off(postern):
    p = postern({"canonical_maps": "fail:broken", "smtpd_reject_unlisted_recipient": "no"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        replies = [c.cmd(f"RCPT TO:<{MAILBOX}>"), c.cmd("DATA")]
        if replies[1].startswith("354"):
            c.send("Subject: x\r\n\r\n.\r\n")
            replies.append(c.reply())
    assert replies[-1].startswith("451 4.3.0") or replies[0].startswith("451 4.3.0")
    p.wait_queue(0)


def test_hold_and_release(postern):
    p = postern({"header_checks": "regexp:{ { /^Subject: wait/ HOLD } }"})
    p.send(MAILBOX, text="Subject: wait\r\n\r\nx\r\n")
    p.wait_queue(1, "hold")
    p.wait_log(r"hold: header Subject: wait from localhost")
    p.run("postsuper", "-H", "ALL", check=True)
    p.run("postqueue", "-f", check=True)
    p.wait_mail(USER)


def test_discard(postern):
    p = postern({"body_checks": "regexp:{ { /^evil/ DISCARD } }"})
    p.send(MAILBOX, text="Subject: x\r\n\r\nevil\r\n")
    p.wait_log(r"discard: body evil from localhost.*")
    p.wait_log(r"removed \(discarded\)")
    p.wait_queue(0)
    assert not p.mails(USER)


def test_redirect(postern):
    p = postern({"header_checks": f"regexp:{{ {{ /^Subject: go/ REDIRECT {MAILBOX} }} }}", "default_transport": "error:no"})
    p.run("sendmail", "-f", "s@x.test", "u@elsewhere.test", input="Subject: go\n\nhi\n", check=True)
    p.wait_mail(USER)


def test_too_many_addresses_in_a_field(postern):
    p = postern({"header_address_token_limit": "7"})
    p.run("sendmail", "-f", "s@x.test", MAILBOX, input="To: a@x.test, b@x.test\nCc: c@x.test\n\nhi\n", check=True)
    text = open(p.wait_mail(USER)[0]).read()
    assert "\nTo: a@x.test\nCc: c@x.test\n" in text


def test_copies(postern):
    p = postern({"always_bcc": MAILBOX, "default_transport": "discard:"})
    p.send("u@elsewhere.test")
    assert "Subject: t" in text_of(p.wait_mail(USER)[0])
    p.wait_empty()


def test_table_is_replaced(postern):
    p = postern(start=False)
    source = f"{p.etc}/virtual"
    p.main["virtual_alias_maps"] = f"lmdb:{source}"
    p.write_config()

    def table(text):
        with open(source, "w") as f:
            f.write(text)
        p.run("postmap", f"lmdb:{source}", check=True)
    table("a@example.test root\n")
    p.start()
    table(f"a@example.test {MAILBOX}\n")
    p.main["virtual_alias_maps"] = f"texthash:{source}"
    p.write_config()
    p.reload()
    p.send("a@example.test")
    p.wait_mail(USER)
    table("a@example.test b@elsewhere.test\n")

    def sent_elsewhere():
        p.send("a@example.test")
        return "to=<b@elsewhere.test>" in p.logs()
    wait_until(sent_elsewhere, what="the new table")


def test_too_long_message(postern):
    p = postern({"message_size_limit": "20000"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        c.cmd(f"RCPT TO:<{MAILBOX}>")
        c.cmd("DATA")
        c.send("Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * 1000 + ".\r\n")
        assert c.reply() == "552 5.3.4 Error: message file too big"
    p.wait_queue(0)


def test_success_of_an_expanded_alias_is_reported(postern):
    p = postern({"virtual_alias_maps": f"inline:{{ {{ all@example.test = x@elsewhere.test, y@elsewhere.test }} }}", "default_transport": "discard:"})
    p.run("sendmail", "-f", MAILBOX, "-N", "success,failure", "all@example.test", input="Subject: x\n\nhi\n", check=True)
    mail = text_of(p.wait_mail(USER)[0])
    assert "Action: expanded" in mail and "Final-Recipient: rfc822; all@example.test" in mail
    p.wait_empty()
