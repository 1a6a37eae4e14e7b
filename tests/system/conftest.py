"""System tests: each starts a private instance of the built suite on loopback and talks to it.

Fixtures: `postern` makes instances (stopped and removed afterwards). Environment: POSTERN_BUILD (default build) says
which build directory is tested; it is installed once per test run into a private prefix.
"""
import contextlib
import fcntl
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("POSTERN_BUILD", "build"))
SLOW = 6 if os.environ.get("POSTERN_SLOW") else 1  # sanitizer builds: more patience, never less checking
os.environ["PATH"] += ":/usr/sbin:/sbin"  # servers and tools that an ordinary user does not look for

DEFAULT_MAIN = {
    "compatibility_level": "3.11",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "myhostname": "mx.example.test",
    "mydomain": "example.test",
    "mydestination": "$myhostname, example.test, localhost",
    "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "biff": "no",
    "smtp_dns_support_level": "disabled",
    "smtp_host_lookup": "native",
    "maillog_file_prefixes": "/",
    "in_flow_delay": "0",
}

DEFAULT_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd {smtpd_args}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
smtpctl unix n - n - 1 control
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


# Below the ports that the kernel gives to clients, so that nobody else comes by one before it is used, or once it is not used any more;
# test processes that run side by side have ranges of their own.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
PORTS = range(10000 + _worker * 2750, 10000 + (_worker + 1) * 2750)
_port = os.getpid() * 397 % len(PORTS)


def free_port():
    global _port
    while True:
        _port = (_port + 1) % len(PORTS)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", PORTS[_port]))
            return PORTS[_port]


def reachable(path):
    """pytest's own directories are private: let services that are somebody else through, and leave /tmp alone."""
    for d in (str(path), *map(str, pathlib.Path(path).parents)):
        if d.startswith(tempfile.gettempdir() + "/") and os.stat(d).st_uid == os.getuid():
            os.chmod(d, 0o755)
    return path


def alive(pid):
    """Runs, and is no zombie that waits for whoever reaps orphans here."""
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid):
    kids, out = {}, []
    for p in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = open(p).read().rsplit(")", 1)[1].split()
            kids.setdefault(int(fields[1]), []).append(int(p.split("/")[2]))
    todo = [pid] if pid else []  # everything descends from 0
    while todo:
        for k in kids.get(todo.pop(), []):
            out.append(k)
            todo.append(k)
    return out


def sockets_of(pid):
    """Inodes; none when the process has ended or is somebody else's."""
    out = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                out.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {name for name in out if name.startswith("socket:")}


def wait_until(test, timeout=60, what="condition"):
    """The value of test() as soon as there is one. Patience costs nothing where the fact comes: give no shorter timeout."""
    end = time.time() + timeout * SLOW
    while time.time() < end:
        value = test()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"{what}: not within {timeout * SLOW} s")


def listens(where):
    """Whether somebody listens on a port or a UNIX socket. Looked up, so that no session is spent; a socket is there before it listens."""
    if isinstance(where, int):
        return any(f":{where:04X} " in line and " 0A " in line for line in open("/proc/net/tcp"))
    return any(f[3] == "00010000" and f[7:] == [where] for f in map(str.split, open("/proc/net/unix")))


class Logging:
    """Somebody who writes into the file self.log."""

    def logs(self):
        try:
            return open(self.log, errors="replace").read()
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=60, count=1):
        rx = re.compile(pattern)

        def hits():
            found = [line for line in self.logs().splitlines() if rx.search(line)]
            return found if len(found) >= count else None
        try:
            return wait_until(hits, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"the log never showed {count} x {pattern!r}:\n{self.logs()[-5000:]}") from None


class Instance(Logging):
    """One private running mail system. main: main.cf settings beside DEFAULT_MAIN; master_extra: more master.cf lines."""

    def __init__(self, directory, prefix, main=None, master=None, master_extra="", smtpd_args=""):
        self.dir, self.prefix = str(directory), prefix
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.etc, self.spool, self.data = (f"{self.dir}/{d}" for d in ("etc", "spool", "data"))
        self.log, self.mail = f"{self.dir}/maillog", f"{self.dir}/mail"
        for d in (self.etc, self.spool, self.data, self.mail):
            os.makedirs(d)
        os.chmod(self.mail, 0o1777)
        self.main = {
            **DEFAULT_MAIN,
            "queue_directory": self.spool, "data_directory": self.data, "mail_spool_directory": self.mail + "/",
            "daemon_directory": f"{prefix}/libexec", "command_directory": f"{prefix}/sbin",
            "maillog_file": self.log, "sendmail_path": f"{prefix}/sbin/sendmail", "meta_directory": f"{prefix}/etc",
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS",
        }
        if os.getuid() == 0:
            self.main.update(mail_owner="postern", setgid_group="posternd")
            shutil.chown(self.data, "postern")
        self.main.update(main or {})
        self.master = (master or DEFAULT_MASTER).format(port=self.port, smtpd_args=smtpd_args) + master_extra
        self.write_config()

    def write_config(self):
        with open(f"{self.etc}/main.cf", "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in self.main.items())
        with open(f"{self.etc}/master.cf", "w") as f:
            f.write(self.master)
        for name in ("main.cf", "master.cf"):
            os.utime(f"{self.etc}/{name}", (time.time() - 60,) * 2)

    def run(self, program, *args, check=False, **kw):
        path = next(p for d in ("sbin", "bin", "libexec") if os.path.exists(p := f"{self.prefix}/{d}/{program}"))
        kw.setdefault("timeout", 60 * SLOW)
        kw.setdefault("capture_output", True)
        kw.setdefault("text", True)
        r = subprocess.run([path, *args], env={**os.environ, "MAIL_CONFIG": self.etc, "LANG": "C"}, **kw)
        if check and r.returncode:
            raise AssertionError(f"{program} {args}: status {r.returncode}\n{r.stdout}\n{r.stderr}\n{self.logs()[-3000:]}")
        return r

    def start(self):
        self.launch()
        self.wait_port()
        return self

    def launch(self):
        with open(f"{self.dir}/start.out", "w") as out:
            r = self.run("postfix", "-c", self.etc, "start", capture_output=False, stdout=out, stderr=subprocess.STDOUT)
        if r.returncode:
            raise AssertionError("start failed:\n" + open(f"{self.dir}/start.out").read() + self.logs())

    def stop(self):
        pid = self.master_pid()
        family = [pid, *descendants(pid)] if pid else []
        r = self.run("postfix", "-c", self.etc, "stop")
        for p in family:  # end only what this instance started
            if alive(p):
                time.sleep(0.3)
                with contextlib.suppress(OSError):
                    os.kill(p, signal.SIGKILL)
        return r

    def reload(self):
        """Once none of the old processes takes anything new: they have let go of the sockets that they share with master."""
        old = self.processes()[1:]
        shared = sockets_of(self.master_pid())  # also of services that are gone afterwards
        r = self.run("postfix", "-c", self.etc, "reload", check=True)
        shared |= sockets_of(self.master_pid())
        wait_until(lambda: not any(sockets_of(pid) & shared for pid in old), what=f"old processes to let go\n{self.logs()[-3000:]}")
        return r

    def master_pid(self):
        try:
            pid = int(open(f"{self.spool}/pid/master.pid").read())
            return pid if alive(pid) else None
        except (OSError, ValueError):
            return None

    def processes(self):
        pid = self.master_pid()
        return [pid, *descendants(pid)] if pid else []

    def kill9(self):
        for p in self.processes():
            with contextlib.suppress(OSError):
                os.kill(p, signal.SIGKILL)
        wait_until(lambda: not self.master_pid(), what="end of master")

    def wait_port(self, port=None):
        def greeted():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port or self.port), 2) as s:
                s.settimeout(60 * SLOW)
                return s.recv(3)
        return wait_until(greeted, what=f"SMTP greeting\n{self.logs()[-3000:]}")

    def queue_files(self, *queues):
        out = []
        for q in queues or ("maildrop", "incoming", "active", "deferred", "hold"):
            for d, _, files in os.walk(f"{self.spool}/{q}"):
                out += [f"{d}/{f}" for f in files]
        return out

    def wait_empty(self, timeout=60):
        queues = "maildrop", "incoming", "active"  # looked at one by one: once more for what moved meanwhile
        wait_until(lambda: not self.queue_files(*queues) and not self.queue_files(*queues), timeout, f"empty queue of {self.dir}")

    def wait_queue(self, count, *queues):
        """Until so many files are in these queues: a log line comes before the file that it tells of has moved."""
        try:
            return wait_until(lambda: len(f := self.queue_files(*queues)) == count and [*f, None])[:-1]
        except AssertionError:
            raise AssertionError(f"want {count} files in {queues}, have {self.queue_files()}:\n{self.logs()[-5000:]}") from None

    def mails(self, user):
        return sorted(glob.glob(f"{self.mail}/{user}/new/*"))

    def wait_mail(self, user, count=1, timeout=60):
        try:
            return wait_until(lambda: len(m := self.mails(user)) >= count and m, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{user} has {len(self.mails(user))} messages, want {count}:\n{self.logs()[-5000:]}") from None

    def smtp(self, timeout=60):
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.test", timeout=timeout * SLOW)

    def raw(self, **kw):
        return Raw(self.port, **kw)

    def send(self, to, sender="sender@example.test", text="Subject: t\r\n\r\nhello\r\n", **kw):
        with self.smtp() as s:
            return s.sendmail(sender, [to] if isinstance(to, str) else to, text, **kw)


class Raw:
    """A byte-exact SMTP client."""

    def __init__(self, port, greet=True, timeout=60):
        self.s = socket.create_connection(("127.0.0.1", port), timeout * SLOW)
        self.buf = b""
        self.greeting = self.reply() if greet else None

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buf:
            more = self.s.recv(65536)
            if not more:
                out, self.buf = self.buf, b""
                return out
            self.buf += more
        out, self.buf = self.buf.split(b"\n", 1)
        return out + b"\n"

    def reply(self):
        lines = []
        while True:
            text = self.line().decode("latin-1")
            lines.append(text.rstrip("\r\n"))
            if len(text) < 4 or text[3] != "-":
                return "\n".join(lines)

    def cmd(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


def ensure_accounts():
    """The test accounts of a system instance; only when root."""
    if os.getuid() != 0:
        return
    for group in ("postern", "posternd"):
        subprocess.run(["groupadd", "-f", "--system", group], check=True)
    try:
        pwd.getpwnam("postern")
    except KeyError:
        subprocess.run(["useradd", "--system", "-g", "postern", "-M", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "postern"], check=True)


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    """The build under test, installed into a private prefix."""
    if os.environ.get("POSTERN_PREFIX"):
        ensure_accounts()
        yield os.environ["POSTERN_PREFIX"]
        return
    ensure_accounts()
    top = tempfile.mkdtemp(prefix="postern-", dir="/tmp")
    os.chmod(top, 0o755)
    names = dict(config_directory=f"{top}/etc", command_directory=f"{top}/sbin", daemon_directory=f"{top}/libexec",
                 data_directory=f"{top}/data", queue_directory=f"{top}/spool", sendmail_path=f"{top}/sbin/sendmail",
                 newaliases_path=f"{top}/sbin/newaliases", mailq_path=f"{top}/sbin/mailq", html_directory="no",
                 manpage_directory=f"{top}/man", meta_directory=f"{top}/etc",
                 mail_owner="postern" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name,
                 setgid_group="posternd" if os.getuid() == 0 else str(os.getgid()))
    with open(f"{BUILD}/.installing", "w") as lock:  # test processes side by side: one make at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", TOP, f"O={os.path.relpath(BUILD, TOP)}", "install", *(f"{k}={v}" for k, v in names.items())], check=True)
    yield top
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def postern(prefix, request):
    """Factory: postern(main={...}, ...) gives a started instance; start=False leaves it stopped."""
    made = []

    def make(main=None, start=True, **kw):
        top = tempfile.mkdtemp(prefix="pi-", dir="/tmp")  # short: UNIX socket paths
        os.chmod(top, 0o755)
        inst = Instance(f"{top}/i", prefix, main=main, **kw)
        made.append((inst, top))
        return inst.start() if start else inst
    yield make
    for inst, top in made:
        inst.stop()
        left = inst.processes()
        shutil.rmtree(top, ignore_errors=True)
        assert not left, f"processes left: {left}"
