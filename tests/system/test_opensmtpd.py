"""opensmtpd(8): the mail system run from an smtpd.conf. Tests name the features of the specification (F1 ...) and its
vectors (S001 ...)."""
import base64
import glob
import os
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time

import pytest

from conftest import SLOW, TOP, Instance, Raw, alive, descendants, free_port, wait_until

ME = pwd.getpwuid(os.getuid()).pw_name
IS_ROOT = os.getuid() == 0


class Site(Instance):
    """An instance whose configuration comes from an smtpd.conf; the installation's main.cf says only where things are."""

    def __init__(self, directory, prefix):
        super().__init__(directory, prefix)
        keep = ("compatibility_level", "queue_directory", "data_directory", "daemon_directory", "command_directory",
                "maillog_file", "maillog_file_prefixes", "sendmail_path", "meta_directory", "import_environment", "mail_owner",
                "setgid_group", "inet_protocols", "smtp_dns_support_level", "smtp_host_lookup", "in_flow_delay")
        self.main = {k: v for k, v in self.main.items() if k in keep}
        self.main["mail_spool_directory"] = self.mail
        self.main["minimal_backoff_time"] = self.main["queue_run_delay"] = "1s"
        self.main["maximal_backoff_time"] = "2s"
        self.write_config()
        self.base = self.etc
        self.conf = f"{self.dir}/smtpd.conf"
        self.foreground = None

    def write(self, text):
        with open(self.conf, "w") as f:
            f.write(text)

    def smtpd(self, *args, **kw):
        kw.setdefault("capture_output", True)
        return subprocess.run([f"{self.prefix}/sbin/opensmtpd", "-f", self.conf, *args],
                              env={**os.environ, "MAIL_CONFIG": self.base, "LANG": "C"}, text=True, timeout=60 * SLOW, **kw)

    def start(self, *args):
        with open(f"{self.dir}/start.out", "w") as out:
            r = self.smtpd(*args, capture_output=False, stdout=out, stderr=subprocess.STDOUT)
        self.output = open(f"{self.dir}/start.out").read()
        assert r.returncode == 0, self.output + self.logs()
        self.etc = f"{self.data}/smtpd.d"
        return self

    def stop(self):
        if self.foreground and self.foreground.poll() is None:
            self.foreground.send_signal(signal.SIGTERM)
            self.foreground.wait(20 * SLOW)
        return super().stop()


@pytest.fixture
def site(prefix):
    made = []

    def make(text, *args, start=True):
        top = tempfile.mkdtemp(prefix="ps-", dir="/tmp")
        os.chmod(top, 0o755)
        s = Site(f"{top}/i", prefix)
        made.append((s, top))
        s.write(text.format(port=s.port, dir=s.dir, mail=s.mail, me=ME))
        return s.start(*args) if start else s
    yield make
    for s, top in made:
        s.stop()
        left = s.processes()
        shutil.rmtree(top, ignore_errors=True)
        assert not left, f"processes left: {left}"


def say(s, *commands, port=None):
    """Replies of a session, one for each command."""
    with Raw(port or s.port) as c:
        return [c.greeting] + [c.cmd(x) for x in commands]


def rcpt(s, to, sender="a@x.test", port=None, helo="EHLO c.test"):
    return say(s, helo, f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", port=port)[-1]


def box(s, name, count=1):
    """Messages in the maildir below the instance's mail directory."""
    pattern = f"{s.mail}/{name}/new/*"
    try:
        return wait_until(lambda: len(m := sorted(glob.glob(pattern))) >= count and m)
    except AssertionError:
        raise AssertionError(f"{pattern}: {glob.glob(pattern)}\n{s.logs()[-4000:]}") from None


USER = "nobody" if IS_ROOT else ME
MAILDIR = f"""
listen on 127.0.0.1 port {{port}}
action "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}
match from any for local action "l"
"""


def send(s, to, sender="a@x.test", text="Subject: t\r\n\r\nhello\r\n", port=None):
    with smtplib.SMTP("127.0.0.1", port or s.port, local_hostname="client.test", timeout=20 * SLOW) as c:
        return c.sendmail(sender, [to], text)


# ---- check only ----

def test_F13_S082_check_only(site):
    s = site("listen on 127.0.0.1 port {port}\nmatch from any for any reject\n", start=False)
    r = s.smtpd("-n")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "configuration OK\n")
    assert not os.path.exists(f"{s.data}/smtpd.d") and not s.processes()


def test_F13_errors_name_file_and_line(site):
    s = site("listen on 127.0.0.1 port 99999\n\nmatch for local action x\nmatch fo\n", start=False)
    r = s.smtpd("-n")
    assert r.returncode == 1
    assert r.stderr.splitlines() == [f"{s.conf}:1: invalid port: 99999", f"{s.conf}:3: no such dispatcher: x",
                                     f"{s.conf}:4: syntax error"]


def test_first_end_to_end_F1_F6_F21(site):
    s = site(MAILDIR)
    send(s, "ann@localhost")
    assert "hello" in open(box(s, "ann")[0]).read()
