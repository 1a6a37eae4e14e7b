"""daemon_timeout: a process that does not get ahead ends, and another takes its place."""
import os
import re
import signal
import socketserver
import threading
import time

import pytest
from conftest import SLOW, wait_until
from test_master import USER, begin, children, finish

LIMIT = 4 * SLOW  # nobody who goes on takes this long, on a busy machine either
SIGALRM_IS_PENDING = 1 << signal.SIGALRM - 1


class Mute(socketserver.ThreadingTCPServer):
    """A policy server that takes requests and never answers."""
    daemon_threads = True

    def __init__(self):
        self.over = over = threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                over.wait()

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()


def test_session_that_is_stuck(postern):
    with Mute() as server:
        p = postern({"daemon_timeout": f"{LIMIT}s", "smtpd_policy_service_timeout": "1000s",
                     "smtpd_restriction_classes": "asks",
                     "asks": f"check_policy_service inet:127.0.0.1:{server.server_address[1]}",
                     "smtpd_recipient_restrictions": "check_recipient_access inline:{ stuck@example.test=asks }, permit_mynetworks, reject"})
        stuck = p.raw()
        first = children(p, "smtpd")
        assert stuck.cmd("EHLO c.test").startswith("250") and stuck.cmd("MAIL FROM:<s@example.test>").startswith("250")
        stuck.send("RCPT TO:<stuck@example.test>\r\n")
        p.wait_log(rf"smtpd\[{first[0]}\]: fatal: watchdog timeout")
        with p.raw() as next_one:
            begin(next_one)
            finish(next_one)
    assert children(p, "smtpd") != first
    p.wait_mail(USER, count=1)


def test_idle_client_is_no_reason(postern):
    p = postern({"daemon_timeout": f"{LIMIT}s"})
    c = p.raw()
    begin(c)
    time.sleep(1.5 * LIMIT)
    finish(c)
    p.wait_mail(USER, count=1)
    assert not re.search("watchdog", p.logs())


def pending(pid):
    return int(re.search(r"^ShdPnd:\s*(\w+)", open(f"/proc/{pid}/status").read(), re.M)[1], 16)


@pytest.mark.parametrize("program,parameter", [("qmgr", "qmgr_daemon_timeout"), ("smtpd", "daemon_timeout")])
def test_process_that_is_stuck(postern, program, parameter):
    p = postern({parameter: f"{LIMIT}s"})
    with p.raw() as c:
        begin(c)
        pid = children(p, program)[0]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: pending(pid) & SIGALRM_IS_PENDING, what="the alarm")
        os.kill(pid, signal.SIGCONT)
        p.wait_log(rf"{program}\[{pid}\]: fatal: watchdog timeout")
    with p.raw() as c:
        begin(c)
        finish(c)
    p.wait_mail(USER, count=1)
