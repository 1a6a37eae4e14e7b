"""TLS of the SMTP and LMTP client: levels, policies, what fails and how, against servers of our own making."""
import re
import ssl
import time

import pytest
from agent import CLOSE, HANG, Agent, FEATURES, FakeServer
from tls_peer import Authority, TlsServer, der, fingerprint, spki


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.localhost = a.cert("localhost", "localhost")
    a.other = a.cert("other", "other.example")
    return a


@pytest.fixture
def agent(request):
    made = []

    def make(program="smtp", **main):
        main.setdefault("smtp_host_lookup", "native")
        main.setdefault(f"{program}_tls_loglevel", "1")
        made.append(Agent(program, **main))
        return made[-1]
    yield make
    for a in made:
        a.stop()


def sent(lines):
    assert "status=sent" in lines[-1], lines
    return re.search(r"tls=(\S+),", lines[-1]).group(1)


def deferred(lines):
    assert "status=deferred" in lines[-1], lines
    return re.search(r"tls=(\S+),", lines[-1]).group(1)


# ---- may, none ----

def test_may_uses_tls(agent, ca):
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost) as s:
        assert sent(a.deliver(s.hop)[0]) == "may"
        assert s.tls == ["TLSv1.3"] and len(s.messages) == 1
        assert [c.split()[0] for c in s.commands][:3] == ["EHLO", "STARTTLS", "EHLO"]
    assert re.search(r"Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\) "
                     r"key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256", a.logs())


def test_may_without_offer(agent):
    a = agent(smtp_tls_security_level="may")
    with FakeServer() as s:
        assert sent(a.deliver(s.hop)[0]) == "may:none"


def test_may_refused_starttls(agent, ca):
    a = agent(smtp_tls_security_level="may")
    with TlsServer(ca.localhost, STARTTLS="454 4.7.0 TLS not available") as s:
        assert sent(a.deliver(s.hop)[0]) == "may:none"
        assert s.connections == 1
