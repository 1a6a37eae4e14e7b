"""Keys, certificates and TLS clients for the tests."""
import os
import smtplib
import ssl
import subprocess


def openssl(*args, **kw):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, text=True, **kw).stdout


class Authority:
    """A CA in a directory, with what it signs: NAME.pem holds key and certificate, NAME.key and NAME.crt each alone."""

    def __init__(self, directory, name="Test CA"):
        self.dir = str(directory)
        os.makedirs(self.dir, exist_ok=True)
        self.file = f"{self.dir}/ca.crt"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{self.dir}/ca.key", "-out", self.file,
                "-subj", f"/CN={name}", "-days", "30")

    def issue(self, name, cn=None, kind="rsa", days=30, usage="serverAuth,clientAuth", names=None):
        base = f"{self.dir}/{name}"
        algorithm = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        openssl("req", "-new", "-newkey", *algorithm, "-nodes", "-keyout", f"{base}.key", "-out", f"{base}.csr",
                "-subj", f"/CN={cn or name}")
        with open(f"{base}.ext", "w") as f:
            alternatives = ",".join("DNS:" + n for n in names or [cn or name])
            f.write(f"extendedKeyUsage={usage}\nsubjectAltName={alternatives}\n")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.file, "-CAkey", f"{self.dir}/ca.key",
                "-CAcreateserial", "-out", f"{base}.crt", "-days", str(days), "-extfile", f"{base}.ext")
        self.join(base)
        return f"{base}.pem"

    @staticmethod
    def join(base):
        with open(f"{base}.new", "w") as f:
            f.write(open(f"{base}.key").read() + open(f"{base}.crt").read())
        os.rename(f"{base}.new", f"{base}.pem")

    def fingerprint(self, name, digest="sha256"):
        return openssl("x509", "-in", f"{self.dir}/{name}.crt", "-noout", "-fingerprint", f"-{digest}").split("=")[1].strip()

    def key_fingerprint(self, name, digest="sha256"):
        der = subprocess.run(f"openssl x509 -in {self.dir}/{name}.crt -noout -pubkey | openssl pkey -pubin -outform DER | "
                             f"openssl dgst -{digest} -c", shell=True, check=True, capture_output=True, text=True).stdout
        return der.split("= ")[1].strip().upper()


def client(ca=None, certificate=None, version=None, ciphers=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    if ca:
        c.load_verify_locations(ca)
    else:
        c.verify_mode = ssl.CERT_NONE
    if certificate:
        c.load_cert_chain(certificate)
    if version:
        c.minimum_version = c.maximum_version = version
    if ciphers:
        c.set_ciphers(ciphers)
    return c


class Secure(smtplib.SMTP):
    """smtplib with a server name of our choice, and a session that may be resumed."""

    def __init__(self, port, context, name="mx.example.test", session=None, wrapped=False, **kw):
        self.wanted = (context, name, session)
        self.wrapped = wrapped
        kw.setdefault("timeout", 30)
        super().__init__("127.0.0.1", port, local_hostname="client.test", **kw)

    def _wrap(self, sock):
        context, name, session = self.wanted
        return context.wrap_socket(sock, server_hostname=name, session=session)

    def _get_socket(self, host, port, timeout):
        sock = super()._get_socket(host, port, timeout)
        return self._wrap(sock) if self.wrapped else sock

    def secure(self):
        self.ehlo_or_helo_if_needed()
        code, text = self.docmd("STARTTLS")
        if code == 220:
            self.sock = self._wrap(self.sock)
            self.file = None
            self.helo_resp = self.ehlo_resp = None
            self.esmtp_features = {}
            self.does_esmtp = False
        return code, text
