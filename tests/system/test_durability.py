"""What was acknowledged is delivered, whatever is killed; trouble with disk, tables or services gives 4xx, never loss."""
import contextlib
import os
import random
import re
import signal
import smtplib
import subprocess
import threading
import time

import pytest

from conftest import SLOW, wait_until

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name
needs_root = pytest.mark.skipif(not ROOT, reason="mounts a small file system")


class Load(threading.Thread):
    """Sends numbered messages until told to stop; remembers which were acknowledged."""

    def __init__(self, inst, name):
        super().__init__(daemon=True)
        self.inst, self.name, self.acked, self.stop = inst, name, set(), False

    def run(self):
        n = 0
        while not self.stop:
            try:
                with smtplib.SMTP("127.0.0.1", self.inst.port, "load.test", timeout=60 * SLOW) as s:
                    while not self.stop:
                        n += 1
                        key = f"{self.name}-{n}"
                        s.sendmail("s@example.test", [f"{USER}@example.test"], f"Subject: {key}\r\n\r\n" + f"line of {key}\r\n" * 40 + "end\r\n")
                        self.acked.add(key)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)


def delivered(inst):
    found = {}
    for path in inst.mails(USER):
        text = open(path, errors="replace").read()
        key = re.search(r"^Subject: (\S+)$", text, re.M).group(1)
        assert text.count(f"line of {key}\n") == 40 and text.endswith("end\n"), f"damaged: {path}"
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.heavy
def test_kill_9_at_random_moments(postern):
    p = postern({"smtpd_client_connection_count_limit": "0"})
    loads = [Load(p, f"c{i}") for i in range(8)]
    rnd = random.Random(os.environ.get("POSTERN_SEED", "7"))
    for load in loads:
        load.start()
    for round_ in range(10):
        time.sleep(rnd.uniform(0.2, 0.8))
        family = p.processes()
        if round_ % 3 == 2:
            p.kill9()
            p.start()
        else:  # one service at a time: master goes on
            victims = [x for x in family[1:]]
            with contextlib.suppress(OSError, IndexError):
                os.kill(rnd.choice(victims), signal.SIGKILL)
    wait_until(lambda: sum(len(load.acked) for load in loads) > 50, what="enough mail")
    for load in loads:
        load.stop = True
    for load in loads:
        load.join(60 * SLOW)
    acked = set().union(*(load.acked for load in loads))
    p.kill9()
    p.start()
    p.run("postqueue", "-f")
    try:
        wait_until(lambda: not p.queue_files("incoming", "active", "deferred", "maildrop") or acked <= set(delivered(p)))
    except AssertionError:
        pass
    missing = acked - set(delivered(p))
    assert not missing, f"{len(missing)} of {len(acked)} acknowledged messages are lost, e.g. {sorted(missing)[:5]}\n{p.logs()[-3000:]}"


def test_sendmail_exit_0_survives_kill(postern):
    p = postern()
    for i in range(20):
        p.run("sendmail", "-f", "s@example.test", f"{USER}@example.test", check=True,
              input=f"Subject: k-{i}\n\n" + f"line of k-{i}\n" * 40 + "end\n")
        if i % 7 == 3:
            p.kill9()
    if not p.master_pid():
        p.start()
    wait_until(lambda: len(delivered(p)) == 20, what=f"20 messages\n{p.logs()[-3000:]}")


@pytest.mark.threads
def test_reload_under_load_loses_no_session(postern):
    p = postern({"smtpd_client_connection_count_limit": "0"})
    with p.raw() as quiet:
        quiet.cmd("EHLO quiet.test")
        stop, failures, sent = threading.Event(), [], []

        def client(n):
            try:
                with smtplib.SMTP("127.0.0.1", p.port, "load.test", timeout=60 * SLOW) as s:
                    while not stop.is_set():
                        s.sendmail("s@example.test", [f"{USER}@example.test"], f"Subject: r\r\n\r\nx{n}\r\n")
                        sent.append(n)
            except Exception as e:  # noqa: BLE001 - any failure is what the test looks for
                failures.append(repr(e))
        threads = [threading.Thread(target=client, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        for _ in range(3):
            time.sleep(0.4)
            p.reload()
        time.sleep(0.4)
        stop.set()
        for t in threads:
            t.join(60 * SLOW)
        assert not failures, f"{failures}\n{p.logs()[-3000:]}"
        assert quiet.cmd("NOOP").startswith("250")
    p.wait_mail(USER, len(sent))
    p.wait_empty()


@needs_root
def test_disk_full_answers_4xx(postern, tmp_path):
    p = postern(start=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", p.spool], check=True)
    try:
        p.main["message_size_limit"] = "1000000"
        p.main["relayhost"] = "[127.0.0.1]:1"  # nobody listens there
        p.write_config()
        p.start()
        replies = []
        with p.smtp() as s:
            for _ in range(8):
                try:
                    s.sendmail("s@example.test", ["u@elsewhere.test"], "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 8000)
                    replies.append(250)
                except smtplib.SMTPResponseException as e:
                    replies.append(e.smtp_code)
                except smtplib.SMTPRecipientsRefused as e:
                    replies.append(next(iter(e.recipients.values()))[0])
                with contextlib.suppress(smtplib.SMTPException):
                    s.rset()
        assert 250 in replies and 452 in replies or 451 in replies, replies
        assert not [r for r in replies if r >= 500], replies
        wait_until(lambda: len(p.queue_files("deferred")) == replies.count(250), what=f"{replies}\n{p.logs()[-2000:]}")
    finally:
        p.stop()
        subprocess.run(["umount", "-l", p.spool], check=True)


def test_unreadable_table_answers_4xx(postern):
    p = postern(start=False)
    p.main["virtual_alias_maps"] = f"lmdb:{p.etc}/no-such-table"
    p.write_config()
    p.start()
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@example.test>")
        assert c.cmd(f"RCPT TO:<{USER}@example.test>").startswith("451 4.3.0 <")
    p.wait_log(r"warning: .*lmdb:.*no-such-table.*")
    r = p.run("sendmail", "-f", "s@example.test", f"{USER}@example.test", input="Subject: x\n\nx\n")
    assert r.returncode == 0 or r.returncode == 75
    assert not p.mails(USER)


def test_missing_agent_defers(postern):
    p = postern(master_extra="nosuch unix - - n - - discard\n")
    p.main["default_transport"] = "absent:"
    p.write_config()
    p.reload()
    p.run("sendmail", "-f", "s@example.test", "u@elsewhere.test", input="Subject: x\n\nx\n", check=True)
    p.wait_log(r"status=deferred \(mail transport unavailable\)")
    p.wait_queue(1, "deferred")
