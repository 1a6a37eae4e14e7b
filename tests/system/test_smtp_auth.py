"""Logging in to servers: mechanisms, whose account, refusals, servers that misbehave."""
import os
import re
import socket
import subprocess
import threading

import pytest
from agent import CLOSE, Agent
from auth_server import AuthServer, b64, password_file
from conftest import TOP, reachable, wait_until
from sasl_peers import USERS, Dovecot
from test_oracle import oracle_root, postfix  # noqa: F401 (fixtures)
from test_smtp_agent import status
from tls_peer import Authority

OPEN = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous", "smtp_helo_timeout": "5s"}
TYPES = ("cyrus", "builtin")


def deliver(server, tmp_path, entries=None, sender="sender@src.example", **main):
    """One message; returns what the log line says."""
    table = password_file(tmp_path, entries or {server.hop: "user:secret"})
    with Agent(**{**OPEN, "smtp_sasl_password_maps": table, **main}) as agent:
        lines, result = agent.deliver(server.hop, sender=sender)
        got = status(lines)
        got["lines"], got["site_failed"], got["logs"] = lines, result["site_failed"], agent.logs()
        return got


@pytest.fixture(autouse=True)
def readable(tmp_path):
    reachable(tmp_path)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("offered,used", [
    ("PLAIN", "PLAIN"), ("LOGIN", "LOGIN"), ("CRAM-MD5 PLAIN", "CRAM-MD5"), ("SCRAM-SHA-256 LOGIN PLAIN", "SCRAM-SHA-256"), ("X-UNKNOWN LOGIN", "LOGIN")])
def test_mechanisms(tmp_path, type_, offered, used):
    with AuthServer(offered) as s:
        got = deliver(s, tmp_path, smtp_sasl_type=type_)
        assert got["status"] == "sent" and s.logins == [(used, "user")], got
        assert "secret" not in got["logs"] and b64("\0user\0secret") not in got["logs"]


@pytest.mark.parametrize("entries,sender,user", [
    ({"HOP": "user:secret"}, "a@src.example", "user"),
    ({"127.0.0.1": "user:secret"}, "a@src.example", "user"),
    ({"other.example": "user:secret"}, "a@src.example", None),
    ({"HOP": "user:secret", "a@src.example": "two:2"}, "a@src.example", "two"),
    ({"HOP": "user:secret", "@src.example": "two:2"}, "a+b@src.example", "two"),
    ({"HOP": "user:secret", "a@src.example": "two:2"}, "b@src.example", "user"),
    ({"HOP": "user:secret", "a@src.example": "two:2"}, "", "user"),
    ({"HOP": "odd:se:cret"}, "a@src.example", "odd"),
])
def test_whose_account(tmp_path, entries, sender, user):
    with AuthServer("PLAIN", users={"user": "secret", "two": "2", "odd": "se:cret"}) as s:
        got = deliver(s, tmp_path, {k.replace("HOP", s.hop): v for k, v in entries.items()}, sender,
                      smtp_sender_dependent_authentication="yes", smtp_sasl_type="builtin")
        assert got["status"] == "sent" and s.logins == ([("PLAIN", user)] if user else [])


def test_result_delimiter(tmp_path):
    with AuthServer("PLAIN", users={"a:b": "c"}) as s:
        assert deliver(s, tmp_path, {s.hop: "a:b|c"}, smtp_sasl_type="builtin", smtp_sasl_password_result_delimiter="|")["status"] == "sent"
        assert s.logins == [("PLAIN", "a:b")]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("main,word,dsn", [({}, "deferred", "4.7.8"), ({"smtp_sasl_auth_soft_bounce": "no"}, "bounced", "5.7.8")])
def test_wrong_password(tmp_path, type_, main, word, dsn):
    with AuthServer("PLAIN", users={"user": "other"}) as s:
        got = deliver(s, tmp_path, smtp_sasl_type=type_, **main)
        assert (got["status"], got["dsn"]) == (word, dsn) and not s.messages
        assert got["reason"] == (f"SASL authentication failed; server {s.where} said: 535 5.7.8 Error: authentication failed")
        assert got["site_failed"] == (word == "deferred")


@pytest.mark.parametrize("type_", TYPES)
def test_temporary_refusal(tmp_path, type_):
    with AuthServer("PLAIN", script=["454 4.7.0 Temporary authentication failure"]) as s:
        got = deliver(s, tmp_path, smtp_sasl_type=type_, smtp_sasl_auth_soft_bounce="no")
        assert (got["status"], got["dsn"]) == ("deferred", "4.7.0")


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("offered,script,reason", [
    ("LOGIN", ["334 !!!", "501 5.7.0 ok"], r"cannot authenticate to server W: .*"),
    ("LOGIN", ["334 VXNlcm5hbWU6"] * 2 + ["334 TW9yZTo=", "501 ok"], r"cannot authenticate to server W: .*"),
    ("CRAM-MD5", ["334 =", "501 ok"], r"cannot authenticate to server W: .*"),
    ("SCRAM-SHA-256", ["334 " + b64("r=wrong,s=c2FsdA==,i=4096"), "501 ok"], r"cannot authenticate to server W: .*"),
    ("SCRAM-SHA-256", ["334 " + b64("x" * 9000), "501 ok"], r"cannot authenticate to server W: .*"),
    ("PLAIN", ["334 " + b64("again"), "501 ok"], r"cannot authenticate to server W: .*"),
    ("PLAIN", ["500 5.5.2 what"], r"server W said: 500 5.5.2 what"),
    ("PLAIN", ["235"], None),
    ("LOGIN", ["235 at once"], None),
])
def test_odd_servers(tmp_path, type_, offered, script, reason):
    with AuthServer(offered, script=script) as s:
        got = deliver(s, tmp_path, smtp_sasl_type=type_)
        if reason is None:
            assert got["status"] == "sent"
        else:
            assert got["status"] == "deferred"
            assert re.fullmatch("SASL authentication failed; " + reason.replace("W", re.escape(s.where)), got["reason"]), got["reason"]


def test_loop(tmp_path):
    with AuthServer("XOAUTH2", script=["334 "] * 50) as s:
        got = deliver(s, tmp_path, {s.hop: "user:"}, smtp_sasl_oauth2_token="file:/dev/null")
        assert got["status"] == "deferred" and not s.auths  # no token, nothing is tried
        assert got["reason"] == "smtp_sasl_oauth2_token lookup error"


@pytest.mark.parametrize("what", [CLOSE, "421 4.3.2 going down"])
def test_lost_while_logging_in(tmp_path, what):
    with AuthServer("PLAIN") as s:
        s.do_auth = lambda conn, arg, state, verb: s.answer(conn, "AUTH", arg, state, what) and None
        got = deliver(s, tmp_path)
        assert got["status"] == "deferred"
        assert got["reason"] in (f"lost connection with {s.where} while performing the EHLO handshake",
                                 f"SASL authentication failed; server {s.where} said: 421 4.3.2 going down")


def test_dishonest_server(tmp_path):
    """With SCRAM the server must show that it knows the password."""
    with AuthServer("SCRAM-SHA-256") as s:
        s.honest = False
        got = deliver(s, tmp_path, smtp_sasl_type="builtin")
        assert got["status"] == "deferred" and "the server does not know the password" in got["reason"]


@pytest.mark.parametrize("type_", TYPES)
def test_no_plaintext_in_clear(tmp_path, type_):
    """The defaults: passwords do not go over a line that everybody can read."""
    with AuthServer("PLAIN LOGIN") as s:
        got = deliver(s, tmp_path, smtp_sasl_type=type_, smtp_sasl_security_options="noplaintext, noanonymous")
        assert (got["status"], got["dsn"]) == ("deferred", "4.7.0") and s.auths == 0
        assert got["reason"] == f"SASL authentication failed; cannot authenticate to server {s.where}: no mechanism available"


@pytest.mark.parametrize("offered,rule,used", [
    ("PLAIN LOGIN", "login", "LOGIN"), ("CRAM-MD5 PLAIN LOGIN", "!cram-md5, static:all", "PLAIN"), ("PLAIN", "login", None)])
def test_mechanism_filter(tmp_path, offered, rule, used):
    with AuthServer(offered) as s:
        got = deliver(s, tmp_path, smtp_sasl_type="builtin", smtp_sasl_mechanism_filter=rule)
        assert s.logins == ([(used, "user")] if used else [])
        if not used:
            assert got["reason"] == (f"SASL authentication failed: server {s.where} offered no compatible authentication mechanisms "
                                     "for this type of connection security")
            assert f"warning: 127.0.0.1[127.0.0.1]:{s.port} offered no supported AUTH mechanisms: 'PLAIN'" in got["logs"]


def test_null_list(tmp_path):
    with AuthServer("") as s:
        got = deliver(s, tmp_path)
        assert got["status"] == "deferred" and "offered null AUTH mechanism list" in got["logs"]


def test_strangers(tmp_path):
    """No AUTH offered, or no account: go on without; AUTH=<> only after a login."""
    with AuthServer(None) as a, AuthServer("PLAIN") as b, AuthServer("PLAIN") as c:
        for s, entries in ((a, None), (b, {"elsewhere": "a:b"}), (c, None)):
            assert deliver(s, tmp_path, entries, smtp_send_dummy_mail_auth="yes")["status"] == "sent"
        assert ["AUTH=<>" in s.messages[0]["mail"] for s in (a, b, c)] == [False, False, True]


def test_authorization_id(tmp_path):
    with AuthServer("PLAIN", script=["235 ok"]) as s:
        for type_ in TYPES:
            deliver(s, tmp_path, smtp_sasl_type=type_, send_cyrus_sasl_authzid="yes")
        assert [c for c in s.commands if c.startswith("AUTH")] == ["AUTH PLAIN " + b64("user\0user\0secret")] * 2


def test_accounts_do_not_mix_on_kept_connections(tmp_path):
    with AuthServer("PLAIN", users={"one": "1", "two": "2"}) as s:
        table = password_file(tmp_path, {"a@src.example": "one:1", "b@src.example": "two:2"})
        with Agent(**OPEN, smtp_sasl_password_maps=table, smtp_sender_dependent_authentication="yes", smtp_sasl_type="builtin",
                   smtp_connection_cache_destinations="static:all", smtp_connection_cache_time_limit="60s") as agent:
            for sender in "abab":
                agent.deliver(s.hop, sender=f"{sender}@src.example")
            agent.deliver(s.hop, sender="c@src.example")
        assert s.logins == [("PLAIN", "one"), ("PLAIN", "two")] and s.connections == 3


def test_changed_password_table(tmp_path):
    """The process that has the old table ends; with the agent alone there is nobody to start another."""
    with AuthServer("PLAIN", users={"user": "new"}) as s:
        table = password_file(tmp_path, {s.hop: "user:old"})
        with Agent(**OPEN, smtp_sasl_password_maps=table, smtp_sasl_type="builtin") as agent:
            lines, _ = agent.deliver(s.hop)
            assert status(lines)["status"] == "deferred"
            password_file(tmp_path, {s.hop: "user:new"})

            def again():
                try:
                    return status(agent.deliver(s.hop, connection=agent.connect(patience=3))[0])["status"] == "sent"
                except (OSError, EOFError):
                    return True  # it has ended
            wait_until(again, what="the new password")


@pytest.mark.parametrize("main,words", [
    ({"smtp_sasl_type": "magic"}, "unsupported SASL client implementation: magic"),
    ({"smtp_sasl_security_options": "nonsense"}, "smtp_sasl_security_options: unknown word \"nonsense\""),
    ({"smtp_sasl_password_maps": ""}, "smtp_sasl_password_maps is empty"),
    ({"smtp_sasl_auth_cache_name": "hash:/tmp/x"}, "must start with \"proxy:\""),
    ({"smtp_sasl_oauth2_token": "/usr/bin/token"}, "say file:/path"),
])
def test_start_refuses(main, words):
    a = Agent(**{**OPEN, "smtp_sasl_password_maps": "static:a:b", **main})
    a.process.wait(60)
    assert a.process.returncode != 0 and words in a.logs(), a.logs()
    a.process.returncode = 0
    a.stop()


# ---- OAuth 2.0 ----

@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("mechanisms,used", [("PLAIN XOAUTH2", "XOAUTH2"), ("XOAUTH2 OAUTHBEARER", "OAUTHBEARER")])
@pytest.mark.parametrize("length", [20, 2000])
def test_token_from_file(tmp_path, type_, mechanisms, used, length):
    token = "ya29.T" + "x" * length
    (tmp_path / "user@mail.example").write_text(token + "\n")
    os.chmod(tmp_path / "user@mail.example", 0o644)
    with AuthServer(mechanisms, users={"user@mail.example": token}) as s:
        got = deliver(s, tmp_path, {s.hop: "user@mail.example:"}, smtp_sasl_type=type_, smtp_sasl_oauth2_token=f"file:{tmp_path}/%s")
        assert got["status"] == "sent" and s.logins == [(used, "user@mail.example")]
        if used == "OAUTHBEARER":
            assert s.details[1:3] == ["host=127.0.0.1", f"port={s.port}"]
        assert token not in got["logs"]


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_refused_token(tmp_path, mechanism):
    (tmp_path / "token").write_text("old")
    with AuthServer(mechanism) as s:
        got = deliver(s, tmp_path, {s.hop: "user:"}, smtp_sasl_oauth2_token=f"file:{tmp_path}/token")
        assert got["status"] == "deferred" and "535 5.7.8" in got["reason"]


def test_password_beside_tokens(tmp_path):
    with AuthServer("PLAIN XOAUTH2") as s:
        assert deliver(s, tmp_path, smtp_sasl_oauth2_token="file:/nowhere", smtp_sasl_type="builtin")["status"] == "sent"
        assert s.logins == [("PLAIN", "user")]


@pytest.mark.parametrize("answer,good", [(b"T0ken\n", True), (b"T0ken", True), (b"", False), (b"a b\n", False), (b"x" * 20000 + b"\n", False)])
def test_token_from_service(tmp_path, answer, good):
    path, asked = f"{tmp_path}/s", []
    with socket.socket(socket.AF_UNIX) as listener, AuthServer("XOAUTH2", users={"user": "T0ken"}) as s:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(1)

        def serve():
            c, _ = listener.accept()
            with c:
                asked.append(c.makefile().readline())
                c.sendall(answer)
        threading.Thread(target=serve, daemon=True).start()
        got = deliver(s, tmp_path, {s.hop: "user:"}, smtp_sasl_oauth2_token=f"unix:{path}")
        assert asked == ["user 127.0.0.1\n"] and (got["status"] == "sent") == good


@pytest.mark.parametrize("user", ["../etc/passwd", ".hidden"])
def test_token_path_stays_where_it_is(tmp_path, user):
    with AuthServer("XOAUTH2") as s:
        got = deliver(s, tmp_path, {s.hop: f"{user}:"}, smtp_sasl_oauth2_token=f"file:{tmp_path}/%s")
        assert got["status"] == "deferred" and "cannot be part of a file name" in got["logs"]


# ---- LMTP ----

def test_lmtp(tmp_path):
    with AuthServer("PLAIN", lmtp=True) as s:
        table = password_file(tmp_path, {"127.0.0.1": "user:secret"})
        with Agent("lmtp", lmtp_sasl_auth_enable="yes", lmtp_sasl_password_maps=table, lmtp_sasl_security_options="noanonymous",
                   lmtp_sasl_type="builtin") as agent:
            lines, _ = agent.deliver(f"inet:127.0.0.1:{s.port}")
        assert status(lines)["status"] == "sent" and s.logins == [("PLAIN", "user")]


# ---- the whole suite ----

def test_failures_are_remembered(postern, tmp_path):
    with AuthServer("PLAIN", users={}) as s:
        table = password_file(tmp_path, {s.hop: "user:wrong"})
        p = postern({**OPEN, "relayhost": s.hop, "mydestination": "", "smtp_sasl_password_maps": table, "smtp_sasl_type": "builtin",
                     "smtp_sasl_auth_soft_bounce": "no", "smtp_sasl_auth_cache_name": "proxy:lmdb:$data_directory/failures",
                     "notify_classes": ""})
        p.send("a@far.example", sender="")
        p.wait_log(r"status=bounced \(SASL authentication failed; server .* said: 535 5.7.8")
        p.send("b@far.example", sender="")
        p.wait_log(r"to=<b@far.example>, .*dsn=5.7.8, status=bounced \(SASL \[CACHED\] authentication failed; server .* said: 535 5.7.8 Error")
        assert s.auths == 1
        s.users["user"] = "right"
        password_file(tmp_path, {s.hop: "user:right"})

        def sent():
            p.send("c@far.example", sender="")
            p.wait_log(r"to=<c@far.example>")
            return "status=sent" in p.logs()
        wait_until(sent, what="the new password")


def test_token_from_command(postern, tmp_path):
    """A command, run by spawn: the agent itself may run nothing."""
    script = tmp_path / "token"
    script.write_text("#!/bin/sh\nread user host\necho \"TOKEN.$user.$host\"\n")
    os.chmod(script, 0o755)
    with AuthServer("XOAUTH2", users={"me": "TOKEN.me.127.0.0.1"}) as s:
        p = postern({**OPEN, "relayhost": s.hop, "mydestination": "", "smtp_sasl_password_maps": f"inline:{{ {{ {s.hop} = me: }} }}",
                     "smtp_sasl_oauth2_token": "unix:private/token"},
                    master_extra=f"token unix - n n - 0 spawn user=nobody argv={script}\n")
        p.send("a@far.example")
        p.wait_log("status=sent")
        assert s.logins == [("XOAUTH2", "me")]


# ---- real servers ----

def blocks(kind):
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", open(f"{TOP}/doc/relay-with-password.md").read(), re.M | re.S)


@pytest.fixture
def provider(postern, tmp_path):
    """A submission server of our own, with TLS and users."""
    ca = Authority(tmp_path)
    chain = ca.cert("server", "localhost")
    for f in tmp_path.iterdir():
        os.chmod(f, 0o644)
    users = tmp_path / "users"
    users.write_text("")
    p = postern({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": chain, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "file",
                 "smtpd_sasl_path": f"texthash:{users}", "smtpd_tls_auth_only": "yes", "mynetworks": "192.0.2.1", "default_transport": "discard:",
                 "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}, start=False,
                master_extra="tlsmgr unix - - n 1000? 1 tlsmgr\n")
    for user, password in (("anna@provider.example", "a long and secret sentence"), ("bert", "his password")):
        p.run("postern-user", "-t", f"texthash:{users}", "add", user, input=password + "\n", check=True)
    os.chmod(users, 0o644)
    p.ca = ca
    return p.start()


def adapt(text, provider, p):
    host = f"[localhost]:{provider.port}"
    return (text.replace("[smtp.provider.example]:587", host).replace("[smtp.other.example]:587", host)
            .replace("/etc/postfix", p.etc).replace("/etc/ssl/certs/ca-certificates.crt", provider.ca.pem))


@pytest.mark.parametrize("type_", TYPES)
def test_example(postern, provider, type_):
    """doc/relay-with-password.md as it stands, with directories, server and authority of this test."""
    p = postern({"mydestination": "", "smtp_sasl_type": type_}, start=False)
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write(adapt(blocks("main.cf")[0], provider, p))
    env = {**os.environ, "MAIL_CONFIG": p.etc, "PATH": f"{p.prefix}/sbin:{os.environ['PATH']}"}
    for script in blocks("sh"):
        r = subprocess.run(["sh", "-ec", adapt(script, provider, p)], env=env, capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, (script, r.stderr, p.logs())
    p.wait_log(r"to=<you@example.net>, relay=localhost\[127\.0\.0\.1\]:\d+, .*tls=secure, dsn=2.0.0, status=sent")
    provider.wait_log(r"sasl_method=\S+, sasl_username=anna@provider.example")
    open(f"{p.etc}/main.cf", "a").write(adapt(blocks("sender.cf")[0], provider, p))
    open(f"{p.etc}/relay_by_sender", "w").write(adapt(blocks("relay_by_sender")[0], provider, p))
    open(f"{p.etc}/sasl_passwd", "a").write(blocks("sasl_passwd")[0])
    p.reload()
    p.run("sendmail", "-f", "bert@other.example", "friend@example.net", input="Hello.\n", check=True)
    p.wait_log(r"to=<friend@example.net>, .*status=sent")
    provider.wait_log(r"sasl_username=bert")
    assert "secret sentence" not in p.logs() and "his password" not in p.logs()


def test_oauth2_example(postern, tmp_path):
    command = tmp_path / "get-token"
    command.write_text("#!/bin/sh\nread user server\necho token.for.${user%@*}\n")
    os.chmod(command, 0o755)
    with AuthServer("XOAUTH2", users={"anna@provider.example": "token.for.anna"}) as s:
        main, = blocks("oauth2.cf")
        master, = blocks("master.cf")
        p = postern({**OPEN, "relayhost": s.hop, "mydestination": ""}, start=False, master_extra=master.replace("/usr/local/bin/get-token", str(command)))
        open(f"{p.etc}/main.cf", "a").write(main.replace("[smtp.provider.example]:587", s.hop))
        p.start()
        p.send("a@far.example")
        p.wait_log("status=sent")
        assert s.logins == [("XOAUTH2", "anna@provider.example")]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_debians_postfix_with_dovecot(postern, postfix, tmp_path, type_, mechanism):  # noqa: F811
    dovecot = Dovecot(tmp_path / "dovecot", f"{tmp_path}/auth").start()  # first: smtpd greets nobody without it
    try:
        real = postfix({"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": f"{tmp_path}/auth", "mynetworks": "192.0.2.1",
                        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject", "default_transport": "discard:"})
        table = password_file(tmp_path, {"127.0.0.1": f"anna:{USERS['anna']}"})
        p = postern({**OPEN, "relayhost": f"[127.0.0.1]:{real.port}", "mydestination": "", "smtp_sasl_password_maps": table, "smtp_sasl_type": type_,
                     "smtp_sasl_mechanism_filter": mechanism.lower(), "smtp_tls_security_level": "may"})
        p.send("a@far.example")
        p.wait_log(r"status=sent")
        real.wait_log(rf"sasl_method={mechanism}, sasl_username=anna")
        os.unlink(tmp_path / "passwords")
        password_file(tmp_path, {"127.0.0.1": "anna:wrong"})
        p.reload()
        p.send("b@far.example")
        p.wait_log(r"to=<b@far.example>, .*dsn=4.7.8, status=deferred \(SASL authentication failed; server .* said: 535 5.7.8 Error: authentication failed")
    finally:
        dovecot.stop()


@pytest.mark.parametrize("wanted,used", [("", "SCRAM-SHA-256"), ("scram-sha-256", "SCRAM-SHA-256"), ("plain", "PLAIN"), ("login", "LOGIN")])
def test_debians_postfix_as_client(postern, postfix, tmp_path, wanted, used):  # noqa: F811
    """It logs in here over TLS with what its Cyrus SASL chooses, though it knows nothing of channel binding."""
    ca = Authority(tmp_path)
    s = postern({"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "file", "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes", "mynetworks": "192.0.2.1",
                 "smtpd_tls_chain_files": ca.cert("server", "localhost"), "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject"}, start=False)
    assert s.run("postern-user", "-t", f"texthash:{s.etc}/users", "add", "anna", input="secret words\n").returncode == 0
    s.main["smtpd_sasl_path"] = f"texthash:{s.etc}/users"
    s.write_config()
    s.start()
    reachable(ca.dir)
    table = password_file(tmp_path, {"127.0.0.1": "anna:secret words"})
    real = postfix({"relayhost": f"[127.0.0.1]:{s.port}", "mydestination": "", "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": table, "smtp_tls_CAfile": ca.pem,
                    "smtp_tls_security_level": "encrypt", "smtp_sasl_security_options": "noanonymous", "smtp_sasl_mechanism_filter": wanted},
                   master_extra="tlsmgr unix - - n 1000? 1 tlsmgr\n")
    real.send("daemon@example.test")
    real.wait_log("status=sent")
    s.wait_log(f"sasl_method={used}, sasl_username=anna")


@pytest.mark.parametrize("level,sent", [("secure", True), ("encrypt", False)])
def test_security_of_the_connection(postern, provider, level, sent):
    """A password only for a server that has shown who it is."""
    p = postern({"relayhost": f"[localhost]:{provider.port}", "mydestination": "", "smtp_sasl_auth_enable": "yes", "smtp_sasl_type": "builtin",
                 "smtp_sasl_password_maps": "static:{bert:his password}", "smtp_tls_security_level": level, "smtp_tls_CAfile": provider.ca.pem,
                 "smtp_tls_secure_cert_match": "nexthop", "smtp_sasl_mechanism_filter": "plain", "smtp_sasl_tls_security_options": "noplaintext",
                 "smtp_sasl_tls_verified_security_options": "noanonymous"})
    p.send("a@far.example")
    p.wait_log(r"to=<a@far.example>, .*tls=" + (r"secure, .*status=sent" if sent else
               r"encrypt, dsn=4.7.0, status=deferred \(SASL authentication failed; cannot authenticate to server .*: no mechanism available"))


@pytest.mark.parametrize("protocols", ["<=TLSv1.2", ">=TLSv1.3"])
def test_channel_binding(postern, tmp_path, protocols):
    """SCRAM-SHA-256-PLUS between two of us: by tls-unique, and by tls-exporter. With another server in between it is no good."""
    ca = Authority(tmp_path)
    s = postern({"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "file", "smtpd_tls_security_level": "may",
                 "smtpd_tls_chain_files": ca.cert("server", "localhost"), "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject"}, start=False)
    assert s.run("postern-user", "-t", f"texthash:{s.etc}/users", "add", "anna", input="secret words\n").returncode == 0
    s.main["smtpd_sasl_path"] = f"texthash:{s.etc}/users"
    s.write_config()
    s.start()
    hop = f"[localhost]:{s.port}"
    table = password_file(tmp_path, {hop: "anna:secret words"})
    login = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_type": "builtin", "smtp_sasl_password_maps": table, "smtp_tls_security_level": "encrypt",
             "smtp_tls_mandatory_protocols": protocols, "smtp_host_lookup": "native", "relayhost": hop, "mydestination": ""}
    p = postern(login)
    p.send("daemon@example.test")
    p.wait_log("status=sent")
    s.wait_log("sasl_method=SCRAM-SHA-256-PLUS, sasl_username=anna")
    p = postern({**login, "smtp_sasl_mechanism_filter": "!scram-sha-256-plus, static:all"})
    p.send("daemon@example.test")
    p.wait_log("status=sent")
    s.wait_log("sasl_method=SCRAM-SHA-256, sasl_username=anna")


def test_no_login_before_starttls(postern, provider):
    """AUTH that is offered in clear is forgotten with the rest when TLS begins; our server offers it over TLS only."""
    p = postern({"relayhost": f"[localhost]:{provider.port}", "mydestination": "", "smtp_sasl_auth_enable": "yes", "smtp_sasl_type": "builtin",
                 "smtp_sasl_password_maps": "static:{bert:his password}", "smtp_tls_security_level": "none", "smtp_sasl_security_options": "noanonymous"})
    p.send("a@far.example", sender="")
    p.wait_log(r"to=<a@far.example>, .*status=bounced \(host localhost.* said: 554")
    assert "sasl_username" not in provider.logs()


@pytest.mark.threads
@pytest.mark.parametrize("type_", TYPES)
def test_many_at_once(tmp_path, type_):
    """Sessions are threads of one process, and share the library."""
    with AuthServer("SCRAM-SHA-256 CRAM-MD5 PLAIN") as s:
        table = password_file(tmp_path, {s.hop: "user:secret"})
        with Agent(**{**OPEN, "smtp_helo_timeout": "60s"}, smtp_sasl_password_maps=table, smtp_sasl_type=type_,
                   smtp_connection_cache_on_demand="no") as agent:
            results = []

            def client():
                with agent.connect() as c:
                    for _ in range(5):
                        results.append(status(agent.deliver(s.hop, connection=c)[0])["status"])
            threads = [threading.Thread(target=client) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        assert results == ["sent"] * 40 and len(s.logins) == 40
