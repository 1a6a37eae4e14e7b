"""How the SMTP agent finds hosts: MX, SRV, addresses, and what it says when there are none."""
import pytest
from agent import Agent, FakeServer
from dns_server import name_server
from test_smtp_agent import status

ZONE = {
    "d.example": {"MX": [(20, "mx2.example"), (10, "mx1.example")]},
    "mx1.example": {"A": ["127.0.0.2"]},
    "mx2.example": {"A": ["127.0.0.3"]},
    "plain.example": {"A": ["127.0.0.2"]},
    "alias.example": {"CNAME": "d.example"},
    "null.example": {"MX": [(0, ".")]},
    "nohost.example": {"MX": [(10, "gone.example")]},
    "nothing.example": {"TXT": ["hello"]},
    "badmx.example": {"MX": [(10, "bad host.example")]},
    "self.example": {"MX": [(10, "me.example"), (20, "mx2.example")]},
    "backup.example": {"MX": [(10, "mx1.example"), (20, "me.example"), (30, "mx2.example")]},
    "me.example": {"A": ["127.0.0.1"]},
    "slow.example": {"MX": [(10, "mx1.example")]},
    "cut.example": {"MX": [(10, "mx1.example")]},
    "old.example": {"MX": [(10, "mx1.example")]},
    "many.example": {"MX": [(10, "many1.example")]},
    "many1.example": {"A": [f"127.0.1.{i}" for i in range(1, 9)]},
    "_smtp._tcp.srv.example": {"SRV": [(10, 0, 0, "mx1.example")]},
    "srv.example": {"MX": [(10, "mx2.example")]},
    "fallback.example": {"MX": [(10, "mx2.example")]},
}
TROUBLE = {"slow.example": "servfail", "cut.example": "truncate", "old.example": "formerr", "garbage.example": "garbage", "mute.example": "silence"}

dns = name_server(ZONE, TROUBLE)


@pytest.fixture(scope="module")
def servers():
    first = FakeServer(address="127.0.0.2")
    second = FakeServer(address="127.0.0.3", port=first.port)
    yield first, second
    first.close()
    second.close()


@pytest.fixture(scope="module")
def agent(dns, servers):
    a = Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_tcp_port=str(servers[0].port), smtp_connection_cache_on_demand="no")
    yield a
    a.stop()


def test_best_mx(agent, servers):
    got = status(agent.deliver("d.example")[0])
    assert got["relay"] == f"mx1.example[127.0.0.2]:{servers[0].port}" and got["status"] == "sent"


def test_answers_are_kept(agent, dns):
    agent.deliver("d.example")
    before = len(dns.asked)
    agent.deliver("d.example")
    assert len(dns.asked) == before


def test_no_mx_but_address(agent):
    assert status(agent.deliver("plain.example")[0])["relay"].startswith("plain.example[127.0.0.2]:")


def test_alias(agent):
    assert status(agent.deliver("alias.example")[0])["relay"].startswith("mx1.example[127.0.0.2]:")


def test_tcp_after_truncation(agent, dns):
    assert status(agent.deliver("cut.example")[0])["status"] == "sent"
    assert ("cut.example", "MX", "tcp") in dns.asked


def test_server_without_edns(agent):
    assert status(agent.deliver("old.example")[0])["status"] == "sent"


@pytest.mark.parametrize("domain, dsn, word, reason", [
    ("missing.example", "5.4.4", "bounced", "Host or domain name not found. Name service error for name=missing.example type=A: Host not found"),
    ("nothing.example", "5.4.4", "bounced",
     "Host or domain name not found. Name service error for name=nothing.example type=A: Host found but no data record of requested type"),
    ("null.example", "5.1.0", "bounced", "Domain null.example does not accept mail (nullMX)"),
    ("nohost.example", "5.4.4", "bounced", "Host or domain name not found. Name service error for name=gone.example type=A: Host not found"),
    ("badmx.example", "5.4.4", "bounced", "Name service error for name=badmx.example type=MX: Malformed or unexpected name server reply"),
    ("slow.example", "4.4.3", "deferred", "Host or domain name not found. Name service error for name=slow.example type=MX: Host not found, try again"),
    ("mute.example", "4.4.3", "deferred", "Host or domain name not found. Name service error for name=mute.example type=MX: Host not found, try again"),
    ("garbage.example", "4.4.3", "deferred", "Name service error for name=garbage.example type=MX: Malformed or unexpected name server reply"),
    ("bad..name", "5.4.4", "bounced", "Name service error for bad..name: invalid host or domain name"),
])
def test_trouble(agent, domain, dsn, word, reason):
    got = status(agent.deliver(domain)[0])
    assert (got["relay"], got["dsn"], got["status"], got["reason"]) == ("none", dsn, word, reason)


def test_second_mx_when_the_first_is_down(dns):
    with FakeServer(address="127.0.0.3") as second, \
            Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_tcp_port=str(second.port)) as agent:
        lines, result = agent.deliver("d.example")
        assert status(lines)["relay"] == f"mx2.example[127.0.0.3]:{second.port}" and not result["site_failed"]
        assert f"connect to mx1.example[127.0.0.2]:{second.port}: Connection refused" in agent.logs()


def test_loop(dns):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_fallback_relay="[127.0.0.9]:9") as agent:
        for hop in ("self.example", "[me.example]", "[127.0.0.1]"):
            got = status(agent.deliver(hop)[0])
            host = hop.strip("[]")
            assert (got["dsn"], got["status"], got["reason"]) == ("5.4.6", "bounced", f"mail for {host} loops back to myself")


def test_backup_mx_sends_only_upwards_and_to_no_fallback(dns):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_connect_timeout="3s", smtp_fallback_relay="[127.0.0.9]:9") as agent:
        got = status(agent.deliver("backup.example")[0])
        assert got["reason"] == "connect to mx1.example[127.0.0.2]:25: Connection refused"
        assert "127.0.0.3" not in agent.logs() and "127.0.0.9" not in agent.logs()


def test_fallback_relay(dns):
    with FakeServer(address="127.0.0.3") as s, \
            Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_fallback_relay=f"fallback.example:{s.port}") as agent:
        assert status(agent.deliver("missing.example")[0])["status"] == "sent"
        assert status(agent.deliver("plain.example")[0])["relay"] == f"mx2.example[127.0.0.3]:{s.port}"


def test_relayhost_that_does_not_exist_is_no_reason_to_bounce(dns):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", relayhost="[missing.example]") as agent:
        got = status(agent.deliver("[missing.example]")[0])
        assert (got["dsn"], got["status"]) == ("4.3.5", "deferred") and "relayhost configuration problem" in agent.logs()


def test_address_limit(dns):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_tcp_port="9", smtp_mx_address_limit="3") as agent:
        agent.deliver("many.example")
        assert agent.logs().count("]: connect to many1.example[") == 3


def test_session_limit(dns):
    with FakeServer(address="127.0.1.1", CONNECT="421 busy") as s:
        others = [FakeServer(address=f"127.0.1.{i}", port=s.port, CONNECT="421 busy") for i in range(2, 9)]
        with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_tcp_port=str(s.port), smtp_mx_address_limit="5") as agent:
            lines, _ = agent.deliver("many.example")
            assert sum(x.connections for x in [s, *others]) == 2 and len(lines) == 2
            assert "refused to talk to me: 421 busy" in lines[0] and lines[1].startswith("to=")
        for x in others:
            x.close()


def test_srv(dns, servers):
    port = servers[0].port
    ZONE["_smtp._tcp.srv.example"] = {"SRV": [(10, 5, port, "mx1.example"), (20, 0, port, "mx2.example")]}
    settings = dict(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", use_srv_lookup="smtp")
    with Agent(**settings) as agent:
        assert status(agent.deliver("srv.example")[0])["relay"] == f"mx1.example[127.0.0.2]:{port}"
        assert status(agent.deliver("d.example")[0])["reason"].endswith("name=_smtp._tcp.d.example type=SRV: Host not found")
    with Agent(allow_srv_lookup_fallback="yes", smtp_connect_timeout="2s", **settings) as agent:
        agent.deliver("d.example:smtp")
        assert "connect to mx1.example[127.0.0.2]:25: Connection refused" in agent.logs()


def test_dns_reply_filter(dns, servers):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", smtp_tcp_port=str(servers[0].port),
               smtp_dns_reply_filter="regexp:{{/ MX 10 / IGNORE}}") as agent:
        assert status(agent.deliver("d.example")[0])["relay"].startswith("mx2.example[127.0.0.3]:")
        assert "ignoring DNS RR: d.example. 300 IN MX 10 mx1.example." in agent.logs()
        got = status(agent.deliver("old.example")[0])
        assert got["reason"] == "Error looking up name=old.example type=MX: DNS reply filter drops all results"


def test_best_mx_transport(dns):
    with Agent(dns_resolver_file=dns.file, smtp_dns_support_level="enabled", best_mx_transport="other") as agent:
        requests = agent.serve_agent("other")
        lines, result = agent.deliver("self.example", to=["a@self.example", "b@self.example"])
        assert lines == ["passing <a@self.example> to transport=other", "passing <b@self.example> to transport=other"]
        assert requests[0]["nexthop"] == "self.example" and [r["address"] for r in requests[0]["recipients"]] == ["a@self.example", "b@self.example"]
        assert result["status"] == 1
