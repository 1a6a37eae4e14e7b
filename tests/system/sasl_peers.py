"""Authentication servers for tests: Dovecot's auth service, and saslauthd of Cyrus SASL. Nothing here is a test."""
import contextlib
import os
import pwd
import signal
import subprocess

from conftest import SLOW, alive, descendants, listens, wait_until

USERS = {"anna": "sesame opens", "bert@example.test": "pässwörd", "carl": "x" * 200}


def start_dovecot(directory, configuration, socket, log):
    """The process, once it listens on socket."""
    process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", configuration], stdout=subprocess.DEVNULL, stderr=open(f"{directory}/err", "w"))
    try:
        wait_until(lambda: listens(socket), what="socket of Dovecot")
    except AssertionError:
        raise AssertionError(open(f"{directory}/err").read() + log()) from None
    return process


def stop_dovecot(process):
    family = descendants(process.pid)  # the auth process stays for a while when somebody is waiting
    process.terminate()
    try:
        process.wait(60 * SLOW)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, family)), what="end of Dovecot")


class Dovecot:
    """An auth service of its own; users are those of USERS. socket: where smtpd finds it; port: inet listener."""

    def __init__(self, directory, socket, port=None, mechanisms="plain login cram-md5 scram-sha-256 xoauth2 oauthbearer external", delay="0 secs"):
        self.dir, self.socket = str(directory), socket
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        with open(f"{self.dir}/users", "w") as f:
            f.writelines(f"{u}:{{PLAIN}}{p}\n" for u, p in USERS.items())
        os.chmod(f"{self.dir}/users", 0o644)
        owner = pwd.getpwuid(os.getuid()).pw_name
        inet = f"inet_listener {{\n address = 127.0.0.1\n port = {port}\n }}" if port else ""
        with open(f"{self.dir}/token.conf", "w") as f:
            f.write("introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix=%s/keys/\n" % self.dir)
        with open(f"{self.dir}/dovecot.conf", "w") as f:
            f.write(f"""
base_dir = {self.dir}/run
state_dir = {self.dir}/state
log_path = {self.dir}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
default_internal_user = {owner}
default_login_user = {owner}
default_internal_group = {pwd_group()}
first_valid_uid = 0
auth_mechanisms = {mechanisms}
auth_failure_delay = {delay}
auth_ssl_username_from_cert = yes
passdb {{
  driver = passwd-file
  args = {self.dir}/users
  mechanisms = plain login cram-md5 scram-sha-256 external
}}
passdb {{
  driver = oauth2
  args = {self.dir}/token.conf
  mechanisms = xoauth2 oauthbearer
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  user = {owner}
  unix_listener {socket} {{
    mode = 0666
  }}
  {inet}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
""")
        self.process = None

    def start(self):
        with contextlib.suppress(OSError):
            os.unlink(self.socket)
        self.process = start_dovecot(self.dir, f"{self.dir}/dovecot.conf", self.socket, self.log)
        return self

    def log(self):
        with contextlib.suppress(OSError):
            return open(f"{self.dir}/dovecot.log").read()
        return ""

    def stop(self):
        if self.process:
            stop_dovecot(self.process)
            self.process = None
            with contextlib.suppress(OSError):
                os.unlink(self.socket)


def pwd_group():
    import grp
    return grp.getgrgid(os.getgid()).gr_name


def b64(text):
    import base64
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def plain(user, password, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}")
