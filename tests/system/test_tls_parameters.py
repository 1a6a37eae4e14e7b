"""Parameters of TLS and logins whose effect no other test shows."""
import fcntl
import os
import re
import socket
import ssl
import struct
import subprocess
import termios
import threading

import pytest

from agent import read_message
from auth_server import AuthServer, password_file
from conftest import reachable, wait_until
from test_bounce import GONE, SENDER, report
from test_sasl_server import AUTH, USERS, FakeDovecot, b64, ehlo, plain, users  # noqa: F401 (fixture)
from test_tls_client import agent, old, outcome  # noqa: F401 (fixture)
from test_tls_client import ca as client_ca  # noqa: F401 (fixture)
from test_tls_server import TLSMGR, ca, held, resumes, settings  # noqa: F401 (fixture)
from tls_client import Secure, client
from tls_peer import TlsServer

OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def secure(p, *args, **kw):
    """Protocol and cipher of a session, or None."""
    s = Secure(p.port, client(*args, **kw))
    try:
        s.secure()
        return s.sock.version(), s.sock.cipher()[0]
    except OSError:
        return None
    finally:
        s.close()


# ---- OpenSSL's switches ----

def test_options(postern, ca):
    p = postern(settings(ca, tls_ssl_options="NO_TICKET"), master_extra=TLSMGR)
    session, _ = resumes(p.port, None, client(version=OLD))
    assert session is None or not session.has_ticket
    for options, cipher in (("", "ECDHE-RSA-AES256-GCM-SHA384"), ("PRIORITIZE_CHACHA", "ECDHE-RSA-CHACHA20-POLY1305")):
        p = postern(settings(ca, tls_ssl_options=options, tls_preempt_cipherlist="yes"))
        assert secure(p, version=OLD, ciphers="ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384") == ("TLSv1.2", cipher)


def test_workarounds(agent, client_ca):  # noqa: F811
    """A ClientHello of an unlucky length is made longer, unless that is forbidden."""
    lengths = []

    def look(s):
        lengths.append(len(s.recv(4096)))
    for word, length in (("", 517), ("TLSEXT_PADDING", None), ("0x10", None)):
        with TlsServer(client_ca.localhost, starttls=look) as s:
            outcome(agent(smtp_tls_security_level="may", tls_disable_workarounds=word), s.hop)
        assert lengths[-1] == 517 if length else 260 < lengths[-1] < 517, lengths


@pytest.mark.parametrize("name", ["tls_ssl_options", "tls_disable_workarounds"])
def test_unknown_switches(postern, ca, name):
    p = postern(settings(ca, **{name: "NO_SUCH_THING"}), start=False)
    r = p.run("postfix", "check")
    assert r.returncode != 0 and f'{name}: unknown option "NO_SUCH_THING"' in r.stderr


# ---- the server ----

def test_mandatory_protocols_and_ciphers(postern, ca):
    """They count at level encrypt only."""
    for level, works in (("may", True), ("encrypt", False)):
        p = postern(settings(ca, level, smtpd_tls_mandatory_protocols=">=TLSv1.3"))
        assert bool(secure(p, version=OLD)) == works and secure(p, version=NEW)
        p = postern(settings(ca, level, smtpd_tls_mandatory_ciphers="high", tls_high_cipherlist="ECDHE-RSA-CHACHA20-POLY1305"))
        assert bool(secure(p, version=OLD, ciphers="ECDHE-RSA-AES256-GCM-SHA384")) == works
        assert secure(p, version=OLD, ciphers="ECDHE-RSA-CHACHA20-POLY1305")


def test_strong_curve(postern, ca):
    p = postern(settings(ca, smtpd_tls_eecdh_grade="strong", tls_eecdh_strong_curve="secp521r1"))
    assert secure(p)
    p.wait_log(r"key-exchange ECDHE \(secp521r1\)")


def test_dsa(postern, ca, tmp_path):
    """Nobody has such keys any more, but who has is served."""
    reachable(tmp_path)
    key, cert = tmp_path / "dsa.key", tmp_path / "dsa.crt"
    subprocess.run(f"openssl dsaparam -genkey -out {key} 2048 && openssl req -new -x509 -key {key} -subj /CN=mx.example.test -days 30 -out {cert}",
                   shell=True, check=True, capture_output=True)
    p = postern(settings(ca, smtpd_tls_chain_files="", smtpd_tls_dcert_file=cert, smtpd_tls_dkey_file=key, tls_medium_cipherlist="ALL"))
    r = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{p.port}", "-tls1_2", "-cipher", "DHE-DSS-AES256-GCM-SHA384",
                        "-sigalgs", "DSA+SHA256"], input="quit\n", capture_output=True, text=True, timeout=60)
    assert "Cipher is DHE-DSS-AES256-GCM-SHA384" in r.stdout, (r, p.logs())


def test_size_of_traces(postern, ca):
    p = postern(settings(ca, smtpd_tls_loglevel="1, trace", smtpd_tls_trace_size_limit="1500"))
    assert secure(p)
    path = re.search(r"TLS protocol trace for .* saved to (\S+)", p.wait_log("saved to")[0]).group(1)
    text = open(os.path.join(p.spool, path)).read()
    assert "ClientHello" in text and len(text) <= 1500


def test_accepted_with_a_warning(postern, ca):
    p = postern(settings(ca, smtpd_tls_enable_rpk="yes", smtpd_tls_dh512_param_file="/nowhere", tlsproxy_tls_loglevel="2"), start=False)
    r = p.run("postfix", "check")
    assert r.returncode == 0
    for words in ("smtpd_tls_enable_rpk = yes: this OpenSSL has no raw public keys", 'parameter "smtpd_tls_dh512_param_file" has no effect',
                  'parameter "tlsproxy_tls_loglevel" has no effect: smtpd(8) and smtp(8) do TLS themselves'):
        assert words in r.stderr, r
    p.start()
    assert secure(p)


# ---- tlsmgr ----

def test_name_of_tlsmgr(postern, ca):
    for name, resumed in (("tlsmgr", False), ("keeper", True)):
        p = postern(settings(ca, tlsmgr_service_name=name, service_process_sessions="1"), master_extra=TLSMGR.replace("tlsmgr", "keeper", 1))
        c = client(version=OLD)
        session, _ = resumes(p.port, None, c)
        path = os.path.join(p.data, "prng_exch")
        wait_until(lambda: os.path.exists(path) or not resumed, what="tlsmgr")
        if resumed:
            assert resumes(p.port, session, c)[1]
        else:
            assert not os.path.exists(path)  # nobody has asked it


def test_random_bytes(postern, ca, tmp_path):
    """From a pipe one sees who reads how much of it, and when."""
    reachable(tmp_path)
    pipe, left = tmp_path / "source", tmp_path / "left"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    source = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(source, os.urandom(1000))

    def waiting():
        return struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, b"\0" * 4))[0]
    p = postern(settings(ca, tls_random_source=f"dev:{pipe}", tls_random_bytes="7", tls_random_reseed_period="1s",
                         tls_random_exchange_name="${data_directory}/remember", tls_random_prng_update_period="1s", tls_daemon_random_bytes="16"), master_extra=TLSMGR)
    resumes(p.port, None, client())
    wait_until(lambda: waiting() <= 1000 - 3 * 7, what="three readings of the source")
    assert (1000 - waiting()) % 7 == 0
    exchange = f"{p.data}/remember"
    first = open(exchange, "rb").read()
    wait_until(lambda: open(exchange, "rb").read() not in (first, b""), what="a second state")
    os.close(source)
    assert not left.exists()


def test_bad_random_source(postern, ca):
    p = postern(settings(ca, tls_random_source="egd:/nowhere"), master_extra=TLSMGR)
    assert secure(p)
    p.wait_log("warning: tls_random_source = egd:/nowhere: use dev:/path or file:/path; going on without")


def test_random_bytes_for_daemons(postern, ca):
    """What a process asks tlsmgr for when it starts: seen by a tlsmgr of ours."""
    p = postern(settings(ca, tls_daemon_random_bytes="77"), start=False)
    p.start()
    path = f"{p.spool}/private/tlsmgr"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(5)
        listener.settimeout(30)
        handshake = threading.Thread(target=secure, args=(p,))
        handshake.start()
        s, _ = listener.accept()
        with s:
            kind, request = read_message(s)
    handshake.join()
    assert (kind, chr(request["operation"]), request["number"]) == ("tlsmgr_request", "s", 77)


# ---- postfix tls ----

def test_openssl_path(postern, tmp_path):
    reachable(tmp_path)
    script = tmp_path / "openssl"
    script.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/ran\nexec openssl "$@"\n')
    script.chmod(0o755)
    p = postern({"openssl_path": script}, start=False)
    assert p.run("postfix", "tls", "new-server-key", "-a", "ecdsa", "a.example.test").returncode == 0
    assert "req" in (tmp_path / "ran").read_text()


# ---- REQUIRETLS ----

@pytest.mark.parametrize("carried", ["yes", "no"])
def test_requiretls_across_filters(postern, ca, carried):
    p = postern(settings(ca, requiretls_esmtp_header=carried))
    with Secure(p.port, client()) as s:
        s.secure()
        s.sendmail("a@example.test", ["u@example.test"], "Subject: x\r\n\r\nhello\r\n", mail_options=["REQUIRETLS"])
    assert ("\nRequire-TLS-ESMTP: yes\n" in held(p)) == (carried == "yes")
    p = postern({"smtpd_data_restrictions": "check_client_access static:HOLD", "requiretls_esmtp_header": carried})
    p.send("u@example.test", text="Subject: x\r\nRequire-TLS-ESMTP: yes\r\n\r\nback from the filter\r\n")
    wait_until(lambda: p.queue_files("hold"), what="held message")
    sizes = p.run("postcat", "-e", p.queue_files("hold")[0], check=True).stdout
    assert int(sizes.split("message_size:")[1].split("\n")[0].split()[5]) & 32 == (32 if carried == "yes" else 0)


@pytest.mark.parametrize("redact", ["yes", "no"])
def test_bounces_of_requiretls(postern, redact):
    p = postern({**GONE, "requiretls_redact_dsn": redact})
    p.run("sendmail", "-O", "requiretls=yes", "-f", SENDER, "u@gone.test", input="Subject: orig\n\nfor few eyes\n", check=True)
    _, _, _, original = report(p)
    assert original.get_content_type() == ("text/rfc822-headers" if redact == "yes" else "message/rfc822")
    assert ("for few eyes" in original.as_string()) == (redact == "no")


# ---- logins ----

def test_response_limit(users):  # noqa: F811
    users.main["smtpd_sasl_response_limit"] = "20000"
    users.write_config()
    users.start()
    with users.raw() as s:
        ehlo(s)
        for length, expect in ((14000, "535 5.7.8 "), (16000, "500 5.5.6 ")):  # of base64: 4/3 of it
            assert s.cmd("AUTH PLAIN").startswith("334")
            assert s.cmd(b64("x" * length)).startswith(expect)


def test_name_of_the_service(postern):
    """Dovecot may have other rules for another service."""
    p = postern({**AUTH, "smtpd_sasl_type": "dovecot", "smtpd_sasl_service": "submission"}, start=False)
    p.main["smtpd_sasl_path"] = f"unix:{p.dir}/auth"
    p.write_config()
    fake = FakeDovecot(f"{p.dir}/auth", lambda i: f"OK\t{i}\tuser=anna\n")
    p.start()
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
    assert all("service=submission" in line for line in fake.lines if line[0] == "AUTH")
    fake.listener.close()


@pytest.mark.parametrize("program", ["smtp", "lmtp"])
def test_failures_are_forgotten(postern, tmp_path, program):
    """smtp_sasl_auth_cache_time, lmtp_sasl_auth_cache_time; smtp_sasl_path and lmtp_sasl_path mean nothing to our implementations, and do no harm."""
    reachable(tmp_path)
    with AuthServer("PLAIN", users={}, lmtp=program == "lmtp") as s:
        table = password_file(tmp_path, {s.hop: "user:wrong"})
        login = {"auth_enable": "yes", "security_options": "noanonymous", "password_maps": table, "type": "builtin", "path": "whatever", "auth_soft_bounce": "no",
                 "auth_cache_name": "proxy:lmdb:$data_directory/failures", "auth_cache_time": "2s"}
        p = postern({"mydestination": "", "default_transport": f"{program}:{s.hop}", "notify_classes": "", **{f"{program}_sasl_{k}": v for k, v in login.items()}})
        p.send("a@far.example", sender="")
        p.wait_log(r"status=bounced \(SASL authentication failed; server .* said: 535 5.7.8")
        assert s.auths == 1

        def asked_again():
            p.send("b@far.example", sender="")
            return s.auths > 1
        wait_until(asked_again, what="a second try")
