"""qmail-ldap's settings of a session, each row of tests/data/qmail-session.tests.tsv: the rule of one client address."""
import contextlib
import csv
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from conftest import SLOW, TOP, Instance, wait_until
from dns_server import name_server

VECTORS = {r["id"]: r for r in csv.DictReader(open(f"{TOP}/tests/data/qmail-session.tests.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE)}
NUMBER = {name: int(name[2:]) for name in VECTORS}
USER = "daemon" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
FEATURES = {  # feature number of the specification: rows that show it
    "F17": "QS07", "F18": "QS04 QS05 QS06", "F19": "QS08 QS09 QS10 QS11", "F20": "QS34", "F21": "QS51", "F22": "QS12 QS13",
    "F23": "QS16 QS17", "F24": "QS54", "F25": "QS49 QS50", "F26": "QS25 QS26 QS27 QS29 QS30", "F27": "QS28", "F28": "QS31 QS33",
    "F29": "QS44 QS45", "F30": "QS22 QS23 QS24", "F31": "QS18 QS19 QS20 QS21", "F32": "QS35 QS36 QS37 QS38",
    "F33": "QS01 QS02 QS03", "F34": "QS39 QS40 QS41", "F35": "QS42 QS43", "F36": "QS14", "F37": "QS15"}
NAMED = {v: f for f, rows in FEATURES.items() for v in rows.split()}


def address(vector):
    return f"127.77.{NUMBER[vector]}.1"


def reverse(vector):
    return ".".join(reversed(address(vector).split(".")))


class System(Instance):
    def open(self, vector, greet=True):
        return Client(self.port, address(vector), greet)


class Client:
    """An SMTP client with an address of its own."""

    def __init__(self, port, source, greet=True):
        self.s = socket.socket()
        self.s.bind((source, 0))
        self.s.settimeout(60 * SLOW)
        self.s.connect(("127.0.0.1", port))
        self.buf = b""
        self.greeting = self.reply() if greet else None

    def line(self):
        while b"\n" not in self.buf:
            try:
                more = self.s.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                out, self.buf = self.buf, b""
                return out.decode()
            self.buf += more
        out, self.buf = self.buf.split(b"\n", 1)
        return out.decode() + "\n"

    def reply(self):
        lines = []
        while True:
            text = self.line()
            lines.append(text.rstrip("\r\n"))
            if len(text) < 4 or text[3] != "-":
                return "\n".join(lines)

    def cmd(self, text):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.s.sendall(text.encode() + b"\r\n")
        return self.reply()

    def closed(self):
        return self.line() == ""

    def talk(self, *dialogue):
        """Commands and what their replies begin with."""
        for command, wanted in dialogue:
            got = self.cmd(command)
            assert got.startswith(wanted), f"{command}: {got!r}, not {wanted!r}"
        return got

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.s.close()


ZONE = {"b.test": {"A": ["198.51.100.1"]}, "nullmx.test": {"MX": [(0, ".")]}, "elsewhere.test": {"A": ["198.51.100.2"]},
        **{f"{reverse(v)}.bl.test": {"A": ["127.0.0.2"]} for v in ("QS25", "QS26", "QS27", "QS28", "QS29")}}
TROUBLE = {"servfail.test": "servfail", f"{reverse('QS30')}.bl.test": "servfail"}

dns = name_server(ZONE, TROUBLE)


def program(path, status):
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\ncat > {path}.message\ncat <&1 > {path}.envelope\nenv > {path}.environment\nexit {status}\n")
    os.chmod(path, 0o755)
    return path


def rules(top):
    """One line for each row; what a row says about files and tables becomes settings of that client."""
    lines = []
    known = f'local_recipient_maps="inline:{{ {USER}=x, joe=x }}"'
    for name, row in VECTORS.items():
        text = row["settings"].split(";")[0].strip()
        text = "" if text == "(none)" else re.sub(r" \(exits.*", "", text)
        text = text.replace("/opt/scan/queue", f"{top}/work/queue" + row["settings"].split("exits ")[-1][:2])
        found = re.search(r'rbllist "([^"]*)"', VECTORS["QS28" if name == "QS29" else name]["settings"])
        if found:
            with open(f"{top}/rbllist.{name}", "w") as f:
                f.write(found.group(1) + "\n")
            text += f',smtpd_rbl_list="{top}/rbllist.{name}"'
        if name == "QS30":
            text += f',smtpd_rbl_list="{top}/rbllist.QS25"'
        if "user table down" in row["settings"]:
            text += ',local_recipient_maps="fail:down"'
        elif name in ("QS31", "QS32", "QS35", "QS37", "QS38"):
            text += "," + known
        text = text.strip(",")
        lines.append(f"127.77.{NUMBER[name]}.:allow{',' if text else ''}{text}\n")
    return "".join(lines) + "127.77.200.:deny\n127.77.201.9:allow,NOTABOUTMAIL=\"1\"\n"


def certificate(path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=mx.local.test", "-keyout", path + ".key", "-out", path + ".crt"], check=True, capture_output=True)
    with open(path, "w") as out:
        out.write(open(path + ".key").read() + open(path + ".crt").read())


@pytest.fixture(scope="module")
def system(prefix, dns):
    top = tempfile.mkdtemp(prefix="pq-", dir="/tmp")
    os.chmod(top, 0o755)
    os.makedirs(f"{top}/work")
    os.chmod(f"{top}/work", 0o1777)
    for status in (31, 71):
        program(f"{top}/work/queue{status}", status)
    p = System(f"{top}/i", prefix, main={
        "mynetworks": "127.0.0.1", "myhostname": "mx.local.test", "mydestination": "local.test, mx.local.test",
        "relay_domains": "cust.test", "default_transport": "discard:", "local_transport": "discard:", "relay_transport": "discard:",
        "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
        "smtpd_client_instruction_maps": f"tcprules:{top}/tcp.smtp", "smtpd_delay_reject": "no", "smtpd_peername_lookup": "no",
        "smtpd_pop_before_smtp_maps": f"inline:{{ {address('QS54')}=x, 127.77.201.9=x }}", "dns_resolver_file": dns.file,
        "smtpd_content_signatures_default": f"{top}/signatures", "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": f"{top}/cert.pem", "smtpd_sasl_type": "file", "smtpd_sasl_path": f"texthash:{top}/users",
        "smtpd_client_event_limit_exceptions": "", "smtpd_client_connection_count_limit": "0",
        "smtpd_authorized_xclient_hosts": "127.77.210.1"})
    p.top = top
    with open(f"{top}/signatures", "w") as f:
        f.write("# programs\nTVqQAAMAA\n")
    with open(f"{top}/tcp.smtp", "w") as f:
        f.write(rules(top))
    certificate(f"{top}/cert.pem")
    users(p)
    p.start()
    yield p
    p.stop()
    shutil.rmtree(top, ignore_errors=True)


def users(p):
    r = p.run("postern-user", "-t", f"texthash:{p.top}/users", "add", "joe", input="secret\n")
    assert r.returncode == 0, r.stdout + r.stderr
    os.chmod(f"{p.top}/users", 0o644)


FROM, MAIL, OK = "MAIL FROM:<a@b.test>", ("MAIL FROM:<a@b.test>", "250 2.1.0"), "250 2.1.5"
EHLO = ("EHLO c.test", "250")


def to(user="joe", domain="local.test"):
    return f"RCPT TO:<{user}@{domain}>"


SIMPLE = {  # rows whose dialogue is commands and replies alone
    "QS04": [EHLO, (FROM, "530 5.7.0")],
    "QS06": [EHLO, MAIL, (to(domain="elsewhere.test"), "554 5.7.1")],
    "QS08": [EHLO, MAIL, ("RCPT TO:<u%x.test@local.test>", "553 5.7.1")],
    "QS09": [EHLO, MAIL, ("RCPT TO:<h!u@local.test>", "553 5.7.1")],
    "QS10": [EHLO, MAIL, ('RCPT TO:<"a@b"@local.test>', "553 5.7.1")],
    "QS11": [EHLO, MAIL, (to("user"), OK)],
    "QS12": [EHLO, MAIL, (to("u1"), OK), (to("u2"), OK), (to("u3"), "553 5.5.3")],
    "QS16": [EHLO, ("MAIL FROM:<>", "554 5.7.1"), ("MAIL FROM:<#@[]>", "5")],
    "QS17": [EHLO, MAIL],
    "QS18": [EHLO, ("MAIL FROM:<joe>", "554 5.1.7")],
    "QS19": [EHLO, ("MAIL FROM:<joe@host>", "554 5.1.7")],
    "QS20": [EHLO, ("MAIL FROM:<joe@a.b>", "554 5.1.7")],
    "QS21": [EHLO, ("MAIL FROM:<>", "250 2.1.0")],
    "QS22": [EHLO, ("MAIL FROM:<a@nxdomain.test>", "554 5.1.8")],
    "QS23": [EHLO, ("MAIL FROM:<a@servfail.test>", "450 4.1.8")],
    "QS24": [EHLO, ("MAIL FROM:<a@nullmx.test>", "554 5.7.27")],
    "QS25": [EHLO, (FROM, "553 5.7.1")],
    "QS26": [EHLO, MAIL],
    "QS27": [EHLO, (FROM, "553 5.7.1")],
    "QS29": [EHLO, MAIL],
    "QS30": [EHLO, MAIL],
    "QS31": [EHLO, MAIL, (to("nobody"), "550 5.1.1")],
    "QS33": [EHLO, MAIL, (to(), "451 4.3.0")],
    "QS34": [EHLO, MAIL, (to(), OK)],
    "QS35": [EHLO, ("MAIL FROM:<nobody@local.test>", "550 5.1.0")],
    "QS36": [EHLO, ("MAIL FROM:<x@elsewhere.test>", "250 2.1.0")],
    "QS37": [EHLO, ("MAIL FROM:<x@cust.test>", "250 2.1.0"), ("RSET", "250"), ("MAIL FROM:<x@elsewhere.test>", "554 5.7.1")],
    "QS38": [EHLO, ("MAIL FROM:<x@cust.test>", "554 5.7.1"), ("MAIL FROM:<joe@local.test>", "250 2.1.0")],
    "QS46": [EHLO, MAIL, (to("x", "elsewhere.test"), OK)],
    "QS48": [("EHLO x", "250"), ("MAIL FROM:<a@b.test> SIZE=2000", "552 5.3.4")],
    "QS54": [EHLO, MAIL, (to("x", "elsewhere.test"), "554 5.7.1")],
}


@pytest.mark.parametrize("vector", sorted(SIMPLE), ids=lambda v: f"{NAMED.get(v, 'other')}-{v}")
def test_dialogue(system, vector):
    with system.open(vector) as c:
        assert c.greeting.startswith("220 mx.local.test")
        c.talk(*SIMPLE[vector])


NOT_EXPLAINED = {"QS12", "QS48"}  # about several recipients, and SIZE=


def explain(system, vector, sender="a@b.test", recipient="joe@local.test"):
    return json.loads(system.run("postexplain", "--json", "--client", address(vector) + ",unknown", "--helo", "c.test", "--sender", sender,
                                 *(["--recipient", recipient] if recipient else [])).stdout)


@pytest.mark.parametrize("vector", sorted(set(SIMPLE) - NOT_EXPLAINED))
def test_explained(system, vector):
    """The same rows through postexplain: the reply to the last command."""
    sender, recipient, wanted = "a@b.test", None, None
    for command, reply in SIMPLE[vector]:
        if command.startswith("MAIL FROM:<"):
            sender, recipient, wanted = command[11:-1], None, reply
        elif command.startswith("RCPT TO:<"):
            recipient, wanted = command[9:-1], reply
    o = explain(system, vector, sender, recipient)
    assert o["instructions"]["rule"] == f"127.77.{NUMBER[vector]}."
    if wanted.startswith("250"):
        assert o["verdict"] in ("none", "permit"), o
    else:
        assert o["reply"].startswith(wanted), o


@pytest.mark.parametrize("vector, recipient, reply, close, seconds, setting", [
    ("QS32", "nobody@local.test", "550 5.1.1", False, 1, "smtpd_reject_unlisted_recipient"),
    ("QS39", None, "554 mx.local.test Go away!", False, 0, "smtpd_reject_greeting"),
    ("QS40", None, "554 mx.local.test ", False, 0, "smtpd_reject_greeting"),
    ("QS41", None, "421 mx.local.test ", False, 0, "smtpd_defer_greeting"),
    ("QS42", "x@not-ours.test", "554 5.7.1", True, 0, "reject_unauth_destination"),
    ("QS43", None, "554 mx.local.test ", True, 0, "smtpd_reject_greeting"),
    ("QS52", "joe@local.test", None, False, 2, None),
    ("QS47", "x@elsewhere.test", None, False, 0, None),
    ("QS05", "x@elsewhere.test", "530 5.7.0", False, 0, "smtpd_sasl_auth_required")])
def test_explained_more(system, vector, recipient, reply, close, seconds, setting):
    o = explain(system, vector, recipient=recipient)
    assert o["reply"].startswith(reply) if reply else o["reply"] is None, o
    assert (o["close"], o["delay_seconds"], o["restriction"]) == (close, seconds, setting), o


LOGGED = {  # the column log_or_effect, where it is a line of the log; the others have tests of their own
    "QS04": r"NOQUEUE: reject: MAIL from unknown\[CLIENT\]: 530 5\.7\.0", "QS08": r"NOQUEUE: reject: RCPT from unknown\[CLIENT\]: 553 5\.7\.1",
    "QS33": r"warning: .*local_recipient_maps", "QS34": r"warning: .*local_recipient_maps"}


@pytest.mark.parametrize("vector", LOGGED)
def test_log_column(system, vector):
    pattern = LOGGED[vector].replace("CLIENT", re.escape(address(vector)))
    before = len(re.findall(pattern, system.logs()))
    with system.open(vector) as c:
        c.talk(*SIMPLE[vector])
    system.wait_log(pattern, count=before + 1)


def test_F26_words_of_the_list(system):
    with system.open("QS25") as c:
        assert c.talk(EHLO, (FROM, "553 5.7.1")).endswith("go away")


def test_F26_relay_clients_are_not_looked_up(system, dns):
    with system.open("QS29") as c:
        c.talk(*SIMPLE["QS29"])
    assert not [q for q in dns.asked if reverse("QS29") in str(q)]
    with system.open("QS30") as c:
        c.talk(*SIMPLE["QS30"])
    system.wait_log(r"warning: .*RBL lookup error")


def test_F24_F45_pop_before_smtp(system):
    with Client(system.port, "127.77.201.9") as c:
        c.talk(EHLO, MAIL, (to("x", "elsewhere.test"), OK))
    system.wait_log("variable NOTABOUTMAIL has no meaning here")


def test_refusals_name_the_rule(system):
    with system.open("QS16") as c:
        c.talk(*SIMPLE["QS16"])
    system.wait_log(rf"NOQUEUE: reject: MAIL from .*127\.77\.16\.1.* instruction=tcprules:{system.top}/tcp.smtp:127\.77\.16\.$")


def test_deny_closes_without_a_byte(system):
    with Client(system.port, "127.77.200.1", greet=False) as c:
        assert c.closed()
    system.wait_log(r"reject: CONNECT from .*127\.77\.200\.1.*denied")


def test_xclient_looks_again(system):
    """Who the connected host speaks for decides about the settings."""
    with Client(system.port, "127.77.210.1") as c:
        c.talk((f"XCLIENT ADDR={address('QS16')}", "220"), EHLO, ("MAIL FROM:<>", "554 5.7.1"))
        c.talk((f"XCLIENT ADDR={address('QS11')}", "220"), EHLO, ("MAIL FROM:<>", "250"), ("RSET", "250"))
        c.talk((f"XCLIENT ADDR={address('QS02')}", "220"))
        assert "STARTTLS" in c.cmd("EHLO c.test")
        c.talk((f"XCLIENT ADDR={address('QS39')}", "554 mx.local.test Go away!"), ("EHLO x", "503 5.5.1"))
    with Client(system.port, "127.77.210.1") as c:
        assert c.cmd("XCLIENT ADDR=127.77.200.1") == ""
        assert c.closed()


def test_F33_QS01_QS03_auth_for_this_client_only(system):
    with system.open("QS01") as c:
        assert "AUTH " in c.cmd("EHLO c.test")
    with system.open("QS03") as c:
        assert "AUTH" not in c.cmd("EHLO c.test")
        c.talk(("AUTH PLAIN AGEAYg==", "503 5.5.1"))


def test_F33_QS02_auth_after_tls_only(system):
    with system.open("QS02") as c:
        text = c.cmd("EHLO c.test")
        assert "AUTH" not in text and "STARTTLS" in text
        c.talk(("AUTH PLAIN AGEAYg==", "504 5.5.4"))


PLAIN = ("AUTH PLAIN AGpvZQBzZWNyZXQ=", "235 2.7.0")


def test_F18_QS05_authrequired_after_auth(system):
    with system.open("QS05") as c:
        c.talk(EHLO, (FROM, "530 5.7.0"), PLAIN, MAIL, (to(), OK), ("DATA", "354"), ("Subject: x\r\n\r\nx\r\n.", "250 2.0.0"))
    system.wait_log("sasl_username=joe")


def test_F33_login_permits_relaying(system):
    with system.open("QS05") as c:
        c.talk(EHLO, PLAIN, MAIL, (to("x", "elsewhere.test"), OK))


def queued(system, vector, login=(), recipient=to()):
    """Text of a message that was queued, as postcat shows it."""
    with system.open(vector) as c:
        reply = c.talk(EHLO, *login, MAIL, (recipient, OK), ("DATA", "354"), ("Subject: x\r\n\r\nx\r\n.", "250 2.0.0"))
    queue_id = re.search(r"queued as (\S+)", reply).group(1)
    return wait_until(lambda: (r := system.run("postcat", "-q", queue_id)).returncode == 0 and r.stdout, what="postcat")


@pytest.fixture
def held(system):
    """New mail stays in the queue."""
    system.run("postconf", "-e", "defer_transports=discard", check=True)
    system.reload()
    time.sleep(1)
    yield system
    system.run("postconf", "-X", "defer_transports", check=True)
    system.reload()


def test_F17_F27_QS07_QS28_QS47_queued_content(held):
    assert "(Authenticated sender: Customer: joe)" in queued(held, "QS07", login=[PLAIN])
    assert queued(held, "QS28").count("X-RBL: (bl.test) matches with 127.0.0.2 and tells us go away") == 1
    assert "recipient: x@elsewhere.test@fix.test\n" in queued(held, "QS47", recipient=to("x", "elsewhere.test"))


def test_F22_QS13_no_limit(system):
    with system.open("QS13") as c:
        c.talk(EHLO, MAIL)
        c.s.sendall("".join(to(f"u{i}") + "\r\n" for i in range(1001)).encode())
        assert all(c.reply().startswith(OK) for _ in range(1001))


def seconds(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def test_F36_QS14_tarpit(system):
    with system.open("QS14") as c:
        c.talk(EHLO, MAIL, (to("u0"), OK))
        for i in (1, 2):
            assert seconds(lambda: c.talk((to(f"u{i}"), OK))) >= 0.95


def test_F37_QS15_no_delay(system):
    with system.open("QS15") as c:
        c.talk(EHLO, MAIL)
        assert seconds(lambda: c.talk(*[(to(f"u{i}"), OK) for i in range(5)])) < 4 * SLOW


def test_F36_tarpit_holds_nobody_else(system):
    with system.open("QS14") as slow, system.open("QS11") as quick:
        slow.talk(EHLO, MAIL, (to("u1"), OK))
        slow.s.sendall("".join(to(f"v{i}") + "\r\n" for i in range(8)).encode())
        assert seconds(lambda: quick.talk(*SIMPLE["QS11"])) < 6
        assert slow.reply().startswith(OK)


def test_F28_QS32_delay_for_unknown_recipients(system):
    with system.open("QS32") as c:
        c.talk(EHLO, MAIL)
        assert seconds(lambda: c.talk((to("nobody"), "550 5.1.1"))) >= 0.95
        c.talk((to(), OK))


def test_F34_QS39_refused_at_the_greeting(system):
    with system.open("QS39") as c:
        assert c.greeting == "554 mx.local.test Go away!"
        c.talk(("EHLO x", "503 5.5.1"), (FROM, "503 5.5.1"), ("QUIT", "221 2.0.0"))
        assert c.closed()


def test_F34_QS39_time_limit(system):
    with system.open("QS39") as c:
        assert seconds(c.line) > 15


def test_F34_QS40_QS41_default_texts(system):
    with system.open("QS40") as c:
        assert re.match(r"554 mx\.local\.test \S+", c.greeting)
    with system.open("QS41") as c:
        assert re.match(r"421 mx\.local\.test \S+", c.greeting)
        c.talk(("EHLO x", "421 4.3.2"))


def test_F35_QS42_QS43_disconnect(system):
    with system.open("QS42") as c:
        c.talk(EHLO, MAIL, ("RCPT TO:<x@not-ours.test>", "554 5.7.1"))
        assert c.closed()
    with system.open("QS43") as c:
        assert c.greeting.startswith("554 ")
        assert c.closed()
    system.wait_log(r"disconnect from .*127\.77\.42\.1")


MIME = ("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n%sTVqQAAMAAAAEAAAA\r\n--b--\r\n.")


def test_F29_QS44_QS45_programs_in_mail(system):
    with system.open("QS44") as c:
        c.talk(EHLO, MAIL, (to(), OK), ("DATA", "354"), (MIME % "", "552 5.7.0"))
    with system.open("QS45") as c:
        c.talk(EHLO, MAIL, (to(), OK), ("DATA", "354"), (MIME % "AAAA\r\n", "250 2.0.0"))
    system.wait_log("reject: END-OF-MESSAGE from .* 552 5.7.0 .*MIME content not accepted")


def test_QS48_size_of_this_client(system):
    text = ("x" * 900 + "\r\n" + "y" * 900 + "\r\n.")
    with system.open("QS48") as c:
        assert "250-SIZE 1000\n" in c.cmd("EHLO x") + "\n"
        c.talk(MAIL, (to(), OK), ("DATA", "354"), (text, "552 5.3.4"))
    with system.open("QS11") as c:
        c.talk(EHLO, MAIL, (to(), OK), ("DATA", "354"), (text, "250"))


@pytest.mark.parametrize("vector, reply", [("QS49", "554 5.3.0"), ("QS50", "451 4.3.0")])
def test_F25_queue_program_refuses(system, vector, reply):
    with system.open(vector) as c:
        c.talk(EHLO, MAIL, (to(), OK), (to("second"), OK), ("DATA", "354"), ("Subject: s\r\n\r\n..text\r\n.", reply))
    path = f"{system.top}/work/queue" + {"QS49": "31", "QS50": "71"}[vector]
    assert open(path + ".envelope", "rb").read() == b"Fa@b.test\0Tjoe@local.test\0Tsecond@local.test\0\0"
    message = open(path + ".message").read()
    assert message.startswith("Received: from c.test") and message.endswith("Subject: s\n\n.text\n")
    environment = open(path + ".environment").read()
    assert f"TCPREMOTEIP={address(vector)}\n" in environment and f"QMAILQUEUE={path}\n" in environment


def hops(n):
    return "Received: x\r\n\tdelivered-to: y\r\n" * 40 + "delivered-to: z\r\n" * n + "\r\n" + "Received: x\r\n" * 60 + "."


def test_F25_hops_are_counted_before_the_program(system):
    """Fixed behaviour of qmail-smtpd; hopcount_limit is 50 and our own Received: is one."""
    path = f"{system.top}/work/queue71"
    with contextlib.suppress(OSError):
        os.unlink(path + ".message")
    with system.open("QS50") as c:
        c.talk(EHLO, MAIL, (to(), OK), ("DATA", "354"), (hops(9), "554 5.4.0 Error: too many hops"))
        assert not os.path.exists(path + ".message")
        c.talk(MAIL, (to(), OK), ("DATA", "354"), (hops(8), "451 4.3.0"))
    system.wait_log("hopcount exceeded")


def test_F21_QS51_quiet(system):
    with system.open("QS51") as c:
        reply = c.talk(EHLO, MAIL, (to(), OK), ("DATA", "354"), ("Subject: x\r\n\r\nx\r\n.", "250 2.0.0"))
    queue_id = reply.split()[-1]
    system.wait_log(f"qmgr.*{queue_id}: removed")
    assert address("QS51") not in system.logs()
    assert f"{queue_id}: message-id=" in system.logs()


def test_QS52_slow_greeting(system):
    begin = time.monotonic()
    with system.open("QS52") as c:
        assert c.greeting.startswith("220 mx.local.test")
        assert time.monotonic() - begin >= 1.9
        c.talk(EHLO)


def test_QS53_early_talker(system):
    with system.open("QS53", greet=False) as c:
        assert c.cmd("EHLO x").startswith("554 5.5.0")
        assert c.closed()


def test_F10_rules_change_without_restart(system):
    path = f"{system.top}/tcp.smtp"
    before = open(path).read()

    def greeting():
        with Client(system.port, "127.77.202.1", greet=False) as c:
            return c.line()

    def replace(text):
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)
    assert greeting().startswith("220")
    replace(before + "127.77.202.1:deny\n")
    assert greeting() == ""  # the next connection
    replace(before + "127.77.202.1:permit\n")
    wait_until(lambda: greeting() == "" and re.search(r"error: .*tcp.smtp, line \d+: cannot parse.*stay in force", system.logs()),
               what="the error in the log")
    assert greeting() == ""  # nothing opens by mistake
    replace(before)
    assert greeting().startswith("220")


def test_all_rows_are_tested():
    """A row is in the table of dialogues, or in the name or the parameters of a test."""
    lines = [line for line in open(__file__) if re.match(r"def test_|@pytest.mark.parametrize", line)]
    assert len(VECTORS) == 54 and set(VECTORS) - set(SIMPLE) - set(re.findall(r"QS\d\d", "".join(lines))) == set()
