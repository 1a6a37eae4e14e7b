"""Whole systems: the SMTP client of Postern sends over TLS to its own smtpd and to Debian's Postfix, at every level."""
import os
import re
import subprocess

import pytest
from agent import FakeServer
from conftest import TOP, reachable
from dns_server import NameServer
from test_oracle import oracle_root, postfix  # noqa: F401 (fixtures)
from tls_peer import Authority, TlsServer, der, fingerprint

USER = "daemon"
TLSMGR = "tlsmgr unix - - n 1000? 1 tlsmgr\n"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    top = tmp_path_factory.mktemp("ca")
    a = Authority(top)
    a.server = a.cert("server", "localhost", "mx.example.test")
    a.rsa = a.cert("rsa", "localhost", bits=2048)
    a.client = a.cert("client", "client.example.test")
    for d in (top, top.parent, top.parent.parent):
        os.chmod(d, 0o755)
    for f in top.iterdir():
        os.chmod(f, 0o644)
    return a


def server_settings(ca, **main):
    return {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": ca.server, "smtpd_tls_loglevel": "1", "smtpd_tls_ask_ccert": "yes",
            "smtpd_tls_CAfile": ca.pem, "smtpd_tls_received_header": "yes", "smtpd_tls_session_cache_database": "", **main}


def client_settings(ca, port, **main):
    return {"relayhost": f"[localhost]:{port}", "mydestination": "", "smtp_tls_CAfile": ca.pem, "smtp_tls_loglevel": "1", **main}


@pytest.fixture(params=["own", "debian"])
def server(request, ca, postern):
    """A factory of servers, with our smtpd or with Debian's."""
    make = postern if request.param == "own" else request.getfixturevalue("postfix")
    return lambda **main: make(server_settings(ca, **main), master_extra=TLSMGR)


LEVELS = [
    ({"smtp_tls_security_level": "may"}, "may", "Trusted"),
    ({"smtp_tls_security_level": "encrypt"}, "encrypt", "Trusted"),
    ({"smtp_tls_security_level": "encrypt", "smtp_tls_CAfile": ""}, "encrypt", "Untrusted"),
    ({"smtp_tls_security_level": "verify"}, "verify", "Verified"),
    ({"smtp_tls_security_level": "secure"}, "secure", "Verified"),
    ({"smtp_tls_security_level": "none", "smtp_tls_policy_maps": "inline:{ {[localhost]:PORT = secure match=mx.example.test} }"}, "secure", "Verified"),
    ({"smtp_tls_security_level": "fingerprint", "smtp_tls_fingerprint_cert_match": "PRINT"}, "fingerprint", "Verified"),
    ({"smtp_tls_security_level": "may", "smtp_tls_protocols": "<=TLSv1.2"}, "may", "Trusted"),
]


def test_every_level(server, postern, ca):
    s = server()
    for main, tls, word in LEVELS:
        main = {k: v.replace("PORT", str(s.port)).replace("PRINT", fingerprint(der(ca.server))) for k, v in main.items()}
        p = postern(client_settings(ca, s.port, **main))
        count = len(s.mails(USER))
        p.send(f"{USER}@example.test", text="Subject: over TLS\r\n\r\n" + "x" * 70 + "\r\n" + "y" * 20000 + "\r\n")
        line = p.wait_log(r"postfix/smtp\[.*status=")[0]
        assert re.search(rf"relay=localhost\[127\.0\.0\.1\]:{s.port}, .*tls={tls}, dsn=2\.0\.0, status=sent", line), line
        assert f"{word} TLS connection established to localhost[127.0.0.1]:{s.port}: TLSv1." in p.logs(), p.logs()
        got = open(s.wait_mail(USER, count + 1)[-1]).read()
        assert re.search(r"\(using TLSv1\.[23] with cipher \S+ \(256/256 bits\)", got)
        p.stop()
    assert "TLS connection established from localhost[127.0.0.1]: TLSv1.3" in s.logs().replace("unknown[", "localhost[")


def test_mismatch_waits(server, postern, ca):
    s = server()
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="none", smtp_tls_policy_maps=f"inline:{{ {{[localhost]:{s.port} = secure match=other.test}} }}"))
    p.send(f"{USER}@example.test")
    assert "tls=!secure:encrypt, dsn=4.7.5, status=deferred (Server certificate not verified)" in p.wait_log("status=deferred")[0]
    assert not s.mails(USER)


def test_client_certificate(server, postern, ca):
    s = server()
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="encrypt", smtp_tls_chain_files=ca.client))
    p.send(f"{USER}@example.test")
    assert re.search(r'\(Client CN "client\.example\.test", Issuer "Test ca" \(verified OK\)\)', open(s.wait_mail(USER)[0]).read())


def test_mandatory_tls_on_both_sides(server, postern, ca):
    s = server(smtpd_tls_security_level="encrypt")
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="none"))
    p.send(f"{USER}@example.test")
    assert "Must issue a STARTTLS command first" in p.wait_log("status=bounced|status=deferred")[0]
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="encrypt"))
    p.send(f"{USER}@example.test")
    p.wait_log("status=sent")


def test_sessions_are_resumed(server, postern, ca):
    """Each delivery has a connection of its own; the second is spared the full handshake."""
    s = server(smtpd_tls_loglevel="2")
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="verify", smtp_tls_loglevel="2",
                                smtp_tls_session_cache_database="lmdb:$data_directory/smtp_scache"), master_extra=TLSMGR)
    for i in range(3):
        p.send(f"{USER}@example.test")
        p.wait_log("status=sent", count=i + 1)
    assert "Reusing old session" in p.logs()
    assert p.logs().count("Verified TLS connection established to localhost") == 3


def test_connection_reuse(server, postern, ca):
    s = server()
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="verify", smtp_tls_connection_reuse="yes", smtp_connection_cache_destinations="localhost", smtp_connection_cache_time_limit="60s"))
    for i in range(4):
        p.send(f"{USER}@example.test")
        p.wait_log("status=sent", count=i + 1)
    assert p.logs().count("Verified TLS connection established to localhost") == 1
    assert p.logs().count("Verified TLS connection reused to localhost") == 3
    assert re.search(r"conn_use=4, .*tls=verify, ", p.logs())


@pytest.mark.threads
def test_many_at_once(server, postern, ca):
    s = server(smtpd_client_connection_count_limit="0", smtp_destination_concurrency_limit="50")
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="secure", smtp_tls_connection_reuse="yes", smtp_tls_session_cache_database="",
                                initial_destination_concurrency="20"))
    with p.smtp() as c:
        for _ in range(24):
            c.sendmail("sender@example.test", [f"{USER}@example.test"], "Subject: t\r\n\r\nhello\r\n")
    p.wait_log("status=sent", count=24)
    s.wait_mail(USER, 24)
    assert p.logs().count("tls=secure, dsn=2.0.0, status=sent") == 24


def test_requiretls_end_to_end(postern, ca):
    """From sendmail's option to the next server's queue, both ours."""
    s = postern(server_settings(ca))
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="may", smtp_requiretls_policy="enforce"))
    p.run("sendmail", "-O", "requiretls=yes", "-f", "s@example.test", f"{USER}@example.test", input="Subject: t\n\nhi\n", check=True)
    assert "tls=may/requiretls, dsn=2.0.0, status=sent" in p.wait_log("status=")[0]


def test_tls_not_required_end_to_end(postern, ca):
    s = postern()  # no TLS there
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="encrypt"))
    p.send(f"{USER}@example.test", text="Subject: t\r\nTLS-Required: no\r\n\r\nhi\r\n")
    assert "tls=may:none, dsn=2.0.0, status=sent" in p.wait_log("status=")[0]
    p.send(f"{USER}@example.test")
    assert "tls=!encrypt:none, dsn=4.7.4, status=deferred" in p.wait_log("status=deferred")[0]


def test_reload_with_new_authority(postern, ca, tmp_path_factory):
    """The CA file is replaced: the client notices without reload."""
    s = postern(server_settings(ca))
    other = Authority(tmp_path_factory.mktemp("other"), "other")
    top = os.path.dirname(other.pem)
    file = f"{top}/trusted.pem"
    open(file, "w").write(open(other.pem).read())
    reachable(top)
    p = postern(client_settings(ca, s.port, smtp_tls_security_level="verify", smtp_tls_CAfile=file, minimal_backoff_time="1s", queue_run_delay="1s"))
    p.send(f"{USER}@example.test")
    p.wait_log("Server certificate not verified")
    open(file, "w").write(open(ca.pem).read())
    os.utime(file, (1, 1))
    p.wait_log("status=sent")


def blocks(page, kind):
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", open(f"{TOP}/doc/{page}").read(), re.M | re.S)


def test_example_of_the_manual(postern, ca):
    """doc/tls-policy.md as it stands, with directories, authority, fingerprint, port and name server of this test."""
    good = TlsServer(ca.cert("example", "secure.example", "a.hoster.example"))
    clear = FakeServer()
    domains = ("encrypted.example", "secure.example", "hosted.example", "pinned.example", "old.example", "else.example")
    dns = NameServer({**{d: {"MX": [(10, "mx." + d)]} for d in domains}, **{"mx." + d: {"A": ["127.0.0.1"]} for d in domains}})
    p = postern({"mydestination": "", "smtp_tcp_port": str(good.port)}, start=False)
    main, = blocks("tls-policy.md", "main.cf")
    policy, = blocks("tls-policy.md", "tls_policy")
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write(main.replace("/etc/postfix", p.etc).replace("/etc/ssl/certs/ca-certificates.crt", ca.pem))
        f.write(f"dns_resolver_file = {dns.file}\nsmtp_dns_support_level = enabled\nsmtp_host_lookup = dns\n")
    open(f"{p.etc}/tls_policy", "w").write(re.sub(r"fingerprint match=\S+", f"fingerprint match={fingerprint(der(f'{ca.dir}/example.pem'))}", policy))
    p.start()
    for script in blocks("tls-policy.md", "sh"):
        r = subprocess.run(["sh", "-ec", script], env={**os.environ, "MAIL_CONFIG": p.etc, "PATH": f"{p.prefix}/sbin:{os.environ['PATH']}"}, capture_output=True, text=True)
        assert r.returncode == 0, (r, p.logs())
    for domain, level in zip(domains, ("encrypt", "secure", "secure", "fingerprint", "may", "may")):
        p.send(f"user@{domain}")
        p.wait_log(rf"to=<user@{re.escape(domain)}>, .*tls={level}, dsn=\S+, status=sent")
    assert p.run("postmap", "-q", "[relay.example]:587", f"texthash:{p.etc}/tls_policy").stdout == "verify\n"
    p.run("postconf", "-e", f"smtp_tcp_port={clear.port}", check=True)
    p.reload()
    for domain, level in zip(domains, ("!encrypt:none", "!secure:none", "!secure:none", "!fingerprint:none", "may:none", "may:none")):
        p.send(f"user2@{domain}")
        p.wait_log(rf"to=<user2@{re.escape(domain)}>, .*tls={level}, dsn=\S+, status={'sent' if level[0] == 'm' else 'deferred'}")
    for server in (good, clear, dns):
        server.close()
