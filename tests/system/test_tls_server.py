"""TLS in the SMTP server: STARTTLS, wrapper mode, certificates, what it logs."""
import contextlib
import hashlib
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import SLOW, TOP, free_port, wait_until
from test_access import Policy
from test_master import children
from tls_client import Authority, Secure, client


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    a = Authority(tmp_path_factory.mktemp("ca"))
    a.issue("mx", "mx.example.test")
    a.issue("user", "user.example.test", kind="ec")
    return a


def held(p):
    """The text of the one message that settings() has put on hold."""
    wait_until(lambda: p.queue_files("hold"), what="held message")
    return p.run("postcat", "-h", p.queue_files("hold")[0], check=True).stdout


def settings(ca, level="may", **more):
    return {"smtpd_tls_security_level": level, "smtpd_tls_chain_files": f"{ca.dir}/mx.pem", "smtpd_tls_loglevel": "1",
            "smtpd_tls_received_header": "yes", "smtpd_data_restrictions": "check_client_access static:HOLD", **more}


def test_starttls(postern, ca):
    p = postern(settings(ca))
    with Secure(p.port, client(ca.file)) as s:
        s.ehlo()
        assert s.has_extn("starttls") and not s.has_extn("requiretls")
        assert s.secure()[0] == 220
        s.ehlo()
        assert not s.has_extn("starttls") and s.has_extn("requiretls")
        s.sendmail("a@example.test", ["u@example.test"], "Subject: x\r\n\r\nhello\r\n")
    p.wait_log(r"smtpd\[\d+\]: Anonymous TLS connection established from localhost\[127.0.0.1\]: TLSv1.3 with cipher "
               r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature RSA-PSS \(2048 bits\) server-digest SHA256$")
    p.wait_log(r"disconnect from localhost\[127.0.0.1\] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7$")
    text = held(p)
    assert ("\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
            "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n"
            "\t(No client certificate requested)\n\tby mx.example.test (Postern) with ESMTPS id ") in text


def test_levels(postern, ca):
    p = postern(settings(ca, "encrypt"))
    with Secure(p.port, client()) as s:
        s.ehlo()
        assert s.docmd("MAIL FROM:<a@example.test>") == (530, b"5.7.0 Must issue a STARTTLS command first")
        assert s.docmd("NOOP")[0] == 250
        assert s.docmd("STARTTLS now") == (501, b"5.5.4 Syntax: STARTTLS")
        assert s.secure()[0] == 220
        assert s.docmd("STARTTLS") == (554, b"5.5.1 Error: TLS already active")
        s.ehlo()
        assert s.docmd("MAIL FROM:<a@example.test>")[0] == 250
    off = postern(settings(ca, "none"))
    with off.smtp() as s:
        s.ehlo()
        assert not s.has_extn("starttls")
        assert s.docmd("STARTTLS") == (502, b"5.5.1 Error: command not implemented")


def test_state_is_forgotten(postern, ca):
    p = postern(settings(ca, smtpd_helo_required="yes"))
    with Secure(p.port, client()) as s:
        s.ehlo()
        s.docmd("MAIL FROM:<a@example.test>")
        assert s.secure()[0] == 220
        assert s.docmd("RCPT TO:<u@example.test>")[0] == 503
        assert s.docmd("MAIL FROM:<a@example.test>") == (503, b"5.5.1 Error: send HELO/EHLO first")


def test_plaintext_behind_starttls(postern, ca):
    p = postern(settings(ca, smtpd_forbid_unauth_pipelining="no"))
    with p.raw() as r:
        assert r.cmd("EHLO x").startswith("250")
        r.send("STARTTLS\r\nMAIL FROM:<evil@example.test>\r\n")
        assert r.reply() == "554 5.5.0 Error: SMTP protocol synchronization"
        assert r.line() == b""
    p.wait_log("improper command pipelining after STARTTLS from localhost")


def test_wrappermode(postern, ca):
    p = postern(settings(ca), smtpd_args="-o smtpd_tls_security_level=may")
    port = free_port()
    with open(f"{p.etc}/master.cf", "a") as f:
        f.write(f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n")
    p.reload()

    def arrived():
        try:
            with Secure(port, client(ca.file), wrapped=True) as s:
                s.ehlo()
                assert not s.has_extn("starttls")
                s.sendmail("a@example.test", ["u@example.test"], "Subject: x\r\n\r\nhello\r\n")
                return True
        except ConnectionRefusedError:
            return False
    wait_until(arrived, what="wrapped port")
    assert "with ESMTPS id" in held(p)


def test_wrapped_behind_a_proxy(postern, ca):
    """The header of the proxy and the first bytes of TLS come in one packet."""
    p = postern(settings(ca, smtpd_upstream_proxy_protocol="haproxy"), smtpd_args="-o smtpd_tls_wrappermode=yes", start=False)
    p.run("postfix", "start", check=True, capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client(ca.file).wrap_bio(incoming, outgoing, server_hostname="mx.example.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", p.port), 20) as s:
        s.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 465\r\n" + outgoing.read())
        greeting = b""
        while not greeting:
            more = s.recv(65536)
            assert more, p.logs()
            incoming.write(more)
            with contextlib.suppress(ssl.SSLWantReadError):
                if not tls.version() or not tls.cipher():
                    tls.do_handshake()
            s.sendall(outgoing.read())
            with contextlib.suppress(ssl.SSLWantReadError):
                greeting = tls.read(4096)
    assert greeting.startswith(b"220 mx.example.test")
    p.wait_log("TLS connection established from unknown.192.0.2.9.")


def test_client_certificates(postern, ca, tmp_path):
    keys = f"{tmp_path}/clients"
    with open(keys, "w") as f:
        f.write(f"{ca.fingerprint('user')} known\n")
    tmp_path.chmod(0o755)
    p = postern(settings(ca, smtpd_tls_CAfile=ca.file, smtpd_tls_ask_ccert="yes", relay_clientcerts=f"texthash:{keys}",
                         mynetworks="192.0.2.1",
                         smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination"))
    for certificate, code in ((None, 554), (f"{ca.dir}/user.pem", 250)):
        with Secure(p.port, client(certificate=certificate)) as s:
            s.secure()
            s.ehlo()
            s.docmd("MAIL FROM:<a@example.test>")
            assert s.docmd("RCPT TO:<x@elsewhere.test>")[0] == code
            if code == 250:
                s.data("Subject: x\r\n\r\nhello\r\n")
    p.wait_log(r"Trusted TLS connection established from localhost\[127.0.0.1\]: TLSv1.3 with cipher .* "
               r"server-digest SHA256 client-signature ECDSA \(prime256v1\) client-digest SHA256$")
    assert ('server-digest SHA256\n\t client-signature ECDSA (prime256v1) client-digest SHA256)\n'
            '\t(Client CN "user.example.test", Issuer "Test CA" (verified OK))\n') in held(p)


@pytest.mark.parametrize("rules,known", [
    ("permit_tls_all_clientcerts", True),
    ("check_ccert_access inline:{{%(cert)s = OK}}", True),
    ("check_ccert_access {inline:{{%(key)s = OK}}, {search_order = cert_fingerprint}}", False),
    ("check_ccert_access {inline:{{%(key)s = OK}}, {search_order = pubkey_fingerprint, cert_fingerprint}}", True),
    ("check_ccert_access inline:{{%(cert)s = reject go away}}", False),
])
def test_certificate_rules(postern, ca, rules, known):
    prints = {"cert": ca.fingerprint("user"), "key": ca.key_fingerprint("user")}
    p = postern(settings(ca, smtpd_tls_CAfile=ca.file, smtpd_tls_ask_ccert="yes", mynetworks="192.0.2.1",
                         smtpd_relay_restrictions=rules % prints + ", reject_unauth_destination"))
    with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
        s.secure()
        s.ehlo()
        s.docmd("MAIL FROM:<a@example.test>")
        code, text = s.docmd("RCPT TO:<x@elsewhere.test>")
    assert code == (250 if known else 554), text
    if "go away" in rules:
        assert text == f"5.7.1 <{prints['cert']}>: Client certificate rejected: go away".encode()


def test_policy_server_is_told(postern, ca):
    with Policy(lambda r: "DUNNO") as server:
        p = postern(settings(ca, smtpd_tls_CAfile=ca.file, smtpd_tls_ask_ccert="yes",
                             smtpd_recipient_restrictions=f"check_policy_service inet:127.0.0.1:{server.server_address[1]}"))
        with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
            s.secure()
            s.ehlo()
            s.mail("a@example.test")
            s.rcpt("u@example.test")
        server.shutdown()
    told, = server.requests
    assert [told[n] for n in ("ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint", "encryption_protocol",
                              "encryption_cipher", "encryption_keysize", "tls_sni")] == [
        "user.example.test", "Test+20CA", ca.fingerprint("user"), ca.key_fingerprint("user"), "TLSv1.3", "TLS_AES_256_GCM_SHA384", "256",
        "mx.example.test"]


def test_needed_certificate(postern, ca, tmp_path):
    p = postern(settings(ca, "encrypt", smtpd_tls_CAfile=ca.file, smtpd_tls_req_ccert="yes"))
    with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
        s.secure()
        assert s.ehlo()[0] == 250
    with Secure(p.port, client()) as s:
        s.secure()
        assert s.getreply() == (421, b"4.7.1 mx.example.test Error: No client certificate presented")
        s.close()
    p.wait_log("NOQUEUE: abort: TLS from localhost.127.0.0.1.: No client certificate presented")
    stranger = Authority(f"{tmp_path}/other", "Other CA").issue("stranger")
    with Secure(p.port, client(certificate=stranger)) as s:
        s.secure()
        assert s.getreply() == (421, b"4.7.1 mx.example.test Error: Client certificate not trusted")
        s.close()
    p.wait_log("certificate verification failed for localhost.127.0.0.1.: untrusted issuer /CN=Other CA$")
    p.wait_log("disconnect from localhost.127.0.0.1. ehlo=1 starttls=1 commands=2$", count=2)


def test_requiretls(postern, ca):
    p = postern(settings(ca))
    with Secure(p.port, client()) as s:
        s.ehlo()
        assert s.docmd("MAIL FROM:<a@example.test> REQUIRETLS")[0] == 530
        s.secure()
        s.ehlo()
        assert s.docmd("MAIL FROM:<a@example.test> REQUIRETLS=yes")[0] == 555
        s.sendmail("a@example.test", ["u@example.test"], "Subject: x\r\n\r\nhello\r\n", mail_options=["REQUIRETLS"])
    assert held(p).startswith("Received: ") and "\nRequire-TLS-ESMTP: yes\n" in held(p)
    sizes = p.run("postcat", "-e", p.queue_files("hold")[0], check=True).stdout
    assert " 32\n" in sizes.split("message_size:")[1].split("\n")[0] + "\n"


TLSMGR = "tlsmgr unix - - n 1000? 1 tlsmgr\n"


def resumes(port, session, context, version=None):
    """A session to be offered next time, and whether the one offered was taken."""
    with Secure(port, context, session=session) as s:
        s.secure()
        s.ehlo()  # what the server gives comes before its answer
        return s.sock.session, s.sock.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_are_good_everywhere(postern, ca, version):
    """One session a process: the ticket comes from another one than takes it."""
    p = postern(settings(ca, smtpd_process_sessions="1", max_use="1"), master_extra=TLSMGR)
    c = client(version=version)
    session, taken = resumes(p.port, None, c)
    assert not taken
    for _ in range(3):
        session, taken = resumes(p.port, session, c)
        assert taken
    pids = {line.split("smtpd[")[1].split("]")[0] for line in p.wait_log("TLS connection established", count=4)}
    assert len(pids) == 4


def test_ticket_keys_rotate(postern, ca):
    p = postern(settings(ca, smtpd_tls_session_cache_timeout="2s"), master_extra=TLSMGR)
    c = client(version=ssl.TLSVersion.TLSv1_2)
    session, _ = resumes(p.port, None, c)
    assert resumes(p.port, session, c)[1]
    names = {session.ticket_lifetime_hint}
    assert names == {2}
    wait_until(lambda: not resumes(p.port, session, c)[1], what="end of the ticket's key")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_ticket_keys_survive_reload(postern, ca, version):
    p = postern(settings(ca), master_extra=TLSMGR)
    c = client(version=version)
    session, _ = resumes(p.port, None, c)
    before = set(children(p, "tlsmgr"))
    p.reload()
    wait_until(lambda: not before & set(children(p, "tlsmgr")), what="end of the old tlsmgr")
    assert resumes(p.port, session, c)[1]
    assert set(children(p, "tlsmgr")) - before  # it was asked


def test_no_tickets(postern, ca):
    p = postern(settings(ca, tls_session_ticket_cipher=""), master_extra=TLSMGR)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = client(version=version)
        session, _ = resumes(p.port, None, c)
        assert not session.has_ticket
        assert not resumes(p.port, session, c)[1]


def test_session_cache(postern, ca):
    p = postern(settings(ca, tls_session_ticket_cipher="", smtpd_process_sessions="1", max_use="1",
                         smtpd_tls_session_cache_database="lmdb:${data_directory}/smtpd_scache"), master_extra=TLSMGR)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = client(version=version)
        session, taken = resumes(p.port, None, c)
        assert not taken
        assert resumes(p.port, session, c)[1], version


def test_session_cache_is_cleaned(postern, ca):
    p = postern(settings(ca, tls_session_ticket_cipher="", smtpd_tls_session_cache_timeout="2s",
                         smtpd_tls_session_cache_database="lmdb:${data_directory}/smtpd_scache"), master_extra=TLSMGR)
    resumes(p.port, None, client())
    p.wait_log(r"cache lmdb:.*/smtpd_scache full cleanup: retained=0 dropped=[1-9]")


def test_without_tlsmgr(postern, ca):
    """A process alone makes its own keys."""
    p = postern(settings(ca))
    c = client()
    session, _ = resumes(p.port, None, c)
    assert resumes(p.port, session, c)[1]
    p.wait_log("warning: private/tlsmgr: .*TLS sessions of other processes cannot be resumed")


@pytest.mark.parametrize("change,words", [
    ({"smtpd_tls_chain_files": "/nonexistent/mx.pem"}, "smtpd_tls_chain_files: file /nonexistent/mx.pem does not exist"),
    ({"smtpd_tls_chain_files": "%s/mx.key"}, "no certificate follows a key"),
    ({"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "%s/mx.crt", "smtpd_tls_key_file": "%s/user.key"},
     "mx.crt: key and certificate do not belong together"),
    ({"smtpd_tls_chain_files": "%s/old.pem"}, "old.pem: certificate has expired"),
    ({"smtpd_tls_chain_files": ""}, "no server certificate for TLS"),
    ({"smtpd_tls_protocols": ">=TLSv7"}, 'smtpd_tls_protocols: unknown TLS protocol "TLSv7"'),
    ({"smtpd_tls_ciphers": "best"}, "smtpd_tls_ciphers"),
    ({"smtpd_tls_security_level": "secure"}, "smtpd_tls_security_level"),
    ({"smtpd_tls_loglevel": "9"}, "smtpd_tls_loglevel"),
    ({"smtpd_tls_CAfile": "%s/mx.key"}, "smtpd_tls_CAfile: cannot read certificates"),
    ({"tls_server_sni_maps": "nosuch:x"}, "nosuch"),
    ({"smtpd_recipient_restrictions": "check_ccert_access { inline:{{a = b}}, { search_order = colour } }, reject"},
     'check_ccert_access: search_order: unexpected "colour"'),
    ({"smtpd_recipient_restrictions": "check_ccert_access { inline:{{a = b}}, { order = cert_fingerprint } }, reject"},
     'check_ccert_access: unknown option "order"'),
    ({"tls_session_ticket_cipher": "aes-256-gcm"}, "is no CBC cipher"),
    ({"tls_config_file": "/nonexistent/openssl.cnf"}, "tls_config_file = /nonexistent/openssl.cnf"),
    ({"tls_ssl_options": "NO_SUCH"}, 'tls_ssl_options: unknown option "NO_SUCH"'),
    ({"smtpd_tls_eecdh_grade": "best"}, "smtpd_tls_eecdh_grade"),
])
def test_mistakes(postern, ca, change, words):
    ca.issue("old", days=-1)
    p = postern(settings(ca, **{k: v.replace("%s", ca.dir) for k, v in change.items()}), start=False)
    r = p.run("postfix", "check")
    assert r.returncode != 0 and words in r.stderr, r.stderr


def test_trouble_later_means_clear_text(postern, ca, tmp_path):
    """A certificate that is gone after the start: mail goes on, TLS comes back with the file."""
    shutil.copy(f"{ca.dir}/mx.pem", f"{tmp_path}/mx.pem")
    p = postern(settings(ca, smtpd_tls_chain_files=f"{tmp_path}/mx.pem"))
    with Secure(p.port, client()) as s:
        assert s.secure()[0] == 220
    with open(f"{tmp_path}/mx.pem", "w") as f:
        f.write("nothing\n")

    def answer():
        with Secure(p.port, client()) as s:
            return s.secure()
    wait_until(lambda: answer() == (454, b"4.7.0 TLS not available due to local problem"), what="no TLS")
    p.wait_log(r"warning: smtpd_tls_chain_files: .*/mx.pem: no key and no certificate in it: disabling TLS support")
    shutil.copy(f"{ca.dir}/mx.pem", f"{tmp_path}/mx.pem")
    wait_until(lambda: answer()[0] == 220, what="TLS again")


@pytest.mark.threads
def test_new_certificate_under_load(postern, ca, tmp_path):
    """Sessions go on while certificates are replaced, as certbot does it; nobody is turned away."""
    live, archive = tmp_path / "live", tmp_path / "archive"
    live.mkdir()
    archive.mkdir()
    for n in ("one", "two"):
        shutil.copy(ca.issue(f"mx-{n}", "mx.example.test"), archive / f"{n}.pem")
    (live / "mx.pem").symlink_to(archive / "one.pem")
    live.chmod(0o700)  # no service may look into it later
    p = postern(settings(ca, smtpd_tls_chain_files=f"{live}/mx.pem", max_use="100000"), master_extra=TLSMGR)
    prints = {n: ca.fingerprint(f"mx-{n}").replace(":", "").lower() for n in ("one", "two")}
    seen, failures, done = [], [], threading.Event()

    def load():
        while not done.is_set():
            try:
                with Secure(p.port, client(ca.file)) as s:
                    s.secure()
                    s.ehlo()
                    seen.append(hashlib.sha256(s.sock.getpeercert(True)).hexdigest())
            except Exception as e:
                failures.append(e)
                return
    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: seen.count(prints["one"]) > 10, what="sessions with the first certificate")
        (live / "new").symlink_to(archive / "two.pem")
        (live / "new").rename(live / "mx.pem")
        wait_until(lambda: prints["two"] in seen, what="the new certificate")
        wait_until(lambda: prints["one"] not in seen[-20:], what="the end of the old one")
    finally:
        done.set()
        for t in threads:
            t.join()
    assert not failures
    p.wait_log("file .*/mx.pem has changed -- restarting")


def test_log_levels(postern, ca):
    p = postern(settings(ca, smtpd_tls_loglevel="2"))
    with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
        s.secure()
    p.wait_log("setting up TLS connection from localhost.127.0.0.1.$")
    p.wait_log("SSL_accept:SSLv3/TLS write server hello$")
    assert "write to localhost" not in p.logs()


def test_log_level_of_a_client(postern, ca):
    """Only this client is looked at closely, and once in a while its messages are kept."""
    p = postern(settings(ca, smtpd_tls_loglevel="0", smtpd_tls_loglevel_maps="inline:{{localhost=4, trace}}"))
    for _ in range(2):
        with Secure(p.port, client()) as s:
            s.secure()
            s.ehlo()
    p.wait_log("read from localhost.127.0.0.1.: [0-9]+ bytes$")
    p.wait_log("0000 16 03 01 ")
    path = p.wait_log("TLS protocol trace for localhost.127.0.0.1. saved to ")[0].split("saved to ")[1]
    assert "ClientHello" in open(f"{p.spool}/{path}").read()
    p.wait_log("skipping TLS trace output - rate limit .1. exceeded")


def test_server_names(postern, ca, tmp_path):
    ca.issue("other", "other.example.test")
    with open(tmp_path / "sni", "w") as f:
        f.write(f"other.example.test {ca.dir}/other.key {ca.dir}/other.crt\n.wild.test {ca.dir}/user.pem\nbroken.test /etc/hostname\n")
    tmp_path.chmod(0o755)
    p = postern(settings(ca, tls_server_sni_maps=f"lmdb:{tmp_path}/sni"), start=False)
    p.run("postmap", "-F", f"lmdb:{tmp_path}/sni", check=True)
    r = p.run("postfix", "check")
    assert r.returncode == 0 and r.stderr.count("tls_server_sni_maps") == 1
    assert "warning: service 127.0.0.1:" in r.stderr and "tls_server_sni_maps: broken.test: no key and no certificate in it" in r.stderr
    p.start()

    def shown(name):
        with Secure(p.port, client(ca.file), name=name) as s:
            s.secure()
            return hashlib.sha256(s.sock.getpeercert(True)).hexdigest()

    def is_of(name):
        return ca.fingerprint(name).replace(":", "").lower()
    for name, expected in (("other.example.test", "other"), ("a.wild.test", "user"), ("unknown.test", "mx")) * 3:
        assert shown(name) == is_of(expected)
    p.wait_log(r"established from localhost\[127.0.0.1\] to other.example.test: TLSv1.3")
    with Secure(p.port, client(), name="broken.test") as s:
        with pytest.raises(ssl.SSLError):
            s.secure()
        s.close()
    p.wait_log("warning: TLS SNI broken.test from localhost.*no key and no certificate in it")
    before = is_of("other")
    ca.issue("other", "other.example.test")
    assert before != is_of("other")
    p.run("postmap", "-F", f"lmdb:{tmp_path}/sni", check=True)
    wait_until(lambda: shown("other.example.test") == is_of("other"), what="the new certificate")
    assert shown("b.wild.test") == is_of("user")


@pytest.mark.threads
def test_many_at_once(postern, ca):
    """Full and resumed handshakes, names, certificates and mail on many threads of one process."""
    p = postern(settings(ca, smtpd_tls_CAfile=ca.file, smtpd_tls_ask_ccert="yes", smtpd_client_connection_count_limit="0", max_use="100000",
                         smtpd_tls_session_cache_timeout="3s", tls_server_sni_maps=f"inline:{{{{user.example.test = {ca.dir}/user.pem}}}}",
                         smtpd_tls_session_cache_database="lmdb:${data_directory}/smtpd_scache"), master_extra=TLSMGR)
    failures = []

    def work(number):
        c = client(certificate=f"{ca.dir}/user.pem" if number % 2 else None, version=ssl.TLSVersion.TLSv1_2 if number % 3 else None)
        session = None
        try:
            for i in range(12):
                with Secure(p.port, c, name="user.example.test" if number % 4 else "mx.example.test", session=session, timeout=60 * SLOW) as s:
                    assert s.secure()[0] == 220
                    s.sendmail("a@example.test", ["u@example.test"], "Subject: x\r\n\r\nhello\r\n")
                    session = s.sock.session
        except Exception as e:
            failures.append(e)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, p.logs()[-3000:]
    wait_until(lambda: len(p.queue_files("hold")) == 96, what="all messages")


def test_rate_limit(postern, ca):
    p = postern(settings(ca, smtpd_client_new_tls_session_rate_limit="2", smtpd_client_event_limit_exceptions=""), master_extra=TLSMGR)
    c = client(version=ssl.TLSVersion.TLSv1_2)
    session, _ = resumes(p.port, None, c)
    for _ in range(4):
        assert resumes(p.port, session, c)[1]  # costs little
    resumes(p.port, None, c)
    with Secure(p.port, c) as s:
        s.secure()
        assert s.getreply() == (421, b"4.7.0 mx.example.test Error: too many new TLS sessions from localhost[127.0.0.1]")
        s.close()
    p.wait_log("warning: New TLS session rate limit exceeded: 3 from localhost.127.0.0.1. for service")
    with Secure(p.port, c) as s:
        assert s.secure() == (454, b"4.7.0 Error: too many new TLS sessions from localhost[127.0.0.1]")
    p.wait_log("warning: Refusing STARTTLS request from localhost.127.0.0.1. for service")


@pytest.mark.parametrize("change,context,works", [
    ({"smtpd_tls_protocols": ">=TLSv1.3"}, dict(version=ssl.TLSVersion.TLSv1_2), False),
    ({"smtpd_tls_protocols": "!TLSv1.3"}, dict(version=ssl.TLSVersion.TLSv1_2), True),
    ({"smtpd_tls_protocols": "<=TLSv1.2"}, dict(version=ssl.TLSVersion.TLSv1_3), False),
    ({"smtpd_tls_exclude_ciphers": "AES256"}, dict(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384"), False),
    ({"smtpd_tls_exclude_ciphers": "AES256"}, dict(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256"), True),
    ({"smtpd_tls_mandatory_exclude_ciphers": "AES128"}, dict(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256"), True),
    ({"smtpd_tls_eecdh_grade": "none"}, dict(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384"), False),
    ({"smtpd_tls_eecdh_grade": "none"}, dict(version=ssl.TLSVersion.TLSv1_2, ciphers="DHE-RSA-AES256-GCM-SHA384"), True),
    ({"smtpd_tls_ciphers": "high", "tls_high_cipherlist": "ECDHE-RSA-CHACHA20-POLY1305"},
     dict(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384"), False),
])
def test_choices(postern, ca, change, context, works):
    p = postern(settings(ca, **change))
    s = Secure(p.port, client(**context))
    if works:
        assert s.secure()[0] == 220
        s.quit()
        return
    with pytest.raises(OSError):
        s.secure()
    p.wait_log("SSL_accept error from localhost.127.0.0.1.: -1")
    p.wait_log("warning: TLS library problem: error:")
    s.close()


def test_server_prefers(postern, ca):
    ours = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
    theirs = client(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
    for preempt, expected in (("no", "ECDHE-RSA-AES256-GCM-SHA384"), ("yes", "ECDHE-RSA-AES128-GCM-SHA256")):
        p = postern(settings(ca, tls_medium_cipherlist=ours, tls_preempt_cipherlist=preempt))
        with Secure(p.port, theirs) as s:
            s.secure()
            assert s.sock.cipher()[0] == expected


def test_hostile_peers(postern, ca):
    p = postern(settings(ca, smtpd_starttls_timeout="4s", smtpd_timeout="8s"))
    with p.raw() as r:  # no TLS at all
        r.cmd("EHLO x")
        assert r.cmd("STARTTLS").startswith("220")
        r.send(b"EHLO again\r\nMAIL FROM:<a@example.test>\r\n")
        while r.s.recv(4096):
            pass
    p.wait_log("SSL_accept error from localhost.127.0.0.1.: -1")
    p.wait_log("lost connection after STARTTLS from localhost")
    with p.raw() as r:  # goes away
        r.cmd("EHLO x")
        r.cmd("STARTTLS")
    p.wait_log("SSL_accept error from localhost.127.0.0.1.: lost connection")
    with p.raw() as r:  # says half a greeting, a byte at a time
        r.cmd("EHLO x")
        r.cmd("STARTTLS")
        end = time.time() + 60
        with contextlib.suppress(OSError):
            for b in b"\x16\x03\x01\x02\x00" + b"\x01" * 60:
                r.send(bytes([b]))
                time.sleep(0.1)
        assert time.time() < end
    p.wait_log("SSL_accept error from localhost.127.0.0.1.: Connection timed out")
    p.wait_log("timeout after STARTTLS from localhost")
    with Secure(p.port, client()) as s:  # cut off in the middle of a message, without goodbye
        s.secure()
        s.ehlo()
        s.docmd("MAIL FROM:<a@example.test>")
        s.docmd("RCPT TO:<u@example.test>")
        s.docmd("DATA")
        s.send(b"Subject: never\r\n\r\ncut")
        s.sock.shutdown(socket.SHUT_RDWR)
        s.close()
    p.wait_log("lost connection after DATA .* from localhost")
    p.wait_queue(0, "incoming", "hold", "active")
    with Secure(p.port, client()) as s:  # and nobody else has noticed
        assert s.secure()[0] == 220


# ---- other clients ----

def test_openssl_client(postern, ca):
    p = postern(settings(ca, smtpd_tls_CAfile=ca.file, smtpd_tls_ask_ccert="yes"))
    r = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{p.port}", "-CAfile", ca.file, "-verify_return_error",
                        "-crlf", "-quiet", "-cert", f"{ca.dir}/user.crt", "-key", f"{ca.dir}/user.key"],
                       input="quit\n", capture_output=True, text=True, timeout=60)
    assert "221 2.0.0 Bye" in r.stdout, r
    r = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{p.port}", "-tls1_2"],
                       input="R\n", capture_output=True, text=True, timeout=60)  # renegotiation
    assert "RENEGOTIATING" in r.stdout + r.stderr and "no renegotiation" in (r.stdout + r.stderr).lower(), r


@pytest.mark.parametrize("option", ["--tls", "--tls-on-connect"])
def test_swaks(postern, ca, option):
    p = postern(settings(ca), smtpd_args="-o smtpd_tls_wrappermode=yes" if "connect" in option else "", start=False)
    p.run("postfix", "start", check=True, capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    r = subprocess.run(["swaks", "--server", f"127.0.0.1:{p.port}", option, "--from", "a@example.test", "--to", "u@example.test"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout
    assert "with ESMTPS id" in held(p)


def test_large_message(postern, ca):
    p = postern(settings(ca, message_size_limit="0", mailbox_size_limit="0"))
    text = "Subject: large\r\n\r\n" + ("x" * 76 + "\r\n") * 40000
    with Secure(p.port, client()) as s:
        s.secure()
        s.sendmail("a@example.test", ["u@example.test"], text)
    held(p)
    body = p.run("postcat", "-b", p.queue_files("hold")[0], check=True).stdout
    assert body.count("x" * 76 + "\n") == 40000


def test_authorities_in_a_directory(postern, ca):
    server_only = ca.issue("server-only", usage="serverAuth")
    for trust, found in (("no", "Untrusted"), ("yes", "Trusted")):
        p = postern(settings(ca, smtpd_tls_CApath="$queue_directory/ca", smtpd_tls_ask_ccert="yes", tls_trust_server_ccerts=trust), start=False)
        os.mkdir(f"{p.spool}/ca")
        shutil.copy(ca.file, f"{p.spool}/ca/ca.pem")
        subprocess.run(["openssl", "rehash", f"{p.spool}/ca"], check=True)
        p.start()
        with Secure(p.port, client(certificate=server_only)) as s:
            s.secure()
        p.wait_log(f"{found} TLS connection established from localhost")


def test_client_certificate_example(postern, tmp_path):
    """doc/client-certificates.md as it stands."""
    def blocks(kind):
        return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", open(f"{TOP}/doc/client-certificates.md").read(), re.M | re.S)
    p = postern({"mynetworks": "192.0.2.1", "smtpd_data_restrictions": "check_client_access static:HOLD"}, start=False)
    port = free_port()
    scripts = blocks("sh")
    main, = blocks("main.cf")
    master, = blocks("master.cf")
    env = {**os.environ, "MAIL_CONFIG": p.etc, "PATH": f"{p.prefix}/sbin:{os.environ['PATH']}"}

    def sh(script):
        r = subprocess.run(["sh", "-ec", script.replace("/etc/postfix", p.etc)], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert r.returncode == 0, (script, r.stderr, p.logs())
        return r.stdout
    sh(scripts[0])
    sh(scripts[1])
    prints = [line.split("=")[-1].strip().upper() for line in sh(scripts[2]).splitlines()]
    partners = Authority(tmp_path / "partners", "Partners")
    partner = partners.issue("partner", usage="clientAuth")
    os.makedirs(f"{p.etc}/tls")
    shutil.copy(partners.file, f"{p.etc}/tls/partners-ca.pem")
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write(main.replace("/etc/postfix", p.etc))
    with open(f"{p.etc}/master.cf", "a") as f:
        f.write(TLSMGR + master.replace("10465 ", f"127.0.0.1:{port} ").replace("/etc/postfix", p.etc))
    for fingerprint in prints:
        with open(f"{p.etc}/relay_clientcerts", "w") as f:
            f.write(f"{fingerprint} laptop\n")
        if p.master_pid():
            sh(scripts[3])
        else:
            p.start()
        swaks = scripts[4].strip().replace("mail.example.com", f"127.0.0.1:{p.port}")
        assert "250 2.0.0 Ok: queued" in sh(swaks)
    r = subprocess.run(swaks.replace("--tls-cert laptop.crt --tls-key laptop.key", "").split(), cwd=tmp_path, capture_output=True, text=True)
    assert "554 5.7.1 <somebody@example.org>: Relay access denied" in r.stdout
    p.wait_log("Untrusted TLS connection established from localhost.*client-signature ECDSA .prime256v1. client-digest SHA256")
    with Secure(port, client(certificate=partner), wrapped=True) as s:
        s.ehlo()
        assert s.mail("a@example.com")[0] == 250 and s.rcpt("somebody@example.org")[0] == 250
    with pytest.raises(smtplib.SMTPException):
        Secure(port, client(), wrapped=True)
    p.wait_log("postfix/partners/smtpd.*NOQUEUE: abort: TLS from localhost.*No client certificate presented")


def test_jail(postern, ca):
    """With chroot: certificates, tickets and their change work as before."""
    if os.getuid() != 0:
        pytest.skip("chroot needs root")
    p = postern(settings(ca), start=False)
    shutil.copy(f"{ca.dir}/mx.pem", f"{p.etc}/mx.pem")
    p.main["smtpd_tls_chain_files"] = f"{p.etc}/mx.pem"
    p.master = p.master.replace(f"127.0.0.1:{p.port} inet n - n", f"127.0.0.1:{p.port} inet n - y") + TLSMGR
    p.write_config()
    p.start()
    c = client(ca.file)
    session, _ = resumes(p.port, None, c)
    assert resumes(p.port, session, c)[1]
    assert "cannot be resumed" not in p.logs()
    first = ca.fingerprint("mx")
    ca.issue("mx-next", "mx.example.test")
    shutil.copy(f"{ca.dir}/mx-next.pem", f"{p.etc}/new.pem")
    os.rename(f"{p.etc}/new.pem", f"{p.etc}/mx.pem")

    def seen():
        with Secure(p.port, c) as s:
            s.secure()
            return hashlib.sha256(s.sock.getpeercert(True)).hexdigest()
    wait_until(lambda: seen() == ca.fingerprint("mx-next").replace(":", "").lower(), what="the new certificate")
    assert first != ca.fingerprint("mx-next")


def test_tlsmgr_on_its_own(postern, ca):
    """Wake-ups, garbage and requests that make no sense do not disturb it; what it leaves is for its user alone."""
    p = postern(settings(ca), master_extra=TLSMGR)
    c = client()
    session, _ = resumes(p.port, None, c)
    assert p.run("postkick", "private", "tlsmgr", "W").returncode == 0
    for garbage in (b"\xf5\x00garbage", b"\xf5\x09\x00\x00\xff\xff\xff\x7f", b"GET / HTTP/1.0\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{p.spool}/private/tlsmgr")
            s.sendall(garbage)
    assert resumes(p.port, session, c)[1]
    path = f"{p.data}/prng_exch"
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(path).st_size > 100
    p.stop()
    before = open(path, "rb").read()
    p.start()
    resumes(p.port, None, c)
    wait_until(lambda: open(path, "rb").read() != before, what="new bytes")


# ---- single parameters ----

@pytest.mark.parametrize("change,words", [
    ({"smtpd_tls_eecdh_grade": "strong"}, r"ECDHE \(prime256v1\)"),
    ({"smtpd_tls_eecdh_grade": "ultra"}, r"ECDHE \(secp384r1\)"),
    ({"smtpd_tls_eecdh_grade": "ultra", "tls_eecdh_ultra_curve": "secp521r1"}, r"ECDHE \(secp521r1\)"),
    ({"tls_eecdh_auto_curves": "X448 no-such-group"}, "X448"),
    ({"smtpd_tls_eecdh_grade": "none"}, r"DHE \(2048 bits\)"),
    ({"smtpd_tls_eecdh_grade": "none", "tls_ffdhe_auto_groups": "ffdhe3072"}, r"DHE \(3072 bits\)"),
])
def test_groups(postern, ca, change, words):
    p = postern(settings(ca, **change))
    with Secure(p.port, client()) as s:
        s.secure()
    p.wait_log(f"key-exchange {words} server-signature")
    if "no-such-group" in str(change):
        p.wait_log('warning: tls_eecdh_auto_curves: OpenSSL knows no group "no-such-group"; ignored')


def test_dh_parameters(postern, ca, tmp_path):
    subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "dh_param:ffdhe3072", "-out", f"{tmp_path}/dh.pem"], check=True)
    p = postern(settings(ca, smtpd_tls_dh1024_param_file=f"{tmp_path}/dh.pem"))
    r = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{p.port}", "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
                       input="quit\n", capture_output=True, text=True, timeout=60)
    assert "Server Temp Key: DH, 3072 bits" in r.stdout


def test_session_ids(postern, ca):
    for always, length in (("yes", 32), ("no", 0)):
        p = postern(settings(ca, tls_session_ticket_cipher="", smtpd_tls_always_issue_session_ids=always))
        session, _ = resumes(p.port, None, client(version=ssl.TLSVersion.TLSv1_2))
        assert len(session.id) == length


def test_authorities_of_the_system(postern, ca):
    for append, found in (("no", "Untrusted"), ("yes", "Trusted")):
        p = postern(settings(ca, smtpd_tls_ask_ccert="yes", tls_append_default_CA=append), start=False)
        p.main["import_environment"] += f" SSL_CERT_FILE={ca.file}"
        p.write_config()
        p.start()
        with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
            s.secure()
        p.wait_log(f"{found} TLS connection established from localhost")


def test_depth_of_chains(postern, tmp_path):
    root = Authority(tmp_path / "root", "Root")
    middle = Authority(tmp_path / "middle", "Middle")  # signed by the root instead of itself
    with open(tmp_path / "ext", "w") as f:
        f.write("basicConstraints=critical,CA:TRUE\n")
    for args in (["req", "-new", "-key", f"{middle.dir}/ca.key", "-subj", "/CN=Middle", "-out", f"{middle.dir}/ca.csr"],
                 ["x509", "-req", "-in", f"{middle.dir}/ca.csr", "-CA", root.file, "-CAkey", f"{root.dir}/ca.key", "-CAcreateserial",
                  "-extfile", str(tmp_path / "ext"), "-out", middle.file]):
        subprocess.run(["openssl", *args], check=True, capture_output=True)
    root.issue("mx", "mx.example.test")
    leaf = middle.issue("leaf")
    with open(leaf, "a") as f:
        f.write(open(middle.file).read())
    for depth, found in (("0", "Untrusted"), ("1", "Trusted")):
        p = postern(settings(root, smtpd_tls_CAfile=root.file, smtpd_tls_ask_ccert="yes", smtpd_tls_ccert_verifydepth=depth))
        with Secure(p.port, client(certificate=leaf)) as s:
            s.secure()
        p.wait_log(f"{found} TLS connection established from localhost")


def test_digest_of_fingerprints(postern, ca):
    p = postern(settings(ca, smtpd_tls_ask_ccert="yes", mynetworks="192.0.2.1", smtpd_tls_fingerprint_digest="sha512",
                         relay_clientcerts="inline:{{%s = yes}}" % ca.fingerprint("user", "sha512"),
                         smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination"))
    with Secure(p.port, client(certificate=f"{ca.dir}/user.pem")) as s:
        s.secure()
        s.ehlo()
        s.mail("a@example.test")
        assert s.rcpt("x@elsewhere.test")[0] == 250


@pytest.mark.parametrize("fast", ["yes", "no"])
def test_goodbye(postern, ca, fast):
    p = postern(settings(ca, tls_fast_shutdown_enable=fast))
    s = Secure(p.port, client())
    s.secure()
    s.ehlo()
    assert s.docmd("QUIT")[0] == 221
    s.sock.unwrap().close()  # both have said it: no error
    p.wait_log("disconnect from localhost.127.0.0.1. ehlo=2 starttls=1 quit=1 commands=4$")


def test_openssl_configuration(postern, ca, tmp_path):
    """tls_config_file and tls_config_name: here they forbid TLS 1.3 for everybody."""
    with open(tmp_path / "openssl.cnf", "w") as f:
        f.write("mail = mail_section\n[mail_section]\nssl_conf = ssl_section\n[ssl_section]\nsystem_default = limits\n[limits]\nMaxProtocol = TLSv1.2\n")
    tmp_path.chmod(0o755)
    for name, version in (("mail", "TLSv1.2"), ("", "TLSv1.3")):
        p = postern(settings(ca, tls_config_file=f"{tmp_path}/openssl.cnf", tls_config_name=name))
        with Secure(p.port, client()) as s:
            s.secure()
            assert s.sock.version() == version


def test_msmtp(postern, ca):
    p = postern(settings(ca, "encrypt"))
    r = subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={p.port}", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", "--from=a@example.test",
                        "u@example.test"], input="Subject: x\n\nhello\n", capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    assert "with ESMTPS id" in held(p)
