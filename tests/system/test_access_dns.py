"""Access rules that ask the DNS: unknown names, block and allow lists, hosts behind a name."""
import os

import pytest
from dns_server import name_server

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name
TO = f"{USER}@example.test"

ZONE = {
    "good.test": {"MX": [(10, "mx.good.test")], "NS": ["ns.good.test"]},
    "mx.good.test": {"A": ["198.51.100.5"]},
    "ns.good.test": {"A": ["198.51.100.6"]},
    "plain.test": {"A": ["198.51.100.7"]},
    "six.test": {"AAAA": ["2001:db8::7"]},
    "txt.test": {"TXT": ["nothing else"]},
    "null.test": {"MX": [(0, ".")]},
    "h.good.test": {"A": ["198.51.100.8"]},
    "backup.test": {"MX": [(10, "mx.good.test"), (20, "me.test")]},
    "me.test": {"A": ["127.0.0.1"]},
    "2.2.0.192.bl.test": {"A": ["127.0.0.2"], "TXT": ["listed, see http://bl.test/"]},
    "3.2.0.192.bl.test": {"A": ["127.0.0.9"]},
    "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test": {"A": ["127.0.0.2"]},
    "bad.test.rhs.test": {"A": ["127.0.0.2"]},
    "bad.test": {"A": ["198.51.100.9"]},
    "2.2.0.192.wl.test": {"A": ["127.0.0.2"]},
}
TROUBLE = {"slow.test": "servfail", "4.2.0.192.wl.test": "servfail", "4.2.0.192.bl.test": "servfail"}

dns = name_server(ZONE, TROUBLE)


def run(p, client=None, helo="h.good.test", sender="s@good.test", to=TO):
    with p.raw() as c:
        if client:
            assert c.cmd(f"XCLIENT NAME={client[0]} ADDR={client[1]}").startswith("220 ")
        c.cmd(f"EHLO {helo}")
        c.cmd(f"MAIL FROM:<{sender}>")
        return c.cmd(f"RCPT TO:<{to}>")


def make(postern, dns, **main):
    return postern({"dns_resolver_file": dns.file, "smtpd_authorized_xclient_hosts": "127.0.0.1", "default_transport": "discard:", **main})


def test_unknown_domains(postern, dns):
    p = make(postern, dns, smtpd_sender_restrictions="reject_unknown_sender_domain",
             smtpd_recipient_restrictions="reject_unknown_recipient_domain")
    for domain in ("good.test", "plain.test", "six.test"):
        assert run(p, sender=f"s@{domain}") == "250 2.1.5 Ok"
    assert run(p, sender="s@gone.test") == "450 4.1.8 <s@gone.test>: Sender address rejected: Domain not found"
    assert run(p, sender="s@txt.test") == "450 4.1.8 <s@txt.test>: Sender address rejected: Domain not found"
    assert run(p, sender="s@null.test") == "550 5.7.27 <s@null.test>: Sender address rejected: Domain does not accept mail (nullMX)"
    assert run(p, sender="s@slow.test") == "450 4.1.8 <s@slow.test>: Sender address rejected: Domain not found"
    assert run(p, sender="") == "250 2.1.5 Ok"
    assert run(p, to="u@good.test") == "250 2.1.5 Ok"
    assert run(p, to="u@gone.test") == "450 4.1.2 <u@gone.test>: Recipient address rejected: Domain not found"
    assert run(p, to="u@null.test") == "556 5.1.10 <u@null.test>: Recipient address rejected: Domain does not accept mail (nullMX)"


def test_dns_reply_filter(postern, dns):
    """A list that answers for everybody is told apart by what it answers."""
    p = make(postern, dns, smtpd_client_restrictions="reject_rbl_client bl.test", smtpd_dns_reply_filter=r"pcre:{{/ A 127\.0\.0\.9$$/ IGNORE}}")
    assert run(p, client=("x.test", "192.0.2.2")).startswith("554 5.7.1 ")
    assert run(p, client=("x.test", "192.0.2.3")) == "250 2.1.5 Ok"
    p.wait_log(r"ignoring DNS RR: 3\.2\.0\.192\.bl\.test\. \d+ IN A 127\.0\.0\.9")


def test_unknown_helo(postern, dns):
    p = make(postern, dns, smtpd_helo_restrictions="reject_unknown_helo_hostname", unknown_hostname_reject_code="550")
    assert run(p) == "250 2.1.5 Ok"
    assert run(p, helo="[192.0.2.1]") == "250 2.1.5 Ok"
    assert run(p, helo="gone.test") == "550 5.7.1 <gone.test>: Helo command rejected: Host not found"
    assert run(p, helo="slow.test") == "450 4.7.1 <slow.test>: Helo command rejected: Host not found"


def test_block_lists(postern, dns):
    p = make(postern, dns, smtpd_client_restrictions="reject_rbl_client bl.test=127.0.0.[2..4], reject_rhsbl_client rhs.test",
             smtpd_sender_restrictions="reject_rhsbl_sender rhs.test", smtpd_helo_restrictions="reject_rhsbl_helo rhs.test")
    listed = run(p, ("n.test", "192.0.2.2"))
    assert listed == "554 5.7.1 Service unavailable; Client host [192.0.2.2] blocked using bl.test; listed, see http://bl.test/"
    assert run(p, ("n.test", "IPV6:2001:db8::2")) == "554 5.7.1 Service unavailable; Client host [2001:db8::2] blocked using bl.test"
    assert run(p, ("n.test", "192.0.2.3")) == "250 2.1.5 Ok"  # listed, but not with a code of the filter
    assert run(p, ("n.test", "192.0.2.4")) == "250 2.1.5 Ok"
    p.wait_log(r"warning: 4\.2\.0\.192\.bl\.test: RBL lookup error")
    assert run(p, ("bad.test", "192.0.2.9")) == "554 5.7.1 Service unavailable; Client host [bad.test] blocked using rhs.test"
    assert run(p, sender="s@bad.test") == "554 5.7.1 Service unavailable; Sender address [s@bad.test] blocked using rhs.test"
    assert run(p, helo="bad.test") == "554 5.7.1 Service unavailable; Helo command [bad.test] blocked using rhs.test"


def test_block_list_template(postern, dns):
    p = make(postern, dns, smtpd_client_restrictions="reject_rbl_client bl.test",
             rbl_reply_maps="inline:{ { bl.test = 550 No mail from $$client_address: $$rbl_reason } }")
    assert run(p, ("n.test", "192.0.2.2")) == "550 5.7.1 No mail from 192.0.2.2: listed, see http://bl.test/"


def test_allow_lists(postern, dns):
    p = make(postern, dns, smtpd_client_restrictions="permit_dnswl_client wl.test, reject")
    assert run(p, ("n.test", "192.0.2.2")) == "250 2.1.5 Ok"
    assert run(p, ("n.test", "192.0.2.3")).startswith("554 5.7.1 <n.test[192.0.2.3]>: Client host rejected")
    assert run(p, ("n.test", "192.0.2.4")).startswith("450 4.7.1 ")  # a list that does not answer must not cost a message


def test_hosts_behind_a_name(postern, dns):
    p = make(postern, dns, smtpd_sender_restrictions="check_sender_mx_access inline:{ 198.51.100.5=reject }, check_sender_a_access inline:{ 198.51.100.7=reject }, "
             "check_sender_ns_access inline:{ ns.good.test=OK }", smtpd_helo_restrictions="check_helo_a_access inline:{ 198.51.100.9=reject }")
    assert run(p) == "554 5.7.1 <s@good.test>: Sender address rejected: Access denied"
    assert run(p, sender="s@plain.test") == "554 5.7.1 <s@plain.test>: Sender address rejected: Access denied"
    assert run(p, sender="s@six.test") == "250 2.1.5 Ok"
    assert run(p, sender="s@six.test", helo="bad.test") == "554 5.7.1 <bad.test>: Helo command rejected: Access denied"


def test_dns_permit_is_refused(postern, dns):
    p = make(postern, dns, smtpd_sender_restrictions="check_sender_ns_access inline:{ ns.good.test=OK }, reject")
    assert run(p) == "554 5.7.1 <s@good.test>: Sender address rejected: Access denied"
    p.wait_log(r"warning: restriction check_sender_ns_access returns OK for .*; this is not allowed for security reasons")


def test_mx_backup(postern, dns):
    p = make(postern, dns, smtpd_relay_restrictions="permit_mx_backup, reject_unauth_destination", mynetworks="192.0.2.0/24")
    assert run(p, to="u@backup.test") == "250 2.1.5 Ok"
    assert run(p, to="u@good.test") == "554 5.7.1 <u@good.test>: Relay access denied"
    q = make(postern, dns, smtpd_relay_restrictions="permit_mx_backup, reject_unauth_destination", mynetworks="192.0.2.0/24",
             permit_mx_backup_networks="203.0.113.0/24")
    assert run(q, to="u@backup.test") == "554 5.7.1 <u@backup.test>: Relay access denied"
