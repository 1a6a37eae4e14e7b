"""A server that asks for a login, for tests of AUTH: scripted, and faulty when told so."""
import base64
import hashlib
import hmac
import os

from agent import FEATURES, FakeServer


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class AuthServer(FakeServer):
    """users: name to password. self.logins: (mechanism, name) of each that went well. script: replies to AUTH and to each line that
    follows, instead of what it would say."""

    def __init__(self, mechanisms="PLAIN LOGIN", users=None, script=None, features=FEATURES, **kw):
        self.users = {"user": "secret"} if users is None else users
        self.script, self.logins, self.auths = script, [], 0
        offer = () if mechanisms is None else (f"AUTH {mechanisms}".strip(),)
        super().__init__(features=(*features, *offer), **kw)

    def say(self, s, text):
        s.sendall(text.encode() + b"\r\n")

    def ask(self, s, state, challenge):
        self.say(s, "334 " + b64(challenge))
        line = self.line(s, state["number"]).decode()
        self.commands.append(line)
        if line == "*":
            raise ValueError("cancelled")
        return base64.b64decode(line, validate=True)

    def plain(self, s, state, initial):
        _, user, password = (initial if initial is not None else self.ask(s, state, "")).decode().split("\0")
        return user, self.users.get(user) == password

    def login(self, s, state, initial):
        user = (initial if initial is not None else self.ask(s, state, "Username:")).decode()
        return user, self.users.get(user) == self.ask(s, state, "Password:").decode()

    def cram_md5(self, s, state, initial):
        challenge = b"<1.2@server.example>"
        user, digest = self.ask(s, state, challenge).decode().rsplit(" ", 1)
        return user, hmac.new(self.users.get(user, "").encode(), challenge, hashlib.md5).hexdigest() == digest

    def scram_sha_256(self, s, state, initial):
        bare = initial.decode()[3:]
        user, nonce = (x.split("=", 1)[1] for x in bare.split(","))
        user = user.replace("=2C", ",").replace("=3D", "=")
        first = f"r={nonce}more,s={b64(b'salt')},i=4096"
        final = self.ask(s, state, first).decode()
        without, proof = final.rsplit(",p=", 1)
        salted = hashlib.pbkdf2_hmac("sha256", self.users.get(user, "").encode(), b"salt", 4096)
        client = hmac.new(salted, b"Client Key", "sha256").digest()
        text = f"{bare},{first},{without}".encode()
        signature = hmac.new(hashlib.sha256(client).digest(), text, "sha256").digest()
        good = bytes(a ^ b for a, b in zip(client, signature)) == base64.b64decode(proof) and without == f"c=biws,r={nonce}more"
        if good:
            key = b"Server Key" if getattr(self, "honest", True) else b"Some Key"
            v = hmac.new(hmac.new(salted, key, "sha256").digest(), text, "sha256").digest()
            assert self.ask(s, state, f"v={b64(v)}") == b""
        return user, good

    def xoauth2(self, s, state, initial):
        data = initial if initial is not None else self.ask(s, state, "")
        user, token = data[:-2].decode().split("\1")
        user, token = user[5:], token[12:]
        if self.users.get(user) != token:
            assert self.ask(s, state, '{"status":"401"}') == b""
        return user, self.users.get(user) == token

    def oauthbearer(self, s, state, initial):
        parts = (initial if initial is not None else self.ask(s, state, "")).decode().split("\1")
        user, token = parts[0][4:-1], parts[-3][12:]
        self.details = parts
        if self.users.get(user) != token:
            assert self.ask(s, state, '{"status":"invalid_token"}') == b"\1"
        return user, self.users.get(user) == token

    def do_auth(self, s, arg, state, verb):
        self.auths += 1
        if self.script is not None:
            for reply in self.script:
                self.say(s, reply)
                if not reply.startswith("334"):
                    return
                self.commands.append(self.line(s, state["number"]).decode())
            raise EOFError
        mechanism, _, initial = arg.partition(" ")
        try:
            decoded = None if not initial else b"" if initial == "=" else base64.b64decode(initial, validate=True)
            user, good = getattr(self, mechanism.lower().replace("-", "_"))(s, state, decoded)
        except ValueError:
            self.say(s, "501 5.7.0 Authentication aborted")
            return
        if good:
            self.logins.append((mechanism, user))
        self.say(s, "235 2.7.0 Authentication successful" if good else "535 5.7.8 Error: authentication failed")


def password_file(directory, entries, name="passwords"):
    path = os.path.join(directory, name)
    with open(path, "w") as f:
        f.writelines(f"{k} {v}\n" for k, v in entries.items())
    os.chmod(path, 0o644)
    return f"texthash:{path}"
