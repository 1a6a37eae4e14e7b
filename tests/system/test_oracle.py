"""Debian's own Postfix as peer: mail in both directions, and each delivers what the other has queued."""
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile

import pytest

from conftest import DEFAULT_MASTER, TOP, Instance, free_port, wait_until

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="a real Postfix runs only as root"), pytest.mark.heavy]
USER = "daemon"


@pytest.fixture(scope="session")
def oracle_root():
    for group in ("postfix", "postdrop"):
        subprocess.run(["groupadd", "-f", "--system", group], check=True)
    with contextlib.suppress(KeyError):
        pwd.getpwnam("postfix")
        return _unpack()
    subprocess.run(["useradd", "--system", "-g", "postfix", "-M", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "postfix"], check=True)
    return _unpack()


def _unpack():
    where = os.path.join(tempfile.gettempdir(), "postern-oracle")
    subprocess.run([f"{TOP}/tests/postfix-oracle", where], check=True, stdout=subprocess.DEVNULL)
    return where


class Oracle(Instance):
    def __init__(self, directory, root, main=None, **kw):
        self.root = root
        super().__init__(directory, root, main, **kw)

    def write_config(self):
        self.main.update(daemon_directory=f"{self.root}/usr/lib/postfix/sbin", command_directory=f"{self.root}/usr/sbin",
                         shlib_directory=f"{self.root}/usr/lib/postfix", meta_directory=f"{self.root}/etc/postfix",
                         sendmail_path=f"{self.root}/usr/sbin/sendmail", mail_owner="postfix", setgid_group="postdrop",
                         compatibility_level="3.6")
        self.main["export_environment"] = "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH"
        self.main["import_environment"] = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH"
        shutil.chown(self.data, "postfix")
        open(self.log, "a").close()
        shutil.chown(self.log, "postfix")
        super().write_config()

    def run(self, program, *args, check=False, **kw):
        path = next(p for d in ("usr/sbin", "usr/bin", "usr/lib/postfix/sbin") if os.path.exists(p := f"{self.root}/{d}/{program}"))
        kw = {"timeout": 60, "capture_output": True, "text": True, **kw}
        env = {**os.environ, "MAIL_CONFIG": self.etc, "LANG": "C", "LD_LIBRARY_PATH": f"{self.root}/usr/lib/postfix"}
        r = subprocess.run([path, *args], env=env, **kw)
        assert not check or r.returncode == 0, f"{program}: {r}"
        return r


@pytest.fixture
def postfix(request):
    if os.getuid() != 0:
        pytest.skip("a real Postfix runs only as root")
    oracle_root = request.getfixturevalue("oracle_root")
    made = []

    def make(main=None, start=True, **kw):
        top = tempfile.mkdtemp(prefix="po-", dir="/tmp")
        os.chmod(top, 0o755)
        inst = Oracle(f"{top}/i", oracle_root, main, **kw)
        made.append((inst, top))
        return inst.start() if start else inst
    yield make
    for inst, top in made:
        inst.stop()
        shutil.rmtree(top, ignore_errors=True)


def test_relay_to_postfix(postern, postfix):
    real = postfix()
    p = postern({"relayhost": f"[127.0.0.1]:{real.port}", "mydestination": ""})
    p.send(f"{USER}@example.test", text="Subject: to the real one\r\n\r\n.dot\r\n")
    assert "Subject: to the real one" in open(real.wait_mail(USER)[0]).read()
    p.wait_empty()


def test_relay_from_postfix(postern, postfix):
    p = postern()
    real = postfix({"relayhost": f"[127.0.0.1]:{p.port}", "mydestination": ""})
    real.send(f"{USER}@example.test", text="Subject: from the real one\r\n\r\n.dot\r\n")
    assert "Subject: from the real one" in open(p.wait_mail(USER)[0]).read()
    wait_until(lambda: not real.queue_files("incoming", "active", "deferred"))


def hand_over(giver, taker):
    """taker takes giver's spool as its own."""
    giver.stop()
    shutil.rmtree(taker.spool)
    shutil.copytree(giver.spool, taker.spool, ignore=shutil.ignore_patterns("private", "public", "pid", "submit"))
    owner = taker.main.get("mail_owner")
    for d, _, files in os.walk(taker.spool):
        for f in files:
            shutil.copystat(f"{giver.spool}/{os.path.relpath(d, taker.spool)}/{f}", f"{d}/{f}")
            os.chown(f"{d}/{f}", pwd.getpwnam(owner).pw_uid, -1)
        if d != taker.spool:
            os.chown(d, pwd.getpwnam(owner).pw_uid, -1)


def fill(inst):
    inst.run("sendmail", "-f", "s@example.test", "-F", "Full Name", "-N", "never", f"{USER}@example.test", input="Subject: queued\n\nhi\n" + "long " * 1000 + "\n", check=True)
    inst.wait_log("status=deferred")


LATER = {"transport_maps": "inline:{ example.test=retry:4.3.0_later }"}


def test_postern_delivers_what_postfix_queued(postern, postfix):
    real, p = postfix(LATER), postern(start=False)
    fill(real)
    hand_over(real, p)
    p.start()
    p.run("postqueue", "-f", check=True)
    text = open(p.wait_mail(USER)[0]).read()
    assert "Subject: queued" in text and "long " * 1000 in text


def test_postfix_delivers_what_postern_queued(postern, postfix):
    p, real = postern(LATER), postfix(start=False)
    fill(p)
    hand_over(p, real)
    real.start()
    real.run("postqueue", "-f", check=True)
    text = open(real.wait_mail(USER)[0]).read()
    assert "Subject: queued" in text and "long " * 1000 in text
    wait_until(lambda: not real.queue_files("incoming", "active", "deferred"))
