"""opensmtpd(8): the mail system run from an smtpd.conf. Tests name the features of the specification (F1 ...) and its
vectors (S001 ...)."""
import base64
import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BUILD, SLOW, TOP, Instance, Raw, alive, descendants, free_port, listens, wait_until

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
            self.foreground.wait(60 * SLOW)
        with contextlib.suppress(OSError):
            if os.readlink("/var/run/smtpd.sock") == f"{self.spool}/public/smtpctl":
                os.unlink("/var/run/smtpd.sock")
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
    with smtplib.SMTP("127.0.0.1", port or s.port, local_hostname="client.test", timeout=60 * SLOW) as c:
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


# ---- a server that mail is sent to ----

class Server:
    """SMTP or LMTP; keeps each transaction as (helo, mail, [rcpt], text, login). tls: (cert, key) offers STARTTLS and AUTH PLAIN."""

    def __init__(self, tls=None, path=None, rcpt=lambda line: "250 2.1.5 Ok", wrapped=False, port=0):
        if path:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.bind(path)
            os.chmod(path, 0o777)
            self.s.listen(10)
        else:
            self.s = socket.create_server(("127.0.0.1", port))
            self.port = self.s.getsockname()[1]
        self.tls, self.rcpt, self.wrapped, self.got, self.peers = tls, rcpt, wrapped, [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, peer = self.s.accept()
            except OSError:
                return
            self.peers.append(peer)
            threading.Thread(target=self.session, args=(c,), daemon=True).start()

    def start_tls(self, c):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.tls)
        return context.wrap_socket(c, server_side=True)

    def session(self, c):
        helo = mail = login = ""
        to, secure = [], self.wrapped
        try:
            c = self.start_tls(c) if self.wrapped else c
        except OSError:
            return
        f = c.makefile("rwb")

        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        try:
            say("220 server.test")
            while line := f.readline().decode("latin-1").rstrip("\r\n"):
                verb = line[:4].upper()
                if verb in ("EHLO", "LHLO", "HELO"):
                    helo, lmtp = line[5:], verb == "LHLO"
                    extra = (["STARTTLS"] if self.tls and not secure else []) + (["AUTH PLAIN"] if secure else [])
                    say("\r\n".join(f"250-{x}" for x in ["server.test", *extra]) + "\r\n250 8BITMIME")
                elif verb == "STAR":
                    say("220 go")
                    c = self.start_tls(c)
                    f, secure = c.makefile("rwb"), True
                elif verb == "AUTH":
                    login = base64.b64decode(line.split()[2]).decode()
                    say("235 2.7.0 Ok")
                elif verb == "MAIL":
                    mail, to = line, []
                    say("250 2.1.0 Ok")
                elif verb == "RCPT":
                    answer = self.rcpt(line)
                    if answer[0] == "2":
                        to.append(re.search("<(.*?)>", line).group(1))
                    say(answer)
                elif verb == "DATA":
                    say("354 go")
                    text = b""
                    while (more := f.readline()) not in (b".\r\n", b""):
                        text += more
                    self.got.append((helo, mail, to, text.decode("latin-1"), login))
                    for _ in to if lmtp else [0]:
                        say("250 2.0.0 Ok")
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 2.0.0 Ok")
        except (OSError, ValueError):
            pass
        finally:
            c.close()

    def wait(self, s, n=1):
        try:
            return wait_until(lambda: len(self.got) >= n and self.got)
        except AssertionError:
            raise AssertionError(f"{self.got}\n{s.logs()[-4000:]}") from None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """For mx.test, localhost and 127.0.0.1; it is its own authority."""
    d = tmp_path_factory.mktemp("cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,DNS:mx.test,IP:127.0.0.1",
                    "-keyout", f"{d}/key.pem", "-out", f"{d}/cert.pem"], check=True, capture_output=True)
    os.chmod(d, 0o755)
    return f"{d}/cert.pem", f"{d}/key.pem"


# ---- command line ----

@pytest.mark.parametrize("args", [["-z"], ["-n", "extra"], ["-P", "x", "-n"], ["-o", "x"], ["-h"]])
def test_F9_S084_S085_usage(site, args):
    s = site("match for any reject\n", start=False)
    r = s.smtpd(*args)
    assert r.returncode == 1 and "usage: " in r.stderr and "[-T trace]" in r.stderr
    assert ("version: " in r.stderr) == (args == ["-h"])


def test_F10_S086_macro_of_the_command_line(site):
    s = site('if = "192.0.2.7"\nlisten on $if port 2525\nmatch for any reject\n', start=False)
    r = s.smtpd("-nv", "-D", "if=127.0.0.1")
    assert r.returncode == 0 and "\n127.0.0.1:2525 inet" in r.stdout and "192.0.2.7" not in r.stdout


def test_S087_S088_warnings_only(site):
    s = site("match for any reject\n", start=False)
    r = s.smtpd("-n", "-D", "bad", "-T", "bogus")
    assert r.returncode == 0
    assert r.stderr.splitlines() == ["warn: could not parse macro definition bad", 'warn: unknown trace flag "bogus"',
                                     "configuration OK"]


def test_F12_F22_S083_missing_file(site):
    s = site("", start=False)
    r = s.smtpd("-n", "-f", "/nonexist")
    assert (r.returncode, r.stderr) == (1, "/nonexist: No such file or directory\n")
    r = subprocess.run([f"{s.prefix}/sbin/opensmtpd", "-n"], capture_output=True, text=True)
    if not os.path.exists("/etc/mail/smtpd.conf"):
        assert r.stderr == "/etc/mail/smtpd.conf: No such file or directory\n"


def test_F11_foreground_ends_with_0(site):
    s = site(MAILDIR, start=False)
    s.main.pop("maillog_file")
    s.write_config()
    s.foreground = subprocess.Popen([f"{s.prefix}/sbin/opensmtpd", "-d", "-v", "-f", s.conf], text=True,
                                    stdout=subprocess.PIPE, stderr=open(s.log, "w"),
                                    env={**os.environ, "MAIL_CONFIG": s.base, "LANG": "C"})
    s.wait_port()
    s.etc = f"{s.data}/smtpd.d"
    send(s, "ann@localhost")
    box(s, "ann")
    s.wait_log("to=<ann@localhost>.*status=sent")
    assert s.foreground.poll() is None
    s.foreground.send_signal(signal.SIGTERM)
    assert s.foreground.wait(60 * SLOW) == 0
    assert s.foreground.stdout.read() == ""


def test_needs_an_unbroken_configuration_to_start(site):
    s = site("match for any action x\n", start=False)
    r = s.smtpd()
    assert r.returncode == 1 and "no such dispatcher" in r.stderr and not s.processes()


def test_reload_takes_over_a_changed_file(site):
    s = site(MAILDIR)
    assert rcpt(s, "ann@far.test").startswith("550")
    good = open(s.conf).read() + 'match from any for domain far.test action "l"\n'
    s.write("match for any action nosuch\n")
    r = s.run("postfix", "-c", s.etc, "reload")
    assert r.returncode == 1 and f"{s.conf}:1: no such dispatcher: nosuch" in r.stderr
    assert rcpt(s, "ann@localhost").startswith("250")
    s.write(good)
    s.reload()
    wait_until(lambda: rcpt(s, "ann@far.test").startswith("250"), what=s.logs()[-2000:])


def test_F23_F8_control(site):
    s = site(MAILDIR)
    r = s.run("smtpctl", "show", "status")
    assert r.returncode == 0 and "MDA running" in r.stdout, r.stderr
    if IS_ROOT:
        assert os.readlink("/var/run/smtpd.sock").endswith("/public/smtpctl")  # of the instance that was started last


@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_F14_F15_S089_S090_trace(site, verbose):
    s = site(MAILDIR, "-T", "imsg", *verbose)
    send(s, "ann@localhost")
    box(s, "ann")
    s.wait_log("removed")
    lines = re.findall(r"imsg: \S+ -> \S+: \S+ \(len=\d+\)", s.logs())
    assert bool(lines) == bool(verbose), s.logs()[-3000:]


TRACES = {"imsg": r"imsg: \S+ -> \S+: ", "io": r"smtpd\[\d+\]: < .*ehlo", "smtp": r"smtpd\[\d+\]: < .*ehlo", "filters": r"filters: f at rcpt-to from .*127.0.0.1.*: bypass",
          "mta": r"smtp\[\d+\]: .*EHLO", "transfer": r"smtp\[\d+\]: .*EHLO", "bounce": r"bounce: \S+: bounce: nosuch@back.test",
          "scheduler": r"scheduler: \S+: 1 recipients to action_l", "expand": r"expand: root -> ann", "lookup": r"lookup: texthash:.*: root: found",
          "stat": r"stat: request \S+", "rules": r"rules: \S+:\d+: from=<a@x.test> to=<root@localhost> action l", "mproc": r"mproc: started \S+/smtpd pid \d+ for ",
          "all": r"rules: .*action l"}


@pytest.mark.parametrize("name", sorted(TRACES))
def test_S2_F14_each_trace(site, name):
    """-T NAME and smtpctl trace NAME are taken without a warning, and show what that part of the system does."""
    server = Server(rcpt=lambda line: "550 5.1.1 nobody" if "nosuch" in line else "250 2.1.5 Ok")
    s = site('filter f phase rcpt-to match src 127.0.0.1 bypass\nlisten on 127.0.0.1 port {port} filter f\ntable al {{ root = ann }}\n'
             f'action "l" maildir "{{mail}}/%{{{{dest.user}}}}" alias <al> user {USER}\n'
             f'action "r" relay host smtp+notls://127.0.0.1:{server.port}\nmatch for local action "l"\nmatch for any action "r"\n',
             start=False)
    r = s.smtpd("-nv", "-T", name)
    assert f"trace_subsystems = {name}\n" in r.stdout and "unknown trace" not in r.stderr
    s.start()
    s.run("smtpctl", "trace", name, check=True)
    send(s, "root@localhost")
    box(s, "ann")
    send(s, "nosuch@back.test", sender="who@localhost")
    s.run("smtpctl", "log", "brief", check=True)
    s.wait_log("to=<nosuch@back.test>.*status=bounced")
    s.wait_log(TRACES[name])
    others = {"imsg": "imsg: ", "io": r"\[\d+\]: [<>] ", "filters": "filters: ", "rules": " rules: ", "mproc": "mproc: "}
    for other in set(others) - {name} if name not in ("all", "smtp", "mta", "transfer") else ():
        assert not re.search(others[other], s.logs()), (other, s.logs()[-3000:])


def test_second_start_says_so(site):
    s = site(MAILDIR)
    r = s.smtpd()
    assert r.returncode == 1 and "already running" in r.stderr
    assert rcpt(s, "a@localhost").startswith("250")


# ---- which rule decides ----

def proxied(s, client, *commands):
    """A session of that client, as a balancer announces it."""
    import struct
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, socket.inet_aton(client),
                                                          socket.inet_aton("127.0.0.1"), 1234, 25)
    with Raw(s.port, greet=False) as c:
        c.send(header)
        c.greeting = c.reply()
        return [c.greeting] + [c.cmd(x) for x in commands]


RULES = {
    "S063": ('action a mbox user_\nmatch for local action a\n', "127.0.0.1", "a@x.test", "user@localhost", "250"),
    "S064": ('action a mbox user_\nmatch for local action a\n', "203.0.113.5", "a@x.test", "user@localhost", "550"),
    "S066": ('action r relay\nmatch auth from any for any action r\n', "203.0.113.5", "a@x.test", "x@else.test", "550"),
    "S067": ('action r relay\nmatch for any action r\n', "127.0.0.1", "a@x.test", "x@else.test", "250"),
    "S068": ('table d {{ "*.ex.org" }}\naction a mbox user_\nmatch from any for domain <d> action a\n', "203.0.113.5",
             "a@x.test", "user@a.ex.org", "250"),
    "S069": ('table d {{ "*.ex.org" }}\naction a mbox user_\nmatch from any for domain <d> action a\n', "203.0.113.5",
             "a@x.test", "user@ex.org", "550"),
    "S070": ('match from any mail-from "@spam.test" for any reject\naction a mbox user_\nmatch from any for local action a\n',
             "203.0.113.5", "x@spam.test", "user@localhost", "550"),
    "S070b": ('match from any mail-from "@spam.test" for any reject\naction a mbox user_\nmatch from any for local action a\n',
              "203.0.113.5", "x@ham.test", "user@localhost", "250"),
    "negated": ('action r relay\nmatch !from src 203.0.113.0/24 for any action r\n', "203.0.113.5", "a@x.test", "b@y.test", "550"),
    "regex": ('action r relay\nmatch from any mail-from regex "^a[0-9]+@" for any action r\n', "203.0.113.5", "a17@x.test",
              "b@y.test", "250"),
    "helo": ('action r relay\nmatch from any helo "c.test" for any action r\n', "203.0.113.5", "a@x.test", "b@y.test", "250"),
    "rcpt-to": ('action r relay\nmatch from any for rcpt-to {{ "b@y.test", "@z.test" }} action r\n', "203.0.113.5", "a@x.test",
                "who@z.test", "250"),
    "tag": ('action r relay\nmatch from any tag IN for any action r\n', "203.0.113.5", "a@x.test", "b@y.test", "250"),
    "tls": ('action r relay\nmatch from any tls for any action r\n', "203.0.113.5", "a@x.test", "b@y.test", "550"),
    "unknown user": ('action a mbox user_\nmatch from any for local action a\n', "203.0.113.5", "a@x.test", "nosuch@localhost",
                     "550"),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_match_rules(site, name):
    rules, client, sender, recipient, code = RULES[name]
    head = "listen on 127.0.0.1 port {port} proxy-v2 tag IN\ntable u {{ \"user\" = \"1234:1234:/nonexistent\" }}\n"
    s = site(head + rules.replace("user_", "userbase <u>"))
    replies = proxied(s, client, "EHLO c.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>")
    assert replies[-1].startswith(code), (replies, s.logs()[-2000:])


@pytest.mark.parametrize("name,start,client,code", [("S071", "", "203.0.113.5", "550"), ("S072", "from all", "203.0.113.5", "250"),
                                                    ("local", "", "127.0.0.1", "250")])
def test_S071_S072_rules_of_2011(site, name, start, client, code):
    s = site(f"listen on 127.0.0.1 port {{port}}\naccept {start} for local deliver to mbox as {USER}\n", start=False)
    r = s.smtpd("-n")
    assert r.returncode == 0, r.stderr
    s.start()  # the grammar of 2011 has no proxy-v2: the generated service gets it
    with open(f"{s.etc}/master.cf") as f:
        text = f.read().replace("smtpd\n", "smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n", 1)
    with open(f"{s.etc}/master.cf", "w") as f:
        f.write(text)
    r = subprocess.run([f"{s.prefix}/sbin/postfix", "-c", s.etc, "reload"], env={**os.environ, "POSTERN_GENERATED": "yes"})
    assert r.returncode == 0
    wait_until(lambda: proxied_ok(s, client), what="new service")
    assert proxied(s, client, "EHLO c.test", "MAIL FROM:<a@x.test>", "RCPT TO:<user@localhost>")[-1].startswith(code)


def proxied_ok(s, client):
    with contextlib.suppress(OSError):
        return proxied(s, client)[0].startswith("220")


# ---- delivery ----

def test_F3_F5_S117_sendmail_and_mbox(site):
    s = site(f'table u {{{{ joe = "{os.getuid() or 65534}:{os.getgid() or 65534}:/nonexistent" }}}}\n'
             'action "l" mbox userbase <u>\nmatch for local action "l"\n')
    s.run("sendmail", "-f", "me@localhost", "joe@localhost", input="Subject: x\n\nFrom the start\n", check=True)
    text = wait_until(lambda: os.path.exists(f"{s.mail}/joe") and open(f"{s.mail}/joe").read(), what=s.logs()[-3000:])
    assert re.match(r"From me@localhost ", text) and text.endswith("\n>From the start\n\n")


@pytest.mark.parametrize("options", ["", "mask-src no-dsn"])
def test_F3_socket_options(site, options):
    """listen on socket mask-src no-dsn: what sendmail(1) submits names no user and asks for no notices."""
    s = site(f'listen on socket {options}\naction "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}\nmatch for local action "l"\n')
    s.run("sendmail", "-f", "me@localhost", "-N", "success", "joe@localhost", input="Subject: x\n\nhello\n", check=True)
    text = open(box(s, "joe")[0]).read()
    assert ("from userid" in text) == (not options) and "Received: by " in text
    if options:
        s.wait_log("to=<joe@localhost>.*status=sent")
        wait_until(lambda: not s.queue_files())
        assert not glob.glob(f"{s.mail}/me/new/*")
    else:
        assert "Successful Mail Delivery Report" in open(box(s, "me")[0]).read()


def test_S118_F6_maildir_of_the_user(site):
    s = site(f'table u {{{{ joe = "{os.getuid() or 65534}:{os.getgid() or 65534}:{{mail}}/home" }}}}\n'
             'listen on 127.0.0.1 port {port}\naction "l" maildir userbase <u>\nmatch for local action "l"\n')
    send(s, "joe+tag@localhost")
    assert len(box(s, "home/Maildir")) == 1


def test_junk_folder(site):
    s = site(MAILDIR.replace(" user ", " junk user "))
    send(s, "joe@localhost", text="X-Spam: yes\r\nSubject: s\r\n\r\nbuy\r\n")
    send(s, "joe@localhost", text="X-Spam: no\r\nSubject: s\r\n\r\nhello\r\n\r\nX-Spam: yes\r\n")
    assert "buy" in open(box(s, "joe/.Junk")[0]).read()
    assert "hello" in open(box(s, "joe")[0]).read()


def test_S074_S075_formats_of_2011(site):
    s = site(f'listen on 127.0.0.1 port {{port}}\nmap al {{{{ source plain "{{dir}}/aliases" }}}}\n'
             f'accept for domain ex.org alias al deliver to maildir "{{mail}}/%d/%a/%u" as {USER}\n'
             f'accept for local deliver to mda "{{dir}}/mda x %U %D" as {USER}\n', start=False)
    with open(f"{s.dir}/aliases", "w") as f:
        f.write("joe.x: joe\n")
    with open(f"{s.dir}/mda", "w") as f:
        f.write(f"#!/bin/sh\necho \"$@\" > {s.mail}/args; cat > {s.mail}/text\n")
    os.chmod(f"{s.dir}/mda", 0o755)
    s.start()
    send(s, "Joe.X@ex.org")
    assert "hello" in open(box(s, "ex.org/Joe.X/joe")[0]).read()
    send(s, "any@localhost", sender="ann@s.test")
    wait_until(lambda: os.path.exists(f"{s.mail}/text") and "hello" in open(f"{s.mail}/text").read(), what=s.logs()[-2000:])
    assert open(f"{s.mail}/args").read() == "x ann s.test\n"


def test_S114_S115_S116_aliases(site):
    s = site(f'listen on 127.0.0.1 port {{port}}\ntable al file:{{dir}}/aliases\n'
             f'action "l" maildir "{{mail}}/%{{{{dest.user}}}}" alias <al> user {USER}\nmatch from any for local action "l"\n',
             start=False)
    with open(f"{s.dir}/list", "w") as f:
        f.write("ann\nbea@localhost\n")
    with open(f"{s.dir}/aliases", "w") as f:
        f.write(f'bob: "error:550 gone away"\nlist: :include:{s.dir}/list\ncmd: "|cat > {s.mail}/cmd"\n')
    s.start()
    assert rcpt(s, "bob@localhost") == "550 gone away"
    send(s, "list@localhost")
    box(s, "ann")
    box(s, "bea")
    send(s, "cmd@localhost")
    wait_until(lambda: os.path.exists(f"{s.mail}/cmd") and "hello" in open(f"{s.mail}/cmd").read(), what=s.logs()[-2000:])


def test_virtual_users(site):
    s = site(f'listen on 127.0.0.1 port {{port}}\n'
             'table v {{ "joe@ex.org" = "box1", "ann@ex.org" = "box1,bea@far.test", "@all.test" = "catch", "gone@ex.org" = '
             '"error:550 no more" }}\n'
             f'action "v" maildir "{{mail}}/%{{{{dest.domain}}}}/%{{{{dest.user}}}}" virtual <v> user {USER}\n'
             f'action "r" maildir "{{mail}}/remote" user {USER}\n'
             'match from any for domain { "ex.org", "all.test" } action "v"\nmatch from local for domain far.test action "r"\n'
             .replace("{ \"ex", "{{ \"ex").replace("test\" } ", "test\" }} "))
    assert rcpt(s, "who@ex.org").startswith("550 5.1.1")
    assert rcpt(s, "gone@ex.org") == "550 no more"
    send(s, "Joe+x@ex.org")
    assert "hello" in open(box(s, "ex.org/box1")[0]).read()
    send(s, "ann@ex.org")
    box(s, "ex.org/box1", 2)
    box(s, "remote")  # an address of the table goes through the rules again
    send(s, "anybody@all.test")
    box(s, "all.test/catch")


def test_forward_file(site):
    s = site(f'table u {{{{ joe = "{os.getuid() or 65534}:{os.getgid() or 65534}:{{mail}}/home" }}}}\n'
             'listen on 127.0.0.1 port {port}\n'
             f'action "l" maildir userbase <u>\naction "f" forward-only userbase <u>\naction "m" maildir "{{mail}}/m" user {USER}\n'
             'match for local action "l"\nmatch for domain fwd.test action "f"\nmatch for domain far.test action "m"\n', start=False)
    os.makedirs(f"{s.mail}/home")
    with open(f"{s.mail}/home/.forward", "w") as f:
        f.write("\\joe, joe@far.test\n")
    if IS_ROOT:
        for p in ("home", "home/.forward"):
            os.chown(f"{s.mail}/{p}", 65534, 65534)
    s.start()
    send(s, "joe@localhost")
    box(s, "home/Maildir")
    box(s, "m")
    os.unlink(f"{s.mail}/home/.forward")
    send(s, "joe@fwd.test")
    s.wait_log("to=<joe@fwd.test>.*status=bounced .no forwarding address")


def test_mda_wrapper_and_environment(site):
    s = site(f'listen on 127.0.0.1 port {{port}}\nmda wrapper w "/bin/sh -c \'%{{{{mda}}}} > {{mail}}/out\'"\n'
             f'action "l" mda "env" wrapper w user {USER}\nmatch for local action "l"\n')
    send(s, "joe+x@localhost", sender="ann@s.test")
    text = wait_until(lambda: os.path.exists(f"{s.mail}/out") and open(f"{s.mail}/out").read(), what=s.logs()[-3000:])
    names = dict(line.split("=", 1) for line in text.splitlines())
    assert names["SENDER"] == "ann@s.test" and names["RECIPIENT"] == "joe+x@localhost" and names["EXTENSION"] == "x"
    for name in ("DOMAIN", "HOME", "LOCAL", "LOGNAME", "ORIGINAL_RECIPIENT", "PATH", "SHELL", "USER"):
        assert names[name]


@pytest.mark.parametrize("option,address", [("", "joe"), ("rcpt-to ", "joe@localhost")])
def test_lmtp(site, option, address):
    s = site(f'listen on 127.0.0.1 port {{port}}\naction "l" lmtp "{{mail}}/lmtp" {option}user {USER}\nmatch for local action "l"\n',
             start=False)
    server = Server(path=f"{s.mail}/lmtp")
    s.start()
    send(s, "joe@localhost")
    assert server.wait(s)[0][2] == [address]


# ---- relaying ----

def test_F4_relay_host(site):
    server = Server()
    s = site(f'listen on 127.0.0.1 port {{port}}\naction "r" relay host smtp+notls://127.0.0.1:{server.port} helo h.test '
             'mail-from "@a.test" src 127.0.0.1\nmatch for any action "r"\n')
    send(s, "bob@far.test", sender="joe@x.test")
    helo, mail, to, text, _ = server.wait(s)[0]
    assert (helo, mail.split()[1], to) == ("h.test", "FROM:<joe@a.test>", ["bob@far.test"]) and "hello" in text


def test_relay_of_2011(site):
    server = Server()
    s = site(f"listen on 127.0.0.1 port {{port}}\naccept for all relay via 127.0.0.1 port {server.port} as fixed@a.test\n")
    send(s, "bob@far.test", sender="joe@x.test")
    assert server.wait(s)[0][1].split()[1] == "FROM:<fixed@a.test>"


def test_relay_by_domain_and_by_sender(site):
    one, two, three = Server(), Server(), Server()
    s = site(f'listen on 127.0.0.1 port {{port}}\ntable d {{{{ "a.test" = "smtp+notls://127.0.0.1:{one.port}", "b.test" = '
             f'"smtp+notls://127.0.0.1:{two.port}" }}}}\naction "d" relay domain <d>\n'
             f'action "s" relay host smtp+notls://127.0.0.1:{three.port}\n'
             'match from local mail-from "@boss.test" for any action "s"\nmatch for any action "d"\n')
    send(s, "x@a.test")
    send(s, "x@b.test")
    send(s, "x@a.test", sender="me@boss.test")
    assert [len(x.wait(s)) for x in (one, two, three)] == [1, 1, 1]
    send(s, "x@c.test")
    s.wait_log("to=<x@c.test>.*status=bounced .no relay host for c.test")


def test_relay_auth_over_tls(site, certificate):
    server = Server(tls=certificate)
    s = site(f'ca own cert "{certificate[0]}"\ntable s {{{{ label = "user:pass" }}}}\nlisten on 127.0.0.1 port {{port}}\n'
             f'action "r" relay host smtp+tls://label@127.0.0.1:{server.port} auth <s> tls no-verify ca own\nmatch for any action "r"\n')
    send(s, "bob@far.test")
    assert server.wait(s)[0][4] == "\0user\0pass"
    mode = os.stat(f"{s.etc}/table_s").st_mode & 0o777
    assert mode == 0o600


def test_S3_3_hosts_of_several_protocols(site, certificate):
    """Each host of one relay host has its own protocol, port and account; they take turns, and stand in for each other."""
    servers = {"smtp+tls": Server(tls=certificate), "smtps": Server(tls=certificate, wrapped=True), "smtp+notls": Server()}
    urls = [f"{p}://{'' if p == 'smtp+notls' else p[:5].strip('+') + '@'}localhost:{x.port}" for p, x in servers.items()]
    s = site(f'ca own cert "{certificate[0]}"\ntable s {{{{ "smtp" = "one:1", "smtps" = "two:2" }}}}\nlisten on 127.0.0.1 port {{port}}\n'
             f'table h {{{{ {", ".join(chr(34) + x + chr(34) for x in urls)} }}}}\n'
             'action "r" relay host <h> auth <s> ca own tls no-verify\nmatch for any action "r"\n')
    for i in range(6):
        send(s, f"u{i}@far.test")
        wait_until(lambda i=i: sum(len(x.got) for x in servers.values()) == i + 1, what=s.logs()[-3000:])
    assert [{g[4] for g in x.got} for x in servers.values()] == [{"\0one\x001"}, {"\0two\x002"}, {""}]
    servers["smtps"].s.shutdown(socket.SHUT_RDWR)
    servers["smtps"].s.close()
    for i in range(4):
        send(s, f"v{i}@far.test")
    wait_until(lambda: sum(len(x.got) for x in servers.values()) == 10, what=s.logs()[-3000:])


def test_S3_3_domains_from_a_server(site):
    """relay domain with a table that cannot be listed: asked for each domain; its label decides about the account."""
    server, asked = Server(), []
    tables = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            c, _ = tables.accept()
            for line in c.makefile("rb"):
                asked.append(line.decode().split()[1])
                c.sendall(f"200 smtp+notls://127.0.0.1:{server.port}\n".encode() if asked[-1] == "a.test" else b"500 no\n")
    threading.Thread(target=answer, daemon=True).start()
    s = site(f'listen on 127.0.0.1 port {{port}}\ntable d tcp:127.0.0.1:{tables.getsockname()[1]}\naction "d" relay domain <d>\n'
             'match for any action "d"\n')
    send(s, "x@A.test")
    assert server.wait(s)[0][2] == ["x@A.test"]
    send(s, "x@b.test")
    s.wait_log("to=<x@b.test>.*status=bounced .no relay host for b.test")
    assert {"a.test", "b.test"} <= set(asked)


def test_S3_3_any_name_of_an_action(site):
    """Names of actions may have blanks, and differ only in punctuation or case."""
    one, two = Server(), Server()
    s = site(f'listen on 127.0.0.1 port {{port}}\naction "to one" relay host smtp://127.0.0.1:{one.port}\n'
             f'action "To_One" relay host smtp://127.0.0.1:{two.port}\n'
             'match for domain "b.test" action "To_One"\nmatch for any action "to one"\n')
    send(s, "x@a.test")
    send(s, "x@b.test")
    assert one.wait(s)[0][2] == ["x@a.test"] and two.wait(s)[0][2] == ["x@b.test"]


def test_S3_3_hosts_and_sources_in_turn(site):
    """relay host <several>, src <several>, helo-src: each message takes the next of each."""
    servers = [Server(), Server()]
    names = {"127.0.0.2": "two.test", "127.0.0.3": "three.test"}
    s = site('listen on 127.0.0.1 port {port}\n'
             f'table hosts {{{{ {", ".join(f"smtp+notls://127.0.0.1:{x.port}" for x in servers)} }}}}\n'
             'table sources {{ 127.0.0.2, 127.0.0.3 }}\n'
             f'table names {{{{ {", ".join(f"{k} = {v}" for k, v in names.items())} }}}}\n'
             'action "r" relay host <hosts> src <sources> helo-src <names>\nmatch for any action "r"\n')
    for i in range(6):
        send(s, f"u{i}@far.test")
        wait_until(lambda i=i: sum(len(x.got) for x in servers) == i + 1, what=s.logs()[-3000:])
    assert all(x.got for x in servers)
    for x in servers:
        for (host, _), (helo, *_) in zip(x.peers, x.got):
            assert names[host] == helo
    assert {host for x in servers for host, _ in x.peers} == set(names)


def makemap(s, name, text):
    """A database of OpenSMTPD's makemap."""
    with open(f"{s.dir}/{name}", "w") as f:
        f.write(text)
    if "hash" not in subprocess.run([f"{BUILD}/bin/postconf", "-m"], capture_output=True, text=True).stdout.split():
        pytest.skip("this build has no Berkeley DB")
    subprocess.run(["makemap", f"{s.dir}/{name}"], executable=f"{s.prefix}/sbin/smtpctl", check=True,
                   env={**os.environ, "MAIL_CONFIG": s.base})
    os.chmod(f"{s.dir}/{name}.db", 0o644)


def test_S3_3_databases_wherever_tables_stand(site, certificate):
    """relay domain, src, auth and senders with tables of type db."""
    server = Server(tls=certificate)
    digest = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    s = site("", start=False)
    makemap(s, "domains", f"by.test smtp+notls://127.0.0.1:{server.port}\n")
    makemap(s, "sources", "127.0.0.4 x\n")
    makemap(s, "secrets", "label user:pass\n")
    makemap(s, "users", f"ann {digest}\n")
    makemap(s, "own", "ann ann@x.test, *@y.test\n")
    makemap(s, "bad", "bad@y.test x\n")
    tables = "".join(f'table {n} db:{s.dir}/{n}.db\n' for n in ("domains", "sources", "secrets", "users", "own", "bad"))
    tables += 'filter bad phase mail-from match mail-from <bad> reject "550 5.7.1 bad"\n'
    s.write(f'{tables}ca own cert "{certificate[0]}"\npki mx.test cert "{certificate[0]}"\npki mx.test key "{certificate[1]}"\n'
            f'listen on 127.0.0.1 port {s.port} tls-require pki mx.test auth <users> senders <own> filter bad\n'
            'action "d" relay domain <domains>\n'
            'action "r" relay host "smtp+tls://label@127.0.0.1:%d" src <sources> auth <secrets> tls no-verify ca own\n' % server.port +
            'match auth from any for domain "by.test" action "d"\nmatch auth from any for any action "r"\n')
    s.start()
    with smtplib.SMTP("localhost", s.port, local_hostname="client.test", timeout=60 * SLOW) as c:
        c.starttls(context=ssl.create_default_context(cafile=certificate[0]))
        c.login("ann", "secret")
        for sender, ok in (("ann@x.test", True), ("bob@x.test", False), ("any@Y.test", True), ("bad@y.test", False), ("", False)):
            code = c.docmd(f"MAIL FROM:<{sender}>")[0], c.docmd("RCPT TO:<who@far.test>")[0]
            assert (code[1] == 250) == ok, (sender, code)
            c.rset()
        c.sendmail("ann@x.test", ["who@far.test"], "Subject: t\r\n\r\nhello\r\n")
        assert server.wait(s)[0][4] == "\0user\0pass" and server.peers[0][0] == "127.0.0.4"
        c.sendmail("ann@x.test", ["who@by.test"], "Subject: t\r\n\r\nhello\r\n")
        assert server.wait(s, 2)[1][2] == ["who@by.test"]


def test_action_is_looked_up_at_delivery(site):
    """A changed action counts for mail that waits."""
    dead = free_port()
    server = Server()
    s = site(f'listen on 127.0.0.1 port {{port}}\naction "r" relay host smtp+notls://127.0.0.1:{dead}\nmatch for any action "r"\n')
    send(s, "bob@far.test")
    s.wait_log("status=deferred")
    s.smtpd_stop = s.run("postfix", "-c", s.etc, "stop")
    wait_until(lambda: not s.processes())
    s.write(open(s.conf).read().replace(str(dead), str(server.port)))
    s.start()
    s.run("postqueue", "-c", s.etc, "-f")
    assert server.wait(s)[0][2] == ["bob@far.test"]


# ---- listeners ----

def test_F2_interface(site):
    s = site('listen on lo0 port {port}\nmatch for any reject\n')
    s.wait_port()
    hosts = re.findall(r"^(\S+):\d+ inet", open(f"{s.etc}/master.cf").read(), re.M)
    assert "127.0.0.1" in hosts


def test_listener_options(site):
    s = site("", start=False)
    second = free_port()
    s.write('table names { "127.0.0.1" = "by-address.test" }\n'
            f'listen on 127.0.0.1 port {s.port} hostname h.test mask-src no-dsn\n'
            f'listen on 127.0.0.1 port {second} hostnames <names>\n'
            f'action "l" maildir "{s.mail}/%{{dest.user}}" user {USER}\nmatch for any action "l"\n')
    s.start()
    greeting, ehlo = say(s, "EHLO c.test")
    assert greeting.startswith("220 h.test ") and ehlo.startswith("250-h.test") and "DSN" not in ehlo
    s.wait_port(second)
    greeting, ehlo = say(s, "EHLO c.test", port=second)
    assert greeting.startswith("220 by-address.test ") and ehlo.startswith("250-by-address.test") and "DSN" in ehlo
    send(s, "one@far.test")
    send(s, "two@far.test", port=second)
    one, two = open(box(s, "one")[0]).read(), open(box(s, "two")[0]).read()
    assert "client.test" not in one and "by h.test" in one
    assert "from client.test" in two and "by by-address.test" in two


def test_S065_S073_auth_and_senders(site, certificate):
    digest = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    s = site(f'pki mx.test cert "{certificate[0]}"\npki mx.test key "{certificate[1]}"\n'
             f'table users {{{{ ann = "{digest}" }}}}\ntable own {{{{ ann = "ann@x.test,@y.test" }}}}\n'
             'listen on 127.0.0.1 port {port} tls-require pki mx.test auth <users> senders <own> masquerade received-auth\n'
             f'action "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}\nmatch auth from any for any action "l"\n')
    s.wait_port()
    replies = say(s, "EHLO c.test", "MAIL FROM:<ann@x.test>")
    assert "STARTTLS" in replies[1] and "AUTH" not in replies[1] and replies[2].startswith("530")
    context = ssl.create_default_context(cafile=certificate[0])
    with smtplib.SMTP("localhost", s.port, local_hostname="client.test", timeout=60 * SLOW) as c:
        c.starttls(context=context)
        c.ehlo()
        assert c.docmd("MAIL FROM:<ann@x.test>")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            c.login("ann", "wrong")
        c.login("ann", "secret")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            c.sendmail("bob@x.test", ["one@far.test"], "Subject: no\r\n\r\nno\r\n")
        c.rset()
        c.sendmail("ann@x.test", ["one@far.test"], "Subject: yes\r\nFrom: The Boss <boss@z.test>\r\n\r\nhello\r\n")
    text = open(box(s, "one")[0]).read()
    assert "Authenticated sender: ann" in text and "\nFrom: The Boss <ann@x.test>\n" in text


@pytest.mark.skipif(not IS_ROOT or not shutil.which("saslauthd"), reason="needs root and saslauthd")
@pytest.mark.parametrize("mechanism", ["shadow", "pam"])
def test_S3_5_auth_with_passwords_of_the_system(site, certificate, mechanism):
    """auth without a table: saslauthd, which sees accounts of its own here."""
    digest = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    s = site(f'pki mx.test cert "{certificate[0]}"\npki mx.test key "{certificate[1]}"\n'
             'listen on 127.0.0.1 port {port} tls-require pki mx.test auth\n'
             f'action "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}\nmatch auth from any for any action "l"\n', start=False)
    assert "passwords.conf <==\n" in s.smtpd("-nv").stdout
    os.makedirs(f"{s.dir}/sasl")
    with open(f"{s.dir}/sasl/smtpd.conf", "w") as f:
        f.write(f"pwcheck_method: saslauthd\nsaslauthd_path: {s.dir}/sasl/mux\nmech_list: PLAIN LOGIN\n")
    for name, line in (("passwd", "mona:x:54321:54321::/nonexistent:/bin/sh\n"), ("shadow", f"mona:{digest}:19000:0:99999:7:::\n")):
        with open(f"{s.dir}/{name}", "w") as f:
            f.write(open(f"/etc/{name}").read() + line)
    s.main["cyrus_sasl_config_path"] = f"{s.dir}/sasl"
    s.write_config()
    s.start()
    daemon = subprocess.Popen(["unshare", "-m", "sh", "-c", f"mount --bind {s.dir}/passwd /etc/passwd && mount --bind {s.dir}/shadow /etc/shadow && "
                               f"exec saslauthd -d -a {mechanism} -n 1 -m {s.dir}/sasl"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        wait_until(lambda: daemon.poll() is not None or listens(f"{s.dir}/sasl/mux"))
        if daemon.poll() is not None:
            pytest.skip("no mount namespaces here")
        os.chmod(f"{s.dir}/sasl", 0o755)
        os.chmod(f"{s.dir}/sasl/mux", 0o777)
        with smtplib.SMTP("localhost", s.port, local_hostname="client.test", timeout=60 * SLOW) as c:
            c.starttls(context=ssl.create_default_context(cafile=certificate[0]))
            with pytest.raises(smtplib.SMTPAuthenticationError):
                c.login("mona", "wrong")
            c.login("mona", "secret")
            c.sendmail("mona@x.test", ["one@far.test"], "Subject: t\r\n\r\nhello\r\n")
    except smtplib.SMTPException as e:
        raise AssertionError(f"{e}\n{s.logs()[-3000:]}") from e
    finally:
        daemon.terminate()
        daemon.wait(60 * SLOW)
    box(s, "one")


def test_smtps(site, certificate):
    s = site(f'pki mx.test cert "{certificate[0]}"\npki mx.test key "{certificate[1]}"\n'
             'listen on 127.0.0.1 port {port} smtps pki mx.test\nmatch for any reject\n')
    def greeted():
        with contextlib.suppress(OSError), smtplib.SMTP_SSL("localhost", s.port, timeout=5, context=ssl.create_default_context(
                cafile=certificate[0])) as c:
            return c.noop()[0] == 250
    wait_until(greeted, what=s.logs()[-2000:])


def test_S3_3_pki_by_the_name_that_is_asked_for(site, certificate, tmp_path):
    """listen on ... pki a pki b: the first is the usual one; names of a pki and of its certificate choose others."""
    os.chmod(tmp_path, 0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other",
                    "-addext", "subjectAltName=DNS:b.test,DNS:*.wild.test", "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/cert"],
                   check=True, capture_output=True)
    s = site(f'pki mx.test cert "{certificate[0]}"\npki mx.test key "{certificate[1]}"\n'
             f'pki two.test cert "{tmp_path}/cert"\npki two.test key "{tmp_path}/key"\n'
             'listen on 127.0.0.1 port {port} tls-require pki mx.test pki two.test\nmatch for any reject\n')
    first, second = (ssl.PEM_cert_to_DER_cert(open(f).read()) for f in (certificate[0], f"{tmp_path}/cert"))
    context = ssl._create_unverified_context()
    for name, want in (("mx.test", first), ("else.test", first), ("two.test", second), ("B.test", second), ("x.wild.test", second)):
        s.wait_port()
        with Raw(s.port) as c:
            c.cmd("EHLO c.test")
            assert c.cmd("STARTTLS").startswith("220"), s.logs()
            with context.wrap_socket(c.s, server_hostname=name) as t:
                assert t.getpeercert(binary_form=True) == want, (name, s.logs()[-2000:])


# ---- limits and times ----

def test_limits(site):
    s = site(f'listen on 127.0.0.1 port {{port}}\nsmtp max-message-size "20K"\nsmtp limit max-mails 2 max-rcpt 3\n'
             f'action "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}\nmatch for any action "l"\n')
    mail = ["MAIL FROM:<a@x.test>", "RSET"]
    replies = say(s, "EHLO c.test", *mail, *mail, *mail)
    assert [r[:3] for r in replies[2:]] == ["250", "250", "250", "250", "452", "250"]
    assert "SIZE 20480" in replies[1]
    replies = say(s, "EHLO c.test", "MAIL FROM:<a@x.test>", *[f"RCPT TO:<u{i}@y.test>" for i in range(4)])
    assert [r[:3] for r in replies[3:]] == ["250", "250", "250", "452"]
    assert say(s, "EHLO c.test", "MAIL FROM:<a@x.test> SIZE=30000")[-1].startswith("552")


@pytest.mark.parametrize("setting,lines", [
    ("mta limit max-conn-per-domain 9 max-conn-per-relay 3", ["action_r_destination_concurrency_limit = 3"]),
    ("mta limit max-conn-per-host 3\nmta limit max-conn-per-relay 9\nmta limit max-conn-per-host 11",
     ["action_r_destination_concurrency_limit = 9"]),
    ("mta limit conn-delay-host 2 conn-delay-relay 5", ["action_r_destination_rate_delay = 5s"]),
    ("mta limit conn-delay-host 2 reconn-delay-route 7", ["action_r_destination_rate_delay = 7s"]),
    ("mta limit max-failures-per-session 5", ["smtp_session_failure_limit = 5"]),
    ("mta max-deferred 7", ["default_destination_deferred_limit = 7"]),
    ("mta limit conn-delay-source 4", ["action_r_transport_rate_delay = 4s"]),
    ("mta limit session-mail-max 5 session-keepalive 20",
     ["smtp_connection_reuse_count_limit = 4", "smtp_connection_cache_time_limit = 20s"]),
    ("mta limit inet4", ["  -o { inet_protocols = ipv4 }"]),
    ("mta limit max-conn-per-source 7", ["action_r unix - - n - 7 smtp"]),
    ("mda limit max-session 5 max-session-per-user 1", ["action_l unix - n n - 5 local", "action_l_destination_concurrency_limit = 1"]),
    ("scheduler limit max-inflight 50", ["qmgr_message_active_limit = 50"]),
])
def test_S3_5_limits_with_a_counterpart(site, setting, lines):
    s = site("", start=False)
    s.write(f'{setting}\nlisten on 127.0.0.1 port {s.port}\naction "l" maildir "{s.mail}/%{{dest.user}}" user {USER}\n'
            'action "r" relay\nmatch for local action "l"\nmatch for any action "r"\n')
    s.start()
    assert "has no effect" not in s.output
    text = open(f"{s.etc}/main.cf").read() + open(f"{s.etc}/master.cf").read()
    for line in lines:
        assert f"\n{line}\n" in text, text
    send(s, "joe@localhost")
    box(s, "joe")


def test_S3_5_limits_for_a_domain(site):
    """mta limit for domain: mail to it has a transport of its own."""
    server = Server()
    s = site('mta limit max-conn-per-domain 9\nmta limit for domain Slow.test max-conn-per-domain 1 session-mail-max 1\n'
             'listen on 127.0.0.1 port {port}\n'
             f'action "r" relay host smtp+notls://127.0.0.1:{server.port}\nmatch for any action "r"\n')
    text = open(f"{s.etc}/main.cf").read()
    assert "\naction_r_destination_concurrency_limit = 9\n" in text
    assert "\naction_r_for_slow_test_destination_concurrency_limit = 1\n" in text
    assert "cache_on_demand" not in text and "cache_on_demand = no" in open(f"{s.etc}/master.cf").read()
    for to in ("a@slow.test", "b@fast.test", "c@Slow.Test"):
        send(s, to)
    server.wait(s, 3)


def test_S3_5_max_deferred(site):
    """mta max-deferred: mail that waits for a host goes as soon as other mail gets there."""
    port = free_port()
    s = site("", start=False)
    s.main.update(minimal_backoff_time="1h", maximal_backoff_time="1h", queue_run_delay="1h")
    s.write_config()
    s.write(f'mta max-deferred 2\nlisten on 127.0.0.1 port {s.port}\naction "r" relay host smtp+notls://127.0.0.1:{port}\nmatch for any action "r"\n')
    s.start()
    for name in ("one", "two", "late"):
        send(s, f"{name}@far.test")
        s.wait_log(rf"to=<{name}@far.test>.*status=deferred")
    wait_until(lambda: len(s.queue_files("deferred")) == 3)
    server = Server(port=port)
    send(s, "next@far.test")
    assert sorted(x[2][0] for x in server.wait(s, 3)) == ["next@far.test", "one@far.test", "two@far.test"]
    s.wait_log("takes mail again; trying 2 deferred messages at once")
    wait_until(lambda: len(s.queue_files("deferred")) == 1)


def test_what_the_original_limits_unasked(site):
    out = site("match for any reject\n", start=False).smtpd("-nv").stdout
    assert "\nsmtp_session_failure_limit = 25\n" in out and "\ndefault_destination_deferred_limit = 100\n" in out


def test_many_rules_and_actions(site):
    """Neither reading nor checking compares all with all; relay actions that differ in their hosts share one transport."""
    server, many = Server(), 20000
    s = site("listen on 127.0.0.1 port {port}\n" +
             "".join(f"action a{i} relay host smtp+notls://127.0.0.1:{server.port if i == 19876 else 1 + i}\n"
                     f"match from any for domain d{i}.test action a{i}\n" for i in range(many)))
    services = [line for line in open(f"{s.etc}/master.cf") if line.startswith("action_")]
    assert services == ["action_a0 unix - - n - - smtp\n"]
    assert open(f"{s.etc}/actions").read().count(" action_a0:") == many
    send(s, "joe@D19876.test")
    server.wait(s, 1)
    assert rcpt(s, "joe@d20000.test").startswith("550")


def test_actions_that_differ_have_their_own_transports(site):
    out = site('action "a" relay\naction "b" relay\naction "c" relay ttl 1h\naction "d" relay helo x.test\n'
               'action "e" maildir "/m/e"\naction "f" maildir "/m/f"\naction "g" maildir "/m/f"\n'
               'match for any action "a"\n', start=False).smtpd("-nv").stdout
    assert re.findall(r"^(\w+) (action_\w+):$", out, re.M) == [
        ("a", "action_a"), ("b", "action_a"), ("c", "action_c"), ("d", "action_d"), ("e", "action_e"), ("f", "action_f"), ("g", "action_f")]
    assert len(re.findall(r"^action_\w+ unix", out, re.M)) == 5


def test_S3_5_mails_of_a_session_and_delays(site):
    """mta limit session-mail-max, conn-delay-relay: one mail for each session, not two within the delay."""
    server = Server()
    s = site(f'mta limit session-mail-max 1 conn-delay-relay 1\nlisten on 127.0.0.1 port {{port}}\n'
             f'action "r" relay host smtp+notls://127.0.0.1:{server.port}\nmatch for any action "r"\n')
    started = time.monotonic()
    for i in range(3):
        send(s, f"u{i}@far.test")
    server.wait(s, 3)
    assert time.monotonic() - started >= 2 and len(server.peers) == 3


def test_sub_addr_delim(site):
    s = site('smtp sub-addr-delim "_"\n' + MAILDIR.replace("dest.user", "dest.user:strip"))
    send(s, "joe_x@localhost")
    box(s, "joe")


def test_warn_interval_and_ttl(site):
    dead = free_port()
    s = site(f'listen on 127.0.0.1 port {{port}}\nbounce warn-interval 1s, 6s\naction "l" maildir "{{mail}}/%{{{{dest.user}}}}" user {USER}\n'
             f'action "r" relay host smtp+notls://127.0.0.1:{dead} ttl 18s\n'
             'match for local action "l"\nmatch for any action "r"\n')
    send(s, "bob@far.test", sender="joe@localhost")
    texts = [open(p).read() for p in box(s, "joe", 3)]
    kinds = sorted(re.search(r"^Subject: (.*)", t, re.M).group(1).split()[0] for t in texts)
    assert kinds == ["Delayed", "Delayed", "Undelivered"], kinds
    s.wait_log("to=<bob@far.test>.*dsn=5.4.7, status=bounced")


def test_paused_from_the_start(site):
    s = site(MAILDIR, "-P", "mda")
    send(s, "joe@localhost")
    s.wait_log(r"nrcpt=1 \(queue active\)")
    time.sleep(1)
    assert not glob.glob(f"{s.mail}/joe/new/*") and s.queue_files()


# ---- bad input ----

@pytest.mark.parametrize("text,words", [
    ("table t nosuch:/x\naction a relay\nmatch from any for domain <t> action a\n", "tables of type nosuch are not available"),
    ('pki x cert "/none" key "/none"\nmatch for any reject\n', "smtpd.conf:1: cannot load certificate: /none: No such file"),
    ('ca x cert "/none"\nmatch for any reject\n', "smtpd.conf:1: cannot load CA file: /none: No such file"),
    ('table h { "smtp://a", "lmtp://b:24" }\naction a relay host <h>\nmatch for any action a\n', "LMTP cannot stand beside SMTP"),
    ("queue encryption secret\nmatch for any reject\n", "it has 6 characters, not 32"),
    ("accept for local deliver to mbox as nosuchuser99\n", "smtpd.conf:1: user 'nosuchuser99' does not exist."),
    ("accept for all relay\ntable a { b }\n", "grammar of 2013 to 2018"),
    ("accept for all relay\nmatch for any reject\n", "two grammars in one file"),
])
def test_refused_whole(site, text, words):
    s = site("", start=False)
    s.write(text)
    r = s.smtpd("-n")
    assert r.returncode == 1 and words in r.stderr and "configuration OK" not in r.stderr


def test_queue_is_packed(site):
    """queue compression, queue encryption: the key in the file, from standard input, changed and taken away while mail waits."""
    keys = ["0123456789abcdef0123456789abcdef", "it is any text of 32 characters."]
    s = site("", start=False)

    def start(text, stdin=None):
        s.write(text.format(port=s.port, dir=s.dir, mail=s.mail, me=ME))
        s.etc = s.base
        r = s.smtpd("-P", "mda", input=stdin, start_new_session=True)  # no terminal to read from
        assert r.returncode == 0, r.stderr
        s.etc = f"{s.data}/smtpd.d"
        s.wait_port()
        assert "warning" not in r.stderr

    def wait(n):
        send(s, "joe@localhost")
        wait_until(lambda: len(s.queue_files("incoming", "active", "deferred")) == n)
    start(f"queue compression\nqueue encryption {keys[0]}\n" + MAILDIR)
    wait(1)
    assert os.stat(f"{s.etc}/queue_key").st_mode & 0o777 == 0o600
    assert s.run("postconf", "-h", "queue_compression").stdout == "yes\n"
    Instance.stop(s)
    for n, word in enumerate(("stdin", "")):
        start(f"queue encryption {word}\n" + MAILDIR, keys[1] + "\n")
        wait(2 + 2 * n)
        s.reload()
        wait(3 + 2 * n)
        Instance.stop(s)
    assert not any(b"hello" in open(f, "rb").read() for f in s.queue_files())
    start(MAILDIR)
    wait(6)
    assert sum(b"hello" in open(f, "rb").read() for f in s.queue_files()) == 1
    s.run("smtpctl", "resume", "mda", check=True)
    box(s, "joe", 6)


def test_every_setting_names_its_line(site):
    s = site(MAILDIR + "queue ttl 2d\n", start=False)
    out = s.smtpd("-nv").stdout
    assert f"# {s.conf}:5\nmaximal_queue_lifetime = 172800s" in out
    assert f"# {s.conf}:2\n127.0.0.1:{s.port} inet" in out
    assert f"# {s.conf}:3\naction_l unix" in out
    assert f"# {s.conf}:4\nmatch any domain=localnames action l" in out


@pytest.mark.parametrize("text,words", [("mta limit task-hiwat 10\n", "mta limit task-hiwat has no effect: "),
                                        ("scheduler limit max-schedule 10\n", "scheduler limit max-schedule has no effect: ")])
def test_settings_without_effect_are_named(site, text, words):
    s = site(text + "match for any reject\n", start=False)
    r = s.smtpd("-nv")
    assert r.returncode == 0 and words in r.stderr


# ---- the example of a real small site ----

def test_example_of_a_small_site(site, certificate):
    """doc/examples/opensmtpd/smtpd.conf as given, but for directories, ports and the names of two accounts."""
    provider = Server(tls=certificate)
    s = site("", start=False)
    port = free_port()
    etc = f"{s.dir}/mail-etc"
    os.makedirs(etc)
    text = open(f"{TOP}/doc/examples/opensmtpd/smtpd.conf").read()
    for old, new in [("/etc/ssl/mx.example.org.pem", certificate[0]), ("/etc/ssl/private/mx.example.org.key", certificate[1]),
                     ("/etc/mail", etc), ("/var/mail", s.mail), ("user vmail", f"user {USER}"),
                     ("listen on lo filter", f"listen on lo inet4 port {s.port} filter"),
                     ("listen on lo port 587", f"listen on lo inet4 port {port}"),
                     ("relay.provider.test:587", f"localhost:{provider.port}"), ("auth <secrets>", "auth <secrets> tls no-verify")]:
        assert old in text, old
        text = text.replace(old, new)
    s.write(text)
    digest = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    for name, content in {"aliases": "root: postmaster\npostmaster: ann@example.org\n", "passwd": f"ann {digest}\n",
                          "people": "ann@example.org ann\nbea@chess.club.example.org bea\n@go.club.example.org ann,bea\n",
                          "secrets": "club club:word\n"}.items():
        with open(f"{etc}/{name}", "w") as f:
            f.write(content)
    assert s.smtpd("-n").stderr == "configuration OK\n"
    s.start()
    s.wait_port()
    send(s, "ann@example.org")
    box(s, "people/ann")
    send(s, "list@go.club.example.org")
    box(s, "people/ann", 2)
    box(s, "people/bea")
    assert rcpt(s, "nobody@example.org").startswith("550 5.1.1")
    assert rcpt(s, "ann@example.org", sender="x@spam.test").startswith("550 5.7.1")
    s.run("sendmail", "-f", "ann@example.org", "root", input="Subject: cron\n\nreport\n", check=True)
    box(s, "people/ann", 3)  # by the aliases of the machine, then by the rules again
    with smtplib.SMTP("localhost", port, local_hostname="client.test", timeout=60 * SLOW) as c:
        c.starttls(context=ssl.create_default_context(cafile=certificate[0]))
        c.login("ann", "secret")
        c.sendmail("ann@example.org", ["friend@far.test"], "Subject: out\r\n\r\nhello\r\n")
    got = provider.wait(s)[0]
    assert got[2] == ["friend@far.test"] and got[4] == "\0club\0word" and "client.test" not in got[3]


# ---- filters of smtpd.conf ----

FILTER = r'''#!/usr/bin/python3
import sys
for line in sys.stdin:
    if line.startswith("config|ready"):
        print("register|filter|smtp-in|rcpt-to\nregister|ready", flush=True)
    elif line.startswith("filter|"):
        kind, version, when, way, phase, session, token, *rest = line.rstrip("\n").split("|")
        answer = "reject|550 not by filter" if "no@" in rest[0] else "proceed"
        print(f"filter-result|{session}|{token}|{answer}", flush=True)
'''


def test_filters(site):
    s = site("", start=False)
    with open(f"{s.dir}/filter", "w") as f:
        f.write(FILTER)
    os.chmod(f"{s.dir}/filter", 0o755)
    s.write('table bad { "@bad.test", "worse@*" }\n'
            'filter "sender" phase mail-from match mail-from <bad> reject "550 not from there"\n'
            f'filter "prog" proc-exec "{s.dir}/filter"\nfilter "all" chain {{ "sender", "prog" }}\n'
            f'listen on 127.0.0.1 port {s.port} filter "all"\n'
            f'action "l" maildir "{s.mail}/%{{dest.user}}" user {USER}\nmatch from any for any action "l"\n')
    s.start()
    assert say(s, "EHLO c.test", "MAIL FROM:<x@bad.test>")[-1] == "550 not from there", s.logs()[-2000:]
    assert rcpt(s, "no@y.test") == "550 not by filter", s.logs()[-2000:]
    assert rcpt(s, "yes@y.test").startswith("250")
    send(s, "yes@y.test")
    box(s, "yes")


LISTENER = r'''#!/usr/bin/python3
import sys
log = open(sys.argv[1], "a", buffering=1)
for line in sys.stdin:
    log.write(line)
    if line.startswith("config|ready"):
        print("register|report|smtp-out|*\nregister|ready", flush=True)
'''


def test_S3_3_filters_of_socket_and_relay(site):
    """listen on socket filter, relay filter, admd."""
    server = Server()
    s = site("", start=False)
    with open(f"{s.dir}/listener", "w") as f:
        f.write(LISTENER)
    os.chmod(f"{s.dir}/listener", 0o755)
    open(f"{s.dir}/heard", "w").close()
    os.chmod(f"{s.dir}/heard", 0o666)
    s.write('admd "our.test"\nfilter "local" phase rcpt-to match rcpt-to { "no@far.test" } reject "550 not to him"\n'
            f'filter "out" proc-exec "{s.dir}/listener {s.dir}/heard"\nlisten on socket filter "local"\n'
            f'action "r" relay host smtp+notls://127.0.0.1:{server.port} filter "out"\nmatch for any action "r"\n')
    s.start()
    assert "no effect" not in s.output
    r = s.run("sendmail", "-f", "me@a.test", "no@far.test", input="Subject: x\n\nx\n")
    assert r.returncode and "not to him" in r.stderr
    s.run("sendmail", "-f", "me@a.test", "yes@far.test", input="Subject: x\n\nx\n", check=True)
    assert server.wait(s)[0][2] == ["yes@far.test"]
    wait_until(lambda: "|tx-commit|" in open(f"{s.dir}/heard").read(), what=s.logs())
    text = open(f"{s.dir}/heard").read()
    assert "config|admd|our.test\n" in text and re.search(r"\|smtp-out\|tx-rcpt\|\w+\|\w+\|ok\|yes@far.test\n", text)


@pytest.mark.parametrize("grammar", ["current", "2011"])
def test_S045_S110_database_of_makemap(site, grammar):
    if "hash" not in subprocess.run([f"{BUILD}/bin/postconf", "-m"], capture_output=True, text=True).stdout.split():
        pytest.skip("this build has no Berkeley DB")
    s = site("", start=False)
    path = f"{s.dir}/aliases"
    with open(path, "w") as f:
        f.write("bob: ann\nlist: ann, bea\n")
    r = subprocess.run(["makemap", "-t", "aliases", path], executable=f"{s.prefix}/sbin/smtpctl", capture_output=True, text=True,
                       env={**os.environ, "MAIL_CONFIG": s.base})
    assert r.returncode == 0 and os.path.exists(f"{path}.db"), r.stderr
    head = f"listen on 127.0.0.1 port {s.port}\n"
    s.write(head + (f'table al db:{path}.db\naction "l" maildir "{s.mail}/%{{dest.user}}" alias <al> user {USER}\nmatch for local action "l"\n'
                    if grammar == "current" else
                    f'map al {{ source db "{path}.db" }}\naccept for local alias al deliver to maildir "{s.mail}/%u" as {USER}\n'))
    s.start()
    send(s, "bob@localhost")
    box(s, "ann")
    send(s, "list@localhost")
    box(s, "ann", 2)
    box(s, "bea")


EXPLAINED = """
filter "h" phase helo match helo {{{{ "bad.test" }}}} disconnect "550 bad helo"
filter "f" phase rcpt-to match rcpt-to {{{{ "z@x.test" }}}} reject "550 filtered"
filter "r" phase mail-from match mail-from {{{{ "old@x.test" }}}} rewrite "new@x.test"
filter c chain {{{{ h, f, r }}}}
listen on 127.0.0.1 port {{port}} tag T filter c
action "l" maildir user {user}
match tag T from any mail-from "new@x.test" for domain "ex.test" reject
match tag T from any for domain "ex.test" action "l"
match from any mail-from "evil@x.test" for any reject
match for domain "x.test" action "l"
""".format(user=USER)


def test_generated_configuration_is_explained(site):
    """postexplain -c DIR --service: match rules and filters that are conditions."""
    s = site(EXPLAINED)
    for helo, sender, to in (("c.test", "a@x.test", "u@ex.test"), ("c.test", "evil@x.test", "u@x.test"), ("c.test", "a@b.test", "u@other.test"),
                             ("c.test", "a@b.test", "u@x.test"), ("c.test", "a@x.test", "z@x.test"), ("c.test", "old@x.test", "u@ex.test"), ("bad.test", "a@b.test", "u@ex.test")):
        with s.raw() as c:
            for command in (f"EHLO {helo}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>"):
                reply = c.cmd(command)
                if reply[:1] != "2":
                    break
            closed = reply[:1] != "2" and c.cmd("NOOP") == ""
        r = s.run("postexplain", "--json", "-c", s.etc, "--service", f"127.0.0.1:{s.port}", "--client", "127.0.0.1,localhost", "--helo", helo, "--sender", sender,
                  "--recipient", to, check=True)
        o = json.loads(r.stdout)
        assert (o["reply"], o["close"]) == (None if reply[:1] == "2" else reply, closed), (helo, sender, to, reply, o)
        if o["verdict"] == "permit":
            assert (o["file"], o["restriction"]) == (f"{s.etc}/match_rules", f"match_rules {s.etc}/match_rules") and o["line"] > 0, o
