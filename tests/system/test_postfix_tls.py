"""postfix tls: keys, certificates and settings."""
import re
import subprocess

import pytest

from tls_client import Secure, client


def setting(p, name):
    return p.run("postconf", "-h", name, check=True).stdout.strip()


def tls(p, *args):
    return p.run("postfix", "tls", *args)


@pytest.mark.parametrize("algorithm,names", [("rsa", ("smtpd_tls_cert_file", "smtpd_tls_key_file")),
                                             ("ecdsa", ("smtpd_tls_eccert_file", "smtpd_tls_eckey_file"))])
def test_enable_server(postern, algorithm, names):
    p = postern({"smtpd_tls_auth_only": "yes"})  # as in the main.cf that is installed
    assert tls(p, "all-default-server").returncode == 0
    r = tls(p, "enable-server", "-a", algorithm, "mx.example.test", "mail.example.test")
    assert r.returncode == 0, r.stderr
    assert tls(p, "all-default-server").returncode == 1
    certificate, key = (setting(p, n) for n in names)
    assert re.fullmatch(p.etc + r"/(ec)?cert-\d{8}-\d{6}\.pem", certificate)
    assert setting(p, "smtpd_tls_security_level") == "may"
    p.reload()
    with Secure(p.port, client(certificate)) as s:  # it signed itself
        assert s.secure()[0] == 220
    again = tls(p, "enable-server")
    assert again.returncode == 0 and "configured already" in again.stderr

    csr = tls(p, "output-server-csr", "mx.example.test").stdout
    words = subprocess.run(["openssl", "req", "-noout", "-verify", "-subject"], input=csr, capture_output=True, text=True)
    assert words.returncode == 0 and "mx.example.test" in words.stdout
    digest = subprocess.run(f"openssl pkey -in {key} -pubout -outform DER | openssl dgst -sha256", shell=True,
                            capture_output=True, text=True, check=True).stdout.split("= ")[1].strip().upper()
    assert f"_25._tcp.mx.example.test. IN TLSA 3 1 1 {digest}\n" in tls(p, "output-server-tlsa").stdout


def test_new_keys(postern):
    p = postern(start=False)
    out = tls(p, "new-server-key", "-a", "ecdsa", "-b", "384", "a.example.test").stdout
    deploy = re.search(r"postfix tls (deploy-server-cert \S+ \S+)", out).group(1).split()
    assert setting(p, "smtpd_tls_eccert_file") == ""
    assert tls(p, *deploy).returncode == 0
    assert setting(p, "smtpd_tls_eccert_file") == deploy[1]
    assert tls(p, "new-server-cert").returncode == 0
    wrong = tls(p, "deploy-server-cert", setting(p, "smtpd_tls_cert_file"), deploy[2])
    assert wrong.returncode == 1 and "do not belong together" in wrong.stderr


def test_enable_client(postern):
    p = postern(start=False)
    assert tls(p, "all-default-client").returncode == 0
    assert tls(p, "enable-client", "-r", "/dev/random").returncode == 0
    assert tls(p, "all-default-client").returncode == 1
    assert setting(p, "smtp_tls_security_level") == "may" and setting(p, "tls_random_source") == "dev:/dev/random"


def test_mistakes(postern):
    p = postern(start=False)
    for args, words in (((), "usage"), (("nonsense",), "usage"), (("new-server-key", "-a", "dsa"), "use rsa or ecdsa"),
                        (("new-server-key", "-b", "512"), "2048 or more"), (("output-server-csr",), "use -k"),
                        (("deploy-server-cert", "x"), "usage")):
        r = tls(p, *args)
        assert r.returncode == 1 and words in r.stderr, (args, r.stderr)
