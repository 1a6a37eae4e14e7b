"""DANE in the SMTP client: a signed zone (NSD), a validating resolver (Unbound) or our own validation, a TLS server on loopback."""
import itertools
import os
import re
import subprocess
import threading

import pytest
from agent import Agent, FakeServer
from conftest import DEFAULT_MASTER, TOP
from dnssec import Signed
from tls_peer import Authority, TlsServer, tlsa

USABLE = [f"{u}{s}{m}" for u, s, m in itertools.product("23", "01", "012")]
UNUSABLE = ["001", "011", "101", "111", "321", "313"]


class World:
    """The server, the zones. Host NAME.dane.test has the TLSA records named in TLSA; domain NAME.dane.test has it as MX host d-NAME."""

    def __init__(self, directory):
        ca = Authority(directory)
        self.stranger = ca.cert("stranger", "stranger.example")
        self.server = TlsServer(ca.cert("server", "*.dane.test", "nexthop-only.other.test", "plain-only.plain.test"))
        self.clear = FakeServer()
        good, wrong = f"{directory}/server.pem", self.stranger
        ta = f"{directory}/ca.pem"
        foreign = Authority(f"{directory}/foreign", "foreign").pem
        self.records = {"partner.example": [], "dane.test": [], "other.test": [], "plain.test": [], "_tcp.isle.plain.test": [], "bogus.test": []}

        def data(code, mismatch=False):
            usage, selector, matching = map(int, code)
            pem = (foreign if mismatch else ta) if usage in (0, 2) else (wrong if mismatch else good)
            if selector > 1 or matching > 2:  # no such thing: any bytes
                return f"{usage} {selector} {matching} " + "ab" * 32
            return tlsa(usage, selector, matching, pem)

        for code in USABLE + UNUSABLE:
            self.host("m" + code, data(code))
        for code in USABLE:
            self.host("x" + code, data(code, True))
        self.host("none")
        self.host("two", data("311", True), data("311"))
        self.host("agile", data("311"), data("312", True))      # the stronger digest decides
        self.host("short", "3 1 1 abcd")
        self.host("mixed", data("111"), data("301"))
        self.host("noname", data("211"), zone="other.test")     # DANE-TA, and the certificate has no such name
        self.host("noname3", data("311"), zone="other.test")    # DANE-EE: names do not matter
        self.add("other.test", "nexthop-only IN MX 10 noname")  # ... the name of the next hop does
        self.host("insecure", data("311"), zone="plain.test")
        self.add("plain.test", "forged IN MX 10 m311.dane.test.", "forgedx IN MX 10 x311.dane.test.", "forgednone IN MX 10 none.dane.test.")
        self.add("dane.test", "alias IN CNAME m311", "d-alias IN MX 10 alias", "aliasx IN CNAME x311", "own IN CNAME none", "aliastwo IN CNAME none",
                 f"_{self.port}._tcp.own IN TLSA {data('311')}", f"_{self.port}._tcp.aliastwo IN TLSA {data('311', True)}",
                 f"_{self.port}._tcp.pointed IN CNAME _{self.port}._tcp.m311", "pointed IN A 127.0.0.1",
                 "dname IN CNAME insecure.plain.test.")
        self.host("h", data("311"), zone="bogus.test")
        self.add("plain.test", "isle IN A 127.0.0.1")  # a signed island with a trust anchor of its own
        self.add("_tcp.isle.plain.test", f"_{self.port} IN TLSA {data('311')}")
        self.host("mx", data("311"), zone="partner.example")
        self.host("not", zone="partner.example")
        self.add("partner.example", "@ IN MX 10 mx")
        for m in ("311", "mixed"):
            self.add("dane.test", f"clear-{m} IN A 127.0.0.1", f"_{self.clear.port}._tcp.clear-{m} IN TLSA {data('311')}")
        self.dns = Signed(self.records, unsigned=("plain.test",), bogus=("bogus.test",))

    @property
    def port(self):
        return self.server.port

    def add(self, zone, *lines):
        self.records[zone] += lines

    def host(self, name, *tlsa_data, zone="dane.test"):
        self.add(zone, f"{name} IN A 127.0.0.1", f"d-{name} IN MX 10 {name}", *(f"_{self.port}._tcp.{name} IN TLSA {d}" for d in tlsa_data))

    def close(self):
        self.server.close()
        self.clear.close()
        self.dns.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(str(tmp_path_factory.mktemp("dane")))
    yield w
    w.close()


def settings(world, level="dane", **main):
    return {"smtp_tls_security_level": level, "smtp_dns_support_level": "dnssec", "smtp_tcp_port": str(world.port), "smtp_tls_loglevel": "1",
            "dns_resolver_file": world.dns.resolv_conf, "dnssec_validation": "resolver", "dnssec_probe": "ns:dane.test", **main}


OWN = {"dnssec_validation": "own"}


@pytest.fixture(scope="module", params=["resolver", "own"])
def agent(request, world):
    """With both ways to validate: through Unbound, and by ourselves with NSD as name server."""
    own = {} if request.param == "resolver" else {**OWN, "dns_resolver_file": world.dns.authority_conf, "dnssec_trust_anchor_file": world.dns.anchors}
    with Agent(**settings(world, **own)) as a:
        yield a


def outcome(agent, nexthop):
    lines, _ = agent.deliver(nexthop)
    m = re.search(r"(?:tls=(\S+), )?dsn=(\S+), status=(\w+) \((.*)\)$", lines[-1])
    assert m, lines
    return m.groups()


def test_resolver_is_sound(world):
    out = subprocess.run(["drill", "-D", "-p", str(world.dns.port), "@127.0.0.1", "m311.dane.test"], capture_output=True, text=True).stdout
    assert re.search(r"flags:.* ad ", out), out


@pytest.mark.parametrize("code", USABLE)
def test_match(agent, code):
    before = agent.logs().count("Verified TLS connection established")
    tls, _, status, _ = outcome(agent, f"d-m{code}.dane.test")
    assert (tls, status) == ("dane", "sent")
    assert agent.logs().count("Verified TLS connection established") == before + 1


@pytest.mark.parametrize("code", USABLE)
def test_mismatch(agent, code):
    tls, dsn, status, words = outcome(agent, f"d-x{code}.dane.test")
    assert (tls, dsn, status, words) == ("!dane:encrypt", "4.7.5", "deferred", "Server certificate not verified")


@pytest.mark.parametrize("code", UNUSABLE)
def test_unusable_records_mean_encrypt(agent, code):
    assert outcome(agent, f"d-m{code}.dane.test")[::2] == ("dane:encrypt", "sent")
    assert re.search(rf"warning: unusable TLSA record of _\d+\._tcp\.m{code}\.dane\.test: {code[0]} {code[1]} {code[2]}: ", agent.logs())


def test_sni_is_the_base_domain(agent, world):
    outcome(agent, "d-m311.dane.test")
    assert world.server.sni[-1] == "m311.dane.test"


@pytest.mark.parametrize("hop, tls, status", [
    ("d-none.dane.test", "dane:may", "sent"),
    ("d-two.dane.test", "dane", "sent"),
    ("d-agile.dane.test", "!dane:encrypt", "deferred"),
    ("d-short.dane.test", "dane:encrypt", "sent"),
    ("d-mixed.dane.test", "dane", "sent"),
    ("d-noname.other.test", "!dane:encrypt", "deferred"),
    ("d-noname3.other.test", "dane", "sent"),
    ("nexthop-only.other.test", "dane", "sent"),
    ("d-alias.dane.test", "dane", "sent"),
    ("m311.dane.test", "dane", "sent"),              # no MX record: the host itself
    ("[m311.dane.test]", "dane", "sent"),
    ("[x311.dane.test]", "!dane:encrypt", "deferred"),
    ("[aliasx.dane.test]", "!dane:encrypt", "deferred"),
    ("[own.dane.test]", "dane", "sent"),             # records at the alias itself
    ("[aliastwo.dane.test]", "!dane:encrypt", "deferred"),
    ("[pointed.dane.test]", "dane", "sent"),         # the TLSA name is an alias
    ("[dname.dane.test]", "dane:may", "sent"),       # the alias leads out of the signed zone
    ("[insecure.plain.test]", "dane:may", "sent"),
    ("d-insecure.plain.test", "dane:may", "sent"),
    ("forged.plain.test", "dane:halfdane", "sent"),
    ("forgedx.plain.test", "!dane:encrypt", "deferred"),
    ("forgednone.plain.test", "dane:may", "sent"),
])
def test_chain_of_names(agent, hop, tls, status):
    got = outcome(agent, hop)
    assert (got[0], got[2]) == (tls, status), (hop, got)


def test_half_dane_is_only_trusted(agent):
    outcome(agent, "forged.plain.test")
    line = [x for x in agent.logs().splitlines() if "TLS connection established to m311.dane.test" in x][-1]
    assert ": Trusted TLS connection established" in line


def test_bogus_waits(agent):
    for hop in ("d-h.bogus.test", "[h.bogus.test]"):
        tls, dsn, status, words = outcome(agent, hop)
        assert status == "deferred" and dsn in ("4.4.3", "4.7.0") and "Name service error" in words, words


def test_own_validation_says_bogus(world):
    with Agent(**settings(world, dns_resolver_file=world.dns.authority_conf, dnssec_trust_anchor_file=world.dns.anchors, **OWN)) as a:
        assert "DNSSEC validation failed" in outcome(a, "d-h.bogus.test")[3]


def test_starttls_must_be_offered(world):
    with Agent(**settings(world)) as a:
        tls, dsn, status, words = outcome(a, f"[clear-311.dane.test]:{world.clear.port}")
        assert (tls, dsn, status) == ("!dane:none", "4.7.4", "deferred") and words.startswith("TLS is required, but was not offered by host clear-311")


def test_dane_only(world):
    with Agent(**settings(world, "dane-only")) as a:
        assert outcome(a, "d-m311.dane.test")[::2] == ("dane-only", "sent")
        for hop, words in (("d-none.dane.test", "no TLSA records found"), ("d-m111.dane.test", "TLSA records unusable"),
                           ("[insecure.plain.test]", "no TLSA records found"), ("forged.plain.test", "non DNSSEC destination")):
            tls, dsn, status, got = outcome(a, hop)
            assert (tls, dsn, status, got) == ("dane-only?", "4.7.5", "deferred", words), hop


@pytest.mark.parametrize("policy, good, bad", [("may", "dane:may", "dane:may"), ("encrypt", "dane:encrypt", "dane:encrypt"), ("dane", "dane:halfdane", "!dane:encrypt")])
def test_insecure_mx_policy(world, policy, good, bad):
    with Agent(**settings(world, smtp_tls_dane_insecure_mx_policy=policy)) as a:
        assert outcome(a, "forged.plain.test")[0] == good
        assert outcome(a, "forgedx.plain.test")[0] == bad


@pytest.mark.parametrize("main, words", [
    ({"smtp_dns_support_level": "enabled"}, "smtp_dns_support_level = dnssec"),
    ({"smtp_host_lookup": "native"}, "smtp_host_lookup"),
    ({"ignore_mx_lookup_error": "yes"}, "ignore_mx_lookup_error"),
    ({"smtp_dns_resolver_options": "res_defnames"}, "res_defnames")])
def test_what_does_not_go_with_dane(world, main, words):
    with Agent(**settings(world, **main)) as a:
        assert outcome(a, f"[127.0.0.1]:{world.port}")[::2] == ("dane:may", "sent")
        assert re.search(rf"warning: .*{words}", a.logs()), a.logs()
    with Agent(**settings(world, "dane-only", **main)) as a:
        assert outcome(a, f"[127.0.0.1]:{world.port}")[1:] == ("4.7.5", "deferred", "client TLS configuration problem")


@pytest.mark.parametrize("probe, words", [("ns:dane.test", None), ("ns:plain.test", "a response that is not DNSSEC validated"), ("ns:no.dane.test", "no response: "), ("", None)])
def test_probe(world, probe, words):
    with Agent(**settings(world, dnssec_probe=probe)) as a:
        for _ in range(2):
            assert outcome(a, "[insecure.plain.test]")[::2] == ("dane:may", "sent")
        found = re.findall(r"warning: (DNSSEC validation may be unavailable|reason: dnssec_probe '\S+' received .*)", a.logs())
        assert (len(found) == 2 and words in found[1]) if words else not found


def test_islands_of_security(world):
    with Agent(**settings(world)) as a:
        assert outcome(a, "[isle.plain.test]")[::2] == ("dane:may", "sent")
    with Agent(**settings(world, smtp_tls_force_insecure_host_tlsa_lookup="yes")) as a:
        assert outcome(a, "[isle.plain.test]")[::2] == ("dane", "sent")


def test_lmtp(world):
    """The same records count for LMTP."""
    main = {k.replace("smtp_", "lmtp_", 1) if k.startswith("smtp_") else k: v for k, v in settings(world).items()}
    for force, tls in (("no", "dane:may"), ("yes", "dane")):
        with Agent("lmtp", **main, lmtp_tls_force_insecure_host_tlsa_lookup=force) as a:
            assert outcome(a, f"inet:isle.plain.test:{world.port}")[::2] == (tls, "sent")
            assert outcome(a, f"inet:m311.dane.test:{world.port}")[::2] == ("dane", "sent")
            assert outcome(a, f"inet:x311.dane.test:{world.port}")[::2] == ("!dane:encrypt", "deferred")


def test_tls_not_required_goes_around_dane(world):
    with Agent(**settings(world)) as a:
        lines, _ = a.deliver("d-x311.dane.test", sendopts=16)
        assert "tls=may, " in lines[-1] and "status=sent" in lines[-1]


def test_resumed_sessions_keep_their_verdict(world):
    """A session is resumed only for the records that it was compared with."""
    with Agent(**settings(world, smtp_tls_session_cache_database="lmdb:cache", smtp_tls_loglevel="2")) as a:
        for i in range(2):
            assert outcome(a, "[m311.dane.test]")[::2] == ("dane", "sent")
            assert world.server.reused[-1] == (i == 1)
        assert a.logs().count("Verified TLS connection established to m311.dane.test") == 2
        for _ in range(2):
            assert outcome(a, "[x311.dane.test]")[0] == "!dane:encrypt"
        for hop in ("[m211.dane.test]", "[m312.dane.test]"):
            for i in range(2):
                assert outcome(a, hop)[::2] == ("dane", "sent")
                assert world.server.reused[-1] == (i == 1)


def test_digests_of_choice(world):
    with Agent(**settings(world, tls_dane_digests="sha256")) as a:
        assert outcome(a, "d-agile.dane.test")[::2] == ("dane", "sent")
        assert outcome(a, "d-m312.dane.test")[::2] == ("dane:encrypt", "sent")
    a = Agent(tls_dane_digests="md4")
    a.process.wait(60)
    assert "tls_dane_digests: unknown digest" in a.logs()
    a.process.returncode = 0
    a.stop()


def test_policy_table_makes_dane_mandatory(world):
    maps = "inline:{ {d-none.dane.test = dane-only} {d-m311.dane.test = dane-only} {d-x311.dane.test = may} }"
    with Agent(**settings(world, "may", smtp_tls_policy_maps=maps)) as a:
        assert outcome(a, "d-none.dane.test")[0] == "dane-only?"
        assert outcome(a, "d-m311.dane.test")[0] == "dane-only"
        assert outcome(a, "d-x311.dane.test")[::2] == ("may", "sent")


def test_own_validation_without_keys(world):
    a = Agent(**settings(world, dnssec_trust_anchor_file="/nonexistent", **OWN))
    a.process.wait(60)
    assert re.search(r"fatal: .*/nonexistent.*dnssec_trust_anchor_file", a.logs())
    a.process.returncode = 0
    a.stop()


def blocks(page, kind):
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", open(f"{TOP}/doc/{page}").read(), re.M | re.S)


def test_example_of_the_manual(postern, world):
    """doc/dane.md as it stands, with the directories, the port and the name server of this test."""
    p = postern({"mydestination": "", "dnssec_probe": "", "dns_resolver_file": world.dns.resolv_conf, "smtp_tcp_port": str(world.port)})
    with open(f"{p.etc}/main.cf", "a") as f:
        f.writelines(text.replace("/etc/postfix", p.etc) for text in blocks("dane.md", "main.cf"))
    with open(f"{p.etc}/tls_policy", "w") as f:
        f.writelines(blocks("dane.md", "tls_policy"))
    for script in blocks("dane.md", "sh"):
        r = subprocess.run(["sh", "-ec", script], env={**os.environ, "MAIL_CONFIG": p.etc, "PATH": f"{p.prefix}/sbin:{os.environ['PATH']}"}, capture_output=True, text=True)
        assert r.returncode == 0, (r, p.logs())
    for to, tls, status in (("partner.example", "dane-only", "sent"), ("d-none.dane.test", "dane:may", "sent"), ("d-x311.dane.test", "!dane:encrypt", "deferred")):
        p.send(f"user@{to}")
        p.wait_log(rf"to=<user@{re.escape(to)}>, .*tls={tls}, dsn=\S+, status={status}")
    r = p.run("posttls-finger", f"partner.example:{world.port}")
    assert "Verified TLS connection established to mx.partner.example" in r.stderr


@pytest.mark.threads
@pytest.mark.parametrize("how", ["resolver", "own"])
def test_many_at_once(world, how):
    """Lookups, validation, handshakes and kept connections on many threads."""
    own = {} if how == "resolver" else {**OWN, "dns_resolver_file": world.dns.authority_conf, "dnssec_trust_anchor_file": world.dns.anchors}
    hops = [f"d-m{c}.dane.test" for c in USABLE] + [f"d-x{c}.dane.test" for c in USABLE] + ["forged.plain.test", "d-none.dane.test"]
    with Agent(**settings(world, smtp_tls_connection_reuse="yes", smtp_connection_cache_destinations="d-m311.dane.test forged.plain.test", smtp_connection_cache_time_limit="60s", **own)) as a:
        got = {}

        def work(mine):
            c = a.connect()
            for hop in mine:
                lines, _ = a.deliver(hop, connection=c)
                got[hop] = "status=sent" in lines[-1]
            c.close()
        threads = [threading.Thread(target=work, args=(hops[i::6] + hops[i::6],)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == {hop: "d-x" not in hop for hop in hops}


@pytest.mark.skipif(os.getuid() != 0, reason="chroot needs root")
def test_chrooted(postern, world):
    """Name servers, trust anchors and the library are at hand before the doors close."""
    p = postern({"mydestination": "", **settings(world, dns_resolver_file=world.dns.authority_conf, dnssec_trust_anchor_file=world.dns.anchors, smtp_host_lookup="dns", **OWN)},
                master=DEFAULT_MASTER.replace("\nsmtp unix - - n", "\nsmtp unix - - y"))
    for to, tls, status in (("d-m211.dane.test", "dane", "sent"), ("d-x311.dane.test", "!dane:encrypt", "deferred")):
        p.send(f"user@{to}")
        p.wait_log(rf"to=<user@{re.escape(to)}>, .*tls={tls}, dsn=\S+, status={status}")
    p.send("user@d-h.bogus.test")
    p.wait_log("to=<user@d-h.bogus.test>, .*status=deferred .*DNSSEC validation failed")
