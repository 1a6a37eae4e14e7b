"""Relaying through the whole suite: connections are kept under load, nothing is lost, refusals come back."""
import re
import threading

import pytest
from agent import CLOSE, FakeServer
from conftest import SLOW, free_port, wait_until


def relay(postern, server, **main):
    return postern({"relayhost": server.hop, "mydestination": "", "local_recipient_maps": "", **main})


@pytest.mark.threads
def test_load_over_kept_connections(postern):
    submitted = threading.Event()
    with FakeServer(DOT=lambda a, state: None if submitted.wait(60 * SLOW) else CLOSE) as s:
        p = relay(postern, s, smtp_connection_cache_time_limit="60s")

        def client(n):
            with p.smtp() as c:
                for i in range(20):
                    c.sendmail("s@example.test", [f"u{n}x{i}@far.example"], f"Subject: {n} {i}\r\n\r\n.x\r\n" + "y" * 3000 + "\r\n")
        threads = [threading.Thread(target=client, args=(n,)) for n in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        submitted.set()
        p.wait_empty()
        try:
            wait_until(lambda: len(s.messages) >= 200)
        except AssertionError:
            raise AssertionError(f"{len(s.messages)} of 200 messages arrived; left: {p.queue_files()}\n{p.logs()[-4000:]}") from None
        got = {m["rcpt"][0].split()[0] for m in s.messages}
        assert got == {f"TO:<u{n}x{i}@far.example>" for n in range(10) for i in range(20)} and len(s.messages) == 200
        assert s.connections <= 40 and re.search(r"conn_use=\d+", p.logs())
        assert not re.search(r"(warning|fatal|panic|error):", p.logs()), re.findall(r".*(?:warning|fatal|panic|error):.*", p.logs())[:5]


def test_transcript_for_the_postmaster(postern):
    """A server that does not speak SMTP well: notify_classes has the word "protocol"."""
    with FakeServer(features=(), MAIL=lambda a, state: None if "double-bounce" in a else "502 5.5.1 no such thing") as s:
        p = relay(postern, s, notify_classes="protocol", error_notice_recipient="notice@far.example")
        p.send("u@far.example", sender="")
        wait_until(lambda: s.messages, what="the notice")
        m = s.messages[0]
        assert m["rcpt"][0].startswith("TO:<notice@far.example>")
        assert b"Subject: Postern SMTP client: errors from 127.0.0.1[127.0.0.1]" in m["lines"]
        assert b"  In: 502 5.5.1 no such thing" in m["lines"] and any(x.startswith(b" Out: MAIL FROM:<>") for x in m["lines"])


def test_debug_peer_list(postern):
    with FakeServer() as s:
        p = relay(postern, s, debug_peer_list="127.0.0.0/8")
        p.send("u@far.example")
        p.wait_log("status=sent")
        for who, what in (("smtpd", "< localhost[127.0.0.1]: MAIL FROM:<sender@example.test>"), ("smtpd", "> localhost[127.0.0.1]: 250 2.1.0 Ok"),
                          ("smtp", "> 127.0.0.1[127.0.0.1]: RCPT TO:<u@far.example>"), ("smtp", "< 127.0.0.1[127.0.0.1]: 250 2.0.0 Ok: queued as 1")):
            p.wait_log(rf"(?i)/{who}\[\d+\]: .*" + re.escape(what))
        quiet = relay(postern, s)
        quiet.send("u@far.example")
        quiet.wait_log("status=sent")
        assert "RCPT TO:" not in quiet.logs()


def test_server_that_drops_connections(postern):
    """Each connection carries three messages, then it is closed without a word: every message still arrives once."""
    with FakeServer(MAIL=lambda a, state: CLOSE if state["n"] >= 3 else None) as s:
        p = relay(postern, s)
        for i in range(15):
            p.send(f"u{i}@far.example")
        wait_until(lambda: len(s.messages) >= 15, what="15 messages")
        assert len({m["rcpt"][0] for m in s.messages}) == 15 == len(s.messages)
        p.wait_log("status=sent", count=15)
        assert "status=deferred" not in p.logs()


def test_refusal_comes_back_with_the_diagnosis(postern):
    with FakeServer(RCPT=lambda a, s: "550-5.1.1 no such\r\n550 5.1.1 user" if "nobody" in a else None) as s:
        p = relay(postern, s)
        p.send("nobody@far.example", sender="sender@far.example")
        wait_until(lambda: s.messages, what="the notification")
        assert s.messages[0]["mail"].startswith("FROM:<>") and s.messages[0]["rcpt"][0].startswith("TO:<sender@far.example>")
        text = b"\n".join(s.messages[0]["lines"])
        assert b"Diagnostic-Code: smtp; 550-5.1.1 no such 550 5.1.1 user" in text and b"Status: 5.1.1" in text
        assert b"Remote-MTA: dns; 127.0.0.1" in text and b"Action: failed" in text


def test_dead_site_is_left_alone(postern):
    s = FakeServer(port=free_port())
    s.close()
    p = relay(postern, s, minimal_backoff_time="300s", smtp_destination_recipient_limit="2")
    p.send([f"u{i}@far.example" for i in range(40)])  # 20 deliveries
    p.wait_log("status=deferred", count=40)
    assert len(re.findall(r"smtp\[\d+\]: connect to", p.logs())) < 10
    p.wait_log("delivery temporarily suspended: connect to")
