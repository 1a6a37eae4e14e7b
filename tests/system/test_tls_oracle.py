"""Debian's own Postfix sends to us, at every level of its client."""
import os

import pytest

from conftest import wait_until
from test_oracle import oracle_root, postfix  # noqa: F401
from test_tls_server import TLSMGR, held, settings
from test_tls_client import alert
from tls_client import Authority
from tls_peer import TlsServer

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="a real Postfix runs only as root"), pytest.mark.heavy]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.issue("mx", "mx.example.test")
    a.issue("sender", "sender.example.test")
    return a


def run(postern, postfix, ca, client, server=None, level="may"):
    p = postern(settings(ca, level, **(server or {})), master_extra=TLSMGR)
    real = postfix({"relayhost": f"[127.0.0.1]:{p.port}", "mydestination": "", "smtp_tls_loglevel": "1", "smtp_tls_CAfile": ca.file,
                    "smtp_tls_fingerprint_digest": "sha256", **client}, master_extra=TLSMGR)
    real.send("u@example.test")
    return p, real


@pytest.mark.parametrize("client,word", [
    ({"smtp_tls_security_level": "may"}, "Trusted"),
    ({"smtp_tls_security_level": "encrypt"}, "Trusted"),
    ({"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": "mx.example.test"}, "Verified"),
    ({"smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": "mx.example.test"}, "Verified"),
    ({"smtp_tls_security_level": "fingerprint", "smtp_tls_fingerprint_cert_match": "%s"}, "Verified"),
    ({"smtp_tls_security_level": "encrypt", "smtp_tls_mandatory_protocols": "<=TLSv1.2"}, "Trusted"),
])
def test_levels(postern, postfix, ca, client, word):
    client = {k: v.replace("%s", ca.fingerprint("mx")) for k, v in client.items()}
    p, real = run(postern, postfix, ca, client)
    real.wait_log(f"{word} TLS connection established to 127.0.0.1")
    assert "with ESMTPS id" in held(p)


@pytest.mark.parametrize("client,words", [
    ({"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": "other.example.test"}, "Server certificate not verified"),
    ({"smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": "mx.example.test", "smtp_tls_CAfile": ""}, "Server certificate not verified"),
    ({"smtp_tls_security_level": "fingerprint", "smtp_tls_fingerprint_cert_match": ":".join(["AA"] * 32)}, "Server certificate not verified"),
])
def test_refused(postern, postfix, ca, client, words):
    """Its words for what our server shows are those of our client."""
    p, real = run(postern, postfix, ca, client)
    real.wait_log(rf"status=deferred \({words}\)")
    ours = postern({"relayhost": f"[127.0.0.1]:{p.port}", "mydestination": "", "smtp_tls_CAfile": ca.file, "smtp_tls_fingerprint_digest": "sha256", **client})
    ours.send("u@example.test")
    ours.wait_log(rf"status=deferred \({words}\)")


@pytest.mark.parametrize("who", ["postern", "postfix"])
def test_fallback(request, postern, postfix, ca, who):
    """Both wait for TLS once before they go in clear."""
    with TlsServer(f"{ca.dir}/mx.pem", starttls=alert) as s:
        p = request.getfixturevalue(who)({"relayhost": s.hop, "mydestination": "", "smtp_tls_security_level": "may", "minimal_backoff_time": "2s",
                                          "maximal_backoff_time": "3s", "queue_run_delay": "1s"}, master_extra=TLSMGR)
        p.send("u@example.test")
        p.wait_log(r"dsn=4.7.5, status=deferred \(Cannot start TLS: handshake failure\)")
        p.wait_log("status=sent")
        assert len(s.messages) == 1 and not s.tls


def test_none(postern, postfix, ca):
    p, real = run(postern, postfix, ca, {"smtp_tls_security_level": "none"})
    assert "with ESMTP id" in held(p)


def test_refused_in_clear(postern, postfix, ca):
    p, real = run(postern, postfix, ca, {"smtp_tls_security_level": "none"}, level="encrypt")
    real.wait_log("status=(deferred|bounced) .*530 5.7.0 Must issue a STARTTLS command first")


def test_client_certificate(postern, postfix, ca):
    p, real = run(postern, postfix, ca, {"smtp_tls_security_level": "encrypt", "smtp_tls_chain_files": f"{ca.dir}/sender.pem"},
                  {"smtpd_tls_CAfile": ca.file, "smtpd_tls_req_ccert": "yes"}, "encrypt")
    p.wait_log("Trusted TLS connection established from localhost")
    assert '(Client CN "sender.example.test", Issuer "Test CA" (verified OK))' in held(p)


def test_resumption(postern, postfix, ca):
    """Its session cache and our tickets."""
    p, real = run(postern, postfix, ca, {"smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "2", "smtp_connection_cache_on_demand": "no",
                                         "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache"})
    wait_until(lambda: p.queue_files("hold"), what="first message")
    before = p.logs().count("connect from")
    real.send("v@example.test")
    wait_until(lambda: len(p.queue_files("hold")) == 2, what="second message")
    assert p.logs().count("connect from") > before
    real.wait_log("eusing (old )?session")
