"""The tests of the SMTP client's TLS with the LMTP client: lmtp_tls_* instead of smtp_tls_*, and servers that speak LMTP."""
import pytest
import test_tls_client
from agent import Agent
from test_tls_client import *  # noqa: F403  the tests themselves


class LmtpAgent(Agent):
    """What the tests call smtp_* is lmtp_*, in settings and in words of the log."""

    def __init__(self, program="smtp", arguments=(), **main):
        super().__init__("lmtp", arguments, **{k.replace("smtp_", "lmtp_", 1) if k.startswith("smtp_") else k: v for k, v in main.items()})

    def logs(self):
        return super().logs().replace("lmtp_", "smtp_")


@pytest.fixture(autouse=True)
def speak_lmtp(monkeypatch):
    monkeypatch.setattr(test_tls_client, "Agent", LmtpAgent)
    for name in ("TlsServer", "FakeServer"):
        class Server(getattr(test_tls_client, name)):
            def __init__(self, *a, **kw):
                super().__init__(*a, **{"lmtp": True, **kw})
        monkeypatch.setattr(test_tls_client, name, Server)
