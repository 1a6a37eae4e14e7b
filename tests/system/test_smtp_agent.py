"""The SMTP and LMTP delivery agent against servers that do what they like."""
import re
import threading
import time

import pytest
from agent import CLOSE, HANG, Agent, FakeServer
from conftest import wait_until


@pytest.fixture(scope="module")
def agent():
    a = Agent(smtp_connection_cache_on_demand="no", smtp_helo_timeout="5s", smtp_mail_timeout="5s", smtp_data_done_timeout="5s")
    yield a
    a.stop()


def status(lines):
    """The parts of the last log line of a message."""
    return re.fullmatch(r"to=<(?P<to>.*?)>, (orig_to=<.*>, )?relay=(?P<relay>\S+), (conn_use=(?P<conn_use>\d+), )?delay=\S+, delays=\S+, "
                        r"(tls=(?P<tls>\S+), )?dsn=(?P<dsn>\S+), status=(?P<status>\w+) \((?P<reason>.*)\)", lines[-1]).groupdict()


def test_relay(agent):
    with FakeServer() as s:
        lines, result = agent.deliver(s.hop, content=b"Subject: x\n\n.dot\n..\nend\n")
        got = status(lines)
        assert got["relay"] == f"127.0.0.1[127.0.0.1]:{s.port}"
        assert (got["status"], got["dsn"], got["reason"]) == ("sent", "2.0.0", "250 2.0.0 Ok: queued as 1")
        assert len(lines) == 1 and result["status"] == 0 and not result["site_failed"]
        assert s.messages[0]["lines"] == [b"Subject: x", b"", b".dot", b"..", b"end"]
        s.wait_commands("QUIT")
        assert s.commands == ["EHLO client.example", "MAIL FROM:<sender@src.example> SIZE=24", "RCPT TO:<user@dest.example>", "DATA", "QUIT"]


def test_pipelining_sends_groups(agent):
    with FakeServer() as s:
        agent.deliver(s.hop, to=["a@d.example", "b@d.example"])
        s.wait_commands("QUIT")
        assert [bytes(c).count(b"\r\n") for c in s.chunks] == [1, 4, 4, 1]  # EHLO; MAIL RCPT RCPT DATA; content; QUIT


def test_without_pipelining(agent):
    with FakeServer(features=()) as s:
        lines, _ = agent.deliver(s.hop, to=["a@d.example", "b@d.example"])
        assert len(lines) == 2 and len(s.messages) == 1
        s.wait_commands("QUIT")
        assert [bytes(c).count(b"\r\n") for c in s.chunks] == [1, 1, 1, 1, 1, 4, 1]


def test_helo_when_ehlo_is_unknown(agent):
    with FakeServer(EHLO="502 5.5.2 what", features=FakeServer().features) as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "sent"
        assert s.commands[:3] == ["EHLO client.example", "HELO client.example", "MAIL FROM:<sender@src.example>"]


@pytest.mark.parametrize("replies, dsn, word, reason", [
    ({"CONNECT": "554 5.7.1 go away"}, "4.7.1", "deferred", "host W refused to talk to me: 554 5.7.1 go away"),
    ({"CONNECT": "421 busy"}, "4.0.0", "deferred", "host W refused to talk to me: 421 busy"),
    ({"CONNECT": CLOSE}, "4.4.2", "deferred", "lost connection with W while receiving the initial server greeting"),
    ({"CONNECT": HANG}, "4.4.2", "deferred", "conversation with W timed out while receiving the initial server greeting"),
    ({"CONNECT": "SSH-2.0-OpenSSH"}, "4.4.2", "deferred", "conversation with W timed out while receiving the initial server greeting"),
    ({"CONNECT": "354 hello"}, "5.5.0", "bounced", "host W refused to talk to me: 354 hello"),
    ({"DOT": "garbage"}, "4.4.2", "deferred", "conversation with W timed out while sending end of data -- message may be sent more than once"),
    ({"DOT": "650 what"}, "5.5.0", "bounced", "host W said: 650 what (in reply to end of DATA command)"),
    ({"EHLO": CLOSE}, "4.4.2", "deferred", "lost connection with W while performing the EHLO handshake"),
    ({"EHLO": "500 no", "HELO": CLOSE}, "4.4.2", "deferred", "lost connection with W while performing the HELO handshake"),
    ({"EHLO": "500 no", "HELO": "501 5.5.4 no"}, "5.5.4", "bounced", "host W refused to talk to me: 501 5.5.4 no"),
    ({"MAIL": "550 5.7.1 no"}, "5.7.1", "bounced", "host W said: 550 5.7.1 no (in reply to MAIL FROM command)"),
    ({"MAIL": "450 4.7.1 wait"}, "4.7.1", "deferred", "host W said: 450 4.7.1 wait (in reply to MAIL FROM command)"),
    ({"MAIL": CLOSE}, "4.4.2", "deferred", "lost connection with W while sending MAIL FROM"),
    ({"MAIL": HANG}, "4.4.2", "deferred", "conversation with W timed out while sending MAIL FROM"),
    ({"MAIL": "354 what"}, "5.5.0", "bounced", "host W said: 354 what (in reply to MAIL FROM command)"),
    ({"RCPT": "550-5.1.1 no\r\n550 5.1.1 such user"}, "5.1.1", "bounced", "host W said: 550-5.1.1 no 550 5.1.1 such user (in reply to RCPT TO command)"),
    ({"RCPT": "450 4.2.0 grey"}, "4.2.0", "deferred", "host W said: 450 4.2.0 grey (in reply to RCPT TO command)"),
    ({"RCPT": "550 no"}, "5.0.0", "bounced", "host W said: 550 no (in reply to RCPT TO command)"),
    ({"RCPT": CLOSE}, "4.4.2", "deferred", "lost connection with W while sending RCPT TO"),
    ({"DATA": "451 4.3.0 disk"}, "4.3.0", "deferred", "host W said: 451 4.3.0 disk (in reply to DATA command)"),
    ({"DATA": "550 5.7.1 no"}, "5.7.1", "bounced", "host W said: 550 5.7.1 no (in reply to DATA command)"),
    ({"DATA": CLOSE}, "4.4.2", "deferred", "lost connection with W while sending DATA command"),
    ({"DOT": "552 5.3.4 big"}, "5.3.4", "bounced", "host W said: 552 5.3.4 big (in reply to end of DATA command)"),
    ({"DOT": "452 4.3.1 full"}, "4.3.1", "deferred", "host W said: 452 4.3.1 full (in reply to end of DATA command)"),
    ({"DOT": CLOSE}, "4.4.2", "deferred", "lost connection with W while sending end of data -- message may be sent more than once"),
    ({"DOT": HANG}, "4.4.2", "deferred", "conversation with W timed out while sending end of data -- message may be sent more than once"),
])
@pytest.mark.parametrize("features", [("PIPELINING",), ()])
def test_trouble(agent, features, replies, dsn, word, reason):
    with FakeServer(features=features, **replies) as s:
        lines, result = agent.deliver(s.hop)
        got = status(lines)
        assert (got["dsn"], got["status"], got["reason"]) == (dsn, word, reason.replace("W", s.where, 1))
        assert got["relay"] == f"{s.where}:{s.port}"
        assert len(lines) == 1, lines
        site = "refused" in reason or "lost" in reason or "timed out" in reason
        assert result["site_failed"] == (site and word == "deferred")
        assert result["status"] == (1 if word == "deferred" else 2)


def test_report_has_the_diagnosis(agent):
    with FakeServer(RCPT="550-5.1.1 no\r\n550 5.1.1 such user") as s:
        agent.deliver(s.hop)
        got = agent.appended["bounce"][-1]["dsn"]
        assert (got["diag_type"], got["diag_text"]) == ("smtp", "550-5.1.1 no 550 5.1.1 such user")
        assert (got["mta_type"], got["mta_name"], got["status"]) == ("dns", "127.0.0.1", "5.1.1")


def test_recipients_have_their_own_fate(agent):
    def rcpt(arg, state):
        return {"TO:<bad@d.example>": "550 5.1.1 no", "TO:<later@d.example>": "450 4.2.0 wait"}.get(arg)
    with FakeServer(RCPT=rcpt) as s:
        lines, result = agent.deliver(s.hop, to=["good@d.example", "bad@d.example", "later@d.example", "also@d.example"])
        assert sorted((m["to"], m["status"]) for m in (status([x]) for x in lines)) == [
            ("also@d.example", "sent"), ("bad@d.example", "bounced"), ("good@d.example", "sent"), ("later@d.example", "deferred")]
        assert s.messages[0]["rcpt"] == ["TO:<good@d.example>", "TO:<also@d.example>"]
        assert result["status"] == 3 and not result["site_failed"]


def test_all_recipients_refused_but_data_accepted(agent):
    with FakeServer(RCPT="550 5.1.1 no", DATA="354 go") as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "bounced"
        s.wait_commands("QUIT")
        assert s.messages[0]["lines"] == []


def test_too_many_recipients_get_another_turn(agent):
    def rcpt(arg, state):
        return "452 4.5.3 too many" if len(state["accepted"]) >= 2 else None
    with FakeServer(RCPT=rcpt) as s:
        lines, _ = agent.deliver(s.hop, to=[f"u{i}@d.example" for i in range(5)])
        assert [status([x])["status"] for x in lines] == ["sent"] * 5
        assert [len(m["rcpt"]) for m in s.messages] == [2, 2, 1] and s.connections == 1


def test_452_for_the_first(agent):
    with FakeServer(RCPT="452 4.3.1 full") as s:
        lines, _ = agent.deliver(s.hop, to=["a@d.example", "b@d.example"])
        assert [status([x])["status"] for x in lines] == ["deferred"] * 2 and s.connections == 1


def test_connection_refused(agent):
    s = FakeServer()
    s.close()
    lines, result = agent.deliver(s.hop)
    got = status(lines)
    text = f"connect to 127.0.0.1[127.0.0.1]:{s.port}: Connection refused"
    assert (got["relay"], got["dsn"], got["status"], got["reason"]) == ("none", "4.4.1", "deferred", text)
    assert f"]: {text}\n" in agent.logs() and result["site_failed"]


def test_next_of_several_nexthops(agent):
    with FakeServer(RCPT="450 4.2.0 wait") as first, FakeServer() as second:
        gone = FakeServer()
        gone.close()
        lines, result = agent.deliver(f"{gone.hop}, {first.hop} {second.hop}")
        assert lines[0] == f"host {first.where} said: 450 4.2.0 wait (in reply to RCPT TO command)"
        got = status(lines)
        assert got["relay"].endswith(f":{second.port}") and got["status"] == "sent" and len(lines) == 2
        assert not result["site_failed"] and result["status"] == 0


def test_5xx_does_not_try_the_next(agent):
    with FakeServer(RCPT="550 5.1.1 no") as first, FakeServer() as second:
        lines, _ = agent.deliver(f"{first.hop} {second.hop}")
        assert status(lines)["status"] == "bounced" and second.connections == 0


def test_some_recipients_go_to_the_next(agent):
    with FakeServer(RCPT=lambda a, s: "451 4.7.1 later" if "later" in a else None) as first, FakeServer() as second:
        lines, _ = agent.deliver(f"{first.hop} {second.hop}", to=["now@d.example", "later@d.example"])
        assert first.messages[0]["rcpt"] == ["TO:<now@d.example>"] and second.messages[0]["rcpt"] == ["TO:<later@d.example>"]
        assert [status([x])["status"] for x in lines if x.startswith("to=")] == ["sent", "sent"]


def test_size_limit(agent):
    with FakeServer(features=("SIZE 10",)) as s:
        lines, _ = agent.deliver(s.hop, content=b"Subject: x\n\n" + b"x" * 100 + b"\n")
        got = status(lines)
        assert (got["dsn"], got["status"]) == ("5.3.4", "bounced")
        assert got["reason"] == f"message size 113 exceeds size limit 10 of server {s.where}"
        assert not [c for c in s.commands if c.startswith("MAIL")]


def test_dsn_parameters(agent):
    to = {"address": "u@d.example", "original": "orig@d.example", "dsn_orcpt": "rfc822;x+y@d.example", "dsn_notify": 6}
    with FakeServer() as s:
        agent.deliver(s.hop, to=to, envid="a+b", dsn_ret=2, encoding="8bit")
        assert s.commands[1] == "MAIL FROM:<sender@src.example> SIZE=18 BODY=8BITMIME ENVID=a+2Bb RET=HDRS"
        assert s.commands[2] == "RCPT TO:<u@d.example> ORCPT=rfc822;x+2By@d.example NOTIFY=SUCCESS,FAILURE"
        assert not [m for m in agent.appended["trace"] if m["recipient"]["address"] == "u@d.example"]
    with FakeServer(features=()) as s:  # the next server knows no DSN: we report that it was relayed
        agent.deliver(s.hop, to=to, envid="a+b", dsn_ret=2)
        assert s.commands[1:3] == ["MAIL FROM:<sender@src.example>", "RCPT TO:<u@d.example>"]
        got = [m for m in agent.appended["trace"] if m["recipient"]["address"] == "u@d.example"]
        assert got[0]["dsn"]["action"] == "relayed"


def test_null_sender_and_quoting(agent):
    with FakeServer() as s:
        agent.deliver(s.hop, to=["a b@d.example", "plain@d.example"], sender="")
        assert s.commands[1].startswith("MAIL FROM:<>") and s.commands[2] == 'RCPT TO:<"a b"@d.example>'


def test_smtputf8(agent):
    with FakeServer(features=("8BITMIME",)) as s:
        lines, _ = agent.deliver(s.hop, to="j\u00f6rg@d.example", sendopts=9)
        assert status(lines)["reason"] == f"SMTPUTF8 is required, but was not offered by host {s.where}"
        assert (status(lines)["dsn"], status(lines)["status"]) == ("5.6.7", "bounced")
    with FakeServer() as s:
        lines, _ = agent.deliver(s.hop, to="j\u00f6rg@d.example", sendopts=9)
        assert status(lines)["status"] == "sent" and s.commands[1].endswith(" SMTPUTF8")
        assert s.commands[2] == "RCPT TO:<j\u00f6rg@d.example>"


def test_probe(agent):
    with FakeServer(RCPT=lambda a, s: "550 5.1.1 no" if "bad" in a else None) as s:
        lines, _ = agent.deliver(s.hop, to=["ok@d.example", "bad@d.example"], flags=256)
        assert [(status([x])["status"], status([x])["reason"]) for x in lines] == [
            ("deliverable", "250 2.1.5 Ok"), ("undeliverable", f"host {s.where} said: 550 5.1.1 no (in reply to RCPT TO command)")]
        s.wait_commands("QUIT")
        assert not s.messages and "DATA" not in s.commands


def test_long_lines_are_folded(agent):
    with FakeServer() as s:
        agent.deliver(s.hop, content=b"Subject: x\n\n" + b"x" * 2000 + b"\n")
        assert [len(x) for x in s.messages[0]["lines"]] == [10, 0, 998, 998, 6]


def test_large_message(agent):
    body = b"".join(b".%d %s\n" % (i, b"y" * 60) for i in range(20000))
    with FakeServer(features=()) as s:
        lines, _ = agent.deliver(s.hop, content=b"Subject: x\n\n" + body)
        assert status(lines)["status"] == "sent"
        assert b"\n".join(s.messages[0]["lines"]) + b"\n" == b"Subject: x\n\n" + body


def test_damaged_queue_file(agent):
    with FakeServer() as s:
        lines, _ = agent.deliver(s.hop, data_offset=0)  # the first record is no content, then it goes on: still fine
        lines, _ = agent.deliver(s.hop, data_offset=5)
        assert status(lines)["reason"] == f"local data error while talking to {s.where}"
        assert status(lines)["dsn"] == "4.3.0" and len(s.messages) == 1


def test_host_not_found(agent):
    lines, result = agent.deliver("[no-such-host.invalid]")
    got = status(lines)
    assert got["dsn"] in ("5.4.4", "4.4.3") and got["reason"].startswith("unable to look up host no-such-host.invalid: ")


def test_bad_nexthop(agent):
    for hop in ("[127.0.0.1", "[]:25", "host:nonsense-port"):
        lines, _ = agent.deliver(hop)
        assert status(lines)["dsn"] == "4.3.5"


def test_greeted_by_myself():
    with Agent() as agent, FakeServer(name="client.example") as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "sent"  # another port: no loop


def test_connection_is_kept():
    with Agent(smtp_connection_cache_destinations="$relayhost, [127.0.0.1]", smtp_connection_cache_time_limit="6s") as agent, FakeServer() as s:
        first = [agent.deliver(s.hop) for _ in range(5)]
        assert s.connections == 1 and len(s.messages) == 5
        assert [status(x[0])["conn_use"] for x in first] == [None, "2", "3", "4", "5"]
        assert not [c for c in s.commands if c[:4] in ("RSET", "NOOP", "QUIT")]
        s.wait_commands("QUIT")


def test_kept_connection_that_was_closed():
    def mail(arg, state):
        return CLOSE if state["n"] == 1 else None

    def busy(arg, state):
        return "421 4.4.2 timeout" if state["n"] == 1 else None
    for reply in (mail, busy):
        with Agent() as agent, FakeServer(MAIL=reply) as s:
            for i in range(3):
                lines, _ = agent.deliver(s.hop)
                assert status(lines)["status"] == "sent" and len(lines) == 1
            assert len(s.messages) == 3


def test_refused_transaction_is_reset_before_reuse():
    with Agent() as agent, FakeServer(RCPT=lambda a, s: "550 5.1.1 no" if "bad" in a else None) as s:
        agent.deliver(s.hop, to="bad@d.example")
        agent.deliver(s.hop, to="bad@d.example")
        agent.deliver(s.hop, to="good@d.example")
        wait_until(lambda: s.commands.count("QUIT") == 2)
        assert s.connections == 2  # the first was alone: not kept
        assert s.sessions[2][-6:] == ["DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]


def test_session_failure_limit():
    """So many refused recipients in a row end a kept connection; one that is taken begins the count anew."""
    with Agent(smtp_connection_cache_destinations="$relayhost, [127.0.0.1]", smtp_connection_cache_time_limit="60s",
               smtp_session_failure_limit="3") as agent, \
            FakeServer(RCPT=lambda a, s: "550 5.1.1 no" if "bad" in a else None) as s:
        lines = [agent.deliver(s.hop, to=f"{name}@d.example")[0] for name in ("bad", "bad", "good", "bad", "bad", "bad", "good")]
        assert s.connections == 2 and s.commands.count("QUIT") == 1
        uses = [status([line for line in x if "status=" in line])["conn_use"] for x in lines]
        assert uses == [None, "2", "3", "4", "5", "6", None]


def test_lmtp():
    def dot(arg, state):
        return {"TO:<bad@d.example>": "550 5.2.2 full", "TO:<later@d.example>": "450 4.2.2 busy"}.get(arg)
    with Agent("lmtp") as agent, FakeServer(lmtp=True, DOT=dot) as s:
        lines, _ = agent.deliver(f"inet:127.0.0.1:{s.port}", to=["a@d.example", "bad@d.example", "later@d.example", "b@d.example"])
        assert [status([x])["status"] for x in lines] == ["sent", "bounced", "sent", "deferred"]
        assert "postfix/lmtp[" in agent.logs() and s.commands[0] == "LHLO client.example"
        assert status(lines[:1])["reason"].endswith(" Saved")


def test_lmtp_unix_socket():
    with Agent("lmtp") as agent:
        with FakeServer(lmtp=True, path=f"{agent.spool}/private/mda") as s:
            lines, _ = agent.deliver("unix:private/mda")
            assert status(lines)["relay"] == "client.example[private/mda]" and status(lines)["status"] == "sent"
        lines, _ = agent.deliver("unix:private/nobody")
        assert status(lines)["reason"] == "connect to client.example[private/nobody]: No such file or directory"


def test_xforward():
    with Agent(smtp_send_xforward_command="yes") as agent, FakeServer(features=("XFORWARD NAME ADDR HELO SOURCE",)) as s:
        agent.deliver(s.hop, origin={"client_name": "c.example", "client_address": "192.0.2.1", "helo": "h e", "rewrite_context": "remote"})
        assert s.commands[1:3] == ["XFORWARD NAME=c.example ADDR=192.0.2.1", "XFORWARD HELO=h+20e SOURCE=REMOTE"]


def test_discard_keywords():
    with Agent(smtp_discard_ehlo_keywords="size, dsn") as agent, FakeServer() as s:
        lines, _ = agent.deliver(s.hop)
        assert lines[0] == "discarding EHLO keywords: size, dsn" and s.commands[1] == "MAIL FROM:<sender@src.example>"


def test_many_recipients_in_a_pipeline(agent):
    with FakeServer() as s:
        lines, _ = agent.deliver(s.hop, to=[f"{'x' * 50}{i}@destination.example" for i in range(900)])
        assert len(s.messages[0]["rcpt"]) == 900 and len(lines) == 900


EIGHT_BIT = "Subject: caf\u00e9\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ncaf\u00e9 =\n.\n".encode()


def test_downgrade_to_7bit(agent):
    with FakeServer(features=("PIPELINING",)) as s:
        lines, _ = agent.deliver(s.hop, content=EIGHT_BIT, encoding="8bit")
        assert status(lines)["status"] == "sent"
        body = s.messages[0]["lines"]
        assert b"Content-Transfer-Encoding: quoted-printable" in body and b"Content-Transfer-Encoding: 8bit" not in body
        assert body[-2:] == [b"caf=C3=A9 =3D", b"."] or body[-2:] == [b"caf=C3=A9 =3D", b"=2E"]
    with FakeServer() as s:
        agent.deliver(s.hop, content=EIGHT_BIT, encoding="8bit")
        assert b"\n".join(s.messages[0]["lines"]) + b"\n" == EIGHT_BIT


def test_generic_maps():
    with Agent(smtp_generic_maps="inline:{me@local.test=me@world.example, @local.test=@other.example, me=me@bare.example}",
               mydestination="client.example", myorigin="client.example") as agent, FakeServer() as s:
        agent.deliver(s.hop, sender="me@local.test", to=["you@local.test", "me@client.example", "x@d.example"],
                      content=b"From: Me <me@local.test>\nTo: you@local.test,\n x@d.example\nX-Other: me@local.test\n\nme@local.test\n")
        assert s.commands[1].startswith("MAIL FROM:<me@world.example>")
        assert s.messages[0]["rcpt"] == ["TO:<you@other.example>", "TO:<me@bare.example>", "TO:<x@d.example>"]
        assert s.messages[0]["lines"] == [b"From: Me <me@world.example>", b"To: you@other.example,", b" x@d.example", b"X-Other: me@local.test", b"",
                                          b"me@local.test"]


def test_header_and_body_checks(tmp_path):
    (tmp_path / "header").write_text("/^X-Drop:/ IGNORE\n/^X-Warn:/ WARN seen it\n/^X-New:/ REPLACE X-Old: y\n/^Subject:/ PREPEND X-Before: z\n"
                                     "/^X-Bad:/ REJECT no\n")
    (tmp_path / "body").write_text("/secret/ REPLACE ***\n/gone/ IGNORE\n")
    with Agent(smtp_header_checks=f"regexp:{tmp_path}/header", smtp_body_checks=f"regexp:{tmp_path}/body") as agent, FakeServer() as s:
        lines, _ = agent.deliver(s.hop, content=b"X-Drop: a\nX-Warn: b\nX-New: c\nSubject: s\nX-Bad: 1\n\nthe secret\ngone\n.end\n")
        assert s.messages[0]["lines"] == [b"X-Warn: b", b"X-Old: y", b"X-Before: z", b"Subject: s", b"X-Bad: 1", b"", b"***", b".end"]
        assert "warning: header X-Warn: b: seen it" in lines and "replace: header X-New: c: X-Old: y" in lines


def test_broken_table_defers():
    with Agent(smtp_generic_maps="fail:x") as agent, FakeServer() as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "deferred" and s.connections == 0
    with Agent(smtp_header_checks="fail:x") as agent, FakeServer() as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "deferred" and not s.messages


def test_tls_in_the_log(agent):
    with FakeServer() as s:
        assert status(agent.deliver(s.hop)[0])["tls"] == "may:none"
    assert status(agent.deliver(s.hop)[0])["tls"] == "may?"
    with Agent(smtp_log_tls_feature_status="no") as a, FakeServer() as s:
        assert status(a.deliver(s.hop)[0])["tls"] is None


def test_requiretls():
    with Agent(smtp_requiretls_policy="inline:{127.0.0.1=opportunistic}, enforce") as agent, FakeServer() as s:
        assert status(agent.deliver(s.hop, sendopts=32)[0])["status"] == "sent"
        lines, _ = agent.deliver(f"[localhost]:{s.port}", sendopts=32)
        got = status(lines)
        assert (got["dsn"], got["status"], got["tls"]) == ("5.7.10", "bounced", "may:none/!requiretls:nostarttls")
        assert got["reason"] == ("Sender requested REQUIRETLS, but STARTTLS was not offered by host localhost[127.0.0.1]. "
                                 "The last attempted server was localhost[127.0.0.1]")


@pytest.mark.parametrize("reply, dot", [("220 ********", True), ("220 *******2**", True), ("220 mx", False)])
def test_pix(reply, dot):
    with Agent(smtp_pix_workaround_threshold_time="0s", smtp_pix_workaround_delay_time="1s") as agent, FakeServer(CONNECT=reply) as s:
        lines, _ = agent.deliver(s.hop)
        assert status(lines)["status"] == "sent"
        assert s.commands[0].startswith("HELO" if dot else "EHLO")
        if dot:
            assert lines[0] == f"enabling PIX workarounds: disable_esmtp delay_dotcrlf for {s.where}:{s.port}"
            s.wait_commands("QUIT")
            assert s.chunks[-1] == b"QUIT\r\n" and s.chunks[-2] == b".\r\n"


def test_deadline_for_a_whole_reply():
    def drip(s, arg, state, verb):
        for c in b"250 hello there, this takes its time\r\n":
            s.sendall(bytes([c]))
            time.sleep(0.2)
    with Agent(smtp_per_request_deadline="yes", smtp_helo_timeout="2s") as agent, FakeServer() as s:
        s.do_ehlo = drip
        assert status(agent.deliver(s.hop)[0])["reason"] == f"conversation with {s.where} timed out while performing the EHLO handshake"


def test_probe_up_to_data():
    with Agent(smtp_address_verify_target="data") as agent, FakeServer() as s:
        assert status(agent.deliver(s.hop, flags=256)[0])["status"] == "deliverable"
        assert not s.messages and s.commands[-1] == "DATA"
        with FakeServer(DATA="554 5.7.1 no") as t:
            assert status(agent.deliver(t.hop, flags=256)[0])["status"] == "undeliverable"


def test_reply_filter():
    with Agent(smtp_reply_filter="regexp:{{/^550 .*greylist/ 450 4.7.1 patience}}") as agent, FakeServer(RCPT="550 5.7.1 greylisted") as s:
        got = status(agent.deliver(s.hop)[0])
        assert (got["status"], got["dsn"]) == ("deferred", "4.7.1") and "450 4.7.1 patience" in got["reason"]


def test_delivery_status_filter():
    with Agent(smtp_delivery_status_filter="regexp:{{/^5\\.1\\.1 / 4.1.1 not yet}}") as agent, FakeServer(RCPT="550 5.1.1 unknown") as s:
        got = status(agent.deliver(s.hop)[0])
        assert (got["status"], got["dsn"], got["reason"]) == ("deferred", "4.1.1", "not yet")


def test_sessions_at_once():
    """Several connections from the queue manager are served at the same time and share what rests."""
    with Agent() as agent, FakeServer(DOT=lambda a, s: time.sleep(0.2)) as s:
        out = []

        def send():
            c = agent.connect()
            for _ in range(3):
                out.append(agent.deliver(s.hop, connection=c)[1]["status"])
            c.close()
        threads = [threading.Thread(target=send) for _ in range(8)]
        start = time.time()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert out == [0] * 24 and len(s.messages) == 24 and s.connections <= 10
        assert time.time() - start < 60


def test_flags_of_master_cf():
    with Agent("lmtp", arguments=["flags=DOR"], agent_destination_recipient_limit="1", lmtp_destination_recipient_limit="1") as agent, \
            FakeServer(lmtp=True) as s:
        agent.deliver(f"inet:127.0.0.1:{s.port}", to={"address": "u@d.example", "original": "o@d.example"})
        assert s.messages[0]["lines"][:4] == [b"Return-Path: <sender@src.example>", b"X-Original-To: o@d.example", b"Delivered-To: u@d.example",
                                              b"Subject: x"]
        lines, _ = agent.deliver(f"inet:127.0.0.1:{s.port}", to="u@d.example", content=b"Delivered-To: u@d.example\n\nx\n")
        got = status(lines)
        assert (got["dsn"], got["status"], got["reason"]) == ("5.4.6", "bounced", "mail forwarding loop for u@d.example")


def test_flags_need_single_recipients():
    a = Agent("lmtp", arguments=["flags=D"])
    a.process.wait(60)
    assert "flag `D' requires lmtp_destination_recipient_limit = 1" in a.logs()
    a.process.returncode = 0
    a.stop()


def test_resting_connections_end_with_quit():
    with FakeServer() as s:
        with Agent(smtp_connection_cache_destinations="[127.0.0.1]", smtp_connection_cache_time_limit="60s") as agent:
            agent.deliver(s.hop)
        s.wait_commands("QUIT")


def test_server_that_welcomes_data_after_refusing_mail(agent):
    with FakeServer(MAIL="550 5.7.1 no", RCPT="503 5.5.1 no", DATA="354 go") as s:
        assert status(agent.deliver(s.hop)[0])["reason"].endswith("550 5.7.1 no (in reply to MAIL FROM command)")
        s.wait_commands("QUIT")
        assert s.messages[0]["lines"] == []
