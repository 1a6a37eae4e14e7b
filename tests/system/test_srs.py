"""The Sender Rewriting Scheme, both ways."""
import re

import pytest

from conftest import wait_until
from test_queue import sink  # noqa: F401

SRS = {"srs_secrets": "tops3cret", "smtp_srs": "yes", "virtual_alias_domains": "fwd.test",
       "virtual_alias_maps": "inline:{ { joe@fwd.test = joe@far.test } }"}


@pytest.fixture
def forwarder(postern, sink):
    s = sink()
    p = postern({**SRS, "relayhost": f"[127.0.0.1]:{s.port}"})
    p.sink = s
    return p


def rewritten(p, sender):
    n = len(p.sink.senders)
    p.send("joe@fwd.test", sender=sender)
    wait_until(lambda: len(p.sink.senders) > n, what="forwarded mail")
    return p.sink.senders[-1]


def test_forward_and_back(forwarder):
    p = forwarder
    out = rewritten(p, "Ann@else.test")
    assert re.fullmatch(r"SRS0=.{4}=..=else\.test=Ann@mx\.example\.test", out)
    with p.smtp() as c:
        c.helo()
        c.mail("")
        assert c.rcpt(out)[0] == 250
        broken = out.replace("else.test", "other.test")
        code, text = c.rcpt(broken)
        assert code == 550 and b"wrong signature" in text
        assert c.data("Subject: bounce\r\n\r\nx\r\n")[0] == 250
    wait_until(lambda: "Ann@else.test" in p.sink.got, what="bounce to the original sender")


@pytest.mark.parametrize("sender", ["", "ann@example.test", "x@fwd.test"])
def test_left_alone(forwarder, sender):
    assert rewritten(forwarder, sender) == sender


def test_rewritten_before(forwarder):
    assert re.fullmatch(r"SRS1=.{4}=first\.test==AbCd=TT=orig\.test=joe@mx\.example\.test",
                        rewritten(forwarder, "SRS0=AbCd=TT=orig.test=joe@first.test"))


def test_old_key_still_verifies(forwarder):
    p = forwarder
    out = rewritten(p, "ann@else.test")
    p.main["srs_secrets"] = "fresh tops3cret"
    p.write_config()
    p.reload()
    with p.smtp() as c:
        c.helo()
        c.mail("")
        assert c.rcpt(out)[0] == 250
    assert rewritten(p, "ann@else.test") != out


def test_not_asked_for(postern, sink):
    s = sink()
    p = postern({**SRS, "smtp_srs": "no", "relayhost": f"[127.0.0.1]:{s.port}"})
    p.sink = s
    assert rewritten(p, "ann@else.test") == "ann@else.test"
