"""The queue: attempts and pauses, limits, crashes of qmgr and agents, the administrator's commands."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import SLOW, free_port, wait_until

QUICK = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}
PATIENT = {"minimal_backoff_time": "1h", "maximal_backoff_time": "1h", "queue_run_delay": "1h"}


class Sink:
    """An SMTP server that counts: messages by recipient, sessions that are in DATA at once. reply: to the final dot, which waits for
    gate; after so many messages as meet[0] it also waits for meet[1] sessions at once, that slow clients cannot miss each other."""

    def __init__(self, delay=0, gate=False, meet=(0, 0), reply=b"250 2.0.0 Ok\r\n", rcpt=None, port=0):
        self.s = socket.create_server(("127.0.0.1", port), backlog=100)
        self.port = self.s.getsockname()[1]
        self.delay, self.reply, self.rcpt = delay, reply, rcpt or (lambda to: b"250 2.1.5 Ok\r\n")
        self.lock = threading.Lock()
        self.got, self.messages, self.busy, self.most, self.transactions, self.times = [], 0, 0, 0, [], []
        self.senders = []
        self.alive, self.gate, self.meet = True, threading.Event(), meet
        if not gate:
            self.gate.set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.alive:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self.session, args=(c,), daemon=True).start()

    def session(self, c):
        f = c.makefile("rwb")

        def say(text):
            f.write(text)
            f.flush()
        try:
            say(b"220 sink.test ESMTP\r\n")
            to = []
            while line := f.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    say(b"250-sink.test\r\n250 8BITMIME\r\n")
                elif verb == b"MAIL":
                    self.senders.append(re.search(rb"<(.*?)>", line).group(1).decode())
                    say(b"250 2.1.0 Ok\r\n")
                elif verb == b"RCPT":
                    answer = self.rcpt(line)
                    if answer.startswith(b"2"):
                        to.append(re.search(rb"<(.*)>", line).group(1).decode())
                    say(answer)
                elif verb == b"DATA":
                    with self.lock:
                        self.busy += 1
                        self.most = max(self.most, self.busy)
                        self.times.append(time.time())
                    say(b"354 go\r\n")
                    while f.readline() != b".\r\n":
                        pass
                    self.gate.wait(60 * SLOW)
                    wait_until(lambda: self.messages < self.meet[0] or self.most >= self.meet[1], what="sessions at once")
                    time.sleep(self.delay)
                    with self.lock:
                        self.busy -= 1
                        if self.reply.startswith(b"2"):
                            self.got += to
                            self.messages += 1
                            self.transactions.append(len(to))
                    to = []
                    say(self.reply)
                elif verb == b"QUIT":
                    say(b"221 bye\r\n")
                    return
                else:
                    say(b"250 2.0.0 Ok\r\n")
        except (OSError, AssertionError):
            pass
        finally:
            c.close()

    def close(self):
        self.alive = False
        self.s.close()


@pytest.fixture
def sink():
    made = []

    def make(**kw):
        made.append(Sink(**kw))
        return made[-1]
    yield make
    for s in made:
        s.close()


def relay(port, **kw):
    return {"default_transport": f"smtp:[127.0.0.1]:{port}", "relayhost": "", **kw}


def ids(p, queue="deferred"):
    return sorted(os.path.basename(f) for f in p.queue_files(queue))


def listing(p):
    return [json.loads(line) for line in p.run("postqueue", "-j", check=True).stdout.splitlines()]


def pid_of(p, program):
    for pid in p.processes():
        try:
            if open(f"/proc/{pid}/comm").read().strip() == program:
                return pid
        except OSError:
            pass
    return None


# ---- attempts ----

def test_tried_again_until_it_works(postern, sink):
    port = free_port()
    p = postern(relay(port, **QUICK))
    p.send("u@far.test")
    p.wait_log(r"to=<u@far\.test>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused\)", count=2)
    s = sink(port=port)
    p.wait_log(r"status=sent")
    p.wait_log(r": removed")
    wait_until(lambda: not ids(p), what="empty deferred")
    assert s.got == ["u@far.test"], p.logs()
    p.wait_queue(0, "defer")
    assert listing(p) == []


def test_time_stamp_is_the_next_attempt(postern):
    p = postern(relay(free_port(), minimal_backoff_time="100s", maximal_backoff_time="200s"))
    p.send("u@far.test")
    p.wait_log(r"status=deferred")
    path = wait_until(lambda: p.queue_files("deferred"), what="deferred file")[0]
    st = wait_until(lambda: (s := os.stat(path)).st_mtime > time.time() and s, what="next attempt")
    assert 95 <= st.st_mtime - time.time() <= 101
    assert st.st_mode & 0o777 == 0o700
    assert re.match(r".*/deferred/([0-9A-F])/\1[0-9A-F]+$", path)


def test_dead_destination_is_left_alone(postern):
    p = postern(relay(free_port(), smtp_initial_destination_concurrency="1", smtp_destination_concurrency_limit="1", **PATIENT))
    for i in range(4):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=deferred", count=4)
    assert len(re.findall(r"\(connect to ", p.logs())) < 4
    assert re.search(r"relay=none, .*dsn=4\.4\.1, status=deferred \(delivery temporarily suspended: connect to 127\.0\.0\.1", p.logs())


@pytest.mark.threads
def test_flush_forgets_dead_destinations(postern, sink):
    port = free_port()
    p = postern(relay(port, **PATIENT))
    for i in range(3):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=deferred", count=3)
    wait_until(lambda: len(ids(p)) == 3, what="three deferred")
    s = sink(port=port)
    p.run("postqueue", "-f", check=True)
    p.wait_log(r"status=sent", count=3)
    assert sorted(s.got) == [f"u{i}@far.test" for i in range(3)], p.logs()


def test_flush_one_message_and_one_site(postern, sink):
    port = free_port()
    p = postern(relay(port, fast_flush_domains="one.test", **PATIENT))
    for to in ("a@one.test", "b@two.test", "c@two.test"):
        p.send(to)
    p.wait_log(r"status=deferred", count=3)
    wait_until(lambda: len(listing(p)) == 3 and all(e["queue_name"] == "deferred" for e in listing(p)), what="three deferred")
    s = sink(port=port)
    assert p.run("postqueue", "-s", "two.test").stderr == 'postqueue: fatal: Flush service is not configured for destination "two.test"\n'
    r = p.run("postqueue", "-s", "bad/name")
    assert r.returncode == 69 and r.stderr == 'postqueue: fatal: Cannot flush mail queue - invalid destination: "bad/name"\n'
    p.run("postqueue", "-s", "one.test", check=True)
    p.wait_log(r"to=<a@one\.test>.*status=sent")
    qid = next(e["queue_id"] for e in listing(p) if e["recipients"][0]["address"] == "b@two.test")
    p.run("postqueue", "-i", qid, check=True)
    p.wait_log(r"to=<b@two\.test>.*status=sent")
    assert p.run("postqueue", "-i", "../x").stderr == 'postqueue: fatal: Invalid request: "../x"\n'
    assert s.got == ["a@one.test", "b@two.test"]
    p.wait_queue(1, "deferred")


def test_deferred_transport_waits_for_flush(postern):
    p = postern({"default_transport": "discard:", "defer_transports": "discard", **QUICK})
    p.send("u@far.test")
    p.wait_log(r"dsn=4\.3\.2, status=deferred \(deferred transport\)", count=2)

    def flushed():  # the next attempt may just have begun
        p.run("postqueue", "-f", check=True)
        return "status=sent" in p.logs()
    wait_until(flushed, what="delivery")


def test_transport_that_does_not_exist(postern):
    p = postern({"default_transport": "nowhere:", **PATIENT})
    p.send("u@far.test")
    p.wait_log(r"warning: connect to transport private/nowhere: No such file or directory")
    p.wait_log(r"relay=none, .*dsn=4\.3\.0, status=deferred \(mail transport unavailable\)")


def test_some_recipients_remain(postern, sink):
    def rcpt(line):
        return b"450 4.2.0 later\r\n" if b"<b@" in line else b"550 5.1.1 no\r\n" if b"<c@" in line else b"250 ok\r\n"
    s = sink(rcpt=rcpt)
    p = postern(relay(s.port, **PATIENT))
    p.send(["a@far.test", "b@far.test", "c@far.test"], sender="from@far.test")
    p.wait_log(r"to=<b@far\.test>.*status=deferred")
    p.wait_log(r"sender non-delivery notification")
    path = wait_until(lambda: [f for f in p.queue_files("deferred") if "recipient: b@far.test" in p.run("postcat", f).stdout], what="deferred file")[0]
    wait_until(lambda: "done_recipient: c@far.test" in p.run("postcat", path).stdout, what="marks")
    text = p.run("postcat", path, check=True).stdout
    assert "\nrecipient: b@far.test\n" in text and "\ndone_recipient: a@far.test\n" in text
    (e,) = [e for e in listing(p) if e["queue_id"] == os.path.basename(path)]  # the notification is there as well
    assert [r["address"] for r in e["recipients"]] == ["b@far.test"]


# ---- limits ----

@pytest.mark.threads
def test_concurrency_limit(postern, sink):
    s = sink(delay=0.3, meet=(0, 3))
    p = postern(relay(s.port, smtp_destination_concurrency_limit="3", smtp_initial_destination_concurrency="3"))
    for i in range(12):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=sent", count=12)
    assert s.most == 3


def test_window_grows_with_success(postern, sink):
    s = sink(delay=0.2, gate=True, meet=(20, 4))
    p = postern(relay(s.port, smtp_initial_destination_concurrency="1", smtp_destination_concurrency_limit="8"))
    for i in range(40):
        p.send(f"u{i}@far.test")
    assert s.most <= 1
    s.gate.set()
    p.wait_log(r"status=sent", count=40)
    assert 4 <= s.most <= 8


def test_recipient_limit(postern, sink):
    s = sink()
    p = postern(relay(s.port, smtp_destination_recipient_limit="4"))
    p.send([f"u{i}@far.test" for i in range(10)])
    p.wait_log(r": removed")
    assert sorted(s.transactions) == [2, 4, 4]
    assert len(set(s.got)) == 10


def test_rate_delay(postern, sink):
    s = sink()
    p = postern(relay(s.port, smtp_destination_rate_delay="1s"))
    for i in range(3):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=sent", count=3)
    gaps = [b - a for a, b in zip(s.times, s.times[1:])]
    assert all(g >= 0.9 for g in gaps) and s.most == 1


def test_transport_rate_delay(postern, sink):
    s = sink()
    p = postern(relay(s.port, smtp_transport_rate_delay="1s"))
    for i in range(3):
        p.send(f"u{i}@far{i}.test")
    p.wait_log(r"status=sent", count=3)
    assert s.times[2] - s.times[0] >= 1.8


@pytest.mark.parametrize("limit", [0, 4, 100])
def test_destination_deferred_limit(postern, sink, limit):
    """A server that is down, then up: what is remembered of its mail goes with the first message that gets there."""
    port = free_port()
    p = postern(relay(port, smtp_destination_deferred_limit=str(limit), **PATIENT))
    p.send("u0@far.test")
    p.wait_log(r"to=<u0@.*status=deferred")
    for i in range(1, 7):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=deferred", count=7)
    wait_until(lambda: len(ids(p)) == 7, what="all in deferred")
    s = sink(port=port)
    first = re.search(r"(\w+): to=<u0@", p.logs()).group(1)
    p.run("postqueue", "-i", first, check=True)
    expected = min(max(limit, 1), 7)
    p.wait_log(r"status=sent", count=expected)
    assert "u0@far.test" in s.got and len(s.got) == expected
    said = re.findall(r"destination smtp:\S+ takes mail again; trying (\d+) deferred messages at once", p.logs())
    assert said == ([str(expected - 1)] if limit else [])
    assert wait_until(lambda: len(ids(p)) == 7 - expected, what="the others wait")


def test_destination_deferred_is_tried_once(postern, sink):
    """What fails again although others get there waits for its own time; a message that was removed is no trouble."""
    port = free_port()
    p = postern(relay(port, smtp_destination_deferred_limit="100", **PATIENT))
    for name in ("good", "bad", "gone"):
        p.send(f"{name}@far.test")
        p.wait_log(rf"to=<{name}@.*status=deferred")
    wait_until(lambda: len(ids(p)) == 3, what="all in deferred")
    queue_id = {name: re.search(rf"(\w+): to=<{name}@", p.logs()).group(1) for name in ("good", "gone")}
    p.run("postsuper", "-d", queue_id["gone"], check=True)
    asked = []
    s = sink(port=port, rcpt=lambda line: asked.append(line) or (b"450 4.2.0 later\r\n" if b"bad" in line else b"250 2.1.5 Ok\r\n"))
    p.run("postqueue", "-i", queue_id["good"], check=True)
    p.wait_log(r"to=<bad@.*said: 450 4.2.0 later")
    p.send("next@far.test")
    p.wait_log(r"to=<next@.*status=sent")
    assert sorted(s.got) == ["good@far.test", "next@far.test"] and sum(b"bad" in line for line in asked) == 1
    assert len(ids(p)) == 1


@pytest.mark.threads
def test_very_many_recipients(postern, sink):
    s = sink()
    p = postern(relay(s.port, smtpd_recipient_limit="5000", smtpd_recipient_overshoot_limit="1"))
    everybody = [f"u{i}@far{i % 7}.test" for i in range(2500)]
    p.send(everybody)
    p.wait_log(r": removed")
    assert sorted(s.got) == sorted(everybody)


@pytest.mark.threads
def test_more_mail_than_fits_in_memory(postern):
    p = postern({"default_transport": "discard:", "qmgr_message_active_limit": "4"})
    for i in range(40):
        p.send(f"u{i}@far.test")
    p.wait_log(r": removed", count=40)
    p.wait_empty()


# ---- crashes ----

def in_delivery(s):
    return wait_until(lambda: s.busy > 0, what="delivery in progress")


def test_qmgr_dies_while_an_agent_delivers(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port))
    p.send(["a@far.test", "b@far.test"])
    in_delivery(s)
    os.kill(pid_of(p, "qmgr"), signal.SIGKILL)
    p.wait_log(r"warning: process .*/qmgr pid \d+ killed by signal 9")
    p.send("c@far.test")  # starts another one
    wait_until(lambda: s.busy == 2, what="another delivery")
    s.gate.set()
    p.wait_log(r": removed", count=2)
    assert sorted(s.got) == ["a@far.test", "b@far.test", "c@far.test"]
    p.wait_empty()


def test_reload_while_an_agent_delivers(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port))
    p.send("a@far.test")
    in_delivery(s)
    p.reload()
    p.send("b@far.test")
    s.gate.set()
    p.wait_log(r": removed", count=2)
    assert sorted(s.got) == ["a@far.test", "b@far.test"]
    p.wait_empty()


def test_agent_dies(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port, transport_retry_time="1s", **QUICK))
    p.send("a@far.test")
    in_delivery(s)
    os.kill(pid_of(p, "smtp"), signal.SIGKILL)
    s.gate.set()
    p.wait_log(r"warning: transport smtp failure -- see a previous warning/fatal/panic logfile record")
    p.wait_log(r"status=sent")
    p.wait_log(r": removed")
    p.wait_empty()


def test_everything_dies_with_mail_in_flight(postern, sink):
    s = sink(delay=1)
    p = postern(relay(s.port, smtp_destination_concurrency_limit="3", **QUICK))
    for i in range(20):
        p.send(f"u{i}@far.test")
    time.sleep(1.5)
    p.kill9()
    time.sleep(1.2)
    p.start()
    wait_until(lambda: not p.queue_files(), what="empty queue")
    assert set(s.got) == {f"u{i}@far.test" for i in range(20)}


def test_damaged_file_is_put_away(postern):
    p = postern({"default_transport": "discard:"}, start=False)
    p.run("postfix", "-c", p.etc, "check")
    path = f"{p.spool}/incoming/0123412345"
    with open(path, "wb") as f:
        f.write(b"C_" + b" 0" * 47 + b"\x00 this is no queue file")
    os.chmod(path, 0o700)
    if os.getuid() == 0:
        os.chown(path, os.stat(p.data).st_uid, -1)
    p.start()
    p.wait_log(r"warning: 0123412345: damaged queue file")
    wait_until(lambda: os.listdir(f"{p.spool}/corrupt") == ["0123412345"], what="file in corrupt/")
    p.send("u@far.test")
    p.wait_log(r"status=sent")


# ---- the index ----

def restart(p, between=lambda: None):
    p.stop()
    between()
    p.start()


def deferred_three(postern, **kw):
    p = postern(relay(free_port(), **{**PATIENT, **kw}))
    for i in range(3):
        p.send(f"u{i}@far.test")
    p.wait_log(r"status=deferred", count=3)
    wait_until(lambda: len([e for e in listing(p) if e["queue_name"] == "deferred"]) == 3, what="three deferred")
    return p


@pytest.mark.parametrize("harm", ["delete", "garbage", "nothing"])
def test_index_is_made_anew(postern, harm):
    p = deferred_three(postern)
    index = f"{p.data}/queue_index.lmdb"
    if not os.path.exists(index):
        pytest.skip("built without LMDB")

    def do_harm():
        if harm == "delete":
            os.unlink(index)
        elif harm == "garbage":
            with open(index, "r+b") as f:
                f.write(os.urandom(8192))
    before = sorted(listing(p), key=lambda e: e["queue_id"])
    restart(p, do_harm)
    wait_until(lambda: sorted(listing(p), key=lambda e: e["queue_id"]) == before, what="same listing")
    assert all(r["delay_reason"].startswith("connect to") for e in before for r in e["recipients"])


def test_queue_is_changed_behind_our_back(postern):
    p = deferred_three(postern)
    gone, held, _ = ids(p)

    def change():
        os.unlink(f"{p.spool}/deferred/{gone[0]}/{gone}")
        os.rename(f"{p.spool}/deferred/{held[0]}/{held}", f"{p.spool}/hold/{held}")
    restart(p, change)
    wait_until(lambda: len(listing(p)) == 2, what="two messages")
    p.stop()
    os.rename(f"{p.spool}/hold/{held}", f"{p.spool}/deferred/{held[0]}/{held}")
    os.utime(f"{p.spool}/deferred/{held[0]}/{held}")
    p.start()
    p.wait_log(rf"{held}: from=<.*\(queue active\)", count=2)


# ---- postqueue ----

def test_listing_for_people(postern):
    p = postern(relay(free_port(), **PATIENT))
    assert p.run("postqueue", "-p").stdout == "Mail queue is empty\n"
    p.send(["a@far.test", "b@far.test"])
    p.send("c@far.test", sender="")
    p.wait_log(r"status=deferred", count=3)
    wait_until(lambda: len(ids(p)) == 2 and all(e["queue_name"] == "deferred" for e in listing(p)), what="two deferred")
    p.run("postsuper", "-h", ids(p)[0], check=True)
    lines = p.run("postqueue", "-p", check=True).stdout.splitlines()
    assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
    heads = [line for line in lines if re.match(r"[0-9A-F]+!? +\d+ \w{3} \w{3} [ \d]\d [\d:]{8}  (sender@example\.test|MAILER-DAEMON)$", line)]
    assert len(heads) == 2 and sum("!" in h for h in heads) == 1
    assert "                                         a@far.test" in lines
    reason = next(line for line in lines if line.endswith("Connection refused)"))
    assert len(reason) == 78 or reason.startswith("(")
    assert re.fullmatch(r"-- \d+ Kbytes in 2 Requests\.", lines[-1]) and lines[-2] == ""
    assert p.run("sendmail", "-bp").stdout.splitlines() == lines
    p.stop()
    r = p.run("postqueue", "-p")
    assert r.returncode == 0 and sorted(r.stdout.splitlines()) == sorted(lines)
    assert r.stderr == ("postqueue: warning: Mail system is down -- accessing queue directly "
                        "(Connect to the Postern showq service: No such file or directory)\n") or "Connection refused" in r.stderr


def test_active_mail_is_shown_as_such(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port))
    p.send("a@far.test")
    in_delivery(s)
    (e,) = listing(p)
    assert e["queue_name"] == "active"
    assert re.search(rf"^{e['queue_id']}\* ", p.run("postqueue", "-p").stdout, re.M)


def test_json(postern):
    p = postern(relay(free_port(), enable_long_queue_ids="yes", **PATIENT))
    p.send("a@far.test", text="Subject: x\r\n\r\n" + "y" * 1000 + "\r\n")
    p.wait_log(r"status=deferred")
    e = wait_until(lambda: (found := listing(p)) and found[0]["queue_name"] == "deferred" and found[0], what="deferred message")
    assert list(e) == ["queue_name", "queue_id", "arrival_time", "message_size", "forced_expire", "sender", "recipients"]
    assert abs(e["arrival_time"] - time.time()) < 60 and 1000 < e["message_size"] < 2000 and e["forced_expire"] is False
    assert re.fullmatch(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+", e["queue_id"])
    (r,) = e["recipients"]
    assert list(r) == ["orig_address", "address", "delay_reason"] and "Connection refused" in r["delay_reason"]
    lines = p.run("postqueue", "-p").stdout.splitlines()
    assert lines[0] == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"


@pytest.mark.parametrize("args", [[], ["-f", "-p"], ["-p", "more"], ["-x"]])
def test_postqueue_usage(postern, args):
    r = postern(start=False).run("postqueue", *args)
    assert r.returncode == 69 and r.stderr.endswith("fatal: usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site\n")


def test_flush_when_down(postern):
    r = postern(start=False).run("postqueue", "-f")
    assert r.returncode == 69 and r.stderr == "postqueue: fatal: Cannot flush mail queue - mail system is down\n"


# ---- postsuper ----

def test_hold_release_delete(postern):
    p = deferred_three(postern)
    a, b, c = ids(p)
    r = p.run("postsuper", "-h", a, check=True)
    assert r.stderr == f"postsuper: {a}: placed on hold\npostsuper: Placed on hold: 1 message\n"
    assert ids(p, "hold") == [a] and ids(p) == [b, c]
    p.run("postqueue", "-f")
    p.wait_log(rf"{b}: .*status=deferred", count=2)
    assert len(re.findall(rf"{a}: to=", p.logs())) == 1
    assert p.run("postsuper", "-H", a).stderr == f"postsuper: {a}: released from hold\npostsuper: Released from hold: 1 message\n"
    p.wait_log(rf"{a}: to=.*status=deferred", count=2)
    r = p.run("postsuper", "-d", "-", input=f"{a}\nNOSUCH\n{b}\n", check=True)
    assert r.stderr == f"postsuper: {a}: removed\npostsuper: {b}: removed\npostsuper: Deleted: 2 messages\n"
    wait_until(lambda: [e["queue_id"] for e in listing(p)] == [c], what="one message")
    assert p.run("postsuper", "-d", "ALL", "hold").stderr == "postsuper: Deleted: 0 messages\n"
    assert p.run("postsuper", "-d", "ALL").stderr == "postsuper: Deleted: 1 message\n"
    for option, said in (("-r", "Requeued"), ("-d", "Deleted"), ("-h", "Placed on hold"), ("-H", "Released from hold"), ("-e", "Force-expired"), ("-f", "Force-expired")):
        r = p.run("postsuper", option, "NOSUCH")
        assert (r.returncode, r.stderr) == (0, f"postsuper: {said}: 0 messages\n")
    wait_until(lambda: listing(p) == [], what="no message")
    p.wait_queue(0, "defer")


def test_expire(postern):
    p = deferred_three(postern)
    a, b, c = ids(p)
    assert p.run("postsuper", "-e", a).stderr == f"postsuper: {a}: expired\npostsuper: Force-expired: 1 message\n"
    p.wait_log(rf"{a}: from=<sender@example\.test>, status=force-expired, returned to sender")
    p.wait_log(rf"{a}: removed")
    p.run("postsuper", "-h", b)
    assert p.run("postsuper", "-e", b).returncode == 0
    assert [e["forced_expire"] for e in listing(p) if e["queue_id"] == b] == [True]
    assert re.search(rf"^{b}!# ", p.run("postqueue", "-p").stdout, re.M)
    r = p.run("postsuper", "-f", b)
    assert "Force-expired: 1 message" in r.stderr and "Released from hold: 1 message" in r.stderr
    p.wait_log(rf"{b}: from=<sender@example\.test>, status=force-expired")


def test_requeue(postern, sink):
    port = free_port()
    p = postern(relay(port, **PATIENT))
    p.send("u@far.test")
    p.wait_log(r"status=deferred")
    (a,) = wait_until(lambda: ids(p), what="deferred file")
    s = sink(port=port)
    assert p.run("postsuper", "-r", a).stderr == f"postsuper: {a}: requeued\npostsuper: Requeued: 1 message\n"
    p.wait_log(rf"pickup\[\d+\]: [0-9A-F]+: uid=\d+ from=<sender@example\.test> orig_id={a}")
    p.wait_log(r"status=sent")
    assert s.got == ["u@far.test"], p.logs()


def test_delete_while_being_delivered(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port))
    p.send("a@far.test")
    in_delivery(s)
    (a,) = [e["queue_id"] for e in listing(p)]
    assert "Deleted: 1 message" in p.run("postsuper", "-d", a).stderr
    s.gate.set()
    p.wait_log(r"status=sent")
    p.send("b@far.test")
    p.wait_log(r"to=<b@far\.test>.*status=sent")
    p.wait_queue(0)


def test_hold_while_being_delivered(postern, sink):
    s = sink(gate=True, reply=b"450 4.0.0 later\r\n")
    p = postern(relay(s.port, **QUICK))
    p.send("a@far.test")
    in_delivery(s)
    (a,) = [e["queue_id"] for e in listing(p)]
    assert "Placed on hold: 1 message" in p.run("postsuper", "-h", a).stderr
    s.gate.set()
    p.wait_log(r"status=deferred")
    time.sleep(3)
    p.wait_queue(1, "hold")
    assert ids(p, "hold") == [a] and len(re.findall(r"status=deferred", p.logs())) == 1


def test_structure_is_repaired(postern):
    p = deferred_three(postern)
    before = ids(p)
    p.stop()
    for qid in before:  # as a copy of the queue would be: other inodes; and not hashed
        old = f"{p.spool}/deferred/{qid[0]}/{qid}"
        subprocess.run(["cp", "-p", old, f"{p.spool}/deferred/{qid}"], check=True)
        os.unlink(old)
        os.rename(f"{p.spool}/defer/{qid[0]}/{qid}", f"{p.spool}/defer/{qid}")
    os.makedirs(f"{p.spool}/hold/A/B")
    if os.getuid() == 0:
        for d in ("hold/A", "hold/A/B"):
            os.chown(f"{p.spool}/{d}", os.stat(p.data).st_uid, -1)
    r = p.run("postsuper", check=True)
    assert "Renamed to match inode number: 3 messages" in r.stderr, r.stderr
    assert "remove directory hold/A" in r.stderr
    assert not os.path.exists(f"{p.spool}/hold/A")
    after = ids(p)
    assert len(after) == 3 and not set(after) & set(before)
    for qid in after:
        assert int(qid[5:], 16) == os.stat(f"{p.spool}/deferred/{qid[0]}/{qid}").st_ino
        assert os.path.exists(f"{p.spool}/defer/{qid[0]}/{qid}")
    assert p.run("postsuper").stderr == ""


def test_left_over_files_are_purged(postern):
    p = postern(start=False)
    p.run("postfix", "-c", p.etc, "check")
    for name, age in (("old.1", 2 * 86400), ("new.1", 60)):
        path = f"{p.spool}/incoming/{name}"
        open(path, "w").close()
        os.chmod(path, 0o600)
        os.utime(path, (time.time() - age,) * 2)
    r = p.run("postsuper", "-p", check=True)
    assert r.stderr == "postsuper: removed file incoming/old.1\n"
    assert os.listdir(f"{p.spool}/incoming") == ["new.1"]


def test_postsuper_refuses(postern):
    p = postern(start=False)
    assert p.run("postsuper", "-c", "etc").stderr == "postsuper: fatal: -c requires absolute pathname\n"
    assert p.run("postsuper", "nosuchqueue").returncode == 1


# ---- odd jobs ----

def test_content_filter(postern, sink):
    s = sink()
    p = postern({"default_transport": "discard:", "content_filter": f"smtp:[127.0.0.1]:{s.port}"})
    p.send(["a@one.test", "b@two.test"])
    p.wait_log(r": removed")
    assert sorted(s.got) == ["a@one.test", "b@two.test"] and s.transactions == [2]


def test_mail_to_double_bounce_vanishes(postern):
    p = postern()
    p.send("double-bounce@example.test", sender="")
    p.wait_log(r"to=<double-bounce@example\.test>, relay=none, .*dsn=2\.0\.0, status=sent \(undeliverable postmaster notification discarded\)")
    p.wait_log(r": removed")


def record(kind, text=b""):
    if isinstance(text, str):
        text = text.encode()
    n, head = len(text), kind.encode()
    while True:
        head += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return head + text


def test_file_of_postfix_is_delivered(postern):
    """As real Postfix 3.12 leaves it in deferred/, with a recipient that is done and one that is not."""
    p = postern({"default_transport": "discard:"}, start=False)
    p.run("postfix", "-c", p.etc, "check")
    envelope = record("T", "1795257429 579204") + record("A", "create_time=%d" % time.time()) + record("A", "rewrite_context=remote")
    envelope += record("S", "s@x.test") + record("A", "log_client_name=localhost") + record("A", "client_address_type=2")
    envelope += record("A", "dsn_orig_rcpt=rfc822;a@b.test") + record("O", "a@b.test") + record("R", "a@b.test")
    envelope += record("O", "c@d.test") + record("D", "c@d.test") + record("p", "%15d" % 0) + record("M")
    content = record("N", "Subject: hello") + record("N") + record("N", "body")
    size = record("C", "%15d %15d %15d %15d %15d %15d" % (len(content), 97 + len(envelope), 2, 0, len(content), 0))
    path = f"{p.spool}/deferred/8/8D684A76994"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(size + envelope + content + record("X") + record("A", "message_id=<1@x>") + record("E"))
    os.chmod(path, 0o700)
    os.utime(path, (time.time() - 5,) * 2)
    if os.getuid() == 0:
        for x in (path, os.path.dirname(path)):
            os.chown(x, os.stat(p.data).st_uid, -1)
    p.start()
    p.wait_log(r"8D684A76994: from=<s@x\.test>, size=%d, nrcpt=1 \(queue active\)" % len(content))
    p.wait_log(r"8D684A76994: to=<a@b\.test>, relay=none, .*status=sent")
    p.wait_log(r"8D684A76994: removed")
    assert "c@d.test" not in p.logs()


def test_qmgr_that_fell_behind_finds_everything(postern):
    """It does not read while more mail arrives than its socket holds, and no further mail reminds it afterwards."""
    n = 600
    p = postern({"default_transport": "discard:", "in_flow_delay": "0", **PATIENT})
    p.send("first@far.test")
    p.wait_log(r": removed")
    qmgr = pid_of(p, "qmgr")
    os.kill(qmgr, signal.SIGSTOP)
    try:
        with p.smtp(timeout=60) as c:
            for i in range(n):
                c.sendmail("s@example.test", [f"u{i}@far.test"], "Subject: t\r\n\r\nhello\r\n")
    finally:
        os.kill(qmgr, signal.SIGCONT)
    p.wait_log(r": removed", count=n + 1)


def test_qmgr_comes_back_by_itself(postern, sink):
    s = sink(gate=True)
    p = postern(relay(s.port))
    p.send("a@far.test")
    in_delivery(s)
    os.kill(pid_of(p, "qmgr"), signal.SIGKILL)
    s.gate.set()
    p.wait_log(r": removed")
    assert s.got == ["a@far.test"]


@pytest.mark.threads
def test_taken_from_memory(postern, sink):
    """Messages that wait in qmgr for their turn are held, requeued and deleted at once."""
    s = sink(gate=True)
    p = postern(relay(s.port, smtp_destination_concurrency_limit="1", smtp_initial_destination_concurrency="1"))
    for i in range(4):
        p.send(f"u{i}@far.test")
    in_delivery(s)
    wait_until(lambda: len(listing(p)) == 4, what="four messages")
    who = {e["recipients"][0]["address"][:2]: e["queue_id"] for e in listing(p)}
    assert "not requeued: it is being delivered" in p.run("postsuper", "-r", who["u0"]).stderr
    p.run("postsuper", "-d", who["u1"], "-h", who["u2"], check=True)
    assert "Requeued: 1 message" in p.run("postsuper", "-r", who["u3"]).stderr
    s.gate.set()
    p.wait_log(r"status=sent", count=2)
    p.run("postsuper", "-H", who["u2"])
    p.wait_log(r"status=sent", count=3)
    assert sorted(s.got) == ["u0@far.test", "u2@far.test", "u3@far.test"]
    wait_until(lambda: not p.queue_files(), what="empty queue")


def test_redirect(postern):
    p = postern({"default_transport": "discard:",
                 "smtpd_recipient_restrictions": "check_recipient_access inline:{ { a@far.test = REDIRECT z@other.test } }"})
    p.send(["a@far.test", "b@far.test"])
    p.wait_log(r": removed")
    assert re.findall(r"discard\[\d+\]: [0-9A-F]+: to=<(.*?)>", p.logs()) == ["z@other.test"]


def test_expire_while_stopped(postern):
    p = deferred_three(postern)
    a = ids(p)[0]
    p.stop()
    assert "Force-expired: 1 message" in p.run("postsuper", "-e", a).stderr
    p.start()
    p.wait_log(rf"{a}: from=<sender@example\.test>, status=force-expired, returned to sender")
    p.wait_log(rf"{a}: removed")


def test_dont_remove(postern):
    p = postern({"default_transport": "discard:", "dont_remove": "1"})
    p.send("u@far.test")
    p.wait_log(r": removed")
    assert len(os.listdir(f"{p.spool}/saved")) == 1
