"""The SMTP server: dialogues, content, limits, log lines."""
import os
import re
import socket
import subprocess
import time

import pytest

from conftest import SLOW

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name

# (commands, expected reply); "^" in front: the reply matches this regular expression. One session each.
DIALOGUES = {
    "syntax": [
        ("RCPT TO:<a@b>", "503 5.5.1 Error: need MAIL command"),
        ("DATA", "503 5.5.1 Error: need RCPT command"),
        ("HELO", "501 Syntax: HELO hostname"),
        ("EHLO", "501 Syntax: EHLO hostname"),
        ("HELO a b", "250 mx.example.test"),
        ("MAIL FROM <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a b@c>", "501 5.1.7 Bad sender address syntax"),
        ("", "500 5.5.2 Error: bad syntax"),
        ("FROB", "500 5.5.2 Error: command not recognized"),
        ("STARTTLS", "502 5.5.1 Error: command not implemented"),
        ("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"),
        ("XCLIENT NAME=x", "550 5.7.0 Error: insufficient authorization"),
        ("HELP", "214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD"),
        ("QUIT", "221 2.0.0 Bye"),
    ],
    "ehlo": [
        ("EHLO c.test", "250-mx.example.test\n250-PIPELINING\n250-SIZE 10240000\n250-VRFY\n250-ETRN\n250-ENHANCEDSTATUSCODES\n"
                        "250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250 CHUNKING"),
    ],
    "mail parameters": [
        ("EHLO c.test", "^250"),
        ("MAIL FROM:<s@x.test> FOO=1", "555 5.5.4 Unsupported option: FOO=1"),
        ("MAIL FROM:<s@x.test> SIZE=abc", "501 5.5.4 Bad message size syntax"),
        ("MAIL FROM:<s@x.test> SIZE=10240001", "552 5.3.4 Message size exceeds fixed limit"),
        ("MAIL FROM:<s@x.test> BODY=BINARYMIME", "555 5.5.4 Unsupported option: BODY=BINARYMIME"),
        ("MAIL FROM:<s@x.test> RET=SOME", "501 5.5.4 Bad RET parameter syntax"),
        ("MAIL FROM:<s@x.test> ENVID=+ZZ", "501 5.5.4 Bad ENVID parameter syntax"),
        ("MAIL FROM:<s@x.test> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=foo+2Bx SIZE=1000", "250 2.1.0 Ok"),
        ("MAIL FROM:<s@x.test>", "503 5.5.1 Error: nested MAIL command"),
        ("RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"),
        ("DATA", "554 5.5.1 Error: no valid recipients"),
    ],
    "rcpt parameters": [
        ("EHLO c.test", "^250"),
        ("MAIL FROM:<s@x.test>", "250 2.1.0 Ok"),
        ("RCPT TO:<u@example.test> NOTIFY=NEVER,SUCCESS", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
        ("RCPT TO:<u@example.test> ORCPT=nothing", "501 5.5.4 Error: Bad ORCPT parameter syntax"),
        ("RCPT TO:<u@-bad.test>", "501 5.1.3 Bad recipient address syntax"),
        ("RCPT TO:<u@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;u+2Bx@example.test", "250 2.1.5 Ok"),
        ("RCPT TO: u@example.test", "250 2.1.5 Ok"),
        ("RSET", "250 2.0.0 Ok"),
        ("DATA", "503 5.5.1 Error: need RCPT command"),
    ],
    "chunking": [
        ("EHLO c.test", "^250"),
        ("BDAT 3 LAST\r\nabc", "503 5.5.1 Error: need RCPT command"),
        ("MAIL FROM:<s@x.test>", "250 2.1.0 Ok"),
        ("BDAT 3\r\nabc", "554 5.5.1 Error: no valid recipients"),
        ("BDAT 3 LAST\r\nabc", "551 5.0.0 Discarded 3 bytes after earlier error"),
        ("MAIL FROM:<s@x.test>", "250 2.1.0 Ok"),
        ("RCPT TO:<u@elsewhere.test>", "250 2.1.5 Ok"),
        ("BDAT 12\r\nSubject: x\r\n", "250 2.0.0 Ok: 12 bytes"),
        ("RCPT TO:<v@elsewhere.test>", "503 5.5.1 Error: RCPT after BDAT"),
        ("DATA", "503 5.5.1 Error: DATA after BDAT"),
        ("BDAT 7 LAST\r\n\r\nabc\r\n", "^250 2.0.0 Ok: 19 bytes queued as [0-9A-F]+$"),
        ("BDAT x", "521 5.5.4 Syntax: BDAT count [LAST]"),
    ],
    "vrfy": [
        ("EHLO c.test", "^250"),
        ("VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
        ("VRFY <u@example.test>", "252 2.0.0 <u@example.test>"),
        ("VRFY a b", "501 5.1.3 Bad recipient address syntax"),
        ("ETRN not_a_site..", "501 Error: invalid parameter syntax"),
    ],
    "browser": [("GET / HTTP/1.0", "221 2.7.0 Error: I can break rules, too. Goodbye.")],
    "header": [("Subject: hello", "221 2.7.0 Error: I can break rules, too. Goodbye.")],
}


def dialogue(client, steps):
    for command, want in steps:
        chunk = command.startswith("BDAT") and "\r\n" in command
        client.send(command if chunk else command + "\r\n")
        got = client.reply()
        assert re.search(want[1:], got) if want.startswith("^") else got == want, f"{command!r}: {got!r}, want {want!r}"


def test_dialogues(postern):
    p = postern({"default_transport": "discard:"})
    for name, steps in DIALOGUES.items():
        with p.raw() as c:
            dialogue(c, steps)
    p.wait_log(r"warning: non-SMTP command from localhost\[127\.0\.0\.1\]: GET / HTTP/1\.0")
    p.wait_log(r"warning: Illegal address syntax from localhost\[127\.0\.0\.1\] in MAIL command: <a b@c>")
    p.wait_log(r"NOQUEUE: reject: MAIL from localhost\[127\.0\.0\.1\]: 552 5\.3\.4 Message size exceeds fixed limit; from=<s@x\.test> proto=ESMTP helo=<c\.test>")
    p.wait_log(r"warning: NOQUEUE: malformed BDAT command syntax from localhost\[127\.0\.0\.1\]: BDAT x")
    p.wait_log(r"disconnect from localhost\[127\.0\.0\.1\] helo=1/2 ehlo=0/1 starttls=0/1 auth=0/1 mail=0/2 rcpt=0/1 data=0/1 quit=1 help=1 unknown=0/1 xclient=0/1 commands=3/13".replace("xclient=0/1 ", "").replace("ehlo=0/1 ", "ehlo=0/1 xclient=0/1 "))


def deliver(p, content, user=USER):
    before = len(p.mails(user))
    with p.raw() as c:
        for command in ("EHLO c.test", "MAIL FROM:<s@x.test>", f"RCPT TO:<{user}@example.test>", "DATA"):
            c.cmd(command)
        c.send(content)
        assert c.reply().startswith("250 2.0.0 Ok: queued as ")
    p.wait_mail(user, before + 1)
    return max(p.mails(user), key=os.path.getctime)


def body_of(path):
    return open(path, "rb").read().split(b"\n\n", 1)[1]


def test_end_of_data_needs_crlf(postern):
    p = postern({"smtpd_forbid_bare_newline_exclusions": ""})
    for i, trick in enumerate((b"\n.\n", b"\n.\r\n", b"\r\n.\n")):
        path = deliver(p, b"Subject: x\r\n\r\na" + trick + b"MAIL FROM:<smuggled@x.test>\r\n.\r\n")
        assert body_of(path) == b"a\nMAIL FROM:<smuggled@x.test>\n", trick
    assert "smuggled" not in p.logs()


def test_bare_newline_refused(postern):
    p = postern({"smtpd_forbid_bare_newline": "reject", "smtpd_forbid_bare_newline_exclusions": ""})
    with p.raw() as c:
        for command in ("EHLO c.test", "MAIL FROM:<s@x.test>", f"RCPT TO:<{USER}@example.test>", "DATA"):
            c.cmd(command)
        c.send(b"Subject: x\r\n\r\na\nb\r\n.\r\n")
        assert c.reply() == "550 5.5.2 mx.example.test Error: bare <LF> received"
        c.send(b"NOOP\n")
        assert c.reply() == "550 5.5.2 mx.example.test Error: bare <LF> received"
        assert c.line() == b""
    p.wait_log(r": reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: bare <LF> received; from=<s@x\.test> to=<")


def test_dots_and_long_lines(postern):
    p = postern()
    text = b"..dot\r\n...\r\n" + b"y" * 5000 + b"\r\n" + b"\xff\x00 8-bit\r\n"
    path = deliver(p, b"Subject: x\r\n\r\n" + text + b".\r\n")
    assert body_of(path).replace(b"\0", b"") == b".dot\n..\n" + b"y" * 5000 + b"\n\xff 8-bit\n"


def test_large_message_both_ways(postern):
    p = postern({"message_size_limit": "300000"})
    line = b"x" * 76 + b"\r\n"
    path = deliver(p, b"Subject: big\r\n\r\n" + line * 3000 + b".\r\n")
    assert body_of(path) == line.replace(b"\r", b"") * 3000
    with p.raw() as c:
        for command in ("EHLO c.test", "MAIL FROM:<s@x.test>", f"RCPT TO:<{USER}@example.test>", "DATA"):
            c.cmd(command)
        c.send(b"Subject: too big\r\n\r\n" + line * 6000 + b".\r\n")
        assert c.reply() == "552 5.3.4 Error: message file too big"
        assert c.cmd("NOOP") == "250 2.0.0 Ok"
    assert len(p.mails(USER)) == 1


def test_pipelining(postern):
    p = postern({"default_transport": "discard:"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.send("MAIL FROM:<s@x.test>\r\nRCPT TO:<a@o.test>\r\nRCPT TO:<b@o.test>\r\nDATA\r\n")
        assert [c.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        c.send("Subject: x\r\n\r\nx\r\n.\r\nRSET\r\nQUIT\r\n")
        assert [c.reply()[:3] for _ in range(3)] == ["250", "250", "221"]
    p.wait_log("status=sent", count=2)


@pytest.mark.parametrize("greeting, ahead", [("EHLO c.test", "DATA\r\nsmuggled\r\n"), ("HELO c.test", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")])
def test_unauthorized_pipelining(postern, greeting, ahead):
    p = postern()
    with p.raw() as c:
        c.cmd(greeting)
        c.send(ahead)
        assert c.reply() == "554 5.5.0 Error: SMTP protocol synchronization"
        assert c.line() == b""
    p.wait_log(r"improper command pipelining after (DATA|MAIL) from localhost\[127\.0\.0\.1\]: (smuggled|RCPT TO:<c@d>)\\r\\n")


def test_error_limits(postern):
    p = postern({"smtpd_soft_error_limit": "2", "smtpd_hard_error_limit": "4", "smtpd_error_sleep_time": "0s", "smtpd_junk_command_limit": "3"})
    with p.raw() as c:
        for _ in range(4):
            assert c.cmd("FROB") == "500 5.5.2 Error: command not recognized"
        assert c.reply() == "421 4.7.0 mx.example.test Error: too many errors"
    p.wait_log(r"NOQUEUE: too many errors after CONNECT from localhost\[127\.0\.0\.1\]")
    with p.raw() as c:
        for _ in range(3 + 4):
            assert c.cmd("NOOP") == "250 2.0.0 Ok"
        assert c.reply() == "421 4.7.0 mx.example.test Error: too many errors"


def test_recipient_limit(postern):
    p = postern({"smtpd_recipient_limit": "2", "smtpd_recipient_overshoot_limit": "1", "default_transport": "discard:"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        replies = [c.cmd(f"RCPT TO:<u{i}@o.test>") for i in range(4)]
        assert replies == ["250 2.1.5 Ok"] * 2 + ["452 4.5.3 Error: too many recipients"] * 2
        c.cmd("DATA")
        assert c.cmd("x\r\n.").startswith("250")
        c.cmd("QUIT")
    p.wait_log(r"rcpt=3/4 ")


def test_long_command(postern):
    p = postern({"line_length_limit": "512"})
    with p.raw() as c:
        assert c.cmd("NOOP " + "x" * 600) == "500 5.5.2 mx.example.test Error: command too long"
        assert c.cmd("NOOP " + "x" * 500) == "250 2.0.0 Ok"
    p.wait_log(r"warning: localhost\[127\.0\.0\.1\]: request longer than 512: NOOP x{25}\.\.\.")


def test_timeout_and_lost_connection(postern):
    p = postern({"smtpd_timeout": "5s"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        assert c.reply() == "421 4.4.2 mx.example.test Error: timeout exceeded"
    p.wait_log(r"NOQUEUE: timeout after EHLO from localhost\[127\.0\.0\.1\]")
    with p.raw() as c:
        for command in ("EHLO c.test", "MAIL FROM:<s@x.test>", f"RCPT TO:<{USER}@example.test>", "DATA"):
            c.cmd(command)
    p.wait_log(r"[0-9A-F]{8,}: lost connection after DATA \(0 bytes\) from localhost\[127\.0\.0\.1\]")
    p.wait_empty()
    with p.raw() as c:
        c.cmd("EHLO c.test")
    p.wait_log(r"NOQUEUE: lost connection after EHLO from localhost")


def test_idle_client_in_data_times_out(postern):
    p = postern({"smtpd_timeout": "6s", "smtpd_per_request_deadline": "yes", "smtpd_min_data_rate": "1000000"})
    with p.raw() as c:
        for command in ("EHLO c.test", "MAIL FROM:<s@x.test>", f"RCPT TO:<{USER}@example.test>", "DATA"):
            c.cmd(command)
        end = time.time() + 60 * SLOW  # a byte now and then does not keep it alive
        c.s.settimeout(0.3)
        got = b""
        while time.time() < end and not got:
            c.send("x\r\n")
            try:
                got = c.s.recv(1000)
            except socket.timeout:
                pass
        assert got.startswith(b"421 4.4.2 ")


def test_helo_required_and_strict(postern):
    p = postern({"smtpd_helo_required": "yes", "strict_rfc821_envelopes": "yes", "disable_vrfy_command": "yes", "smtpd_discard_ehlo_keywords": "chunking, dsn"})
    with p.raw() as c:
        assert c.cmd("MAIL FROM:<s@x.test>") == "503 5.5.1 Error: send HELO/EHLO first"
        assert "CHUNKING" not in c.cmd("EHLO c.test")
        assert c.cmd("MAIL FROM:s@x.test") == "501 5.1.7 Bad sender address syntax"
        assert c.cmd("MAIL FROM:<s@x.test> RET=FULL") == "501 5.7.1 DSN support is disabled"
        assert c.cmd("VRFY u") == "502 5.5.1 VRFY command is disabled"
    p.wait_log("discarding EHLO keywords: DSN CHUNKING")


def test_reject_footer_and_filter(postern):
    p = postern({"smtpd_reject_footer": r"\c; see http://x.test/?c=$client_address\nand $server_name",
                 "smtpd_reject_filter_maps": "regexp:{{/^554 5.7.1 (.*)/ 450 4.7.1 later $$1}}",
                 "smtpd_client_restrictions": "check_client_access inline:{ 127.0.0.1=reject }"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        assert c.cmd(f"RCPT TO:<{USER}@example.test>") == (
            "450-4.7.1 later <localhost[127.0.0.1]>: Client host rejected: Access denied; see http://x.test/?c=127.0.0.1\n"
            "450 4.7.1 and mx.example.test")
    p.wait_log(r"NOQUEUE: reply filter in: 554 5\.7\.1 ")
    p.wait_log(r"NOQUEUE: reply filter out: 450 4\.7\.1 later ")


def test_command_filter(postern):
    p = postern({"smtpd_command_filter": "regexp:{{/^FROB(.*)/ NOOP$$1}}", "smtpd_noop_commands": "PING"})
    with p.raw() as c:
        assert c.cmd("FROB x") == "250 2.0.0 Ok"
        assert c.cmd("PING") == "250 2.0.0 Ok"


def test_connection_limit(postern):
    p = postern({"smtpd_client_connection_count_limit": "2", "smtpd_client_event_limit_exceptions": ""})
    p.wait_log("disconnect from")  # wait_port() counts no more
    a, b = p.raw(), p.raw()
    with p.raw(greet=False) as c:
        assert c.reply() == "421 4.7.0 mx.example.test Error: too many connections from 127.0.0.1"
    p.wait_log(r"warning: Connection concurrency limit exceeded: 3 from localhost\[127\.0\.0\.1\] for service ")
    a.cmd("QUIT")
    p.wait_log("disconnect from", count=2)
    with p.raw() as c:
        assert c.greeting.startswith("220 ")
    b.close()


def test_message_rate_limit(postern):
    p = postern({"smtpd_client_message_rate_limit": "1", "smtpd_client_event_limit_exceptions": "192.0.2.1"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        assert c.cmd("MAIL FROM:<s@x.test>") == "250 2.1.0 Ok"
        c.cmd("RSET")
        assert c.cmd("MAIL FROM:<s@x.test>") == "450 4.7.1 Error: too much mail from 127.0.0.1"


def test_xclient_and_xforward(postern):
    p = postern({"smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_authorized_xforward_hosts": "127.0.0.1", "default_transport": "discard:",
                 "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"})
    with p.raw() as c:
        assert "250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT\n" in c.cmd("EHLO c.test")
        assert c.cmd("XFORWARD NAME=o.test ADDR=192.0.2.7 HELO=oh.test PROTO=SMTP IDENT=ABC PORT=77 SOURCE=REMOTE") == "250 2.0.0 Ok"
        c.cmd("MAIL FROM:<s@x.test>")
        c.cmd("RCPT TO:<u@o.test>")
        c.cmd("DATA")
        assert c.cmd("x\r\n.").startswith("250 ")
        assert c.cmd("XCLIENT NAME=n.test ADDR=IPV6:2001:db8::7 HELO=h.test PORT=123") .startswith("220 ")
        c.cmd("EHLO h2.test")
        c.cmd("MAIL FROM:<s@x.test>")
        assert c.cmd("RCPT TO:<u@elsewhere.test>") == "554 5.7.1 <u@elsewhere.test>: Relay access denied"
    p.wait_log(r"client=localhost\[127\.0\.0\.1\], orig_queue_id=ABC, orig_client=o\.test\[192\.0\.2\.7\]:77")
    p.wait_log(r"NOQUEUE: reject: RCPT from n\.test\[2001:db8::7\]: 554 5\.7\.1 .* helo=<h2\.test>")


def test_full_disk(postern):
    p = postern({"queue_minfree": str(1 << 50)})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        assert c.cmd("MAIL FROM:<s@x.test>") == "452 4.3.1 Insufficient system storage"
    p.wait_log(r"NOQUEUE: reject: MAIL from localhost\[127\.0\.0\.1\]: 452 4\.3\.1 Insufficient system storage; from=<s@x\.test> ")


def test_etrn(postern):
    p = postern({"relay_domains": "r.test"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        assert c.cmd("ETRN r.test") == "250 Queuing started"
        assert c.cmd("ETRN other.test") == "459 <other.test>: service unavailable"
    p.wait_log(r"warning: reject: ETRN other\.test\.\.\. from localhost\[127\.0\.0\.1\]")


def test_log_options(postern):
    p = postern({"smtpd_client_port_logging": "yes", "smtpd_forbid_bare_newline": "note", "smtpd_forbid_bare_newline_exclusions": "", "smtpd_hide_client_session": "yes"})
    path = deliver(p, b"Subject: x\r\n\r\na\nb\r\n.\r\n")
    assert re.search(r"\nReceived: by mx\.example\.test \(Postern\) id [0-9A-F]+\n\tfor <", open(path).read())
    p.wait_log(r"connect from localhost\[127\.0\.0\.1\]:\d+")
    p.wait_log(r"disconnect from localhost\[127\.0\.0\.1\]:\d+ ehlo=1 mail=1 rcpt=1 data=1 commands=4 notes=bare_lf$")


def test_haproxy(postern):
    p = postern({"smtpd_peername_lookup": "no"}, start=False)
    p.main["smtpd_upstream_proxy_protocol"], p.main["smtpd_upstream_proxy_timeout"] = "haproxy", "2s"
    p.write_config()
    p.run("postfix", "-c", p.etc, "start", check=True)
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\x7f\0\0\1\x04\xd2\0\x19"
    for header in (b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 25\r\n", v2):
        with p.raw(greet=False) as c:
            c.send(header)
            assert c.reply().startswith("220 ")
            c.cmd("EHLO c.test")
            c.cmd("MAIL FROM:<s@x.test>")
            assert c.cmd("RCPT TO:<u@elsewhere.test>") == "554 5.7.1 <u@elsewhere.test>: Relay access denied"
    p.wait_log(r"reject: RCPT from unknown\[192\.0\.2\.7\]: 554", count=2)
    with p.raw(greet=False) as c:
        assert c.line() == b""
    p.wait_log("warning: haproxy read: time limit exceeded")


def test_sendmail_bs(postern):
    p = postern()
    talk = f"EHLO c.test\r\nMAIL FROM:<me@example.test>\r\nRCPT TO:<{USER}@example.test>\r\nDATA\r\n"
    s = subprocess.Popen([f"{p.prefix}/sbin/sendmail", "-bs"], env={**os.environ, "MAIL_CONFIG": p.etc}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert s.stdout.readline().startswith("220 ")
    for command in talk.splitlines():
        s.stdin.write(command + "\r\n")
        s.stdin.flush()
        while (line := s.stdout.readline())[3:4] == "-":
            pass
        assert line[:1] in "23", line
    out, _ = s.communicate("Subject: by bs\r\n\r\n..x\r\n.\r\n", timeout=60 * SLOW)
    assert out.startswith("250 2.0.0 Ok"), out
    mail = open(p.wait_mail(USER)[0]).read()
    assert "Subject: by bs" in mail and mail.endswith("\n\n.x\n")


def test_settings_that_would_weaken_security(postern):
    for setting in ({"smtpd_tls_security_level": "encrypted"}, {"smtpd_sasl_type": "nosuch", "smtpd_sasl_auth_enable": "yes"}, {"smtpd_milters": "inet:127.0.0.1:1"},
                    {"smtpd_proxy_filter": "127.0.0.1:10025"}, {"smtpd_relay_restrictions": "permit_mynetworks"},
                    {"smtpd_client_restrictions": "reject_all"}):
        p = postern(setting, start=False)
        r = p.run("postfix", "-c", p.etc, "start")
        assert r.returncode != 0, setting
        said = r.stderr + r.stdout + p.logs()
        assert list(setting)[0] in said, r
        if "smtpd_client_restrictions" in setting:
            assert re.search(r'main\.cf, line \d+: smtpd_client_restrictions: unknown restriction "reject_all"', said), said
