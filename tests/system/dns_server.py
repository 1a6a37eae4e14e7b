"""A name server for tests: answers what it is told, by UDP and TCP, and notes what it was asked."""
import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading

import pytest

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
NAMES = {v: k for k, v in TYPES.items()}


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.strip(".").split(".") if label) + b"\0"


def data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack(">H", value[0]) + name(value[1])
    if kind == "SRV":
        return struct.pack(">HHH", *value[:3]) + name(value[3])
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    return name(value)


class NameServer:
    """zone: {"name": {"MX": [(10, "mx.name")], "A": ["192.0.2.1"]}}; a name that is missing does not exist. trouble: name to
    "servfail", "silence", "truncate" (until asked by TCP), "garbage", "formerr" (when asked with EDNS). file: for dns_resolver_file."""

    def __init__(self, zone, trouble=None):
        self.zone, self.trouble, self.asked = zone, trouble or {}, []
        self.dir = tempfile.mkdtemp(prefix="pd-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.file = f"{self.dir}/resolv.conf"
        while True:  # one port that is free for both
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            with contextlib.suppress(OSError):
                self.tcp = socket.create_server(("127.0.0.1", self.port))
                break
            self.udp.close()
        with open(self.file, "w") as f:
            f.write(f"nameserver [127.0.0.1]:{self.port}\noptions timeout:3 attempts:2\n")
        for loop in (self.udp_loop, self.tcp_loop):
            threading.Thread(target=loop, daemon=True).start()

    def udp_loop(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.udp.recvfrom(4096)
                if len(query) < 12:
                    return
                reply = self.reply(query, False)
                if reply:
                    self.udp.sendto(reply, peer)

    def tcp_loop(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.tcp.accept()
                with s, contextlib.suppress(struct.error):
                    n, = struct.unpack(">H", s.recv(2))
                    reply = self.reply(s.recv(n), True)
                    s.sendall(struct.pack(">H", len(reply)) + reply)

    def reply(self, query, tcp):
        ident, flags, _, _, _, extra = struct.unpack(">HHHHHH", query[:12])
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = NAMES.get(struct.unpack(">H", query[at + 1:at + 3])[0], "?")
        question, asked = query[12:at + 5], ".".join(labels).lower()
        self.asked.append((asked, kind, "tcp" if tcp else "udp"))
        trouble = self.trouble.get(asked)
        head = lambda bits, n: struct.pack(">HHHHHH", ident, 0x8180 | bits, 1, n, 0, 0) + question
        if trouble == "silence":
            return None
        if trouble == "servfail":
            return head(2, 0)
        if trouble == "formerr" and extra:
            return head(1, 0)
        if trouble == "truncate" and not tcp:
            return head(0x200, 0)
        if trouble == "garbage":
            return struct.pack(">HHHHHH", ident, 0x8180, 1, 3, 0, 0) + question + b"\xc0\xff\xff"
        if asked not in self.zone:
            return head(3, 0)
        records, current = b"", asked
        n = 0
        for _ in range(10):
            for value in self.zone.get(current, {}).get(kind, []):
                d = data(kind, value)
                records += name(current) + struct.pack(">HHIH", TYPES[kind], 1, 300, len(d)) + d
                n += 1
            alias = self.zone.get(current, {}).get("CNAME")
            if not alias:
                break
            d = name(alias)
            records += name(current) + struct.pack(">HHIH", 5, 1, 300, len(d)) + d
            n, current = n + 1, alias
        return head(0, n) + records

    def close(self):
        with contextlib.suppress(OSError):
            self.udp.shutdown(socket.SHUT_RDWR)
        self.udp.close()
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def name_server(zone, trouble=None):
    """A fixture: one NameServer for the tests of a module."""
    @pytest.fixture(scope="module")
    def dns():
        server = NameServer(zone, trouble)
        yield server
        server.close()
    return dns
