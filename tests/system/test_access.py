"""Access rules: tables, actions, log shapes, policy servers, address probes."""
import os
import re
import socketserver
import threading

from conftest import wait_until

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name
TO = f"{USER}@example.test"


def try_rcpt(p, sender, to=TO, helo="c.test"):
    with p.raw() as c:
        c.cmd(f"EHLO {helo}")
        first = c.cmd(f"MAIL FROM:<{sender}>")
        return c.cmd(f"RCPT TO:<{to}>") if first.startswith("250") else first


def send(p, sender, to=TO):
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd(f"MAIL FROM:<{sender}>")
        if not (reply := c.cmd(f"RCPT TO:<{to}>")).startswith("250"):
            return reply
        c.cmd("DATA")
        return c.cmd("Subject: x\r\n\r\nx\r\n.")


ACTIONS = """inline:{
 { warn@x.test = WARN note }, { hold@x.test = HOLD }, { disc@x.test = DISCARD bye }, { filt@x.test = FILTER discard:me },
 { rej@x.test = REJECT go away }, { dip@x.test = DEFER_IF_PERMIT 4.5.6 perhaps }, { redir@x.test = REDIRECT %s },
 { bcc@x.test = BCC %s }, { prep@x.test = PREPEND X-Prepended: yes }, { code@x.test = 550 5.1.1 not here }, { bye@x.test = 421 bye },
 { class@x.test = gate } }""".replace("\n", "") % (TO, TO)


def test_table_actions(postern):
    p = postern({"smtpd_restriction_classes": "gate", "gate": "reject_unauth_pipelining, defer",
                 "smtpd_sender_restrictions": f"check_sender_access {ACTIONS}", "default_transport": "discard:"})
    where = r"RCPT from localhost\[127\.0\.0\.1\]: "
    about = rf"; from=<{{}}@x\.test> to=<{re.escape(TO)}> proto=ESMTP helo=<c\.test>$"
    assert try_rcpt(p, "rej@x.test") == "554 5.7.1 <rej@x.test>: Sender address rejected: go away"
    p.wait_log(r"NOQUEUE: reject: " + where + r"554 5\.7\.1 <rej@x\.test>: Sender address rejected: go away" + about.format("rej"))
    assert try_rcpt(p, "dip@x.test") == "450 4.5.6 <dip@x.test>: Sender address rejected: perhaps"
    assert try_rcpt(p, "code@x.test") == "550 5.1.7 <code@x.test>: Sender address rejected: not here"
    assert try_rcpt(p, "class@x.test") == "450 4.3.2 <class@x.test>: Sender address rejected: Try again later"
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<bye@x.test>")
        assert c.cmd(f"RCPT TO:<{TO}>") == "421 4.7.1 <bye@x.test>: Sender address rejected: bye"
        assert c.line() == b""
    assert send(p, "warn@x.test").startswith("250")
    p.wait_log(r"NOQUEUE: warn: " + where + "note" + about.format("warn"))
    assert send(p, "hold@x.test").startswith("250")
    p.wait_log(r"NOQUEUE: hold: " + where + r"<hold@x\.test>: Sender address triggers HOLD action" + about.format("hold"))
    p.wait_queue(1, "hold")
    assert send(p, "disc@x.test").startswith("250")
    p.wait_log(r"NOQUEUE: discard: " + where + r"<disc@x\.test>: Sender address bye" + about.format("disc"))
    p.wait_log(r"removed \(discarded\)")
    assert send(p, "filt@x.test").startswith("250")
    p.wait_log(r"NOQUEUE: filter: " + where + r"<filt@x\.test>: Sender address triggers FILTER discard:me" + about.format("filt"))
    p.wait_log(rf"discard\[\d+\]: .*to=<{re.escape(TO)}>.*status=sent \(me\)")
    n = len(p.wait_mail(USER))
    assert send(p, "redir@x.test", "nobody@elsewhere.test").startswith("250")
    p.wait_mail(USER, n + 1)
    assert send(p, "bcc@x.test", "nobody@elsewhere.test").startswith("250")
    p.wait_mail(USER, n + 2)
    assert send(p, "prep@x.test").startswith("250")
    newest = max(p.wait_mail(USER, n + 3), key=os.path.getctime)
    assert re.search(r"\nX-Prepended: yes\nReceived: from c\.test ", open(newest).read())


def test_delay_reject_off(postern):
    p = postern({"smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject"})
    with p.raw() as c:
        assert c.greeting == "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"
        assert c.cmd("EHLO c.test") == "503 5.7.0 Error: access denied for localhost[127.0.0.1]"
        assert c.cmd("QUIT") == "221 2.0.0 Bye"
    p.wait_log(r"NOQUEUE: reject: CONNECT from localhost\[127\.0\.0\.1\]: 554 5\.7\.1 <localhost\[127\.0\.0\.1\]>: Client host rejected: Access denied; proto=SMTP$")


def test_data_stages(postern):
    p = postern({"smtpd_data_restrictions": "check_sender_access inline:{ d@x.test=reject }",
                 "smtpd_end_of_data_restrictions": "check_sender_access inline:{ e@x.test=reject }"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<d@x.test>")
        c.cmd(f"RCPT TO:<{TO}>")
        assert c.cmd("DATA") == "554 5.7.1 <d@x.test>: Sender address rejected: Access denied"
        c.cmd("RSET")
    assert send(p, "e@x.test") == "554 5.7.1 <e@x.test>: Sender address rejected: Access denied"
    p.wait_log(r"[0-9A-F]{8,}: reject: END-OF-MESSAGE from localhost.*; from=<e@x\.test> to=<")
    p.wait_empty()


def test_unreadable_table_gives_451(postern):
    p = postern({"smtpd_recipient_restrictions": "check_recipient_access fail:x"})
    assert try_rcpt(p, "s@x.test") == f"451 4.3.5 <{TO}>: Recipient address rejected: Server configuration error"
    q = postern({"local_recipient_maps": "fail:x"})
    assert try_rcpt(q, "s@x.test") == f"451 4.3.0 <{TO}>: Temporary lookup failure"


def test_changed_table_is_noticed(postern):
    p = postern(start=False)
    table = f"{p.dir}/access"
    open(table, "w").write("a@x.test reject\n")
    p.main["smtpd_sender_restrictions"] = f"check_sender_access texthash:{table}"
    p.write_config()
    p.start()
    assert try_rcpt(p, "b@x.test").startswith("250")
    open(table + ".new", "w").write("b@x.test reject\n")
    os.utime(table + ".new", (1, 1))
    os.rename(table + ".new", table)
    wait_until(lambda: not try_rcpt(p, "b@x.test").startswith("250"), what="the new table")


class Policy(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, answer):
        self.requests, self.connections = [], 0
        policy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                policy.connections += 1
                while True:
                    request = {}
                    while (line := self.rfile.readline().decode().rstrip("\n")):
                        name, _, value = line.partition("=")
                        request[name] = value
                    if not request:
                        return
                    policy.requests.append(request)
                    self.wfile.write(f"action={answer(request)}\n\n".encode())
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_policy_service(postern):
    with Policy(lambda r: "REJECT no" if r["sender"] == "bad@x.test" else "DUNNO") as server:
        p = postern({"smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:{server.server_address[1]}",
                     "smtpd_end_of_data_restrictions": f"check_policy_service {{ inet:localhost:{server.server_address[1]}, policy_context=end }}"})
        assert send(p, "good@x.test").startswith("250")
        assert try_rcpt(p, "bad@x.test") == f"554 5.7.1 <{TO}>: Recipient address rejected: no"
        server.shutdown()
    rcpt, end, bad = server.requests
    assert list(rcpt)[:12] == ["request", "protocol_state", "protocol_name", "client_address", "client_name", "client_port", "reverse_client_name",
                               "server_address", "server_port", "helo_name", "sender", "recipient"]
    assert rcpt["request"] == "smtpd_access_policy" and rcpt["protocol_state"] == "RCPT" and rcpt["recipient"] == TO and rcpt["recipient_count"] == "0"
    assert end["protocol_state"] == "END-OF-MESSAGE" and end["recipient_count"] == "1" and int(end["size"]) > 10 and end["queue_id"]
    assert end["policy_context"] == "end" and end["instance"] == rcpt["instance"] != bad["instance"]
    assert server.connections <= 2


def test_policy_service_down(postern):
    p = postern({"smtpd_policy_service_retry_delay": "1s", "smtpd_policy_service_try_limit": "1",
                 "smtpd_recipient_restrictions": "check_policy_service inet:127.0.0.1:1"})
    assert try_rcpt(p, "s@x.test") == f"451 4.3.5 <{TO}>: Recipient address rejected: Server configuration problem"
    p.wait_log(r"warning: policy server inet:127\.0\.0\.1:1: ")


def test_recipient_probes(postern):
    p = postern({"smtpd_recipient_restrictions": "reject_unverified_recipient", "address_verify_poll_delay": "1s",
                 "local_recipient_maps": "", "transport_maps": "inline:{ { dead.test = error:5.1.1 nobody } }",
                 "smtpd_reject_unlisted_recipient": "no", "address_verify_map": "internal:x"})
    assert try_rcpt(p, "s@x.test") == "250 2.1.5 Ok"
    p.wait_log(rf"to=<{re.escape(TO)}>.*status=deliverable")
    assert try_rcpt(p, "s@x.test", "u@dead.test") == "450 4.1.1 <u@dead.test>: Recipient address rejected: undeliverable address: nobody"
    assert not p.mails(USER)
    probes = p.logs().count("status=deliverable")
    assert try_rcpt(p, "s@x.test") == "250 2.1.5 Ok"
    p.wait_empty()
    assert p.logs().count("status=deliverable") == probes
