"""posttls-finger with servers of our own making."""
import os
import re
import subprocess

import pytest
from conftest import BUILD
from agent import FakeServer
from dnssec import Signed
from tls_peer import Authority, TlsServer, der, fingerprint, spki, tlsa


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.localhost = a.cert("localhost", "localhost", "nexthop.test")
    a.client = a.cert("client", "client.example")
    return a


@pytest.fixture
def finger(tmp_path):
    (tmp_path / "main.cf").write_text("compatibility_level = 3.11\nmyhostname = client.example\n")

    def run(*args, status=0):
        r = subprocess.run([f"{BUILD}/bin/posttls-finger", *args], env={**os.environ, "MAIL_CONFIG": str(tmp_path)}, capture_output=True, text=True, timeout=60)
        assert r.returncode == status, r.stderr
        return r.stderr.replace("posttls-finger: ", "").splitlines(), r.stdout
    return run


def local(s):
    return f"[localhost]:{s.port}"


NATIVE = ("-h", "native")


def test_conversation(finger, ca):
    with TlsServer(ca.localhost) as s:
        lines, out = finger(*NATIVE, local(s))
        where = f"localhost[127.0.0.1]:{s.port}"
        assert lines[:3] == [f"Connected to {where}", "< 220 server.example ESMTP", "> EHLO client.example"]
        assert lines[-2:] == ["> QUIT", "< 221 2.0.0 Bye"] and not out
        assert f"certificate verification failed for {where}: untrusted issuer /CN=Test ca" in lines
        assert (f"{where}: subject_CN=localhost, issuer_CN=Test ca, fingerprint={fingerprint(der(ca.localhost))}, "
                f"pkey_fingerprint={fingerprint(spki(ca.localhost))}") in lines
        assert any(re.match(rf"Untrusted TLS connection established to {re.escape(where)}: TLSv1.3 with cipher \S+ \(256/256 bits\)", x) for x in lines)
        assert s.commands == ["EHLO client.example", "STARTTLS", "EHLO client.example", "QUIT"]


def trust(lines):
    return [x.split()[0] for x in lines if "TLS connection established" in x]


def test_levels(finger, ca):
    with TlsServer(ca.localhost) as s:
        for args, word in ((("-l", "secure", "-F", ca.pem), "Verified"), (("-l", "verify", "-F", ca.pem), "Verified"), (("-l", "secure", "-F", ca.pem, "x.example"), "Trusted"),
                           (("-l", "secure", "-A", ca.pem), "Verified"), (("-l", "encrypt"), "Untrusted"), (("-l", "none"), None), (("-l", "dane", "-F", ca.pem), "Verified")):
            match = args[4:]
            lines, _ = finger(*NATIVE, *args[:4], local(s), *match)
            assert trust(lines) == ([word] if word else []), (args, lines)
        good = fingerprint(spki(ca.localhost), "sha512")
        assert trust(finger(*NATIVE, "-l", "fingerprint", "-d", "sha512", local(s), good)[0]) == ["Verified"]
        assert trust(finger(*NATIVE, "-l", "fingerprint", "-d", "sha512", local(s), good.replace("A", "B"))[0]) == ["Untrusted"]


def test_chain(finger, ca):
    with TlsServer(ca.localhost) as s:
        lines, out = finger(*NATIVE, "-cC", "-L", "none", local(s))
        assert out.count("BEGIN CERTIFICATE") == 2 and f"cert digest={fingerprint(der(ca.localhost))}" in out and " 0 subject: /CN=localhost\n    issuer: /CN=Test ca" in out
        assert not [x for x in lines if x.startswith(("<", ">"))] and not trust(lines)


def test_other_options(finger, ca):
    with TlsServer(ca.localhost, client_ca=ca.pem) as s:
        finger(*NATIVE, "-k", ca.client, "-s", "sni.example", "-p", "<=TLSv1.2", "-g", "high", "-a", "ipv4", "-t", "5", "-T", "5", "-m", "2", "-v", "-o", "smtp_helo_name=me.test", "-x", "-f",
               "-M", "may", local(s))
        assert s.sni[-1] == "sni.example" and s.tls[-1] == "TLSv1.2" and "client.example" in str(s.client_certs[-1]) and s.commands[0] == "EHLO me.test"
        finger(*NATIVE, "-K", ca.client, local(s))
        assert "client.example" in str(s.client_certs[-1])
        finger(*NATIVE, "-H", ca.client, local(s))
        assert "client.example" in str(s.client_certs[-1])
        assert "ignored" in finger(*NATIVE, "-X", local(s))[0][0]
        assert finger("-a", "ipv6", *NATIVE, "[127.0.0.1]", status=1)[0][0].startswith("Failed to establish session")


def test_wrapper_mode_and_lmtp(finger, ca, tmp_path):
    with TlsServer(ca.localhost, wrapped=True) as s:
        lines, _ = finger(*NATIVE, "-w", local(s))
        assert trust(lines) == ["Untrusted"] and s.commands == ["EHLO client.example", "QUIT"]
    path = str(tmp_path / "mda")
    with TlsServer(ca.localhost, lmtp=True, path=path) as s:
        lines, _ = finger("-S", "-l", "encrypt", f"unix:{path}")
        assert lines[0] == f"Connected to client.example[{path}]" and trust(lines) == ["Untrusted"]


def test_no_tls_there(finger):
    with FakeServer() as s:
        lines, _ = finger(*NATIVE, local(s))
        assert any("does not offer STARTTLS" in x for x in lines)
        port = s.port
    lines, _ = finger(*NATIVE, f"[localhost]:{port}", status=1)
    assert lines[-1] == f"Failed to establish session to [localhost]:{port} via localhost: connect to localhost[127.0.0.1]:{port}: Connection refused"


def test_reconnect(finger, ca):
    with TlsServer(ca.localhost) as s:
        lines, _ = finger(*NATIVE, "-c", "-r", "1", local(s))
        assert "Reconnecting after 1 seconds" in lines and "Found a previously used server.  Done reconnecting." in lines[-1]
        assert s.connections == 2 and s.reused == [False, True]


def test_dane(finger, ca):
    with TlsServer(ca.localhost) as s:
        dns = Signed({"d.test": ["@ IN MX 10 mx", "mx IN A 127.0.0.1", "x IN A 127.0.0.1", f"_{s.port}._tcp.mx IN TLSA {tlsa(3, 1, 1, ca.localhost)}",
                                 f"_{s.port}._tcp.x IN TLSA {tlsa(3, 1, 1, ca.client)}", f"_smtp._tcp IN SRV 1 1 {s.port} mx"]})
        try:
            options = ("-o", f"dns_resolver_file={dns.resolv_conf}", "-o", "dnssec_validation=resolver")
            assert trust(finger(*options, f"d.test:{s.port}")[0]) == ["Verified"]
            assert trust(finger(*options, "-R", "d.test")[0]) == ["Verified"]
            assert trust(finger(*options, f"[x.d.test]:{s.port}")[0]) == ["Untrusted"]
            assert any(f"using DANE RR: _{s.port}._tcp.mx.d.test IN TLSA 3 1 1" in x for x in finger(*options, f"[mx.d.test]:{s.port}")[0])
        finally:
            dns.stop()


@pytest.mark.parametrize("args", [(), ("-l", "strong", "x"), ("-L", "loud", "x"), ("-a", "ipv5", "x"), ("-t", "0", "x"), ("-o", "nothing", "x"), ("-Z", "x")])
def test_bad_command_lines(finger, args):
    assert finger(*args, status=1)[0]
