"""postexplain(1) against the server: for each row the reply of a session is what postexplain says, byte for byte."""
import concurrent.futures
import json
import os
import re
import shutil
import socketserver
import tempfile
import threading
import time

import pytest
from conftest import SLOW, Instance
from dns_server import name_server

ZONE = {"known.test": {"A": ["198.51.100.1"], "MX": [(10, "mx.known.test")], "NS": ["ns.known.test"]},
        "mx.known.test": {"A": ["198.51.100.2"]}, "ns.known.test": {"A": ["198.51.100.3"]}, "nullmx.test": {"MX": [(0, ".")]},
        "c.test": {"A": ["198.51.100.4"], "NS": ["ns.known.test"]}, "rogue.test": {"A": ["203.0.113.9"], "MX": [(1, "mx.rogue.test")], "NS": ["ns.rogue.test"]},
        "mx.rogue.test": {"A": ["203.0.113.10"]}, "ns.rogue.test": {"A": ["203.0.113.11"]},
        "rogue.test.rhs.test": {"A": ["127.0.0.2"]}}
TROUBLE = {"soft.test": "servfail"}
dns = name_server(ZONE, TROUBLE)

LOCAL, OTHER = "joe@example.test", "x@elsewhere.test"
RELAY = {"smtpd_relay_restrictions": "reject_unauth_destination"}


def row(settings=None, *, sender="a@b.test", recipient=LOCAL, client="192.0.2.7", name="c.test", helo="c.test", user=None, **more):
    return {"settings": {**(settings or {}), **more}, "sender": sender, "recipient": recipient, "client": client, "name": name, "helo": helo, "user": user}


def stages(restriction, **kw):
    """One restriction in every list where it may stand."""
    lists = ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data")
    out = [row({f"smtpd_{where}_restrictions": restriction + (", reject_unauth_destination" if where == "relay" else "")}, **kw) for where in lists]
    return out + [row({f"smtpd_{where}_restrictions": restriction, "smtpd_delay_reject": "no"}, **kw) for where in lists[:3]]


ROWS = []
for word in ("permit", "reject", "defer", "defer_if_permit", "reject_plaintext_session", "reject_unknown_client_hostname"):
    ROWS += stages(word, name="unknown" if "unknown" in word else "c.test")
ROWS += stages("check_client_access inline:{ 192.0.2=500 5.7.9 ours }")
ROWS += [row(smtpd_recipient_restrictions=r) for r in (
    "warn_if_reject reject", "warn_if_reject defer, defer", "defer_if_reject, reject", "defer_if_permit, reject", "defer_if_permit, permit", "sleep 1, reject",
    "sleep 1", "reject_multi_recipient_bounce", "permit_mynetworks, reject", "permit_inet_interfaces, reject", "permit_sasl_authenticated, reject",
    "permit_tls_clientcerts, reject", "permit_tls_all_clientcerts, reject", "reject_unauth_pipelining", "check_ccert_access inline:{ x=reject }",
    "permit_auth_destination, reject", "permit_mx_backup, reject", "reject_unlisted_recipient", "class_no", "class_deep", "class_yes, reject",
    "check_client_access inline:{ 192.0.2.7=class_no }", "check_client_access inline:{ 192.0.2.7={ sleep 1, reject } }",
    "check_client_access inline:{ 192.0.2.7=nonsense }", "check_client_access fail:down", "check_recipient_access fail:down")]
ROWS += [row({"smtpd_sender_restrictions": "check_sender_access inline:{ { a@b.test = %s } }" % action}) for action in (
    "OK", "RELAY", "1", "DUNNO", "REJECT", "REJECT go away", "REJECT 5.1.1 no such user", "reject 5.1.7 no such sender", "DEFER", "DEFER 4.3.9 busy", "DEFER_IF_PERMIT",
    "DEFER_IF_REJECT", "DEFER_IF_PERMIT 4.2.0 later", "HANGUP", "WARN text", "INFO text", "HOLD", "HOLD why", "DISCARD", "DISCARD why", "FILTER discard:x",
    "FILTER nothing", "REDIRECT y@example.test", "REDIRECT y", "BCC z@example.test", "PREPEND X-A: b", "PREPEND nothing", "421 4.7.0 bye", "521 bye",
    "450", "550 5.1.0 no", "599 odd", "600 odd", "550 text with  blanks", "reject_unauth_destination", "reject, permit", "permit, reject", "no_such_restriction")]
ROWS += [row({"smtpd_recipient_restrictions": "check_recipient_access inline:{ { joe@example.test = %s } }" % action}) for action in
         ("REJECT 5.1.8 x", "DEFER_IF_REJECT x, reject", "HOLD, reject", "DISCARD", "BCC a@b.test", "HANGUP", "421 a")]
ROWS += [row({"smtpd_recipient_restrictions": "check_recipient_access inline:{ joe@example.test=OK }, reject_unauth_destination"}),
         row({"smtpd_recipient_restrictions": "check_client_access inline:{ 192.0.2.7=DEFER_IF_REJECT }, reject"}),
         row({"smtpd_sender_restrictions": "check_sender_access inline:{ a@b.test=DEFER_IF_PERMIT }", "smtpd_delay_reject": "no"}),
         row({"smtpd_data_restrictions": "check_sender_access inline:{ a@b.test=HOLD }"}),
         row({"smtpd_data_restrictions": "check_sender_access inline:{ a@b.test=HANGUP }"}),
         row({"smtpd_end_of_data_restrictions": "check_recipient_access inline:{ joe@example.test=421 4.0.0 later }"}),
         row({"smtpd_client_restrictions": "check_client_access inline:{ 192.0.2.7=421 4.7.0 never }", "smtpd_delay_reject": "no"}),
         row({"smtpd_client_restrictions": "check_client_access inline:{ 192.0.2.7=HANGUP }", "smtpd_delay_reject": "no"})]
# names and addresses of clients
ROWS += [row(RELAY, recipient=OTHER, client=c, name=n) for c, n in (
    ("192.0.2.7", "c.test"), ("192.0.2.7", "unknown"), ("2001:db8::7", "six.test"), ("2001:db8::7", "unknown"), ("10.9.9.9", "net.test"), ("fd00::1", "unknown"))]
ROWS += [row({"smtpd_client_restrictions": "check_client_access inline:{ %s=reject }" % key}, client=c, name=n) for key, c, n in (
    ("c.test", "192.0.2.7", "sub.c.test"), (".c.test", "192.0.2.7", "sub.c.test"), ("192.0", "192.0.2.7", "unknown"), ("unknown", "192.0.2.7", "unknown"),
    ("2001:db8", "2001:db8::7", "unknown"), ("2001:db8::7", "2001:db8::7", "unknown"))]
ROWS += [row({"smtpd_client_restrictions": "check_client_access cidr:{ {2001:db8::/32 550 5.7.1 six} {192.0.2.0/24 DUNNO} }"}, client=c) for c in ("2001:db8::7", "192.0.2.7")]
ROWS += [row({"smtpd_client_restrictions": r}, name=n) for r, n in (
    ("reject_unknown_reverse_client_hostname", "unknown"), ("reject_unknown_client", "c.test"), ("check_reverse_client_hostname_access inline:{c.test=reject}", "c.test"),
    ("check_client_a_access inline:{198.51.100.4=reject a}", "c.test"), ("check_client_ns_access inline:{ns.known.test=reject ns}", "c.test"),
    ("check_client_mx_access inline:{198.51.100.4=reject mx}", "c.test"), ("check_reverse_client_hostname_ns_access inline:{198.51.100.3=reject}", "c.test"),
    ("check_client_a_access inline:{198.51.100.4=OK}", "c.test"))]
# HELO
ROWS += [row({"smtpd_helo_restrictions": r}, helo=h) for r, h in (
    ("check_helo_access inline:{c.test=reject}", "c.test"), ("reject_invalid_helo_hostname", "-bad-"), ("reject_invalid_helo_hostname", "[1.2.3]"),
    ("reject_invalid_hostname", "a..b"), ("reject_non_fqdn_helo_hostname", "short"), ("reject_non_fqdn_hostname", "[192.0.2.7]"),
    ("reject_unknown_helo_hostname", "nowhere.test"), ("reject_unknown_hostname", "soft.test"), ("reject_unknown_helo_hostname", "known.test"),
    ("check_helo_a_access inline:{198.51.100.1=reject}", "known.test"), ("check_helo_mx_access inline:{mx.rogue.test=reject}", "rogue.test"),
    ("check_helo_ns_access inline:{203.0.113.11=reject}", "rogue.test"), ("reject_rhsbl_helo rhs.test", "rogue.test"), ("reject", "a(b)c<d"))]
ROWS += [row(smtpd_helo_required="yes", helo=None), row(helo=None), row(smtpd_helo_restrictions="reject", helo=None)]
# senders
ROWS += [row({"smtpd_sender_restrictions": r}, sender=s) for r, s in (
    ("check_sender_access inline:{b.test=reject}", "a@b.test"), ("check_sender_access inline:{<>=reject null}", ""), ("reject_non_fqdn_sender", "a"),
    ("reject_non_fqdn_sender", "a@short"), ("reject_unknown_sender_domain", "a@nowhere.test"), ("reject_unknown_sender_domain", "a@soft.test"),
    ("reject_unknown_address", "a@nullmx.test"), ("reject_unknown_sender_domain", "a@known.test"), ("reject_unlisted_sender", "nobody@example.test"),
    ("check_sender_a_access inline:{198.51.100.1=reject}", "a@known.test"), ("check_sender_mx_access inline:{203.0.113.10=550 mx}", "a@rogue.test"),
    ("check_sender_ns_access inline:{ns.rogue.test=550 ns}", "a@rogue.test"), ("reject_rhsbl_sender rhs.test", "a@rogue.test"), ("reject_null_sender", ""),
    ("reject_malformed_sender", "a@b"), ("check_sender_access inline:{a b@b.test=reject quoted}", '"a b"@b.test'), ("reject", "a@b@c.test"), ("", "a b@x.test"),
    ("", "a@-b.test"), ("", "joe"), ("reject", "\"'|\"@x.test"))]
ROWS += [row({"smtpd_sender_restrictions": r, "smtpd_sender_login_maps": "inline:{a@b.test=ann}"}, sender=s, user=u) for r in (
    "reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch", "reject_known_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch")
    for s, u in (("a@b.test", "ann"), ("a@b.test", "bob"), ("a@b.test", None), ("z@b.test", "ann"))]
ROWS += [row({"smtpd_sender_restrictions": "check_sasl_access inline:{bob=reject bob}"}, user="bob"), row(smtpd_sasl_auth_required="yes"),
         row(smtpd_sasl_auth_required="yes", user="ann"), row({"smtpd_recipient_restrictions": "permit_sasl_authenticated, reject"}, user="ann")]
# recipients
ROWS += [row({"smtpd_recipient_restrictions": r}, recipient=t) for r, t in (
    ("reject_non_fqdn_recipient", "short@host"), ("reject_unknown_recipient_domain", "a@nowhere.test"), ("reject_unknown_recipient_domain", "a@nullmx.test"),
    ("reject_unknown_recipient_domain", "a@soft.test"), ("check_recipient_a_access inline:{198.51.100.1=reject}", "a@known.test"),
    ("check_recipient_mx_access inline:{mx.known.test=reject}", "a@known.test"), ("check_recipient_ns_access inline:{ns.known.test=reject}", "a@known.test"),
    ("reject_rhsbl_recipient rhs.test", "a@rogue.test"), ("reject_relay_probe", "u%x@example.test"), ("reject_relay_probe", "h!u@example.test"),
    ("reject_relay_probe", '"a@b"@example.test'), ("defer_unauth_destination", OTHER), ("reject_unauth_destination", OTHER), ("", "postmaster"), ("reject", "postmaster"),
    ("reject", "postmaster@example.test"), ("", "nobody@example.test"), ("", "nobody@virt.test"), ("", "v@virt.test"), ("", "nobody@box.test"), ("", "nobody@rel.test"),
    ("", "r@rel.test"), ("", "e@error.test"), ("", "e@retry.test"), ("", ""), ("", "a@b@example.test"), ("", "joe@[127.0.0.1]"), ("", "@example.test:joe@example.test"),
    ("", "joe@-x.test"))]
# DNS lists
ROWS += [row({"smtpd_client_restrictions": r}) for r in (
    "reject_rbl_client bl.test", "reject_rbl_client bl.test=127.0.0.3", "reject_rbl_client bl.test=127.0.0.[2..4]", "reject_rbl bl.test", "reject_rbl_client soft.bl.test",
    "permit_dnswl_client wl.test, reject", "permit_dnswl_client soft.wl.test, reject", "permit_rhswl_client rhs.test, reject", "reject_rhsbl_client rhs.test",
    "reject_rhsbl_reverse_client rhs.test")]
ROWS += [row({"smtpd_client_restrictions": "reject_rbl_client bl.test", "rbl_reply_maps": "inline:{ {bl.test = $rbl_code see $rbl_domain for $client} }"})]
# settings of a session
ROWS += [row({"smtpd_reject_footer": f}, recipient=OTHER, **RELAY) for f in (
    "\\c. Ask us", "Call $server_name about $client_address", "one\\ntwo $sender $recipient $helo_name", "\\c; a\\nb")]
ROWS += [row({"smtpd_reject_footer_maps": "regexp:{ {/Relay/ by table $client_name} }", "smtpd_reject_footer": "not this"}, recipient=OTHER, **RELAY),
         row({"smtpd_reject_filter_maps": "regexp:{ {/^554 5.7.1 (.*)/ 451 4.7.1 changed $1} }"}, recipient=OTHER, **RELAY),
         row({"smtpd_reject_filter_maps": "regexp:{ {/^554/ 521 5.7.1 bye} }"}, recipient=OTHER, **RELAY),
         row(smtpd_disconnect_on_reject="yes", recipient=OTHER, **RELAY), row(smtpd_disconnect_on_reject="yes", smtpd_data_restrictions="reject"),
         row(smtpd_disconnect_on_reject="yes", smtpd_delay_reject="no", smtpd_client_restrictions="reject"),
         row(smtpd_disconnect_on_reject="yes", smtpd_end_of_data_restrictions="reject"), row(smtpd_disconnect_on_reject="yes", smtpd_sasl_auth_required="yes"),
         row(smtpd_reject_greeting="never"), row(smtpd_defer_greeting="later"), row(smtpd_reject_greeting="never", smtpd_disconnect_on_reject="yes"),
         row(soft_bounce="yes", recipient=OTHER, **RELAY), row(soft_bounce="yes", smtpd_recipient_restrictions="reject"),
         row(smtpd_unknown_recipient_delay="1s", recipient="nobody@example.test"), row(smtpd_greet_delay="1s", smtpd_recipient_restrictions="reject"),
         row(smtpd_tarpit_recipient_count="1", smtpd_tarpit_delay="1s"), row(smtpd_relay_client="yes", recipient=OTHER, **RELAY),
         row(smtpd_reject_unlisted_recipient="no", recipient="nobody@example.test"), row(smtpd_reject_unlisted_sender="yes", sender="nobody@example.test"),
         row(local_recipient_maps="fail:down"), row(show_user_unknown_table_name="no", recipient="nobody@example.test"),
         row(smtpd_sender_check="loose", sender="a@b.test"), row(smtpd_sender_check="strict", sender="r@rel.test"),
         row(strict_rfc821_envelopes="yes", sender="a b@c.test"), row(smtpd_sender_restrictions="reject", sender="jörg@b.test"),
         row(smtpd_relay_before_recipient_restrictions="no", smtpd_recipient_restrictions="reject", recipient=OTHER)]
# policy servers
POLICY = {"dunno": "DUNNO", "reject": "REJECT by policy", "defer": "DEFER_IF_PERMIT wait", "421": "421 4.7.0 by policy", "class": "class_no", "bad": "nonsense"}
ROWS += [row({"smtpd_recipient_restrictions": "check_policy_service POLICY"}, sender=f"{word}@policy.test") for word in POLICY]
ROWS += [row({"smtpd_data_restrictions": "check_policy_service POLICY"}, sender="reject@policy.test"), row({"smtpd_recipient_restrictions": "class_policy"}, sender="reject@policy.test"),
         row({"smtpd_recipient_restrictions": "check_policy_service { inet:127.0.0.1:1, try_limit=1 }"}),
         row({"smtpd_recipient_restrictions": "check_policy_service { inet:127.0.0.1:1, try_limit=1, default_action=DUNNO }"})]
# check rules and match rules
RULES = ("deny:198.18.0.0/16:*@deny.test:ALL:550 denied %F\nnoto:ALL:*@noto.test:ALL:551 not to %T from %H(%I)\ndeny_delay:ALL:*@slow.test:ALL:554 slow\n"
         "noto_delay:ALL:*@slower.test:ALL\nnoto:UNKNOWN:ALL:*@elsewhere.test:450 4.7.25 no name\nnoto:[2001:db8::]/32:ALL:*@elsewhere.test:550 six\n"
         "allow:ALL:ALL:*@example.test\n")
ROWS += [row({"smtpd_recipient_restrictions": "check_rules_file RULES, reject_unauth_destination"}, sender=s, recipient=t, client=c, name=n) for s, t, c, n in (
    ("a@deny.test", LOCAL, "192.0.2.7", "c.test"), ("a@deny.test", LOCAL, "192.0.2.8", "c.test"), ("a@noto.test", LOCAL, "192.0.2.7", "unknown"),
    ("a@slow.test", LOCAL, "192.0.2.7", "c.test"), ("a@slower.test", LOCAL, "192.0.2.7", "c.test"), ("a@b.test", OTHER, "192.0.2.7", "unknown"),
    ("a@b.test", OTHER, "2001:db8::7", "c.test"), ("a@b.test", OTHER, "192.0.2.7", "c.test"), ("", LOCAL, "192.0.2.7", "c.test"))]
MATCH = ("list nets\n 198.18.0.0/15\nlist six\n 2001:db8::/32\nlist null\n <>\naction in any\naction only users=inline:{joe=x}\nmatch sender=null action in\n"
         "match client=six reject 450 4.7.1 six\nmatch client=nets domain=inline:{example.test=x} action only\nmatch auth action in\n")
ROWS += [row({"smtpd_relay_restrictions": "match_rules MATCH"}, **kw) for kw in (
    {}, {"recipient": "nobody@example.test"}, {"recipient": OTHER}, {"recipient": OTHER, "user": "ann"}, {"client": "2001:db8::7"}, {"client": "10.0.0.1"})]


class Policy(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            request = {}
            while (line := self.rfile.readline().decode()):
                name, _, value = line.rstrip("\n").partition("=")
                if name:
                    request[name] = value
                    continue
                self.wfile.write(f"action={POLICY[request['sender'].partition('@')[0]]}\n\n".encode())


def own_addresses():
    """Each row has a client address of its own, which its settings are for."""
    for n, r in enumerate(ROWS):
        old, r["id"] = r["client"], f"{n}"
        r["client"] = {"192.0.2.7": f"198.18.{n // 200}.{n % 200 + 1}", "192.0.2.8": f"198.19.{n // 200}.{n % 200 + 1}", "2001:db8::7": f"2001:db8::1:{n:x}",
                       "fd00::1": f"fd00::1:{n:x}"}.get(old, f"10.9.{n // 200}.{n % 200 + 1}")
        for k, v in r["settings"].items():
            v = re.sub(r"inline:\{ ?([^{}=]*=[^{},]* [^{},]*?) ?\}", r"inline:{ {\1} }", v)  # values of several words
            r["settings"][k] = v.replace(old, r["client"]).replace("192.0.2.0/24", "198.18.0.0/15").replace("192.0.2=", "198.18=").replace("192.0", "198.18")
        reverse = ".".join(reversed(r["client"].split(".")))
        ZONE.update({f"{reverse}.bl.test": {"A": ["127.0.0.2"], "TXT": ["listed"]}, f"{reverse}.wl.test": {"A": ["127.0.0.2"]}})
        TROUBLE.update({f"{reverse}.soft.bl.test": "servfail", f"{reverse}.soft.wl.test": "servfail"})


own_addresses()


@pytest.fixture(scope="module")
def system(prefix, dns):
    top = tempfile.mkdtemp(prefix="px-", dir="/tmp")
    os.chmod(top, 0o755)
    server = Policy(("127.0.0.1", 0), Policy.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = {"RULES": f"{top}/check_rules", "MATCH": f"{top}/match_rules", "POLICY": f"inet:127.0.0.1:{server.server_address[1]}"}
    for name, text in (("check_rules", RULES), ("match_rules", MATCH)):
        with open(f"{top}/{name}", "w") as f:
            f.write(text)
    with open(f"{top}/instructions", "w") as f:
        for r in ROWS:
            text = ",".join(f"{k}=`{re.sub('RULES|MATCH|POLICY', lambda m: words[m.group()], v)}`" for k, v in r["settings"].items())
            f.write(f"{r['client']}:allow{',' if text else ''}{text}\n")
        f.write("192.0.2.66:deny\n")
    p = Instance(f"{top}/i", prefix, main={
        "mynetworks": "10.0.0.0/8 [fd00::]/16", "relay_domains": "rel.test", "relay_recipient_maps": "inline:{r@rel.test=x}",
        "local_recipient_maps": "inline:{joe=x, y=x, z=x}", "virtual_alias_domains": "virt.test", "virtual_alias_maps": "inline:{v@virt.test=joe@example.test}",
        "virtual_mailbox_domains": "box.test", "virtual_mailbox_maps": "inline:{b@box.test=x}", "smtpd_peername_lookup": "no",
        "transport_maps": "inline:{ {error.test = error:5.1.2 no way out} {retry.test = retry:4.3.0 not now} }",
        "default_transport": "discard:", "local_transport": "discard:", "relay_transport": "discard:", "virtual_transport": "discard:",
        "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
        "smtpd_restriction_classes": "class_no class_deep class_yes class_policy", "class_no": "check_client_access inline:{ {198.18 = 550 5.7.1 by class} }",
        "class_deep": "class_no", "class_yes": "permit", "class_policy": f"check_policy_service {words['POLICY']}",
        "smtpd_client_instruction_maps": f"tcprules:{top}/instructions", "dns_resolver_file": dns.file, "check_rules_ident_timeout": "20s",
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8", "smtpd_client_connection_count_limit": "0", "smtpd_policy_service_retry_delay": "1s",
        "check_rules_deny_delay": "1s", "check_rules_noto_delay": "1s", "smtpd_soft_error_limit": "100"})
    p.top = top
    p.start()
    yield p
    p.stop()
    server.shutdown()
    shutil.rmtree(top, ignore_errors=True)


def live(p, r):
    """(reply that refuses or None, closed, seconds)"""
    with p.raw() as c:
        c.cmd("EHLO me.test")
        name = r["name"] if r["name"] != "unknown" else "[UNAVAILABLE]"
        address = ("IPV6:" if ":" in r["client"] else "") + r["client"]
        begin = time.monotonic()
        reply = c.cmd(f"XCLIENT NAME={name} ADDR={address}" + (f" LOGIN={r['user']}" if r["user"] else ""))
        said = ([f"EHLO {r['helo']}"] if r["helo"] else []) + [f"MAIL FROM:<{r['sender']}>", f"RCPT TO:<{r['recipient']}>", "DATA", "Subject: x\r\n\r\nx\r\n."]
        while said and reply[:1] in "23" and reply:
            reply = c.cmd(said.pop(0))
        seconds = time.monotonic() - begin
        reply = reply.encode("latin-1").decode()
        if reply[:1] == "2":
            return None, False, seconds
        if not reply:
            return None, True, seconds
        try:
            return reply, c.cmd("NOOP") == "", seconds
        except OSError:
            return reply, True, seconds


def explained(p, r, *more):
    args = ["--client", f"{r['client']},{r['name']}", "--sender", r["sender"], "--recipient", r["recipient"], *more]
    args += ["--helo", r["helo"]] if r["helo"] else []
    args += ["--sasl-user", r["user"]] if r["user"] else []
    return p.run("postexplain", "--json", *args)


def compare(p, r):
    reply, closed, seconds = live(p, r)
    run = explained(p, r)
    try:
        o = json.loads(run.stdout)
    except ValueError:
        return f"{r}: {run}"
    wrong = []
    if o["reply"] != reply:
        wrong.append(f"reply: {o['reply']!r}, session: {reply!r}")
    if o["close"] != closed:
        wrong.append(f"close: {o['close']}, session: {closed}")
    if not o["delay_seconds"] - 0.1 <= seconds < o["delay_seconds"] + 20 * SLOW:
        wrong.append(f"delay: {o['delay_seconds']}, session: {seconds:.1f}")
    want = ("none", "permit", "discard", "hold") if reply is None and not closed else \
        ("reject",) if reply is None or reply[0] == "5" else ("defer",)
    if o["verdict"] not in want:
        wrong.append(f"verdict {o['verdict']}")
    if o["verdict"] in ("reject", "defer") and not o["restriction"] and not str(reply).startswith("501"):
        wrong.append("restriction is missing")
    return f"{r}: " + "; ".join(wrong) if wrong else None


def test_replies_are_those_of_sessions(system):
    assert len(ROWS) >= 150
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [w for w in pool.map(lambda r: compare(system, r), ROWS) if w]
    assert not wrong, f"{len(wrong)} of {len(ROWS)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("settings, site", [
    ({"smtpd_etrn_restrictions": "check_etrn_access inline:{ x.test=reject }"}, "x.test"), ({"smtpd_etrn_restrictions": "check_etrn_access inline:{ x.test=reject }"}, "y.test"),
    ({"smtpd_etrn_restrictions": "defer"}, "x.test"), ({"smtpd_client_restrictions": "reject"}, "x.test"), ({"smtpd_helo_restrictions": "reject"}, "x.test")])
def test_etrn(postern, settings, site):
    p = postern({**settings, "relay_domains": "x.test, y.test"})
    with p.raw() as c:
        c.cmd("EHLO c.test")
        reply = c.cmd(f"ETRN {site}")
    o = json.loads(p.run("postexplain", "--json", "--client", "127.0.0.1,localhost", "--helo", "c.test", "--etrn", site).stdout)
    assert o["reply"] == (None if reply[0] == "2" else reply), reply


def test_other_stages_and_options(system):
    def ask(*args, status=0):
        r = system.run("postexplain", "--json", *args)
        assert r.returncode == status, r
        return json.loads(r.stdout)
    keys = ["verdict", "reply", "close", "delay_seconds", "restriction", "file", "line", "instructions", "settings", "steps"]
    o = ask("--client", "192.0.2.66")
    assert list(o) == keys and (o["verdict"], o["reply"], o["close"], o["instructions"]["decision"]) == ("reject", None, True, "deny")
    assert o["file"] == f"{system.top}/instructions" and o["line"] == len(ROWS) + 1 and o["settings"] == {}
    o = ask("--client", "192.0.2.99", "-o", "smtpd_client_restrictions=reject", "-o", "smtpd_delay_reject=no")
    assert o["reply"] == "554 5.7.1 <unknown[192.0.2.99]>: Client host rejected: Access denied" and len(o["steps"]) == 1
    o = ask("--client", "192.0.2.99", "-o", "smtpd_client_restrictions=reject")
    assert (o["verdict"], o["steps"]) == ("none", [])  # put off until RCPT
    o = ask("--client", "192.0.2.99", "--sender", "a@b.test", "-o", "smtpd_sender_restrictions=check_sender_access fail:x", "-o", "smtpd_delay_reject=no")
    assert (o["verdict"], o["reply"][:9], o["file"]) == ("defer", "451 4.3.5", None)
    for setting, verdict in (("HOLD", "hold"), ("DISCARD", "discard"), ("BCC x@y.test", "none"), ("REDIRECT x@y.test", "none"), ("FILTER x:y", "none"), ("OK", "permit")):
        o = ask("--client", "192.0.2.99", "--sender", "a@b.test", "--recipient", LOCAL, "-o", "smtpd_recipient_restrictions=check_sender_access inline:{{a@b.test = %s}}" % setting)
        assert (o["verdict"], o["reply"]) == (verdict, None), o
    o = ask("--client", "192.0.2.99", "-o", "smtpd_recipient_restrictions=nonsense", status=1)
    assert o["verdict"] == "error" and "nonsense" in o["text"] and list(o) == keys + ["text"]
