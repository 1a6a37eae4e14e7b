"""TLS of the SMTP and LMTP client: levels, policies, what fails and how, against servers of our own making."""
import os
import pathlib
import re
import shutil
import ssl
import tempfile
import time

import pytest
from agent import CLOSE, FEATURES, Agent, FakeServer
from tls_peer import Authority, TlsServer, der, fingerprint, openssl, spki


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.localhost = a.cert("localhost", "localhost")
    a.other = a.cert("other", "other.example")
    a.client = a.cert("client", "client.example")
    return a


@pytest.fixture
def agent(request):
    made = []

    def make(program="smtp", **main):
        main.setdefault(f"{program}_host_lookup", "native")
        main.setdefault(f"{program}_tls_loglevel", "1")
        made.append(Agent(program, **main))
        return made[-1]
    yield make
    for a in made:
        a.stop()


def refuses(words, program="smtp", **main):
    a = Agent(program, **main)
    a.process.wait(60)
    logs = a.logs()
    assert a.process.returncode != 0 and re.search("fatal: .*" + words, logs), logs
    a.process.returncode = 0
    a.stop()


def outcome(agent, hop, **kw):
    """(tls=, dsn=, status=, reason)"""
    lines, _ = agent.deliver(hop, **kw)
    m = re.search(r"(?:tls=(\S+), )?dsn=(\S+), status=(\w+) \((.*)\)$", lines[-1])
    assert m, lines
    return m.groups()


def local(server):
    return f"[localhost]:{server.port}"


def verbs(server):
    """LHLO counts as EHLO: test_lmtp_tls.py runs these tests as well."""
    return [c.split()[0].replace("LHLO", "EHLO") for c in server.commands]


SENT = "2.0.0", "sent"


# ---- may, none ----

def test_may_uses_tls(agent, ca):
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost) as s:
        assert outcome(a, s.hop)[::2] == ("may", "sent")
        assert s.tls == ["TLSv1.3"] and len(s.messages) == 1
        assert verbs(s)[:3] == ["EHLO", "STARTTLS", "EHLO"]
    assert re.search(r"Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\) "
                     r"key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256", a.logs())


def test_trusted_with_authority(agent, ca):
    a = agent(smtp_tls_security_level="may", smtp_tls_CAfile=ca.pem)
    with TlsServer(ca.other) as s:
        assert outcome(a, s.hop)[::2] == ("may", "sent")
    assert "Trusted TLS connection established to 127.0.0.1" in a.logs() and "Untrusted" not in a.logs()


@pytest.fixture
def open_path():
    """A directory that the mail owner can read."""
    path = tempfile.mkdtemp(prefix="pt-", dir="/tmp")
    os.chmod(path, 0o755)
    yield pathlib.Path(path)
    shutil.rmtree(path)


def test_authorities_in_a_directory(agent, ca, open_path):
    shutil.copy(ca.pem, open_path / (openssl("x509", "-hash", "-noout", "-in", ca.pem).decode().strip() + ".0"))
    a = agent(smtp_tls_security_level="verify", smtp_tls_CApath=str(open_path))
    with TlsServer(ca.localhost) as s:
        assert outcome(a, local(s))[::2] == ("verify", "sent")


def test_may_without_offer(agent):
    a = agent(smtp_tls_security_level="may")
    with FakeServer() as s:
        assert outcome(a, s.hop)[::2] == ("may:none", "sent")


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "502 5.5.1 no"])
def test_may_refused_starttls(agent, ca, reply):
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost, STARTTLS=reply) as s:
        assert outcome(a, s.hop)[::2] == ("may:none", "sent")
        assert s.connections == 1


def test_none_does_not_ask(agent, ca):
    a = agent(smtp_tls_security_level="none", smtp_tls_note_starttls_offer="yes")
    with TlsServer(ca.localhost) as s:
        assert outcome(a, s.hop)[::2] == ("none", "sent")
        assert not s.tls
    assert "Host offered STARTTLS: [127.0.0.1]" in a.logs()


def test_what_was_said_in_clear_is_forgotten(agent, ca):
    """RFC 3207 4.2: features count only as told over TLS."""
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost, features=("SIZE 1", "DSN"), after=("SIZE 1000000",)) as s:
        assert outcome(a, s.hop, envid="x")[2] == "sent"
        assert "ENVID" not in s.messages[0]["mail"] and "SIZE=" in s.messages[0]["mail"]


# ---- handshakes that fail ----

def garbage(s):
    s.sendall(b"this is no TLS\r\n" * 100)


def hang_up(s):
    pass


def truncate(s):
    s.recv(100)
    s.sendall(b"\x16\x03\x03\x01\x00\x02\x00")  # the start of a record


def alert(s):
    s.recv(4096)
    s.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure


def old():
    """Mail that has waited through a retry."""
    return {"arrival_sec": int(time.time()) - 600}


@pytest.mark.parametrize("trick", [hang_up, truncate, alert])
def test_may_falls_back_on_a_new_connection(agent, ca, trick):
    """But not at once: whatever disturbs TLS may be gone at the next attempt."""
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost, starttls=trick) as s:
        assert outcome(a, s.hop) == ("may:none", "4.7.5", "deferred", "Cannot start TLS: handshake failure")
        assert s.connections == 1 and not s.messages
        assert outcome(a, s.hop, **old())[::2] == ("may:none", "sent")
        assert s.connections == 3 and len(s.messages) == 1


def test_how_long_tls_is_waited_for(agent, ca):
    a = agent(smtp_tls_security_level="may", minimal_backoff_time="2h")
    with TlsServer(ca.localhost, starttls=alert) as s:
        assert outcome(a, s.hop, **old())[2] == "deferred"
        assert outcome(a, s.hop, arrival_sec=int(time.time()) - 7300)[2] == "sent"
        assert outcome(a, s.hop, flags=512)[2] == "deliverable"  # sendmail -bv asks once


def test_session_over_tls_that_breaks(agent, ca):
    """TLS begins, and then the connection is lost each time."""
    with TlsServer(ca.localhost, MAIL=lambda arg, state: CLOSE if state["number"] != 3 else None) as s:
        a = agent(smtp_tls_security_level="may")
        assert outcome(a, s.hop)[1:3] == ("4.4.2", "deferred") and s.connections == 1
        assert outcome(a, s.hop, **old())[::2] == ("may:none", "sent")
        assert s.connections == 3
        assert outcome(agent(smtp_tls_security_level="encrypt"), s.hop, **old())[1:3] == ("4.4.2", "deferred")


@pytest.mark.parametrize("trick", [hang_up, truncate, alert])
def test_encrypt_never_falls_back(agent, ca, trick):
    a = agent(smtp_tls_security_level="encrypt")
    with TlsServer(ca.localhost, starttls=trick) as s:
        assert outcome(a, s.hop) == ("!encrypt:none", "4.7.5", "deferred", "Cannot start TLS: handshake failure")
        assert s.connections == 1 and not s.messages
    assert "SSL_connect error to 127.0.0.1[127.0.0.1]:" in a.logs()


@pytest.mark.parametrize("level, status", [("may", "sent"), ("encrypt", "deferred")])
def test_a_server_that_stalls(agent, ca, level, status):
    a = agent(smtp_tls_security_level=level, smtp_starttls_timeout="1s")
    with TlsServer(ca.localhost, starttls=lambda s: time.sleep(60)) as s:
        start = time.time()
        assert outcome(a, s.hop, **old())[2] == status
        assert time.time() - start < 50


def test_a_server_that_drips(agent, ca):
    """The limit is for the whole handshake."""
    def drip(s):
        s.sendall(b"\x16\x03\x03\x10\x00")
        for _ in range(1000):
            s.sendall(b"\x02")
            time.sleep(0.2)
    a = agent(smtp_tls_security_level="encrypt", smtp_starttls_timeout="2s")
    with TlsServer(ca.localhost, starttls=drip) as s:
        start = time.time()
        assert outcome(a, s.hop)[2] == "deferred"
        assert time.time() - start < 50


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_plaintext_behind_the_reply(agent, ca, level):
    """Somebody puts replies in front of what the server will say over TLS."""
    a = agent(smtp_tls_security_level=level)
    with TlsServer(ca.localhost, STARTTLS=b"220 go\r\n250-evil\r\n250 AUTH PLAIN") as s:
        assert outcome(a, s.hop)[1:] == ("4.7.5", "deferred", "Cannot start TLS: plaintext behind the reply to STARTTLS")
        assert not s.messages and s.connections == 1
    assert "has sent something in clear behind its reply to STARTTLS" in a.logs()


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_garbage_instead_of_tls(agent, ca, level):
    a = agent(smtp_tls_security_level=level)
    with TlsServer(ca.localhost, starttls=garbage) as s:
        got = outcome(a, s.hop, **old())
        assert got[2] == "deferred" if level == "encrypt" else got[2] in ("sent", "deferred")
        assert (got[2] == "sent") == bool(s.messages)


def test_truncated_inside_a_transaction(agent, ca):
    def cut(arg, state):
        raise EOFError
    a = agent(smtp_tls_security_level="encrypt")
    with TlsServer(ca.localhost, DATA=cut) as s:
        got = outcome(a, s.hop)
        assert got[1:3] == ("4.4.2", "deferred") and got[3].startswith("lost connection with 127.0.0.1[127.0.0.1] while sending DATA command")


def test_old_protocols_are_refused(agent, ca):
    a = agent(smtp_tls_security_level="encrypt", smtp_tls_mandatory_protocols=">=TLSv1.3")
    with TlsServer(ca.localhost, maximum=ssl.TLSVersion.TLSv1_2) as s:
        assert outcome(a, s.hop)[3] == "Cannot start TLS: handshake failure"
    a = agent(smtp_tls_security_level="may", smtp_tls_protocols=">=TLSv1.3", smtp_tls_mandatory_protocols=">=TLSv1")
    with TlsServer(ca.localhost, maximum=ssl.TLSVersion.TLSv1_2) as s:
        assert outcome(a, s.hop)[0] == "may:none"
        assert not s.tls


def test_protocols_and_ciphers_of_the_policy(agent, ca):
    maps = ("inline:{ {[localhost] = encrypt protocols=TLSv1.2 exclude=AES256:CHACHA20:CAMELLIA256:ARIA256} {[127.0.0.1] = encrypt protocols=<=TLSv1.2 ciphers=high} }")
    a = agent(smtp_tls_policy_maps=maps, smtp_tls_security_level="none")
    with TlsServer(ca.localhost) as s:
        a2 = agent(smtp_tls_policy_maps=maps, smtp_tls_security_level="none", smtp_tcp_port=str(s.port))
        assert outcome(a2, "[localhost]")[2] == "sent" and outcome(a2, "[127.0.0.1]")[2] == "sent"
        assert s.tls == ["TLSv1.2", "TLSv1.2"]
        assert re.search(r"to localhost\S+: TLSv1\.2 with cipher \S*AES128\S* \(128/128 bits\)", a2.logs()), a2.logs()
        assert outcome(a, s.hop)[0] == "none"  # with the port it is another key


# ---- levels that look at the certificate ----

def test_encrypt_needs_the_offer(agent):
    a = agent(smtp_tls_security_level="encrypt")
    with FakeServer() as s:
        assert outcome(a, s.hop) == ("!encrypt:none", "4.7.4", "deferred", "TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]")
        assert not s.messages


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "502 5.5.1 no"])
def test_encrypt_refused(agent, ca, reply):
    a = agent(smtp_tls_security_level="encrypt")
    with TlsServer(ca.localhost, STARTTLS=reply) as s:
        got = outcome(a, s.hop)
        assert got[2] == "deferred" and got[3] == f"TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: {reply}"


@pytest.mark.parametrize("level", ["verify", "secure"])
def test_name_and_chain(agent, ca, level):
    a = agent(smtp_tls_security_level=level, smtp_tls_CAfile=ca.pem)
    with TlsServer(ca.localhost) as s, TlsServer(ca.other) as o:
        assert outcome(a, local(s))[::2] == (level, "sent")
        assert outcome(a, s.hop) == (f"!{level}:encrypt", "4.7.5", "deferred", "Server certificate not verified")  # 127.0.0.1 is not in it
        assert outcome(a, local(o))[1:] == ("4.7.5", "deferred", "Server certificate not verified")
        assert len(s.messages) == 1 and not o.messages
    assert "Verified TLS connection established to localhost[127.0.0.1]:" in a.logs()


def test_unknown_authority(agent, ca):
    a = agent(smtp_tls_security_level="verify")
    with TlsServer(ca.localhost) as s:
        assert outcome(a, local(s))[1:] == ("4.7.5", "deferred", "Server certificate not verified")
    assert re.search(r"certificate verification failed for localhost\[127\.0\.0\.1\]:\d+: ", a.logs())


def test_expired(agent, ca):
    old = ca.cert("old", "localhost", days="-1")
    a = agent(smtp_tls_security_level="verify", smtp_tls_CAfile=ca.pem)
    with TlsServer(old) as s:
        assert outcome(a, local(s))[1:] == ("4.7.5", "deferred", "Server certificate not verified")
    assert "certificate has expired" in a.logs()
    a = agent(smtp_tls_security_level="encrypt", smtp_tls_CAfile=ca.pem)
    with TlsServer(old) as s:
        assert outcome(a, local(s))[2] == "sent"


MATCH = [
    ("verify match=other.example", "other", True), ("verify match=.example", "other", True), ("verify match=.other.example", "other", False),
    ("secure match=nexthop:other.example", "other", True), ("secure match=example", "other", False), ("verify match=hostname", "localhost", True),
    ("secure match=dot-nexthop", "localhost", False), ("secure match=a.wild.example", "wild", True), ("secure match=b.a.wild.example", "wild", True),
    ("secure match=wild.example", "wild", False), ("secure match=cn.example", "cn", True),
]


@pytest.mark.parametrize("entry, pem, good", MATCH)
def test_match(agent, ca, entry, pem, good):
    file = {"other": ca.other, "localhost": ca.localhost}.get(pem) or (ca.cert("wild", "*.wild.example") if pem == "wild" else ca.cert("cn", cn="cn.example"))
    with TlsServer(file) as s:
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = {entry} }} }}")
        assert (outcome(a, local(s))[2] == "sent") == good


def test_wildcard_for_one_label(agent, ca):
    with TlsServer(ca.cert("wild1", "*.wild.example")) as s:
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = secure match=b.a.wild.example }} }}", tls_wildcard_matches_multiple_labels="no")
        assert outcome(a, local(s))[2] == "deferred"


def test_depth_of_chain(agent, ca):
    a = agent(smtp_tls_security_level="verify", smtp_tls_CAfile=ca.pem, smtp_tls_scert_verifydepth="0")
    with TlsServer(ca.localhost) as s:  # the authority that signed it is one step away, and that is not counted by OpenSSL
        assert outcome(a, local(s))[2] in ("sent", "deferred")


@pytest.mark.parametrize("digest", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("what", [der, spki])
def test_fingerprints(agent, ca, digest, what):
    good, wrong = fingerprint(what(ca.localhost), digest), fingerprint(what(ca.other), digest)
    main = {"smtp_tls_security_level": "fingerprint", "smtp_tls_fingerprint_digest": digest}
    with TlsServer(ca.localhost) as s:
        assert outcome(agent(**main, smtp_tls_fingerprint_cert_match=f"{wrong} {good.replace(':', '').lower()}"), s.hop)[::2] == ("fingerprint", "sent")
        assert outcome(agent(**main, smtp_tls_fingerprint_cert_match=wrong), s.hop) == (
            "!fingerprint:encrypt", "4.7.5", "deferred", "Server certificate not verified")
        a = agent(**main, smtp_tls_policy_maps=f"inline:{{ {{ {s.hop} = fingerprint match={wrong}|{good} }} }}")
        assert outcome(a, s.hop)[2] == "sent"
        assert "Verified TLS connection" in a.logs()


@pytest.mark.parametrize("kind", ["certificate", "key", "both"])
def test_trust_anchors(agent, ca, open_path, kind):
    stranger = Authority(open_path, "stranger")
    key = openssl("x509", "-in", ca.pem, "-noout", "-pubkey").decode()
    file = open_path / "ta.pem"
    file.write_text({"certificate": open(ca.pem).read(), "key": key, "both": open(stranger.pem).read() + key}[kind])
    with TlsServer(ca.localhost) as s:
        assert outcome(agent(smtp_tls_security_level="verify", smtp_tls_trust_anchor_file=str(file)), local(s))[::2] == ("verify", "sent")
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = verify tafile={stranger.pem} }} }}")
        assert outcome(a, local(s))[3] == "Server certificate not verified"  # the CA file does not count
        a = agent(smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = verify tafile=/nonexistent }} }}")
        assert outcome(a, local(s))[1:] == ("4.7.5", "deferred", "client TLS configuration problem")
        assert "open trust anchor file /nonexistent: No such file or directory" in a.logs()


def test_server_name(agent, ca):
    with TlsServer(ca.localhost) as s:
        for main, want in (({}, None), ({"smtp_tls_servername": "hostname"}, "localhost"), ({"smtp_tls_servername": "mx.example"}, "mx.example"),
                           ({"smtp_tls_policy_maps": f"inline:{{ {{ {local(s)} = may servername=nexthop }} }}"}, "localhost")):
            outcome(agent(smtp_tls_security_level="may", **main), local(s))
            assert s.sni[-1] == want


def test_client_certificate(agent, ca):
    with TlsServer(ca.localhost, client_ca=ca.pem) as s:
        for main in ({"smtp_tls_chain_files": ca.client}, {"smtp_tls_cert_file": ca.client}, {"smtp_tls_eccert_file": ca.client[:-4] + ".crt", "smtp_tls_eckey_file": ca.client[:-4] + ".key"}):
            assert outcome(agent(smtp_tls_security_level="encrypt", **main), s.hop)[2] == "sent"
            assert "client.example" in str(s.client_certs[-1])
        assert outcome(agent(smtp_tls_security_level="encrypt"), s.hop)[2] == "sent"
        assert not s.client_certs[-1]


# ---- tables ----

def test_policy_table(agent, ca):
    with TlsServer(ca.localhost) as s, FakeServer() as clear:
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_security_level="may",
                  smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = verify }} {{ {s.hop} = none }} {{ {clear.hop} = encrypt }} {{ {local(clear)} = bad }} }}")
        assert outcome(a, local(s))[0] == "verify"
        assert outcome(a, s.hop)[0] == "none"
        assert outcome(a, clear.hop)[::2] == ("!encrypt:none", "deferred")
        assert outcome(a, local(clear))[1:] == ("4.7.5", "deferred", "client TLS configuration problem")
        assert 'invalid security level "bad"' in a.logs()


def test_policy_table_trouble(agent):
    with FakeServer() as s:
        a = agent(smtp_tls_policy_maps="lmdb:/nonexistent/policy", smtp_tls_security_level="may")
        assert outcome(a, s.hop)[1:] == ("4.3.0", "deferred", "Temporary lookup error")
        assert not s.messages


def test_per_site(agent, ca):
    with TlsServer(ca.localhost) as s, FakeServer() as clear:
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_security_level="may", smtp_tls_per_site=f"inline:{{ {{ {local(s)} = MUST }} {{ {s.hop} = NONE }} {{ {clear.hop} = MUST_NOPEERMATCH }} }}")
        assert outcome(a, local(s))[0] == "verify"
        assert outcome(a, s.hop)[0] == "none"
        assert outcome(a, clear.hop)[::2] == ("!encrypt:none", "deferred")


def test_old_switches(agent, ca):
    old = {"smtp_tls_security_level": "", "smtp_tls_CAfile": ca.pem}
    with TlsServer(ca.localhost) as s:
        assert outcome(agent(**old, smtp_use_tls="yes"), local(s))[0] == "may"
        assert outcome(agent(**old, smtp_enforce_tls="yes"), local(s))[0] == "verify"
        assert outcome(agent(**old, smtp_enforce_tls="yes", smtp_tls_enforce_peername="no"), s.hop)[0] == "encrypt"
        assert outcome(agent(**old), s.hop)[0] == "none"


def test_loglevels(agent, ca):
    with TlsServer(ca.localhost) as s:
        a = agent(smtp_tls_security_level="may", smtp_tls_loglevel="0")
        outcome(a, s.hop)
        assert "TLS connection established" not in a.logs()
        a = agent(smtp_tls_security_level="may", smtp_tls_loglevel="0", smtp_tls_loglevel_maps="inline:{127.0.0.1=2}")
        outcome(a, s.hop)
        assert "setting up TLS connection to 127.0.0.1[127.0.0.1]:" in a.logs() and "Untrusted TLS connection established" in a.logs()


# ---- wrapper mode ----

def test_wrapper_mode(agent, ca):
    a = agent(smtp_tls_security_level="verify", smtp_tls_wrappermode="yes", smtp_tls_CAfile=ca.pem)
    with TlsServer(ca.localhost, wrapped=True) as s:
        assert outcome(a, local(s))[::2] == ("verify", "sent")
        assert verbs(s)[:2] == ["EHLO", "MAIL"]
        assert outcome(a, s.hop)[1:] == ("4.7.5", "deferred", "Server certificate not verified")
    with TlsServer(ca.localhost) as s:  # one that speaks first, in clear
        assert outcome(a, local(s))[1:] == ("4.7.5", "deferred", "Cannot start TLS: handshake failure")


def test_wrapper_mode_needs_a_level():
    refuses("smtp_tls_wrappermode = yes needs TLS; run: postconf -e 'smtp_tls_security_level = encrypt'", smtp_tls_wrappermode="yes")


# ---- kept connections ----

def test_connection_reuse(agent, ca):
    main = {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": ca.pem, "smtp_tls_connection_reuse": "yes"}
    with TlsServer(ca.localhost) as s:
        a = agent(**main, smtp_connection_cache_destinations="localhost", smtp_connection_cache_time_limit="60s")
        for _ in range(3):
            assert outcome(a, local(s))[::2] == ("verify", "sent")
        assert s.connections == 1 and len(s.messages) == 3
        assert "Verified TLS connection reused to localhost[127.0.0.1]:" in a.logs()


def test_no_connection_reuse_by_default(agent, ca):
    with TlsServer(ca.localhost) as s:
        a = agent(smtp_tls_security_level="may", smtp_connection_cache_destinations="localhost", smtp_connection_cache_time_limit="60s")
        for _ in range(2):
            assert outcome(a, local(s))[2] == "sent"
        assert s.connections == 2


def test_connections_are_not_shared_across_policies(agent, ca):
    """127.0.0.1 and localhost are the same server; what the policies want differs."""
    with TlsServer(ca.localhost) as s:
        maps = f"inline:{{ {{ {local(s)} = verify }} {{ {s.hop} = encrypt }} }}"
        a = agent(smtp_tls_CAfile=ca.pem, smtp_tls_policy_maps=maps, smtp_tls_connection_reuse="yes", smtp_connection_cache_destinations="localhost 127.0.0.1", smtp_connection_cache_time_limit="60s")
        assert [outcome(a, h)[0] for h in (s.hop, local(s), s.hop, local(s))] == ["encrypt", "verify", "encrypt", "verify"]
        assert s.connections == 2


def test_reuse_by_policy(agent, ca):
    with TlsServer(ca.localhost) as s:
        a = agent(smtp_tls_policy_maps=f"inline:{{ {{ {local(s)} = may connection_reuse=yes }} }}", smtp_connection_cache_destinations="localhost", smtp_connection_cache_time_limit="60s")
        for _ in range(2):
            assert outcome(a, local(s))[2] == "sent"
        assert s.connections == 1


# ---- REQUIRETLS, TLS-Required ----

REQUIRED = (*FEATURES, "REQUIRETLS")


def test_requiretls(agent, ca):
    main = {"smtp_requiretls_policy": "enforce", "smtp_tls_CAfile": ca.pem}
    a = agent(smtp_tls_security_level="may", **main)
    with TlsServer(ca.localhost, after=REQUIRED) as s:
        assert outcome(a, local(s), sendopts=32)[::2] == ("may/requiretls", "sent")
        assert " REQUIRETLS" in s.messages[0]["mail"]
        assert outcome(a, local(s))[::2] == ("may", "sent")
        assert "REQUIRETLS" not in s.messages[1]["mail"]
    with TlsServer(ca.localhost) as s:
        assert outcome(a, local(s), sendopts=32) == (
            "may/!requiretls", "5.7.30", "bounced", "Sender requested REQUIRETLS, but REQUIRETLS support was not offered by host localhost[127.0.0.1]. "
            "The last attempted server was localhost[127.0.0.1]")
    with TlsServer(ca.other, after=REQUIRED) as s:
        assert outcome(a, local(s), sendopts=32)[:3] == ("may/!requiretls:nocertmatch", "5.7.10", "bounced")
    with TlsServer(ca.localhost, starttls=alert) as s:
        assert outcome(a, local(s), sendopts=32)[1:3] == ("4.7.5", "deferred")
        assert outcome(a, local(s), sendopts=32, **old())[:3] == ("may:none/!requiretls:noencryption", "5.7.10", "bounced")
        assert not s.messages


@pytest.mark.parametrize("policy, pem, after, tls, status", [
    ("opportunistic+starttls", "localhost", REQUIRED, "may/requiretls", "sent"), ("opportunistic+starttls", "other", REQUIRED, "may/requiretls:nomatch", "sent"),
    ("opportunistic+starttls", "localhost", FEATURES, "may/requiretls:none", "sent"), ("opportunistic", "other", FEATURES, "may/requiretls:none", "sent"),
    ("disable", "other", FEATURES, "may", "sent")])
def test_requiretls_policies(agent, ca, policy, pem, after, tls, status):
    a = agent(smtp_tls_security_level="may", smtp_requiretls_policy=policy, smtp_tls_CAfile=ca.pem)
    with TlsServer(getattr(ca, pem), after=after) as s:
        assert outcome(a, local(s), sendopts=32)[::2] == (tls, status)


def test_requiretls_switched_off(agent, ca):
    a = agent(smtp_tls_security_level="may", requiretls_enable="no", smtp_requiretls_policy="enforce")
    with FakeServer() as s:
        assert outcome(a, s.hop, sendopts=32)[::2] == ("may:none", "sent")


def test_tls_not_required(agent, ca):
    a = agent(smtp_tls_security_level="secure")
    with FakeServer() as s, TlsServer(ca.other) as t:
        assert outcome(a, s.hop)[2] == "deferred"
        assert outcome(a, s.hop, sendopts=16)[::2] == ("may:none", "sent")
        assert outcome(a, t.hop, sendopts=16)[::2] == ("may", "sent")
    a = agent(smtp_tls_security_level="secure", tls_required_enable="no")
    with FakeServer() as s:
        assert outcome(a, s.hop, sendopts=16)[2] == "deferred"


# ---- early replies ----

def test_early_mail_reply(agent, ca):
    """TLS 1.2: a second reply is there before MAIL was said."""
    class Early(TlsServer):
        def do_ehlo(self, s, arg, state, verb):
            if isinstance(s, ssl.SSLSocket):
                s.sendall(b"250 server.example\r\n250 2.1.0 too early\r\n")
            else:
                super().do_ehlo(s, arg, state, verb)
    with Early(ca.localhost, maximum=ssl.TLSVersion.TLSv1_2) as s:
        a = agent(smtp_tls_security_level="encrypt", smtp_tls_block_early_mail_reply="yes")
        assert outcome(a, s.hop)[1:] == ("4.7.0", "deferred", "host 127.0.0.1[127.0.0.1] replied before it got a MAIL FROM command")
        assert not s.messages


# ---- LMTP ----

def test_lmtp(agent, ca):
    with TlsServer(ca.localhost, lmtp=True) as s:
        a = agent("lmtp", lmtp_tls_security_level="verify", lmtp_tls_CAfile=ca.pem)
        assert outcome(a, f"inet:localhost:{s.port}")[::2] == ("verify", "sent")
        assert s.commands[0].startswith("LHLO") and s.commands[2].startswith("LHLO")
        assert "Verified TLS connection established to localhost[127.0.0.1]:" in a.logs()


def test_lmtp_unix_socket(agent, ca):
    a = agent("lmtp", lmtp_tls_security_level="encrypt")
    with TlsServer(ca.localhost, lmtp=True, path=f"{a.spool}/private/mda"):
        assert outcome(a, "unix:private/mda")[::2] == ("encrypt", "sent")


# ---- settings that make no sense ----

@pytest.mark.parametrize("main, words", [
    ({"smtp_tls_CAfile": "/nonexistent"}, "smtp_tls_CAfile.*/nonexistent"),
    ({"smtp_tls_cert_file": "/nonexistent"}, "smtp_tls_cert_file.*/nonexistent"),
    ({"smtp_tls_mandatory_protocols": ">=TLSv9"}, "smtp_tls_mandatory_protocols"),
    ({"smtp_tls_protocols": "TLS9"}, "smtp_tls_protocols"),
    ({"smtp_tls_loglevel": "loud"}, "unknown TLS log level"),
    ({"smtp_tls_fingerprint_digest": "md0"}, "fingerprint_digest"),
    ({"smtp_tls_policy_maps": "nosuchtype:x"}, "smtp_tls_policy_maps"),
    ({"smtp_tls_trust_anchor_file": "/nonexistent"}, "smtp_tls_trust_anchor_file: /nonexistent: No such file"),
    ({"dnssec_probe": "x"}, "dnssec_probe = x"),
])
def test_settings_that_make_no_sense(main, words):
    refuses(words, **{"smtp_tls_security_level": "may", **main})


def test_what_this_openssl_cannot_do(agent):
    a = agent(smtp_tls_security_level="may", smtp_tls_enable_rpk="yes", smtp_tlsrpt_enable="yes")
    with FakeServer() as s:
        assert outcome(a, s.hop)[2] == "sent"
    assert "warning: smtp_tls_enable_rpk = yes: this OpenSSL has no raw public keys; ignored" in a.logs()
    assert "warning: smtp_tlsrpt_enable = yes" in a.logs()


# ---- ciphers, groups, and other settings of the library ----

OLD = ssl.TLSVersion.TLSv1_2
NO_256 = "AES256 CHACHA20 CAMELLIA256 ARIA256"


def cipher_of(a):
    return re.findall(r"TLS connection established to \S+ (TLS\S+) with cipher (\S+)", a.logs())[-1]


@pytest.mark.parametrize("main, level, good", [
    ({}, "may", "AES256"), ({"smtp_tls_exclude_ciphers": NO_256}, "may", "AES128"), ({"smtp_tls_exclude_ciphers": NO_256}, "encrypt", "AES128"),
    ({"smtp_tls_mandatory_exclude_ciphers": NO_256}, "may", "AES256"), ({"smtp_tls_mandatory_exclude_ciphers": NO_256}, "encrypt", "AES128"),
    ({"smtp_tls_ciphers": "high", "tls_high_cipherlist": "ECDHE+AESCCM"}, "may", "CCM"), ({"smtp_tls_ciphers": "high", "tls_high_cipherlist": "ECDHE+AESCCM"}, "encrypt", "GCM"),
    ({"smtp_tls_mandatory_ciphers": "high", "tls_high_cipherlist": "ECDHE+AESCCM"}, "encrypt", "CCM"),
    ({"tls_medium_cipherlist": "ECDHE+AESCCM"}, "may", "CCM"), ({"smtp_tls_ciphers": "low", "tls_low_cipherlist": "ECDHE+AESCCM"}, "may", "CCM"),
    ({"smtp_tls_ciphers": "export", "tls_export_cipherlist": "ECDHE+AESCCM"}, "may", "CCM"), ({"smtp_tls_ciphers": "null", "tls_null_cipherlist": "ECDHE+AESCCM"}, "may", "CCM")])
def test_ciphers(agent, ca, main, level, good):
    with TlsServer(ca.localhost, maximum=OLD) as s:
        s.context.set_ciphers("ALL:@SECLEVEL=0")
        a = agent(smtp_tls_security_level=level, **main)
        assert outcome(a, s.hop)[::2] == (level, "sent")
        assert good in cipher_of(a)[1]


def test_ciphers_that_do_not_exist(agent, ca):
    refuses("smtp_tls_mandatory_ciphers|cipher", smtp_tls_security_level="encrypt", tls_medium_cipherlist="NOSUCHCIPHER")


def test_groups(agent, ca):
    with TlsServer(ca.localhost) as s:
        a = agent(smtp_tls_security_level="may", tls_eecdh_auto_curves="secp384r1 nosuchcurve", tls_ffdhe_auto_groups="")
        assert outcome(a, s.hop)[2] == "sent"
        assert "key-exchange ECDHE (secp384r1)" in a.logs() and "nosuchcurve" in a.logs()


def test_main_cf_names(agent, ca):
    with TlsServer(ca.other) as s:
        for main, level, good in (({"smtp_tls_verify_cert_match": "hostname, other.example"}, "verify", True), ({"smtp_tls_verify_cert_match": "x.example"}, "verify", False),
                                  ({"smtp_tls_secure_cert_match": ".example"}, "secure", True), ({"smtp_tls_verify_cert_match": "other.example"}, "secure", False)):
            a = agent(smtp_tls_security_level=level, smtp_tls_CAfile=ca.pem, **main)
            assert (outcome(a, local(s))[2] == "sent") == good, main


def test_key_in_a_file_of_its_own(agent, ca):
    with TlsServer(ca.localhost, client_ca=ca.pem) as s:
        assert outcome(agent(smtp_tls_security_level="encrypt", smtp_tls_cert_file=ca.client[:-4] + ".crt", smtp_tls_key_file=ca.client[:-4] + ".key"), s.hop)[2] == "sent"
        assert "client.example" in str(s.client_certs[-1])


def test_mta_sts_policies(agent, ca):
    with TlsServer(ca.localhost) as s:
        def maps(pattern):
            return f"inline:{{ {{ {local(s)} = secure match=wrong.example policy_type=sts policy_domain=d.example mx_host_pattern={pattern} }} }}"
        main = {"smtp_tls_CAfile": ca.pem}
        a = agent(**main, smtp_tls_policy_maps=maps("localhost"))
        assert outcome(a, local(s))[::2] == ("secure", "sent") and s.sni[-1] == "localhost"
        got = outcome(agent(**main, smtp_tls_policy_maps=maps("*.example")), local(s))
        assert got[1:] == ("4.7.5", "deferred", "MTA-STS policy of localhost does not name the host localhost")
        assert outcome(agent(**main, smtp_tls_policy_maps=maps("localhost"), smtp_tls_enforce_sts_mx_patterns="no"), local(s))[2] == "deferred"


def test_default_authorities(agent, ca, monkeypatch, open_path):
    shutil.copy(ca.pem, open_path / "all.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(open_path / "all.pem"))
    with TlsServer(ca.localhost) as s:
        assert outcome(agent(smtp_tls_security_level="verify", tls_append_default_CA="yes", import_environment="MAIL_CONFIG SSL_CERT_FILE"), local(s))[2] == "sent"
        assert outcome(agent(smtp_tls_security_level="verify", tls_append_default_CA="no"), local(s))[2] == "deferred"


@pytest.mark.parametrize("main", [{"tls_config_file": "none"}, {"tls_fast_shutdown_enable": "no"}, {"tls_ssl_options": "NO_TICKET"}, {"tls_disable_workarounds": "TLSEXT_PADDING"},
                                  {"smtp_tls_trace_size_limit": "1000"}, {"smtp_tlsrpt_skip_reused_handshakes": "yes", "smtp_tlsrpt_socket_name": "x"}])
def test_accepted(agent, ca, main):
    with TlsServer(ca.localhost) as s:
        assert outcome(agent(smtp_tls_security_level="encrypt", **main), s.hop)[2] == "sent"


def test_trace(agent, ca):
    """Decoded messages in a file, written by the confined process."""
    with TlsServer(ca.localhost) as s:
        a = agent(smtp_tls_security_level="may", smtp_tls_loglevel="1, trace", smtp_tls_trace_size_limit="2000", tls_trace_rate_limit="1")
        for _ in range(2):
            assert outcome(a, s.hop)[2] == "sent"
        path, = re.findall(r"TLS protocol trace for 127\.0\.0\.1\[127\.0\.0\.1\]:\d+ saved to (\S+)", a.logs())
        text = open(f"{a.spool}/{path}").read()
        assert "ClientHello" in text and len(text) <= 2000
        assert "skipping TLS trace output - rate limit (1) exceeded" in a.logs()


def test_no_password_in_clear_after_a_handshake_that_failed(agent, ca):
    main = {"smtp_tls_security_level": "may", "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous"}
    with TlsServer(ca.localhost, starttls=alert, features=(*FEATURES, "AUTH PLAIN LOGIN")) as s:
        a = agent(**main, smtp_sasl_password_maps=f"inline:{{ {{ {s.hop} = anna:secret }} }}")
        assert outcome(a, s.hop, **old())[1:] == ("4.7.5", "deferred", "Cannot start TLS: handshake failure")
        assert s.connections == 1 and not [c for c in s.commands if c.startswith("AUTH")]
        assert outcome(a, local(s), **old())[2] == "sent"  # no account there: nothing to protect


def test_lifetime_of_sessions(agent, ca):
    with TlsServer(ca.localhost) as s:
        for main, resumed in (({}, False), ({"smtp_tls_session_cache_database": "lmdb:x"}, True),
                              ({"smtp_tls_session_cache_database": "lmdb:x", "smtp_tls_session_cache_timeout": "0"}, False)):
            a = agent(smtp_tls_security_level="may", **main)
            for _ in range(2):
                assert outcome(a, s.hop)[2] == "sent"
            assert s.reused[-1] == resumed, main


def test_dsa(agent, ca, open_path):
    """Obsolete: taken, and shown only to servers that still want it."""
    key, cert = f"{open_path}/dsa.key", f"{open_path}/dsa.crt"
    openssl("dsaparam", "-genkey", "-out", key, "2048")
    openssl("req", "-new", "-x509", "-key", key, "-subj", "/CN=dsa.example", "-days", "30", "-out", cert)
    with TlsServer(ca.localhost, client_ca=ca.pem) as s:
        assert outcome(agent(smtp_tls_security_level="encrypt", smtp_tls_dcert_file=cert, smtp_tls_dkey_file=key), s.hop)[2] == "sent"
    refuses("smtp_tls_dcert_file.*/nonexistent", smtp_tls_security_level="may", smtp_tls_dcert_file=cert, smtp_tls_dkey_file="/nonexistent")
