"""Nothing fails open: whatever a decision needs is taken away or broken, before the start, while the system runs, and at reload. Each row refuses mail to
TO (or from this client) while all is well; afterwards there is no answer that takes it, and a start that is refused names the file."""
import contextlib
import os
import shutil

import pytest
from conftest import Raw, listens, wait_until
from dns_server import name_server

TO, FROM = "x@example.test", "a@b.test"
RCPT, RELAY = "smtpd_recipient_restrictions", "smtpd_relay_restrictions"
ACCESS = f"{TO} reject\n"


def access(kind):
    return {RCPT: f"check_recipient_access {kind}:FILE"}


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def instructions(kind):
    return {"smtpd_client_instruction_maps": f"{kind}:FILE"}


MIME = ("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n.")
OWN_RULE = '127.0.0.1:allow,smtpd_recipient_restrictions="reject"\n'

# Name: settings; FILE, which is a text, or a directory of files (None: one without permissions); the kind of table that postmap makes of it; another text
# that is malformed. A line of regexp:, pcre: and cidr: that is malformed is no such case: as in Postfix it is skipped with a warning.
ROWS = {
    "check_rules": ({RCPT: "check_rules_file FILE"}, f"noto:ALL:ALL:{TO}:550 no\n", None, "noto:ALL:ALL\n"),
    "match_rules": ({RELAY: "match_rules FILE"}, "action a any\nmatch any reject 550 5.7.1 no\n", None, "match nonsense\n"),
    "match_table": ({RELAY: "match_rules MATCH"}, "joe x\n", None, None),
    "texthash": (access("texthash"), ACCESS, None, None),
    "regexp": (access("regexp"), "/^x@/ reject\n", None, None),
    "pcre": (access("pcre"), "/^x@/ reject\n", None, None),
    "cidr": ({"smtpd_client_restrictions": "check_client_access cidr:FILE"}, "127.0.0.0/8 reject\n", None, None),
    "hash": (access("hash"), ACCESS, "hash", "garbage"),
    "lmdb": (access("lmdb"), ACCESS, "lmdb", "garbage"),
    "cdb": (access("cdb"), ACCESS, "cdb", "garbage"),
    "proxied": ({RCPT: "check_recipient_access proxy:texthash:FILE", "proxy_read_maps": "proxy:texthash:FILE"}, ACCESS, None, None),
    "local_recipients": ({"local_recipient_maps": "texthash:FILE"}, "joe x\n", None, None),
    "relay_recipients": ({"relay_domains": "example.test", "mydestination": "", "relay_recipient_maps": "texthash:FILE"}, "joe@example.test x\n", None, None),
    "virtual_alias": ({"virtual_alias_domains": "example.test", "virtual_alias_maps": "texthash:FILE", "mydestination": ""}, "joe@example.test joe\n", None, None),
    "logins": ({"smtpd_sender_restrictions": "reject_sender_login_mismatch", "smtpd_sender_login_maps": "texthash:FILE"}, f"{FROM} joe\n", None, None),
    "relay_domains": ({"relay_domains": "texthash:FILE", "mydestination": "", "mynetworks": "10.0.0.1"}, "other.test x\n", None, None),
    "mynetworks": ({"mynetworks": "!127.0.0.1, FILE", "mydestination": ""}, "10.0.0.0/8\n", None, None),
    "pop_before_smtp": ({"mydestination": "", "mynetworks": "10.0.0.1", "smtpd_pop_before_smtp_maps": "texthash:FILE", RELAY: "permit_mynetworks, reject_unauth_destination"},
                        "10.1.1.1 x\n", None, None),
    "tcprules": (instructions("tcprules"), "127.0.0.1:deny\n", None, "127.0.0.1:permit\n"),
    "tcprules_cdb": (instructions("tcprules"), "127.0.0.1:deny\n", "tcprules", "garbage"),
    "ipsvd": (instructions("ipsvd"), {"127.0.0.1": None, "0": ""}, None, None),
    "own_rule": (instructions("tcprules"), OWN_RULE, None, OWN_RULE.replace("reject", "nonsense")),
    "rbl_list": ({RCPT: "check_rbl_list, reject", "smtpd_rbl_list": "FILE"}, "bl.test reject 127.0.0.2 go away\n", None, "bl.test nonsense\n"),
    "signatures": ({"smtpd_content_signatures": "FILE"}, "TVqQAAMAA\n", None, None),
    "filters": ({"smtpd_filters": "f", "smtpd_filter_definitions": "FILE"}, "f phase rcpt-to match rcpt-to { x@* } reject \"550 no\"\n", None, "f nonsense\n"),
}


class Case:
    def __init__(self, postern, name):
        settings, self.contents, self.kind, self.malformed = ROWS[name]
        self.p = postern(start=False)
        self.file = f"{self.p.dir}/the.{name}"
        write(f"{self.p.dir}/match", f"action a users=texthash:{self.file}\nmatch any action a\n")
        self.p.main.update({k: v.replace("FILE", self.file).replace("MATCH", f"{self.p.dir}/match") for k, v in settings.items()})
        self.p.main["default_transport"] = self.p.main["local_transport"] = "discard:"
        self.p.main["service_throttle_time"] = "1s"
        self.p.write_config()
        self.make()
        self.table = next((self.file + end for end in (".db", ".lmdb", ".cdb") if os.path.exists(self.file + end)), self.file)

    def make(self):
        if isinstance(self.contents, dict):
            os.makedirs(self.file)
            for name, text in self.contents.items():
                os.chmod(write(f"{self.file}/{name}", text or ""), 0 if text is None else 0o644)
            return
        write(self.file, self.contents)
        if self.kind:
            self.p.run("postmap", f"{self.kind}:{self.file}", check=True)
            os.unlink(self.file)

    def restore(self):
        self.remove()
        self.make()

    def remove(self):
        if os.path.exists(self.table):
            shutil.rmtree(self.table) if os.path.isdir(self.table) else os.unlink(self.table)

    def no_file(self):
        self.remove()
        os.mkdir(self.table)

    def damage(self):
        self.remove()
        write(self.table, self.malformed)

    def spoilers(self):
        return [self.remove] + ([self.no_file] if isinstance(self.contents, str) else []) + ([self.damage] if self.malformed else [])

    def answer(self):
        """The last reply of a session that sends a message; "" when the server says nothing."""
        with contextlib.suppress(OSError), contextlib.closing(Raw(self.p.port, greet=False, timeout=4)) as c:
            reply = c.reply()
            for command in ("EHLO c.test", f"MAIL FROM:<{FROM}>", f"RCPT TO:<{TO}>", "DATA", MIME):
                if reply[:1] not in ("2", "3"):
                    break
                reply = c.cmd(command)
            return reply
        return ""

    def refuses(self, where, wanted):
        reply = self.answer()
        assert reply[:1] in wanted, f"{where}: {reply!r}\n{self.p.logs()[-2000:]}"


@pytest.mark.parametrize("name", ROWS)
def test_nothing_fails_open(postern, name):
    c = Case(postern, name)
    p = c.p
    for spoil in c.spoilers():  # before the start
        spoil()
        r = p.run("postfix", "start")
        if r.returncode:
            said = r.stdout + r.stderr
            assert c.table in said or c.file in said, said
            assert spoil != c.damage or c.kind or ", line 1" in said, said
        else:
            wait_until(lambda: listens(p.port), what="port")
            c.refuses(f"start, {spoil.__name__}", ("4",))
            p.stop()
        c.restore()
    p.launch()
    wait_until(lambda: listens(p.port), what="port")
    c.refuses("all is well", ("5", ""))
    for spoil in c.spoilers():  # what is known still counts, or there is trouble
        spoil()
        for _ in range(2):
            c.refuses(f"running, {spoil.__name__}", ("5", "4", ""))
        if p.run("postfix", "reload").returncode == 0:
            wait_until(lambda: c.answer()[:1] == "4", what=f"trouble after reload, {spoil.__name__}: {c.answer()!r}")
        c.refuses(f"reloaded, {spoil.__name__}", ("5", "4", ""))
        c.restore()
        p.reload()
    c.refuses("all is well again", ("5", ""))


# ---- services ----

SENDER, HELO = "smtpd_sender_restrictions", "smtpd_helo_restrictions"

# Settings of a client, sender, HELO. As in Postfix mail passes, with a warning, when DNS tells nothing to reject_rbl_client, RBL. in check
# rules, check_sender_mx_access and their like.
SERVICES = [
    ({RCPT: "check_policy_service { inet:127.0.0.1:1, try_limit=1 }"}, FROM, "c.test"),
    ({RCPT: "check_policy_service { unix:private/nobody, try_limit=1 }"}, FROM, "c.test"),
    ({RCPT: "class"}, FROM, "c.test"),
    *[({SENDER: "reject_unknown_sender_domain"}, f"a@{domain}", "c.test") for domain in ("broken.test", "garbage.test", "silent.test")],
    ({HELO: "reject_unknown_helo_hostname"}, FROM, "broken.test"),
    ({RCPT: "check_rules_file RULES"}, "a@broken.test", "c.test"),
    ({RCPT: "reject_unverified_recipient"}, FROM, "c.test"),
    ({RCPT: "reject_unverified_sender"}, FROM, "c.test"),
    *[({RCPT: f"check_recipient_access {table}"}, FROM, "c.test") for table in (
        "fail:x", "proxy:texthash:/etc/none", "tcp:127.0.0.1:1", "socketmap:inet:127.0.0.1:1:x", "unionmap:{inline:{y=z},fail:x}", "pipemap:{inline:{x@example.test=z},fail:x}")],
    ({"local_recipient_maps": "fail:x"}, FROM, "c.test"),
    ({RELAY: "permit_mynetworks, reject_unauth_destination", "mynetworks": "fail:x, 10.0.0.1"}, FROM, "c.test"),
    ({SENDER: "reject_sender_login_mismatch", "smtpd_sender_login_maps": "fail:x"}, FROM, "c.test"),
]
TROUBLE = {"silent.test": "silence", "broken.test": "servfail", "garbage.test": "garbage"}
dns = name_server({"b.test": {"A": ["198.51.100.1"]}}, TROUBLE)


def test_services_that_do_not_answer(postern, dns):
    p = postern(start=False)
    rules = write(f"{p.dir}/rules", "noto:ALL:NS=*.rogue.test:ALL\nallow:ALL:ALL:ALL\n")
    instructions = write(f"{p.dir}/tcp.smtp", "".join(
        f"127.0.1.{n}:allow," + ",".join(f"{k}=`{v.replace('RULES', rules)}`" for k, v in settings.items()) + "\n" for n, (settings, _, _) in enumerate(SERVICES)))
    p.main.update({"smtpd_client_instruction_maps": f"tcprules:{instructions}", "smtpd_authorized_xclient_hosts": "127.0.0.1", "dns_resolver_file": dns.file,
                   "smtpd_restriction_classes": "class", "class": "check_policy_service { inet:127.0.0.1:1, try_limit=1 }", "smtpd_peername_lookup": "no"})
    p.master = "".join(line for line in p.master.splitlines(True) if not line.startswith(("verify ", "proxymap ")))
    p.write_config()
    p.start()
    bad = []
    for n, (settings, sender, helo) in enumerate(SERVICES):
        with p.raw() as c:
            replies = [c.cmd(x) for x in ("EHLO c.test", f"XCLIENT ADDR=127.0.1.{n} NAME=[UNAVAILABLE]", f"EHLO {helo}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{TO}>")]
        if replies[-1][:1] != "4":
            bad.append((settings, sender, helo, replies[-1]))
    assert not bad, "\n".join(map(str, bad))
