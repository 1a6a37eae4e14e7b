"""TLS in the SMTP server: STARTTLS, wrapper mode, certificates, what it logs."""
import pytest

from conftest import wait_until
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
    p.wait_log(r"smtpd\[\d+\]: Anonymous TLS connection established from localhost\[127.0.0.1\] to mx.example.test: TLSv1.3 with cipher "
               r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature RSA-PSS \(2048 bits\) server-digest SHA256$")
    p.wait_log(r"disconnect from localhost\[127.0.0.1\] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7$")
    text = held(p)
    assert ("\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
            "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n"
            "\t(No client certificate requested)\n\tby mx.example.test (Postern) with ESMTPS id ") in text
