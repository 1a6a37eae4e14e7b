"""SASL logins at smtpd: Dovecot, Cyrus SASL and the table of users, with the clients that people have."""
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import smtplib
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import unicodedata

import pytest

from conftest import SLOW, TOP, free_port, listens, wait_until
from sasl_peers import USERS, Dovecot, b64, plain
from test_access import Policy
from tls_client import Authority, Secure, client

AUTH = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_sasl_authenticated_header": "yes",
    "mynetworks": "192.0.2.1",
}


def ehlo(s):
    return s.cmd("EHLO client.test")


def offered(reply):
    found = re.search(r"^250[ -]AUTH (.*)$", reply, re.M)
    return found.group(1).split() if found else []


def no_secret(p, *more):
    """No password and no response of a client is in the log."""
    log = p.logs()
    for secret in [*USERS.values(), *more]:
        assert secret not in log
        for user in USERS:
            assert plain(user, secret) not in log
        assert b64(secret) not in log


def go(p):
    p.write_config()
    return p.start()


# ---- the table of users ----

@pytest.fixture
def users(postern):
    """An instance with smtpd_sasl_type = file; users.table() adds people."""
    p = postern({**AUTH, "smtpd_sasl_type": "file"}, start=False)
    p.users = f"{p.etc}/users"
    for user, password in USERS.items():
        r = p.run("postern-user", "-t", f"texthash:{p.users}", "add", user, input=password + "\n")
        assert r.returncode == 0, r.stderr
    p.main["smtpd_sasl_path"] = f"texthash:{p.users}"
    p.write_config()
    return p


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_file(users, mechanism):
    p = go(users)
    with p.smtp() as s:
        s.ehlo()
        assert s.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
        s.user, s.password = "Anna", USERS["anna"]
        assert s.auth(mechanism, getattr(s, "auth_" + mechanism.lower()))[0] == 235
        s.sendmail("anna@example.test", ["root@example.test"], "Subject: t\r\n\r\nhello\r\n")
    p.wait_log(rf"client=localhost\[127.0.0.1\], sasl_method={mechanism}, sasl_username=anna$")
    text = open(p.wait_mail("root")[0]).read()
    assert "\n\t(Authenticated sender: anna)\n\tby mx.example.test" in text and "with ESMTPA id" in text
    no_secret(p)


def test_file_scram(users):
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        assert scram(s, "bert@example.test", USERS["bert@example.test"]).startswith("235 ")
    with p.raw() as s:
        ehlo(s)
        assert scram(s, "anna", "wrong").startswith("535 5.7.8 ")
        # whoever does not exist looks like somebody with another password
        assert scram(s, "nobody", "x").startswith("535 5.7.8 ")
    p.wait_log(r"SASL SCRAM-SHA-256 authentication failed: \(reason unavailable\), sasl_username=nobody")
    no_secret(p)


def scram(s, user, password, flag="n,,", binding=None, mechanism="SCRAM-SHA-256"):
    """RFC 7677 with SMTP's framing; the server's signature is checked."""
    nonce = base64.b64encode(os.urandom(12)).decode()
    first = f"n={user},r={nonce}"
    answer = s.cmd(f"AUTH {mechanism} " + b64(flag + first))
    if not answer.startswith("334 "):
        return answer
    server_first = base64.b64decode(answer[4:]).decode()
    fields = dict(f.split("=", 1) for f in server_first.split(","))
    assert fields["r"].startswith(nonce) and len(fields["r"]) > len(nonce)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    def mac(key, text):
        return hmac.new(key, text if isinstance(text, bytes) else text.encode(), "sha256").digest()
    client_key = mac(salted, "Client Key")
    bare = f"c={b64(binding or flag)},r={fields['r']}"
    text = ",".join((first, server_first, bare))
    proof = bytes(a ^ b for a, b in zip(client_key, mac(hashlib.sha256(client_key).digest(), text)))
    answer = s.cmd(b64(f"{bare},p={b64(proof)}"))
    if not answer.startswith("334 "):
        return answer
    assert base64.b64decode(answer[4:]).decode() == "v=" + b64(mac(mac(salted, "Server Key"), text))
    return s.cmd("")


def test_file_refusals(users):
    users.main["smtpd_sasl_local_domain"] = "Example.Test"
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        for user, password, authzid in (("anna", "wrong", ""), ("anna", "", ""), ("", "x", ""), ("anna", USERS["anna"], "bert"),
                                        ("a" * 300, "x", ""), ("anna", USERS["anna"] + "x", ""), ("anna", "y" * 600, ""), ("a\nb", "x", ""),
                                        ("bert", "x", "")):
            assert s.cmd("AUTH PLAIN " + plain(user, password, authzid)) == "535 5.7.8 Error: authentication failed: (reason unavailable)", user
        assert s.cmd("AUTH PLAIN " + b64("no separators")).startswith("535 5.7.8 ")
        assert s.cmd("AUTH PLAIN " + b64("a\0anna\0x\0y")).startswith("535 5.7.8 ")
        assert s.cmd("AUTH EXTERNAL =") == "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"
    with p.raw() as s:  # the realm is added; naming oneself is fine
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("bert", USERS["bert@example.test"], "bert@example.test")) == "235 2.7.0 Authentication successful"
        s.cmd("MAIL FROM:<a@example.test>")
        s.cmd("RCPT TO:<root@example.test>")
    p.wait_log(r"sasl_method=PLAIN, sasl_username=bert@example.test$")
    p.wait_log(r"SASL PLAIN authentication failed: \(reason unavailable\), sasl_username=a\?b$")
    no_secret(p)


def test_file_new_user_without_restart(users):
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("dora", "later")).startswith("535 ")
    assert p.run("postern-user", "add", "dora", input="later\n").returncode == 0
    assert p.run("postern-user", "change", "anna", input="another\n").returncode == 0

    def works(user, password):
        with p.raw() as s:
            ehlo(s)
            return s.cmd("AUTH PLAIN " + plain(user, password)).startswith("235 ")
    wait_until(lambda: works("dora", "later"), what="new user")
    assert works("anna", "another") and not works("anna", USERS["anna"])
    assert p.run("postern-user", "remove", "dora").returncode == 0
    wait_until(lambda: not works("dora", "later"), what="end of a user")


def test_file_entries_of_others(postern):
    """crypt(3) hashes alone: SCRAM cannot be offered; locked and broken entries let nobody in."""
    p = postern({**AUTH, "smtpd_sasl_type": "file"}, start=False)
    sha512 = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input="one", capture_output=True, text=True).stdout.strip()
    with open(f"{p.etc}/users", "w") as f:
        f.write(f"one {sha512}\ntwo {{SHA512-CRYPT}}{sha512}\nlocked !{sha512}\nbroken $nosuch$x\nempty SCRAM-SHA-256$1:!$:\n")
    p.main["smtpd_sasl_path"] = f"texthash:{p.etc}/users"
    p.write_config()
    p.start()
    with p.raw() as s:
        assert offered(ehlo(s)) == ["PLAIN", "LOGIN"]
        for user in ("locked", "broken", "empty"):
            assert s.cmd("AUTH PLAIN " + plain(user, "one")).startswith("535 ")
        assert s.cmd("AUTH PLAIN " + plain("two", "one")).startswith("235 ")
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("one", "one")).startswith("235 ")
    p.wait_log("user broken: crypt.* does not know this kind of hash")
    p.wait_log("user empty: malformed SCRAM-SHA-256 verifier")


# ---- the dialogue ----

def test_dialogue(users):
    users.main.update(smtpd_soft_error_limit="100", smtpd_hard_error_limit="100", broken_sasl_auth_clients="yes", smtpd_relay_restrictions="permit_auth_destination, reject")
    p = go(users)
    good = plain("anna", USERS["anna"])
    with p.raw() as s:
        assert "250-AUTH=SCRAM-SHA-256 PLAIN LOGIN\n" in ehlo(s)
        assert s.cmd("AUTH") == s.cmd("AUTH PLAIN a b") == "501 5.5.4 Syntax: AUTH mechanism"
        assert s.cmd("AUTH FOO") == "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"
        assert s.cmd("AUTH PLAIN ==") == "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response"
        assert s.cmd("AUTH PLAIN =") == "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response"
        assert s.cmd("AUTH LOGIN") == "334 " + b64("Username:")
        assert s.cmd("*") == "501 5.7.0 Authentication aborted"
        assert s.cmd("AUTH LOGIN " + b64("anna")) == "334 " + b64("Password:")
        assert s.cmd("!") == "535 5.7.8 Error: authentication failed: Invalid base64 data in continued response"
        assert s.cmd("auth plain") == "334 "
        assert s.cmd(plain("anna", "wrong")) == "535 5.7.8 Error: authentication failed: (reason unavailable)"
        assert s.cmd("MAIL FROM:<a@example.test>").startswith("250 ")
        assert s.cmd("AUTH PLAIN " + good) == "503 5.5.1 Error: MAIL transaction in progress"
        assert s.cmd("RSET").startswith("250 ")
        assert s.cmd("MAIL FROM:<a@example.test> AUTH=x@y.test").startswith("250 ")
        assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
        assert s.cmd("RSET").startswith("250 ")
        assert s.cmd("AUTH PLAIN " + good) == "235 2.7.0 Authentication successful"
        assert s.cmd("AUTH PLAIN " + good) == "503 5.5.1 Error: already authenticated"
        assert s.cmd("MAIL FROM:<a@example.test> AUTH=a AUTH=b") == "503 5.5.4 Error: multiple AUTH= options"
        assert s.cmd("MAIL FROM:<a@example.test> AUTH=x+3Dy@z").startswith("250 ")
        assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
        assert s.cmd("RSET").startswith("250 ")
        assert s.cmd("MAIL FROM:<a@example.test> AUTH=<>").startswith("250 ")
        assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
    p.wait_log(r"warning: localhost\[127.0.0.1\]: SASL LOGIN authentication aborted$")
    p.wait_log(r"warning: localhost\[127.0.0.1\]: SASL plain authentication failed: \(reason unavailable\), sasl_username=anna$")
    p.wait_log(r"warning: localhost\[127.0.0.1\]: SASL FOO authentication failed: Invalid authentication mechanism, sasl_username=\(unavailable\)$")
    p.wait_log(r": client=localhost\[127.0.0.1\]$")
    p.wait_log(r"sasl_method=PLAIN, sasl_username=anna, sasl_sender=x\+3Dy@z$")
    p.wait_log(r"sasl_method=PLAIN, sasl_username=anna$")
    p.wait_log(r"disconnect from .* auth=1/11 ")
    no_secret(p)


def test_limits(users):
    users.main["notify_classes"] = "protocol, policy"
    users.main["2bounce_notice_recipient"] = users.main["error_notice_recipient"] = "root@example.test"
    p = go(users)
    secret = b64("top secret" * 1300)
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + secret) == "500 5.5.2 mx.example.test Error: command too long"
        assert s.cmd("AUTH PLAIN") == "334 "
        assert s.cmd(secret) == "500 5.5.6 SASL response limit exceeded"
        assert s.cmd("NOOP").startswith("250 ")
        assert s.cmd("AUTH PLAIN") == "334 "
        assert s.cmd(secret[:12288]).startswith("535 5.7.8 ")
        # everything at once, as RFC 2920 allows
        s.send(f"AUTH LOGIN\r\n{b64('anna')}\r\n{b64(USERS['anna'])}\r\nNOOP\r\n")
        assert [s.reply()[:3] for _ in range(4)] == ["334", "334", "235", "250"]
    with p.raw() as s:  # without ESMTP it may not; what was sent is not shown
        s.send(f"HELO x\r\nAUTH PLAIN {plain('anna', USERS['anna'])}\r\n")
        assert s.reply().startswith("554 5.5.0 ")
    with p.raw() as s:
        s.cmd("HELO x")
        s.send(f"AUTH LOGIN\r\n{b64('anna')}\r\n{b64(USERS['anna'])}\r\n")
        assert s.reply().startswith("554 5.5.0 ")
    p.wait_log("improper command pipelining after HELO from .*: AUTH$")
    with p.raw() as s:
        ehlo(s)
        s.cmd("AUTH LOGIN")
        s.s.shutdown(socket.SHUT_WR)
    p.wait_log(r"lost connection after AUTH from localhost\[127.0.0.1\]$")
    transcripts = [open(mail).read() for mail in p.wait_mail("root", 2)]
    assert any("In: AUTH ..." in text for text in transcripts)
    for text in transcripts:
        assert secret[:20] not in text and b64(USERS["anna"])[:10] not in text and plain("anna", USERS["anna"])[:20] not in text
    assert secret[:10] not in p.logs()
    no_secret(p)


def test_verbose_log(users):
    """-v shows the dialogue, but nothing of what is said to log in; neither does Cyrus or Dovecot."""
    users.master = users.master.replace("smtpd ", "smtpd -v", 1)
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        for line in ("AUTH PLAIN " + plain("anna", "topsecret"), "AUTH\tPLAIN\t" + plain("anna", "topsecret"), " AUTH PLAIN " + plain("anna", "topsecret")):
            s.cmd(line)
        s.cmd("AUTH LOGIN")
        s.cmd(b64("anna"))
        s.cmd(b64("topsecret"))
        s.cmd("AUTH PLAIN")
        assert s.cmd(plain("anna", USERS["anna"])).startswith("235 ")
        s.cmd("QUIT")
    p.wait_log("disconnect from")
    p.wait_log("< .*EHLO client.test")
    no_secret(p, "topsecret")
    assert plain("anna", "topsecret")[:12] not in p.logs()


def test_rate_limit(users):
    users.main["smtpd_client_auth_rate_limit"] = "2"
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        for _ in range(2):
            assert s.cmd("AUTH PLAIN " + plain("anna", "no")).startswith("535 ")
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])) == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"
    p.wait_log(r"warning: AUTH command rate limit exceeded: 3 from localhost\[127.0.0.1\] for service ")


@pytest.mark.parametrize("settings,mechanisms,answer", [
    ({"smtpd_tls_auth_only": "yes"}, [], "503 5.5.1 Error: authentication not enabled"),
    ({"smtpd_sasl_exceptions_networks": "127.0.0.0/8"}, [], "235 "),
    ({"smtpd_discard_ehlo_keywords": "auth"}, [], "503 "),
    ({"smtpd_sasl_security_options": "noanonymous, noplaintext"}, ["SCRAM-SHA-256"], "535 "),
    ({"smtpd_sasl_mechanism_filter": "!scram-sha-256, static:rest"}, ["PLAIN", "LOGIN"], "235 "),
    ({"smtpd_sasl_mechanism_filter": "login"}, ["LOGIN"], "535 "),
])
def test_what_is_offered(users, settings, mechanisms, answer):
    users.main.update(settings)
    p = go(users)
    with p.raw() as s:
        assert offered(ehlo(s)) == mechanisms
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith(answer)


def test_sender_logins(users):
    users.main.update(smtpd_sender_login_maps="inline:{ anna@example.test=anna, both@example.test={ anna, carl } }", smtpd_delay_reject="no",
                      smtpd_sender_restrictions="reject_sender_login_mismatch", smtpd_recipient_restrictions="check_sasl_access inline:{ carl=REJECT }")
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("MAIL FROM:<anna@example.test>") == "553 5.7.1 <anna@example.test>: Sender address rejected: not logged in"
        s.cmd("AUTH PLAIN " + plain("carl", USERS["carl"]))
        assert s.cmd("MAIL FROM:<anna@example.test>") == "553 5.7.1 <anna@example.test>: Sender address rejected: not owned by user carl"
        assert s.cmd("MAIL FROM:<both@example.test>").startswith("250 ")
        assert s.cmd("RCPT TO:<root@example.test>") == "554 5.7.1 <carl>: SASL login name rejected: Access denied"
    p.wait_log(r"reject: MAIL from .*: 553 5.7.1 .* helo=<client.test> sasl_method=PLAIN sasl_username=carl$")


def test_policy_server_knows_the_login(users):
    with Policy(lambda r: "DUNNO") as server:
        users.main["smtpd_recipient_restrictions"] = f"check_policy_service inet:127.0.0.1:{server.server_address[1]}"
        p = go(users)
        with p.raw() as s:
            ehlo(s)
            s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"]))
            s.cmd("MAIL FROM:<a@example.test> AUTH=boss@example.test")
            assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
        server.shutdown()
    request, = server.requests
    assert [request[name] for name in ("sasl_method", "sasl_username", "sasl_sender")] == ["PLAIN", "anna", "boss@example.test"]


@pytest.mark.parametrize("settings,words", [
    ({"smtpd_sasl_type": "nosuch"}, 'unknown SASL type "nosuch"'),
    ({"smtpd_sasl_path": "smtpd"}, "postern-user"),
    ({"smtpd_sasl_path": "lmdb:/nonexistent/users"}, "/nonexistent/users"),
    ({"smtpd_sasl_path": "nosuch:/x"}, "nosuch"),
    ({"smtpd_sasl_security_options": "noplain"}, 'unknown word "noplain"'),
    ({"smtpd_sasl_mechanism_filter": "gssapi"}, "there is no mechanism"),
    ({"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:127.0.0.1:nosuch"}, "inet:host:port"),
])
def test_start_refuses(users, settings, words):
    users.main.update(settings)
    users.write_config()
    for command in ("check", "start"):
        r = users.run("postfix", "-c", users.etc, command)
        assert r.returncode != 0 and words in r.stderr + r.stdout + users.logs(), (command, r)


@pytest.mark.parametrize("settings,warns", [
    ({"inet_interfaces": "all"}, True),
    ({"inet_interfaces": "127.0.0.1"}, False),
    ({"inet_interfaces": "all", "smtpd_tls_auth_only": "yes"}, False),
    ({"inet_interfaces": "all", "smtpd_sasl_security_options": "noanonymous, noplaintext"}, False),
    ({"inet_interfaces": "all", "smtpd_sasl_mechanism_filter": "scram-sha-256"}, False),
])
def test_passwords_in_clear(users, settings, warns):
    """Whoever checks the configuration is told, in one line with the remedy."""
    users.main.update(settings)
    users.master += "2525 inet n - n - - smtpd -o smtpd_banner=x\n"
    users.write_config()
    r = users.run("postfix", "-c", users.etc, "check")
    assert r.returncode == 0
    assert r.stderr.count("takes passwords over connections without TLS; set smtpd_tls_auth_only = yes") == (1 if warns else 0), r


# ---- Dovecot ----

@pytest.fixture
def dovecot(postern):
    made = []

    def make(inet=False, main=None, **kw):
        p = postern({**AUTH, "smtpd_sasl_type": "dovecot", **(main or {})}, start=False)
        port = free_port() if inet else None
        d = Dovecot(f"{p.dir}/dovecot", f"{p.dir}/auth", port, **kw)
        made.append(d)
        p.main["smtpd_sasl_path"] = f"inet:127.0.0.1:{port}" if inet else d.socket
        p.write_config()
        return p, d
    yield make
    for d in made:
        d.stop()


def cram(challenge, user, password):
    return b64(user + " " + hmac.new(password.encode(), base64.b64decode(challenge), "md5").hexdigest())


@pytest.mark.parametrize("inet", [False, True])
def test_dovecot(dovecot, inet):
    p, d = dovecot(inet)
    d.start()
    p.start()
    with p.raw() as s:
        assert offered(ehlo(s)) == ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"]
        assert s.cmd("AUTH PLAIN " + plain("anna", "wrong")) == "535 5.7.8 Error: authentication failed: (reason unavailable)"
        assert s.cmd("AUTH LOGIN") == "334 " + b64("Username:")
        assert s.cmd("*") == "501 5.7.0 Authentication aborted"
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
        s.cmd("MAIL FROM:<a@example.test>")
        assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
    for mechanism in ("LOGIN", "CRAM-MD5", "SCRAM-SHA-256"):
        with p.raw() as s:
            ehlo(s)
            if mechanism == "LOGIN":
                s.cmd("AUTH LOGIN")
                s.cmd(b64("carl"))
                assert s.cmd(b64(USERS["carl"])).startswith("235 ")
            elif mechanism == "CRAM-MD5":
                assert s.cmd(cram(s.cmd("AUTH CRAM-MD5")[4:], "carl", USERS["carl"])).startswith("235 ")
            else:
                assert scram(s, "carl", USERS["carl"]).startswith("235 ")
    with p.raw() as s:
        ehlo(s)
        answer = s.cmd("AUTH XOAUTH2 " + b64("user=anna\1auth=Bearer nonsense\1\1"))
        if answer.startswith("334 "):
            answer = s.cmd("")
        assert answer[:4] in ("535 ", "454 ")
    p.wait_log(r"sasl_method=PLAIN, sasl_username=anna$")
    p.wait_log(r"SASL PLAIN authentication failed: \(reason unavailable\), sasl_username=anna$")
    no_secret(p)


def token(d, user, secret="key of the test", expires=4000000000):
    """A JSON web token that Dovecot can check by itself."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    os.makedirs(f"{d.dir}/keys/default/HS256", exist_ok=True)
    with open(f"{d.dir}/keys/default/HS256/default", "w") as f:
        f.write(b64("key of the test"))
    for path, _, _ in os.walk(f"{d.dir}/keys"):
        os.chmod(path, 0o755)
    text = part(b'{"typ":"JWT","alg":"HS256"}') + b"." + part(json.dumps({"sub": user, "email": user, "exp": expires, "iat": 1}).encode())
    return (text + b"." + part(hmac.new(secret.encode(), text, "sha256").digest())).decode()


def test_dovecot_tokens(dovecot):
    p, d = dovecot()
    good, bad = token(d, "anna"), token(d, "anna", secret="of somebody else")
    d.start()
    p.start()
    for t, code in ((good, "235 "), (bad, "535 ")):
        for mechanism, message in (("XOAUTH2", f"user=anna\1auth=Bearer {t}\1\1"),
                                   ("OAUTHBEARER", f"n,a=anna,\1host=127.0.0.1\1port={p.port}\1auth=Bearer {t}\1\1")):
            with p.raw() as s:
                ehlo(s)
                answer = s.cmd(f"AUTH {mechanism} " + b64(message))
                if answer.startswith("334 "):  # words about the failure
                    answer = s.cmd(b64("\1"))
                assert answer.startswith(code), (mechanism, answer, d.log())
    assert good not in p.logs() and b64(good)[:20] not in p.logs()


def test_hostile(users):
    """Nonsense in every place of an exchange gets an answer, and the next client is served."""
    users.main.update(smtpd_soft_error_limit="1000", smtpd_hard_error_limit="1000")
    p = go(users)
    rows = [b"AUTH \x00\xff\xfe", b"AUTH " + b"A" * 1500, b"AUTH PLAIN " + b64(b"\xff" * 900).encode(), b"AUTH PLAIN\tx\ty\tz", b"AUTH  LOGIN  ",
            b"AUTH PLAIN " + b64("\0" * 600).encode(), b"AUTH SCRAM-SHA-256 " + b64("n,,n=" + "," * 300).encode(), b"AUTH SCRAM-SHA-256 =", b"AUTH SCRAM-SHA-256 " + b64("p=x,,n=a,r=b").encode(),
            b"AUTH LOGIN " + b64("a" * 1000).encode(), b"auth login =", b"AUTH PLAIN " + plain("%s%n", "%s%n").encode()]
    with p.raw() as s:
        ehlo(s)
        for row in rows:
            s.send(row + b"\r\n")
            answer = s.reply()
            for _ in range(4):
                if not answer.startswith("334"):
                    break
                s.send(b"\xff\x00=\r\n")
                answer = s.reply()
            assert answer[:3] in ("500", "501", "535"), (row, answer)
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
    p.wait_log("sasl_username=%s%n$")
    no_secret(p)


def test_dovecot_comes_and_goes(dovecot):
    """What is not there now fails for now; a restart of the server is not noticed."""
    p, d = dovecot()
    p.start()
    with p.raw() as s:
        assert offered(ehlo(s)) == ["PLAIN", "LOGIN"]
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("454 4.7.0 Temporary authentication failure: ")
    p.wait_log(r"SASL PLAIN authentication failed: Connection lost to authentication server \(authentication server .*No such file.*\), sasl_username=")
    d.start()

    def works():
        with p.raw() as s:
            ehlo(s)
            return s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
    wait_until(works, what="login")
    with p.raw() as s, p.raw() as half:
        ehlo(s), ehlo(half)
        half.cmd("AUTH LOGIN")
        d.stop()
        assert half.cmd(b64("anna")) == "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("454 4.7.0 ")
        with p.raw() as later:  # what it could do before is still offered
            assert "CRAM-MD5" in offered(ehlo(later))
        d.start()
        wait_until(works, what="login after a restart")
        d.stop()
        d.start()
        wait_until(lambda: s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 "), what="login in an old session")


def test_dovecot_many(dovecot):
    """Logins of many sessions over one connection get their own answers."""
    p, d = dovecot(main={"smtpd_client_connection_count_limit": "0"})
    d.start()
    p.start()
    wrong = []

    def one(i):
        user = list(USERS)[i % 3]
        good = i % 4 != 0
        with p.raw() as s:
            ehlo(s)
            for _ in range(3):
                answer = s.cmd("AUTH PLAIN " + plain(user, USERS[user] if good else "wrong"))
                if answer[:3] != ("235" if good else "535"):
                    wrong.append(answer)
                if good:
                    break
            if good:
                s.cmd(f"MAIL FROM:<t{i}@example.test>")
                s.cmd("RCPT TO:<root@example.test>")
                s.cmd("DATA")
                s.cmd("x\r\n.")
    threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong
    for mail in p.wait_mail("root", 30):
        text = open(mail).read()
        i = int(re.search(r"Return-Path: <t(\d+)@", text).group(1))
        assert f"(Authenticated sender: {list(USERS)[i % 3]})" in text


class FakeDovecot:
    """A server that answers each line by a function of the test."""

    def __init__(self, path, answer, greeting="VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(5)
        self.answer, self.greeting, self.lines = answer, greeting, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c, contextlib.suppress(OSError):
            c.sendall(self.greeting.encode())
            for line in c.makefile("r", newline="\n"):
                self.lines.append(line.rstrip("\n").split("\t"))
                if line.startswith("AUTH\t"):
                    reply = self.answer(line.split("\t")[1])
                    if reply is None:
                        return
                    c.sendall(reply.encode())


@pytest.mark.parametrize("answer,expect", [
    (lambda i: f"OK\t{i}\tuser=anna\n", "235 "),
    (lambda i: f"OK\t{i}\n", "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"),
    (lambda i: f"FAIL\t{i}\tuser=anna\treason=go\x01taway\n", "535 5.7.8 Error: authentication failed: go?away"),
    (lambda i: f"FAIL\t{i}\tuser=a\x01nb\treason=a\x01n250 b\n", "535 5.7.8 Error: authentication failed: a?250 b"),
    (lambda i: f"FAIL\t{i}\ttemp\treason=later\n", "454 4.7.0 Temporary authentication failure: later"),
    (lambda i: f"FAIL\t{i}\tcode=temp_fail\n", "454 4.7.0 "),
    (lambda i: f"FAIL\t99\n\nOK\tx\n\x00\nNEWS\t1\nOK\t{i}\tuser=anna\n", "235 "),
    (lambda i: None, "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"),
    (lambda i: "x" * 70000, "454 4.7.0 "),
])
def test_dovecot_answers(postern, answer, expect):
    p = postern({**AUTH, "smtpd_sasl_type": "dovecot"}, start=False)
    p.main["smtpd_sasl_path"] = f"unix:{p.dir}/auth"
    p.write_config()
    fake = FakeDovecot(f"{p.dir}/auth", answer)
    p.start()
    with p.raw() as s:
        assert offered(ehlo(s)) == ["PLAIN"]
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith(expect)
    request = next(line for line in fake.lines if line[0] == "AUTH")
    assert request[2] == "PLAIN" and request[-1] == "resp=" + plain("anna", USERS["anna"])
    for field in ("service=smtp", "nologin", "lip=127.0.0.1", "rip=127.0.0.1", f"lport={p.port}"):
        assert field in request
    assert "secured" not in request
    no_secret(p)
    fake.listener.close()


def test_dovecot_socket_of_others(postern):
    """A socket that only root may use is no use, and that shows at once."""
    if os.getuid() != 0:
        pytest.skip("needs accounts")
    p = postern({**AUTH, "smtpd_sasl_type": "dovecot"}, start=False)
    p.main["smtpd_sasl_path"] = f"{p.dir}/auth"
    p.write_config()
    fake = FakeDovecot(f"{p.dir}/auth", lambda i: f"OK\t{i}\tuser=anna\n")
    os.chmod(f"{p.dir}/auth", 0o600)
    p.start()
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("454 4.7.0 ")
    p.wait_log(r"SASL PLAIN authentication failed: Connection lost to authentication server \(.*Permission denied\), sasl_username")
    fake.listener.close()


# ---- Cyrus SASL ----

@pytest.fixture
def cyrus(postern):
    """sasldb2 with the users; needs saslpasswd2 of sasl2-bin."""
    def make(conf=None, main=None):
        p = postern({**AUTH, "smtpd_sasl_type": "cyrus", **(main or {})}, start=False)
        os.makedirs(f"{p.etc}/sasl")
        db = f"{p.dir}/sasldb2"
        for user, password in USERS.items():
            name, _, realm = user.partition("@")
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", db, "-u", realm or "mx.example.test", name], input=password, text=True, check=True)
        os.chmod(db, 0o644)
        with open(f"{p.etc}/sasl/smtpd.conf", "w") as f:
            f.write(conf or f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {db}\n"
                    "mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-256 ANONYMOUS\n")
        p.main["cyrus_sasl_config_path"] = f"{p.etc}/sasl"
        p.write_config()
        return p
    return make


def test_cyrus(cyrus):
    p = cyrus().start()
    with p.raw() as s:
        assert sorted(offered(ehlo(s))) == ["CRAM-MD5", "DIGEST-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-256"]
        assert s.cmd("AUTH PLAIN " + plain("anna", "wrong")).startswith("535 5.7.8 Error: authentication failed: ")
        assert s.cmd("AUTH PLAIN " + plain("nobody", "wrong")).startswith("535 5.7.8 Error: authentication failed: ")
        assert s.cmd("AUTH PLAIN !").startswith("535 5.7.8 ")
        assert s.cmd("AUTH ANONYMOUS " + b64("x")).startswith("535 5.7.8 ")
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
        s.cmd("MAIL FROM:<a@example.test>")
        assert s.cmd("RCPT TO:<root@example.test>").startswith("250 ")
    p.wait_log(r"sasl_method=PLAIN, sasl_username=anna(@mx.example.test)?$")
    with p.raw() as s:
        ehlo(s)
        s.cmd("AUTH LOGIN")
        s.cmd(b64("bert@example.test"))
        assert s.cmd(b64(USERS["bert@example.test"])).startswith("235 ")
    with p.raw() as s:
        ehlo(s)
        assert s.cmd(cram(s.cmd("AUTH CRAM-MD5")[4:], "carl", USERS["carl"])).startswith("235 ")
    with p.raw() as s:
        ehlo(s)
        assert scram(s, "anna", USERS["anna"]).startswith("235 ")
    p.wait_log(r"SASL PLAIN authentication failed: .*, sasl_username=anna")
    no_secret(p)


def test_cyrus_many(cyrus):
    p = cyrus(main={"smtpd_client_connection_count_limit": "0"}).start()
    wrong = []

    def one(i):
        with p.raw() as s:
            ehlo(s)
            for _ in range(5):
                good = i % 3 != 0
                answer = s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"] if good else "wrong"))
                if answer[:3] != ("235" if good else "535"):
                    wrong.append(answer)
                if good:
                    return
    threads = [threading.Thread(target=one, args=(i,)) for i in range(30)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong
    no_secret(p)


class Imap(socketserver.ThreadingTCPServer):
    """As much of IMAP as saslauthd asks for: LOGIN with the users of the tests."""
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"* OK here\r\n")
                for line in self.rfile:
                    m = re.match(rb'(\S+) LOGIN "?([^" ]*)"? "?([^"]*?)"?\r\n', line)
                    good = m and USERS.get(m.group(2).decode()) == m.group(3).decode()
                    self.wfile.write((m.group(1) if m else b"*") + (b" OK in\r\n" if good else b" NO\r\n"))
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_cyrus_saslauthd(cyrus):
    run = f"/tmp/sa-{os.getpid()}"
    os.makedirs(run, exist_ok=True)
    os.chmod(run, 0o755)
    p = cyrus(f"pwcheck_method: saslauthd\nsaslauthd_path: {run}/mux\nmech_list: PLAIN LOGIN\n").start()
    try:
        with p.raw() as s:
            ehlo(s)
            assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("454 4.7.0 Temporary authentication failure: ")
        with Imap() as imap:
            daemon = subprocess.Popen(["saslauthd", "-d", "-a", "rimap", "-O", f"127.0.0.1/{imap.server_address[1]}", "-n", "1", "-m", run],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                wait_until(lambda: listens(f"{run}/mux"), what="saslauthd")
                os.chmod(f"{run}/mux", 0o777)
                with p.raw() as s:
                    ehlo(s)
                    assert s.cmd("AUTH PLAIN " + plain("anna", "x")).startswith("535 5.7.8 ")
                    assert s.cmd("AUTH LOGIN").startswith("334 ")
                    assert s.cmd(b64("anna")).startswith("334 ")
                    assert s.cmd(b64(USERS["anna"])).startswith("235 ")
            finally:
                daemon.terminate()
                daemon.wait(60 * SLOW)
                imap.shutdown()
    finally:
        shutil.rmtree(run, ignore_errors=True)
    no_secret(p)


@pytest.mark.threads
def test_saslauthd_that_hangs(cyrus):
    """It takes the request and never answers: no session waits for ever, and other mail goes on."""
    run = tempfile.mkdtemp(prefix="sa-", dir="/tmp")
    os.chmod(run, 0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{run}/mux")
        os.chmod(f"{run}/mux", 0o777)
        listener.listen(10)
        p = cyrus(f"pwcheck_method: saslauthd\nsaslauthd_path: {run}/mux\nmech_list: PLAIN LOGIN\n", {"smtpd_timeout": "300"}).start()
        with p.raw(timeout=60) as first, p.raw(timeout=60) as second:
            for s in first, second:
                ehlo(s)
                s.send("AUTH PLAIN " + plain("anna", USERS["anna"]) + "\r\n")
            with p.raw() as other:
                ehlo(other)
                assert other.cmd("MAIL FROM:<>").startswith("250 ")
            for s in first, second:
                assert s.reply() == "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"
                assert s.cmd("NOOP").startswith("250 ")
        p.wait_log(r"SASL PLAIN authentication failed: Connection lost to authentication server \(Cyrus SASL: no answer within 30 s; is saslauthd well\?\)")
    shutil.rmtree(run, ignore_errors=True)
    no_secret(p)


# ---- clients that people have ----

def test_swaks(users):
    p = go(users)
    for mechanism in ("PLAIN", "LOGIN"):
        r = subprocess.run(["swaks", "-s", "127.0.0.1", "-p", str(p.port), "-t", "root@example.test", "-f", "anna@example.test", "-a", mechanism,
                            "-au", "anna", "-ap", USERS["anna"]], capture_output=True, text=True, timeout=60 * SLOW)
        assert r.returncode == 0, r.stdout
    r = subprocess.run(["swaks", "-s", "127.0.0.1", "-p", str(p.port), "-t", "root@example.test", "-a", "PLAIN", "-au", "anna", "-ap", "no"],
                       capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 28, r.stdout
    assert len(p.wait_mail("root", 2)) == 2
    no_secret(p)


@pytest.mark.parametrize("method", ["plain", "login", "scram-sha-256"])
def test_msmtp(users, method):
    p = go(users)
    conf = f"{p.dir}/msmtprc"
    with open(conf, "w") as f:
        f.write(f"account default\nhost 127.0.0.1\nport {p.port}\nfrom anna@example.test\nauth {method}\nuser anna\npassword {USERS['anna']}\ntls off\n")
    os.chmod(conf, 0o600)
    r = subprocess.run(["msmtp", "-C", conf, "root@example.test"], input="Subject: t\n\nhello\n", capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 0, r.stderr
    p.wait_mail("root")
    p.wait_log(f"sasl_method={method.upper()}, sasl_username=anna$")
    no_secret(p)


@pytest.mark.parametrize("method", ["cram-md5", "digest-md5"])
def test_msmtp_cyrus(cyrus, method):
    p = cyrus(main={"smtpd_sasl_local_domain": "mx.example.test"}).start()
    conf = f"{p.dir}/msmtprc"
    with open(conf, "w") as f:
        f.write(f"account default\nhost 127.0.0.1\nport {p.port}\nfrom anna@example.test\nauth {method}\nuser anna\npassword {USERS['anna']}\ntls off\n")
    os.chmod(conf, 0o600)
    r = subprocess.run(["msmtp", "-C", conf, "root@example.test"], input="Subject: t\n\nhello\n", capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 0, r.stderr + p.logs()
    p.wait_log(f"sasl_method={method.upper()}, sasl_username=anna")
    no_secret(p)


def test_fail2ban(users):
    """The shipped filter finds who guesses passwords."""
    p = go(users)
    for _ in range(2):
        with p.raw() as s:
            ehlo(s)
            s.cmd("AUTH LOGIN")
            s.cmd(b64("anna"))
            s.cmd(b64("wrong"))
    p.wait_log("SASL LOGIN authentication failed", count=2)
    r = subprocess.run(["fail2ban-regex", p.log, "postfix[mode=auth]"], capture_output=True, text=True, timeout=60 * SLOW)
    assert re.search(r"Failregex: 2 total", r.stdout), r.stdout


# ---- under TLS ----

@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.issue("mx", "mx.example.test")
    a.issue("anna", "anna")
    a.issue("stranger", "stranger")
    return a


def tls_settings(ca, **more):
    return {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{ca.dir}/mx.pem", "smtpd_tls_auth_only": "yes", **more}


def test_tls(users, ca):
    users.main.update(tls_settings(ca, smtpd_sasl_security_options="noplaintext", smtpd_sasl_tls_security_options="noanonymous"))
    p = go(users)
    with Secure(p.port, client()) as s:
        s.ehlo()
        assert not s.has_extn("auth")
        assert s.docmd("AUTH", "PLAIN " + plain("anna", USERS["anna"])) == (503, b"5.5.1 Error: authentication not enabled")
        s.secure()
        s.ehlo()
        assert s.esmtp_features["auth"].split() == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert s.docmd("AUTH", "PLAIN " + plain("anna", USERS["anna"]))[0] == 235
        s.sendmail("anna@example.test", ["root@example.test"], "Subject: t\r\n\r\nhello\r\n")
    assert "with ESMTPSA id" in open(p.wait_mail("root")[0]).read()
    no_secret(p)


class OverTls:
    """The cmd() of Raw."""

    def __init__(self, secure):
        self.secure = secure

    def cmd(self, line):
        code, text = self.secure.docmd(line)
        return f"{code} {text.decode()}"


PLUS = "SCRAM-SHA-256-PLUS"


def test_channel_binding(users, ca):
    """RFC 5802 6: a login that somebody in between passes on is no good here."""
    users.main.update(tls_settings(ca, smtpd_tls_auth_only="no", smtpd_client_auth_rate_limit="0", smtpd_hard_error_limit="100", smtpd_error_sleep_time="0", smtpd_soft_error_limit="100"))
    p = go(users)
    with p.raw() as s:
        assert PLUS not in offered(ehlo(s))
        assert s.cmd("AUTH SCRAM-SHA-256-PLUS").startswith("535 ")
        assert scram(s, "anna", USERS["anna"], "y,,").startswith("235 ")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Secure(p.port, client(version=version)) as s:
            s.secure()
            s.ehlo()
            assert PLUS in s.esmtp_features["auth"].split()
            t = OverTls(s)
            point = hashlib.sha256(s.sock.getpeercert(True)).digest()
            flag = "p=tls-server-end-point,,"
            for flags, data, mechanism in ((flag, b"x" * 32, PLUS), (flag, point[:31], PLUS), (flag, b"", PLUS), ("p=no-such-type,,", point, PLUS), ("n,,", b"", PLUS),
                                           ("y,,", b"", PLUS), (flag, point, "SCRAM-SHA-256"), ("y,,", b"", "SCRAM-SHA-256")):
                assert scram(t, "anna", USERS["anna"], flags, flags.encode() + data, mechanism).startswith("535 "), (flags, mechanism)
            assert scram(t, "anna", "wrong", flag, flag.encode() + point, PLUS).startswith("535 ")
            assert scram(t, "anna", USERS["anna"], flag, flag.encode() + point, PLUS).startswith("235 ")
    with Secure(p.port, client(version=ssl.TLSVersion.TLSv1_2)) as s:
        s.secure()
        s.ehlo()
        flag = "p=tls-unique,,"
        assert scram(OverTls(s), "anna", USERS["anna"], flag, flag.encode() + s.sock.get_channel_binding("tls-unique"), PLUS).startswith("235 ")
    p.wait_log("SASL SCRAM-SHA-256-PLUS authentication failed: channel binding does not fit, sasl_username=anna")
    no_secret(p)


def test_channel_binding_that_is_filtered(users, ca):
    """Without the offer a client rightly thinks that there is no binding."""
    users.main.update(tls_settings(ca, smtpd_sasl_mechanism_filter="!scram-sha-256-plus, !external, static:rest"))
    p = go(users)
    with Secure(p.port, client()) as s:
        s.secure()
        s.ehlo()
        assert PLUS not in s.esmtp_features["auth"]
        assert scram(OverTls(s), "anna", USERS["anna"], "y,,").startswith("235 ")


def test_gsasl(users, ca):
    """GNU SASL binds to the session."""
    users.main.update(tls_settings(ca))
    p = go(users)
    r = subprocess.run(["gsasl", "--client", "--smtp", f"--connect=127.0.0.1:{p.port}", f"--mechanism={PLUS}", "--authentication-id=anna", f"--password={USERS['anna']}",
                        "--x509-ca-file=", "--starttls"], input="QUIT\n", capture_output=True, text=True, timeout=60 * SLOW)
    assert "235 2.7.0" in r.stdout and b64("p=tls-exporter")[:16] in r.stdout, (r, p.logs())
    no_secret(p)


def test_external(users, ca):
    """A verified certificate with the name of a user, where it is let through the filter."""
    users.main.update(tls_settings(ca, smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=ca.file, smtpd_sasl_mechanism_filter="external, plain"))
    p = go(users)
    for name, answers in (("anna", {"=": 235}), ("anna", {b64("bert"): 535, b64("anna"): 235}), ("stranger", {"=": 535})):
        with Secure(p.port, client(certificate=f"{ca.dir}/{name}.pem")) as s:
            s.ehlo()
            s.secure()
            s.ehlo()
            assert s.esmtp_features["auth"].split() == ["PLAIN", "EXTERNAL"]
            for response, code in answers.items():
                assert s.docmd("AUTH", "EXTERNAL " + response)[0] == code
    with Secure(p.port, client()) as s:
        s.ehlo()
        s.secure()
        s.ehlo()
        assert s.esmtp_features["auth"].split() == ["PLAIN"]
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 535


def test_dovecot_tls(dovecot, ca):
    p, d = dovecot(main=tls_settings(ca, smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=ca.file, smtpd_sasl_mechanism_filter="static:all"))
    d.start()
    go(p)
    with Secure(p.port, client(certificate=f"{ca.dir}/anna.pem")) as s:
        s.ehlo()
        s.secure()
        s.ehlo()
        assert "EXTERNAL" in s.esmtp_features["auth"].split()
        assert s.docmd("AUTH", "PLAIN " + plain("anna", USERS["anna"]))[0] == 235


# ---- the example of the manual ----

def blocks(page, kind):
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", open(f"{TOP}/doc/{page}").read(), re.M | re.S)


def test_submission_example(postern):
    """doc/submission.md as it stands, with the directories and ports of a private instance."""
    p = postern(start=False)
    starttls, wrapped = free_port(), free_port()
    main, = blocks("submission.md", "main.cf")
    master, = blocks("submission.md", "master.cf")
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write(main.replace("/etc/postfix", p.etc))
    with open(f"{p.etc}/master.cf", "a") as f:
        f.write("tlsmgr unix - - n 1000? 1 tlsmgr\n" + master.replace("submission inet", f"127.0.0.1:{starttls} inet").replace("submissions inet", f"127.0.0.1:{wrapped} inet"))
    env = {**os.environ, "MAIL_CONFIG": p.etc, "PATH": f"{p.prefix}/sbin:{os.environ['PATH']}"}
    for script in blocks("submission.md", "sh"):
        r = subprocess.run(["sh", "-ec", script.replace("/etc/postfix", p.etc)], env=env, capture_output=True, text=True)
        assert r.returncode == 0, (script, r.stderr, p.logs())
    p.wait_port(starttls)
    for port in (starttls, wrapped):
        r = subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", "--tls" if port == starttls else "--tls-on-connect", "--auth", "PLAIN",
                            "--auth-user", "anna", "--auth-password", "a long and secret sentence", "--from", "anna@example.com", "--to", "root@example.test"],
                           capture_output=True, text=True, timeout=60 * SLOW)
        assert r.returncode == 0, r.stdout + p.logs()
    for mail in p.wait_mail("root", 2):
        assert "with ESMTPSA id" in open(mail).read()
    p.wait_log(r"postfix/submission/smtpd.*sasl_method=PLAIN, sasl_username=anna$")
    p.wait_log(r"postfix/submissions/smtpd.*sasl_method=PLAIN, sasl_username=anna$")
    with smtplib.SMTP("127.0.0.1", starttls, timeout=60 * SLOW) as s:
        s.starttls()
        s.login("anna", "a long and secret sentence")
        assert s.mail("bert@example.com")[0] == 250
        assert s.rcpt("root@example.test") == (553, b"5.7.1 <bert@example.com>: Sender address rejected: not owned by user anna")
    with p.smtp() as s:  # port 25: nobody can log in
        s.ehlo()
        assert not s.has_extn("auth")
    assert "secret sentence" not in p.logs()


def test_chroot(users):
    """In a jail, and with the rights of mail_owner: the table was opened before."""
    if os.getuid() != 0:
        pytest.skip("chroot needs root")
    users.master = users.master.replace(f"127.0.0.1:{users.port} inet n - n", f"127.0.0.1:{users.port} inet n - y")
    os.chmod(users.users, 0o600)
    os.chown(users.users, 0, 0)
    p = go(users)
    with p.raw() as s:
        ehlo(s)
        assert s.cmd("AUTH PLAIN " + plain("anna", USERS["anna"])).startswith("235 ")
    if shutil.which("ldconfig") and "libidn.so.12" not in subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout:
        return
    password = USERS["bert@example.test"]
    for form in ("NFC", "NFD"):  # typed on another keyboard; the library was loaded before the jail
        with p.raw() as s:
            ehlo(s)
            assert s.cmd("AUTH PLAIN " + plain("bert@example.test", unicodedata.normalize(form, password))).startswith("235 "), form


# ---- postern-user ----

def test_postern_user(postern):
    p = postern({"smtpd_sasl_type": "file"}, start=False)
    table = f"lmdb:{p.etc}/users"

    def run(*args, say=None):
        r = p.run("postern-user", "-t", table, *args, input=say)
        return r.returncode, r.stdout + r.stderr
    assert run("add", "Anna", say="first\n") == (0, "")
    assert run("add", "anna", say="first\n")[0] == 1
    assert run("change", "bert", say="x\n")[0] == 1
    assert run("add", "bert", say="second\n") == (0, "")
    assert run("list") == (0, "anna\nbert\n")
    assert run("verify", "anna", say="first\n") == (0, "")
    assert run("verify", "anna", say="First\n")[0] == 1
    with open(f"{p.etc}/users", "a") as f:
        f.write("# somebody's note\n")
    assert run("change", "anna", say="third\n") == (0, "")
    assert run("verify", "anna", say="third") == (0, "")
    text = open(f"{p.etc}/users").read()
    assert text.startswith("anna\t$y$") and text.endswith("# somebody's note\n") and " SCRAM-SHA-256$15000:" in text
    assert os.stat(f"{p.etc}/users").st_mode & 0o777 == os.stat(f"{p.etc}/users.lmdb").st_mode & 0o777 == 0o600
    found = p.run("postmap", "-q", "anna", table).stdout
    assert found.startswith("$y$")
    assert run("remove", "bert") == (0, "")
    assert run("remove", "bert")[0] == 1
    assert run("list") == (0, "anna\n")
    assert p.run("postmap", "-q", "bert", table).returncode == 1
    for bad in ("a b", "#x", "", 'a"b', "x" * 256):
        assert run("add", bad, say="x\n")[0] == 1, bad
    for password in ("", "\n", "x" * 600 + "\n"):
        assert run("add", "carl", say=password)[0] == 1
    assert run("nonsense")[0] == 1 and run("add")[0] == 1 and run("list", "x")[0] == 1
    table = "sqlite:/x"
    assert "not made of a text file" in run("list")[1]
    assert p.run("postern-user", "list").returncode == 1  # smtpd_sasl_path is no table
    # many at once: nobody gets lost
    table = f"texthash:{p.etc}/many"
    threads = [threading.Thread(target=run, args=("add", f"user{i}"), kwargs={"say": "x\n"}) for i in range(12)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(run("list")[1].split()) == sorted(f"user{i}" for i in range(12))
