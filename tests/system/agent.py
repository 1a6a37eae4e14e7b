"""A delivery agent on its own: this module plays master, queue manager, bounce, defer, trace and verify for it.

Agent runs one build/bin program with a private configuration; Agent.deliver() sends a request with a queue file made
on the spot and returns what the agent reported. FakeServer is an SMTP or LMTP server that answers as the test says.
"""
import contextlib
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from conftest import BUILD, SLOW, TOP, ensure_accounts, free_port, wait_until


# ---- messages between services: the declarations of src/ipc/messages.def, read as they stand ----

def read_declarations():
    text = re.sub(r"/\*.*?\*/", "", open(f"{TOP}/src/ipc/messages.def").read(), flags=re.S)
    out, numbers, fields = {}, {}, None
    for kind, args in re.findall(r"\b(RECORD_FIELD|RECORD|MESSAGE|FIELD|LIST|END)\(([^)]*)\)", text):
        args = [a.strip() for a in args.split(",")]
        if kind in ("RECORD", "MESSAGE"):
            fields = out[args[0]] = []
            if kind == "MESSAGE":
                numbers[args[0]] = len(numbers) + 1
        elif kind == "FIELD":
            fields.append((args[0], args[1], None))
        elif kind in ("RECORD_FIELD", "LIST"):
            fields.append((kind, args[1], args[0]))
    return out, numbers


FIELDS, NUMBERS = read_declarations()
NAMES = {v: k for k, v in NUMBERS.items()}


def encode_fields(name, value):
    out = b""
    for kind, field, record in FIELDS[name]:
        v = value.get(field)
        if kind == "TEXT":
            v = (v or "").encode() if not isinstance(v, bytes) else v
            out += struct.pack("<I", len(v)) + v
        elif kind == "NUMBER":
            out += struct.pack("<q", v or 0)
        elif kind == "FLAG":
            out += b"\1" if v else b"\0"
        elif kind == "RECORD_FIELD":
            out += encode_fields(record, v or {})
        else:
            out += struct.pack("<I", len(v or [])) + b"".join(encode_fields(record, x) for x in v or [])
    return out


def encode(name, value):
    body = encode_fields(name, value)
    return struct.pack("<BBHI", 0xF5, NUMBERS[name], 0, len(body)) + body


def decode_fields(name, data, at):
    out = {}
    for kind, field, record in FIELDS[name]:
        if kind == "TEXT":
            n, = struct.unpack_from("<I", data, at)
            out[field] = data[at + 4:at + 4 + n].decode("utf-8", "replace")
            at += 4 + n
        elif kind == "NUMBER":
            out[field], = struct.unpack_from("<q", data, at)
            at += 8
        elif kind == "FLAG":
            out[field] = data[at] != 0
            at += 1
        elif kind == "RECORD_FIELD":
            out[field], at = decode_fields(record, data, at)
        else:
            n, = struct.unpack_from("<I", data, at)
            at += 4
            out[field] = []
            for _ in range(n):
                x, at = decode_fields(record, data, at)
                out[field].append(x)
    return out, at


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_message(s):
    _, number, _, n = struct.unpack("<BBHI", read_exactly(s, 8))
    return NAMES[number], decode_fields(NAMES[number], read_exactly(s, n), 0)[0]


def record(kind, payload):
    n, head = len(payload), b""
    while True:
        head += bytes([n & 0x7F | (0x80 if n > 0x7F else 0)])
        n >>= 7
        if not n:
            return kind + head + payload


# ---- the agent ----

class Agent:
    def __init__(self, program="smtp", arguments=(), **main):
        ensure_accounts()
        self.top = tempfile.mkdtemp(prefix="pa-", dir="/tmp")
        os.chmod(self.top, 0o755)
        self.spool = f"{self.top}/spool"
        for d in ("spool", "spool/private", "spool/active", "spool/tlstrace", "data", "etc"):
            os.makedirs(f"{self.top}/{d}")
        self.log = f"{self.top}/log"
        open(self.log, "w").close()
        owner = "postern" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        for d in (self.spool, self.log, f"{self.top}/data", f"{self.spool}/private", f"{self.spool}/active", f"{self.spool}/tlstrace"):
            shutil.chown(d, owner)
        settings = {
            "compatibility_level": "3.11", "myhostname": "client.example", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "queue_directory": self.spool, "data_directory": f"{self.top}/data", "maillog_file": self.log, "maillog_file_prefixes": "/",
            "mail_owner": owner, "setgid_group": "posternd" if os.getuid() == 0 else str(os.getgid()), "smtp_dns_support_level": "disabled", **main}
        with open(f"{self.top}/etc/main.cf", "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in settings.items() if v is not None)
        self.appended, self.requests, self.stopped = {}, [], False
        self.listeners = []
        self.connection = None
        self.lock = threading.Lock()
        for name in ("bounce", "defer", "trace", "verify"):
            self.serve(name)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(f"{self.spool}/private/agent")
        os.chmod(f"{self.spool}/private/agent", 0o666)
        self.socket.listen(100)
        self.start(program, arguments)

    def start(self, program, arguments):
        status, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.status = ours

        null = open("/dev/null", "r+b", buffering=0)

        def arrange():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (null.fileno(), null.fileno(), status.fileno(), self.socket.fileno())]
            for i, fd in enumerate(high):  # as master arranges them: flow control, status, the socket
                os.dup2(fd, 3 + i)
        env = {**os.environ, "MAIL_CONFIG": f"{self.top}/etc", "GENERATION": "1"}
        self.process = subprocess.Popen([f"{BUILD}/bin/{program}", "-t", "unix", "-u", *arguments], preexec_fn=arrange, close_fds=False, env=env,
                                        cwd=self.spool, stderr=open(f"{self.top}/stderr", "w"))
        status.close()
        null.close()

    def serve(self, name):
        listener = socket.socket(socket.AF_UNIX)
        self.listeners.append(listener)
        listener.bind(f"{self.spool}/private/{name}")
        os.chmod(f"{self.spool}/private/{name}", 0o666)
        listener.listen(100)
        self.appended[name] = []

        def talk(c):
            with contextlib.suppress(EOFError, OSError):
                while True:
                    kind, m = read_message(c)
                    self.appended[name].append(m)
                    c.sendall(encode("verify_reply" if kind == "verify_request" else "status_reply", {}))

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()

    def serve_agent(self, name):
        """Another delivery agent, which defers everything. Returns the list of requests that it will get."""
        listener = socket.socket(socket.AF_UNIX)
        self.listeners.append(listener)
        listener.bind(f"{self.spool}/private/{name}")
        os.chmod(f"{self.spool}/private/{name}", 0o666)
        listener.listen(5)
        requests = []

        def loop():
            c = listener.accept()[0]
            c.sendall(encode("agent_ready", {"version": 1}))
            requests.append(read_message(c)[1])
            c.sendall(encode("deliver_result", {"status": 1}))
        threading.Thread(target=loop, daemon=True).start()
        return requests

    def connect(self, patience=60):
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(patience * SLOW)
        c.connect(f"{self.spool}/private/agent")
        assert read_message(c)[0] == "agent_ready", self.logs()
        return c

    def queue_file(self, queue_id, content):
        data = b"".join(record(b"N", line) for line in content.split(b"\n")[:-1])
        path = f"{self.spool}/active/{queue_id}"
        recipients = record(b"M", b"")
        with open(path, "wb") as f:
            f.write(recipients + data + record(b"X", b"") + record(b"E", b""))
        shutil.chown(path, "postern" if os.getuid() == 0 else os.getuid())
        return path, len(recipients), len(data)

    def deliver(self, nexthop, to="user@dest.example", sender="sender@src.example", content=b"Subject: x\n\nhello\n", connection=None, size=None, **request):
        """Returns (log lines of this message, the deliver_result)."""
        with self.lock:
            queue_id = f"Q{len(self.requests):05d}{int(time.time() * 1000) % 100000:05d}"
            self.requests.append(queue_id)
        path, offset, data_size = self.queue_file(queue_id, content)
        recipients = [r if isinstance(r, dict) else {"address": r} for r in ([to] if isinstance(to, (str, dict)) else to)]
        now = time.time()
        request = {"flags": 3, "queue_name": "active", "queue_id": queue_id, "data_offset": offset, "data_size": data_size, "size": size or len(content),
                   "nexthop": nexthop, "sender": sender, "arrival_sec": int(now), "active_sec": int(now), "recipients": recipients, **request}
        own = connection is None
        if own:
            if self.connection is None:
                self.connection = self.connect()
            connection = self.connection
        fd = os.open(path, os.O_RDWR)
        socket.send_fds(connection, [encode("deliver_request", request)], [fd])
        os.close(fd)
        kind, result = read_message(connection)
        assert kind == "deliver_result"
        lines = [line.split("]: ", 1)[1] for line in self.logs().splitlines() if queue_id in line]
        return [line.replace(queue_id + ": ", "") for line in lines], result

    def logs(self):
        return open(self.log, errors="replace").read() + open(f"{self.top}/stderr").read()

    def stop(self):
        if self.connection:
            self.connection.close()
        self.status.close()
        try:
            self.process.wait(60 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            raise AssertionError("the agent did not end:\n" + self.logs()) from None
        finally:
            self.socket.close()
            for listener in self.listeners:
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)  # a thread still waits in accept()
                listener.close()
        logs = self.logs()
        shutil.rmtree(self.top, ignore_errors=True)
        assert self.process.returncode == 0, f"status {self.process.returncode}\n{logs}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        if kind:
            print(self.logs())
        self.stop()


# ---- the other end ----

CLOSE = object()  # a reply: hang up
HANG = object()   # a reply: say nothing for ever

FEATURES = ("PIPELINING", "SIZE 1000000", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8")


class FakeServer:
    """replies: verb (CONNECT EHLO HELO LHLO MAIL RCPT DATA DOT RSET QUIT ...) to a reply, or to a function of the argument and
    the connection's state that returns one. For LMTP the reply to DOT is asked for each accepted recipient."""

    def __init__(self, features=FEATURES, lmtp=False, path=None, name="server.example", address="127.0.0.1", port=0, **replies):
        self.features, self.lmtp, self.name, self.replies = features, lmtp, name, replies
        self.commands, self.messages, self.connections, self.sizes, self.chunks = [], [], 0, [], []
        self.sessions = {}  # number of the connection, from 1 -> its verbs
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o666)
            self.port = 0
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port or free_port()))
            self.port = self.listener.getsockname()[1]
        self.hop = f"[{address}]:{self.port}"
        self.where = f"{address}[{address}]"
        self.listener.listen(50)
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.talk, args=(s, self.connections), daemon=True).start()

    def answer(self, s, verb, argument, state, default):
        reply = self.replies.get(verb, default)
        if callable(reply):
            reply = reply(argument, state)
            if reply is None:
                reply = default
        if reply is CLOSE:
            raise EOFError
        if reply is HANG:
            time.sleep(3600)
        s.sendall((reply if isinstance(reply, bytes) else reply.encode()) + b"\r\n")
        return reply if isinstance(reply, str) else reply.decode("latin-1")

    def talk(self, s, number):
        state = {"number": number, "verbs": [], "rcpt": [], "mail": None, "accepted": [], "n": 0}
        self.buffer = getattr(self, "buffer", {})
        self.buffer[number] = b""
        self.sessions[number] = state["verbs"]
        with contextlib.suppress(EOFError, OSError), s:
            self.answer(s, "CONNECT", "", state, f"220 {self.name} ESMTP")
            while True:
                line = self.line(s, number).decode("utf-8", "replace")
                self.commands.append(line)
                verb = line[:4].upper()
                state["verbs"].append(verb)
                s = getattr(self, "do_" + verb.lower(), self.do_other)(s, line[5:], state, verb) or s
                if verb == "QUIT":
                    return

    def line(self, s, number):
        while b"\n" not in self.buffer[number]:
            more = s.recv(65536)
            if not more:
                raise EOFError
            self.chunks.append(more)
            self.buffer[number] += more
        line, self.buffer[number] = self.buffer[number].split(b"\n", 1)
        return line.rstrip(b"\r")

    def do_other(self, s, arg, state, verb):
        self.answer(s, verb, arg, state, "221 2.0.0 Bye" if verb == "QUIT" else "250 2.0.0 Ok" if verb in ("RSET", "NOOP", "XFOR") else "500 5.5.2 What?")

    def do_ehlo(self, s, arg, state, verb):
        lines = [self.name, *self.features]
        self.answer(s, verb, arg, state, "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{x}" for i, x in enumerate(lines)))

    def do_lhlo(self, s, arg, state, verb):
        self.do_ehlo(s, arg, state, verb)

    def do_helo(self, s, arg, state, verb):
        self.answer(s, verb, arg, state, f"250 {self.name}")

    def do_mail(self, s, arg, state, verb):
        state.update(mail=arg, rcpt=[], accepted=[])
        self.answer(s, verb, arg, state, "250 2.1.0 Ok")

    def do_rcpt(self, s, arg, state, verb):
        state["rcpt"].append(arg)
        if self.answer(s, verb, arg, state, "250 2.1.5 Ok").startswith("2"):
            state["accepted"].append(arg)

    def do_data(self, s, arg, state, verb):
        default = "354 go" if state["accepted"] else "554 5.5.1 no valid recipients"
        if not self.answer(s, verb, arg, state, default).startswith("3"):
            return
        lines = []
        while (line := self.line(s, state["number"])) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        state["n"] += 1
        self.messages.append({"mail": state["mail"], "rcpt": state["accepted"], "lines": lines})
        if self.lmtp:
            for r in state["accepted"]:
                self.answer(s, "DOT", r, state, f"250 2.0.0 <{r[4:-1]}> Saved")
        else:
            self.answer(s, "DOT", "", state, f"250 2.0.0 Ok: queued as {len(self.messages)}")

    def wait_commands(self, pattern):
        return wait_until(lambda: [c for c in self.commands if re.match(pattern, c)], what=f"{pattern} in {self.commands}")

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # a thread still waits in accept()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()
