"""Certificates and TLS servers for tests of the client: everything is made on the spot, nothing expires by surprise."""
import contextlib
import hashlib
import os
import socket
import ssl
import subprocess

from agent import FEATURES, FakeServer


def openssl(*args, **kw):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, **kw).stdout


class Authority:
    """A certificate authority in a directory; cert(name) makes NAME.pem with key, certificate and chain."""

    def __init__(self, directory, name="ca"):
        self.dir, self.name = str(directory), name
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.pem, self.key = f"{self.dir}/{name}.pem", f"{self.dir}/{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-keyout", self.key, "-out", self.pem,
                "-subj", f"/CN=Test {name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def cert(self, file, *names, days="30", cn=None, bits=None, start=None):
        """names: DNS names; without any the certificate has only a common name."""
        base = f"{self.dir}/{file}"
        key = ["rsa:2048"] if bits else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        openssl("req", "-new", "-newkey", *key, "-nodes", "-keyout", base + ".key", "-out", base + ".csr", "-subj", f"/CN={cn or (names[0] if names else file)}")
        with open(base + ".ext", "w") as f:
            if names:
                f.write("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-out", base + ".crt",
                "-extfile", base + ".ext")
        with open(base + ".pem", "w") as out:
            for part in (base + ".key", base + ".crt", self.pem):
                out.write(open(part).read())
        return base + ".pem"


def der(pem):
    """The first certificate of a file."""
    text = open(pem).read()
    start = text.index("-----BEGIN CERTIFICATE")
    return ssl.PEM_cert_to_DER_cert(text[start:text.index("-----END CERTIFICATE", start)] + "-----END CERTIFICATE-----\n")


def spki(pem):
    key = openssl("x509", "-in", pem, "-noout", "-pubkey")
    return openssl("pkey", "-pubin", "-outform", "DER", input=key)


def fingerprint(data, digest="sha256"):
    h = hashlib.new(digest, data).hexdigest().upper()
    return ":".join(h[i:i + 2] for i in range(0, len(h), 2))


def tlsa(usage, selector, matching, pem):
    """Record data as a zone file has it."""
    data = spki(pem) if selector else der(pem)
    data = [data, hashlib.sha256(data).digest(), hashlib.sha512(data).digest()][matching]
    return f"{usage} {selector} {matching} {data.hex()}"


class TlsServer(FakeServer):
    """FakeServer that speaks TLS. pem: key and chain; wrapped: from the first byte; starttls: what happens after STARTTLS: "tls", or a
    function of the socket that does something else; after: features over TLS. client_ca: ask for a client certificate."""

    def __init__(self, pem, wrapped=False, starttls="tls", after=None, client_ca=None, minimum=None, maximum=None, features=FEATURES, **kw):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.context.sni_callback = self.on_sni
        if minimum or maximum:
            self.context.set_ciphers("DEFAULT@SECLEVEL=0")
            self.context.minimum_version, self.context.maximum_version = minimum or maximum, maximum or ssl.TLSVersion.TLSv1_3
        if client_ca:
            self.context.verify_mode = ssl.CERT_OPTIONAL
            self.context.load_verify_locations(client_ca)
        self.wrapped, self.starttls, self.after = wrapped, starttls, after
        self.tls, self.sni, self.reused, self.client_certs = [], [], [], []
        self.clear = (*features, "STARTTLS") if starttls and not wrapped else features
        self.inside = after if after is not None else features
        super().__init__(features=self.clear, **kw)

    def on_sni(self, s, name, context):
        self.sni.append(name)

    def wrap(self, s):
        t = self.context.wrap_socket(s, server_side=True)
        self.tls.append(t.version())
        self.reused.append(t.session_reused)
        self.client_certs.append(t.getpeercert())
        return t

    def talk(self, s, number):
        if self.wrapped:
            with contextlib.suppress(OSError):
                super().talk(self.wrap(s), number)
        else:
            super().talk(s, number)

    def do_ehlo(self, s, arg, state, verb):
        self.features = self.inside if isinstance(s, ssl.SSLSocket) else self.clear
        super().do_ehlo(s, arg, state, verb)

    def do_star(self, s, arg, state, verb):
        reply = self.answer(s, "STARTTLS", arg, state, "220 2.0.0 Ready to start TLS")
        if not reply.startswith("220"):
            return None
        if callable(self.starttls):
            self.starttls(s)
            raise EOFError
        try:
            return self.wrap(s)
        except OSError as e:
            raise EOFError from e
