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


THREE = [f"{user}@example.test" for user in (USER, "bin", "games")]


def rows(p):
    """Envelopes of show queue: recipient -> (number, flags, attempts)."""
    return {f[5]: (f[0], f[3], f[10]) for f in (line.split("|") for line in p.run("smtpctl", "show", "queue", check=True).stdout.splitlines())}


def split_up(p):
    """Of three recipients one is put on hold and one tried alone: three queue files, with notes behind their ends."""
    before = rows(p)
    assert sorted(before) == sorted(THREE)
    assert p.run("smtpctl", "pause", "envelope", before[THREE[1]][0], check=True).stdout == "1 envelope paused\n"
    assert p.run("smtpctl", "schedule", before[THREE[2]][0], check=True).stdout == "1 envelope scheduled\n"
    wait_until(lambda: rows(p)[THREE[2]][2] == str(int(before[THREE[2]][2]) + 1), what=p.logs()[-3000:])
    assert {r: n for r, (n, _, _) in rows(p).items()} == {r: n for r, (n, _, _) in before.items()}
    assert len(p.queue_files("hold", "deferred")) == 3


def test_postfix_delivers_what_smtpctl_split_up(postern, postfix):
    p, real = postern(LATER), postfix(start=False)
    p.run("sendmail", "-f", "s@example.test", *THREE, input="Subject: split\n\n" + "long " * 300 + "\n", check=True)
    wait_until(lambda: len(p.queue_files("deferred")) == 1 and not p.queue_files("incoming"))
    split_up(p)
    hand_over(p, real)
    real.start()
    for path in real.queue_files("hold", "deferred"):
        text = real.run("postcat", path, check=True).stdout
        assert "Subject: split" in text and "attempts" not in text.split("*** HEADER EXTRACTED")[-1]
    real.run("postsuper", "-H", "ALL", check=True)
    real.run("postqueue", "-f", check=True)
    for address in THREE:
        (path,) = real.wait_mail(address.split("@")[0])
        assert "long " * 300 in open(path).read()
    real.wait_empty()
    assert "corrupt" not in real.logs() and not os.path.isdir(f"{real.spool}/corrupt") or not os.listdir(f"{real.spool}/corrupt")


def test_smtpctl_splits_up_what_postfix_queued(postern, postfix):
    real, p = postfix(LATER), postern(LATER, start=False)
    real.run("sendmail", "-f", "s@example.test", *THREE, input="Subject: queued\n\nhi\n", check=True)
    real.wait_log("status=deferred", count=3)
    wait_until(lambda: len(real.queue_files("deferred")) == 1 and not real.queue_files("incoming", "active"))
    hand_over(real, p)
    p.start()
    assert {a for _, _, a in rows(p).values()} == {"1"}  # by Postfix, which does not count
    split_up(p)
    del p.main["transport_maps"]
    p.write_config()
    p.reload()
    p.run("smtpctl", "resume", "envelope", "all", check=True)
    p.run("smtpctl", "schedule", "all", check=True)
    for address in THREE:
        p.wait_mail(address.split("@")[0])
    p.wait_empty()
