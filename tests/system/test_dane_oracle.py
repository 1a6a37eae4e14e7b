"""DANE with Debian's Postfix at the other end, as client and as server.

Its resolver is libc's, which asks port 53 only: Unbound has an address of its own on loopback, and Postfix a resolv.conf of its own in
a mount namespace.
"""
import os
import re
import subprocess

import pytest

from conftest import wait_until
from dnssec import Signed
from test_dane import UNUSABLE, USABLE
from test_oracle import oracle_root, postfix  # noqa: F401 (fixtures)
from test_tls_relay import TLSMGR
from tls_peer import Authority, tlsa

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="a real Postfix runs only as root"), pytest.mark.heavy]
ADDRESS = f"127.99.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    top = tmp_path_factory.mktemp("dane-ca")
    a = Authority(top)
    a.server = a.cert("server", "*.dane.test", "*.bogus.test")
    a.stranger = a.cert("stranger", "stranger.example")
    a.foreign = Authority(f"{top}/foreign", "foreign").pem
    for d in (top, top.parent, top.parent.parent):
        os.chmod(d, 0o755)
    for f in top.iterdir():
        os.chmod(f, 0o755 if f.is_dir() else 0o644)
    return a


def records(ca, port):
    """mCODE.dane.test has a TLSA record of the server at the port, xCODE one of somebody else; none has none."""
    def host(name, *data):
        return [f"{name} IN A 127.0.0.1", *(f"_{port}._tcp.{name} IN TLSA {d}" for d in data)]

    def data(code, match):
        usage, selector, matching = map(int, code)
        if selector > 1 or matching > 2:
            return f"{usage} {selector} {matching} " + "ab" * 32
        pem = (ca.pem if match else ca.foreign) if usage in (0, 2) else (ca.server if match else ca.stranger)
        return tlsa(usage, selector, matching, pem)
    zone = [*host("none")]
    for code in USABLE + UNUSABLE:
        zone += host("m" + code, data(code, True))
    for code in USABLE:
        zone += host("x" + code, data(code, False))
    return {"dane.test": zone, "plain.test": host("insecure", data("311", True)), "bogus.test": host("h", data("311", True))}


@pytest.fixture
def zones(ca):
    made = []

    def make(port):
        made.append(Signed(records(ca, port), unsigned=("plain.test",), bogus=("bogus.test",), standard=ADDRESS))
        return made[-1]
    yield make
    for z in made:
        z.stop()


def server_settings(ca):
    return {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": ca.server, "smtpd_tls_loglevel": "1", "smtpd_data_restrictions": "check_client_access static:HOLD",
            "mynetworks": "127.0.0.0/8", "smtpd_tls_session_cache_database": ""}


def client_settings(port, **main):
    hosts = {h: f"[{h}]:{port}" for h in [f"{k}{c}.dane.test" for c in USABLE for k in "mx"] + [f"m{c}.dane.test" for c in UNUSABLE]
             + ["none.dane.test", "insecure.plain.test", "h.bogus.test"]}
    return {"mydestination": "", "smtp_dns_support_level": "dnssec", "smtp_host_lookup": "dns", "smtp_tls_loglevel": "1", "smtp_address_preference": "ipv4",
            "transport_maps": "inline:{ %s }" % ", ".join(f"{{ {h} = smtp:{hop} }}" for h, hop in hosts.items()), **main}


def outcomes(p, hosts):
    """host: (status, words of the log line)"""
    for h in hosts:
        p.send(f"user@{h}")
    found = {}
    for h in hosts:
        line = p.wait_log(rf"to=<user@{re.escape(h)}>, .*status=")[0]
        found[h] = re.search(r"status=(\w+) \((.*)\)$", line).groups()
    return found


def start_with_resolver(p, zone):
    """Postfix with a resolv.conf of its own, which its processes keep."""
    conf = f"{zone.top}/libc.conf"
    with open(conf, "w") as f:
        f.write(f"nameserver {ADDRESS}\noptions trust-ad edns0\n")
    os.chmod(conf, 0o644)
    program = f"{p.root}/usr/sbin/postfix"
    env = {**os.environ, "MAIL_CONFIG": p.etc, "LANG": "C", "LD_LIBRARY_PATH": f"{p.root}/usr/lib/postfix"}
    with open(f"{p.dir}/start.out", "w") as out:
        r = subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind {conf} /etc/resolv.conf && exec {program} -c {p.etc} start"],
                           env=env, stdout=out, stderr=subprocess.STDOUT, timeout=60)
    assert r.returncode == 0, open(f"{p.dir}/start.out").read() + p.logs()
    p.wait_port()


def verdicts(p, host):
    """First words of the session lines for a host."""
    return re.findall(rf"(\w+) TLS connection established to {re.escape(host)}\[", p.logs())


def check(p, level):
    hosts = [f"m{c}.dane.test" for c in USABLE] + [f"x{c}.dane.test" for c in USABLE] + ["none.dane.test", "insecure.plain.test", "h.bogus.test", "m111.dane.test", "m321.dane.test"]
    got = outcomes(p, hosts)
    for code in USABLE:
        assert got[f"m{code}.dane.test"][0] == "sent" and verdicts(p, f"m{code}.dane.test")[0] == "Verified", (code, got)
        assert got[f"x{code}.dane.test"] == ("deferred", "Server certificate not verified"), (code, got)
    assert got["h.bogus.test"][0] == "deferred"
    for host in ("none.dane.test", "insecure.plain.test", "m111.dane.test", "m321.dane.test"):
        assert got[host][0] == ("sent" if level == "dane" else "deferred"), (host, got)
        if level == "dane":
            assert verdicts(p, host)[0] in ("Untrusted", "Trusted", "Anonymous")


@pytest.mark.parametrize("level", ["dane", "dane-only"])
def test_its_client_and_our_server(postern, postfix, zones, ca, level):  # noqa: F811
    p = postern(server_settings(ca), master_extra=TLSMGR)
    zone = zones(p.port)
    real = postfix(client_settings(p.port, smtp_tls_security_level=level), start=False, master_extra=TLSMGR)
    start_with_resolver(real, zone)
    check(real, level)
    wait_until(lambda: len(p.queue_files("hold")) == len(USABLE) + (4 if level == "dane" else 0), what="all that was sent")


@pytest.mark.parametrize("level", ["dane", "dane-only"])
def test_our_client_and_its_server(postern, postfix, zones, ca, level):  # noqa: F811
    real = postfix({**server_settings(ca), "smtpd_tls_chain_files": ca.server}, master_extra=TLSMGR)
    zone = zones(real.port)
    p = postern(client_settings(real.port, smtp_tls_security_level=level, dns_resolver_file=zone.resolv_conf, dnssec_validation="resolver", dnssec_probe=""))
    check(p, level)


def test_both_clients_say_the_same(postern, postfix, zones, ca):  # noqa: F811
    """The words of the log lines, host by host."""
    s = postern(server_settings(ca), master_extra=TLSMGR)
    zone = zones(s.port)
    hosts = ["m311.dane.test", "x311.dane.test", "x201.dane.test", "none.dane.test", "insecure.plain.test", "m111.dane.test"]
    real = postfix(client_settings(s.port, smtp_tls_security_level="dane-only"), start=False, master_extra=TLSMGR)
    start_with_resolver(real, zone)
    p = postern(client_settings(s.port, smtp_tls_security_level="dane-only", dns_resolver_file=zone.resolv_conf, dnssec_validation="resolver", dnssec_probe=""))

    def normal(found):
        return {h: (status, re.sub(r"queued as \w+", "queued", words)) for h, (status, words) in found.items()}
    assert normal(outcomes(real, hosts)) == normal(outcomes(p, hosts))
