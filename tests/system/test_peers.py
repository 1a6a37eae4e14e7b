"""Real servers at the other end of smtp and lmtp: Dovecot's LMTP service, NSD and Unbound for MX lookups."""
import contextlib
import glob
import os
import pwd
import shutil
import smtplib
import subprocess
import tempfile

import pytest
from agent import FakeServer
from conftest import free_port, wait_until
from dnssec import Signed
from sasl_peers import start_dovecot, stop_dovecot

USERS = ("anna", "bert")


class DovecotLmtp:
    """Mailboxes below dir/mail; the LMTP service on dir/lmtp and on port."""

    def __init__(self):
        self.dir, self.port = tempfile.mkdtemp(prefix="pl-", dir="/tmp"), free_port()
        os.chmod(self.dir, 0o755)
        root = os.getuid() == 0
        owner, uid, gid = (pwd.getpwuid(os.getuid()).pw_name, *((65534, 65534) if root else (os.getuid(), os.getgid())))
        os.mkdir(f"{self.dir}/mail")
        os.chmod(f"{self.dir}/mail", 0o777)
        with open(f"{self.dir}/users", "w") as f:
            f.writelines(f"{u}@box.test:{{PLAIN}}x\n" for u in USERS)
        with open(f"{self.dir}/conf", "w") as f:
            f.write(f"""
base_dir = {self.dir}/run
state_dir = {self.dir}/state
log_path = {self.dir}/log
protocols = lmtp
ssl = no
default_internal_user = {owner}
default_login_user = {owner}
default_internal_group = {subprocess.run(["id", "-gn"], capture_output=True, text=True).stdout.strip()}
first_valid_uid = 0
mail_location = maildir:{self.dir}/mail/%n
passdb {{
  driver = passwd-file
  args = {self.dir}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={self.dir}/mail/%n
}}
service lmtp {{
  unix_listener {self.dir}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""")

    def __enter__(self):
        self.process = start_dovecot(self.dir, f"{self.dir}/conf", f"{self.dir}/lmtp", self.log)
        return self

    def log(self):
        with contextlib.suppress(OSError):
            return open(f"{self.dir}/log").read()
        return ""

    def __exit__(self, *a):
        stop_dovecot(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)

    def mails(self, user):
        return [open(f).read() for f in sorted(glob.glob(f"{self.dir}/mail/{user}/new/*"))]


needs_dovecot = pytest.mark.skipif(not os.path.exists("/usr/lib/dovecot/lmtp"), reason="needs dovecot-lmtpd")


@needs_dovecot
@pytest.mark.parametrize("family", ["unix", "inet"])
def test_dovecot_lmtp(postern, family):
    with DovecotLmtp() as d:
        hop = f"unix:{d.dir}/lmtp" if family == "unix" else f"inet:127.0.0.1:{d.port}"
        p = postern({"virtual_mailbox_domains": "box.test", "virtual_transport": f"lmtp:{hop}", "smtpd_reject_unlisted_recipient": "no"})
        p.send(["anna@box.test", "bert@box.test", "nobody@box.test"], text="Subject: to the box\r\n\r\n.dot\r\nend\r\n")
        for user in USERS:
            p.wait_log(rf"lmtp\[\d+\]: \w+: to=<{user}@box.test>, relay=\S+, .*dsn=2.0.0, status=sent \(250 2.0.0 <{user}@box.test> \S+ Saved\)")
            mail, = d.mails(user)
            assert "Subject: to the box" in mail and "\n.dot\nend\n" in mail
        p.wait_log(r"to=<nobody@box.test>, .*dsn=5.1.1, status=bounced \(host .* said: 550 5.1.1 <nobody@box.test> User doesn't exist: nobody@box.test \(in reply to RCPT TO command\)\)")


@needs_dovecot
@pytest.mark.threads
def test_dovecot_lmtp_under_load(postern):
    """Many messages over few kept connections, each delivered once."""
    with DovecotLmtp() as d:
        p = postern({"virtual_mailbox_domains": "box.test", "virtual_transport": f"lmtp:unix:{d.dir}/lmtp",
                     "lmtp_connection_cache_destinations": "static:all", "lmtp_connection_cache_time_limit": "60s"})
        with p.smtp() as s:
            for i in range(60):
                s.sendmail("s@example.test", [f"{u}@box.test" for u in USERS], f"Subject: n{i}\r\n\r\n" + "x" * 5000 + "\r\n")
        wait_until(lambda: all(len(d.mails(u)) >= 60 for u in USERS), what="120 deliveries")
        for u in USERS:
            assert len(d.mails(u)) == 60 and len({m.split("Subject: ")[1].split()[0] for m in d.mails(u)}) == 60
        p.wait_log("conn_use=")


@needs_dovecot
def test_dovecot_is_away_for_a_while(postern):
    with DovecotLmtp() as d:
        hop = f"unix:{d.dir}/lmtp"
        os.rename(f"{d.dir}/lmtp", f"{d.dir}/away")
        p = postern({"virtual_mailbox_domains": "box.test", "virtual_transport": f"lmtp:{hop}"})
        p.send("anna@box.test")
        p.wait_log(r"to=<anna@box.test>, relay=none, .*status=deferred \(connect to .*: No such file or directory\)")
        p.wait_queue(1, "deferred")
        os.rename(f"{d.dir}/away", f"{d.dir}/lmtp")
        p.run("postqueue", "-f", check=True)
        p.wait_log(r"to=<anna@box.test>, .*status=sent")


# ---- MX lookups ----

@pytest.fixture(scope="module")
def names():
    """dest.test is signed, plain.test is not, bogus.test is signed with a key that nobody trusts."""
    if not shutil.which("ldns-signzone") or not os.path.exists("/usr/sbin/nsd") or not shutil.which("unbound"):
        pytest.skip("needs nsd, unbound and ldnsutils")
    records = ["@ IN MX 10 dead", "@ IN MX 20 good", "dead IN A 127.0.0.77", "good IN A 127.0.0.1", "null IN MX 0 .", "only IN A 127.0.0.1", "alias IN CNAME only",
               "dangling IN MX 10 nowhere", "equal IN MX 10 good", "equal IN MX 10 dead", "txt IN TXT \"no mail\""]
    signed = Signed({zone: records for zone in ("dest.test", "plain.test", "bogus.test")}, unsigned=("plain.test",), bogus=("bogus.test",))
    yield signed
    getattr(signed, "close", getattr(signed, "stop", lambda: None))()


@pytest.fixture
def sender(postern, names):
    with FakeServer(address="127.0.0.1") as server:
        def make(**main):
            return postern({"mydestination": "", "dns_resolver_file": names.resolv_conf, "smtp_dns_support_level": "enabled", "smtp_host_lookup": "dns",
                            "smtp_tcp_port": str(server.port), "smtp_connect_timeout": "5s", **main})
        make.server = server
        yield make


@pytest.mark.parametrize("domain,words", [
    ("dest.test", r"relay=good.dest.test\[127\.0\.0\.1\]:\d+, .*status=sent"),
    ("plain.test", r"relay=good.plain.test\[127\.0\.0\.1\]:\d+, .*status=sent"),
    ("equal.dest.test", r"relay=good.dest.test\[127\.0\.0\.1\]:\d+, .*status=sent"),
    ("only.dest.test", r"relay=only.dest.test\[127\.0\.0\.1\]:\d+, .*status=sent"),
    ("alias.dest.test", r"relay=\S+\[127\.0\.0\.1\]:\d+, .*status=sent"),
    ("null.dest.test", r"dsn=5.1.0, status=bounced \(Domain null.dest.test does not accept mail \(nullMX\)\)"),
    ("missing.dest.test", r"dsn=5.4.4, status=bounced \(Host or domain name not found"),
    ("dangling.dest.test", r"dsn=5.4.4, status=bounced \(unable to look up host nowhere.dest.test|Host or domain name not found"),
    ("txt.dest.test", r"dsn=5.4.4, status=bounced"),
    ("bogus.test", r"dsn=4.4.3, status=deferred \(Host or domain name not found"),  # a lie is no answer
])
def test_mx(sender, domain, words):
    p = sender()
    p.send(f"u@{domain}", sender="")
    p.wait_log(rf"to=<u@{domain}>, .*{words}" if "|" not in words else words)
    if "sent" in words:
        assert sender.server.messages[-1]["rcpt"][0].startswith(f"TO:<u@{domain}>")


def test_delivery_to_a_real_mailbox_through_mx(sender, names, postern):
    """smtp by MX to our own smtpd."""
    target = postern({"mydestination": "dest.test"})
    p = postern({"mydestination": "", "dns_resolver_file": names.resolv_conf, "smtp_dns_support_level": "dnssec", "smtp_host_lookup": "dns",
                 "smtp_tcp_port": str(target.port), "smtp_connect_timeout": "5s"})
    with smtplib.SMTP("127.0.0.1", p.port, timeout=30) as s:
        s.sendmail("x@example.test", ["daemon@dest.test"], "Subject: by MX\r\n\r\nhello\r\n")
    p.wait_log(r"to=<daemon@dest.test>, relay=good.dest.test\[127\.0\.0\.1\].*status=sent")
    target.wait_log(r"to=<daemon@dest.test>, .*status=sent")
