"""A signed zone on loopback: NSD serves it, Unbound validates it. Private instances on ephemeral ports.

Names below dane.test are signed; below plain.test they are not. bogus.test is signed with keys that nobody trusts.
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from conftest import SLOW, wait_until


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, socket.socket() as t:
        u.bind(("127.0.0.1", 0))
        port = u.getsockname()[1]
        try:
            t.bind(("127.0.0.1", port))
        except OSError:
            return free_udp_port()
        return port


def run(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kw).stdout


class Signed:
    """zones: name to the lines of its records. Every zone but those in unsigned is signed; a zone in bogus has a trust anchor of
    another key. resolv_conf names Unbound; authority_conf names NSD itself (no validation there); anchors: file of trust anchors.
    standard: an address where Unbound is at port 53 as well, for resolvers that know no other port."""

    def __init__(self, zones, unsigned=(), bogus=(), standard=None):
        self.standard = standard
        self.top = tempfile.mkdtemp(prefix="pd-", dir="/tmp")
        os.chmod(self.top, 0o755)
        self.nsd_port, self.port = free_udp_port(), free_udp_port()
        self.zones, self.anchors = zones, f"{self.top}/anchors"
        anchors, served = [], []
        for zone, records in zones.items():
            path = f"{self.top}/{zone}"
            with open(path, "w") as f:
                f.write(f"$ORIGIN {zone}.\n$TTL 300\n@ IN SOA ns.{zone}. root.{zone}. 1 3600 600 86400 300\n@ IN NS ns.{zone}.\nns IN A 127.0.0.1\n")
                f.writelines(r + "\n" for r in records)
            if zone not in unsigned:
                key = self.key(zone)
                run("ldns-signzone", "-n", zone, key, cwd=self.top)
                path += ".signed"
                if zone in bogus:
                    key = self.key(zone)
                anchors.append(open(f"{self.top}/{key}.ds").read())
            served.append((zone, path))
        with open(self.anchors, "w") as f:
            f.write("; trust anchors of this test\n" + "".join(anchors))
        self.processes = [self.start_nsd(served), self.start_unbound(served)]
        self.resolv_conf, self.authority_conf = f"{self.top}/resolv.conf", f"{self.top}/authority.conf"
        for path, port in ((self.resolv_conf, self.port), (self.authority_conf, self.nsd_port)):
            with open(path, "w") as f:
                f.write(f"nameserver [127.0.0.1]:{port}\n")
        for port in (self.nsd_port, self.port):
            wait_until(lambda p=port: self.answers(p), what=f"name server at {port}\n{self.output()}")

    def key(self, zone):
        return run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone, cwd=self.top).strip()

    def spawn(self, name, *args):
        with open(f"{self.top}/{name}.out", "w") as out:
            return subprocess.Popen(args, stdout=out, stderr=out, cwd=self.top)

    def start_nsd(self, served):
        me = pwd.getpwuid(os.getuid()).pw_name
        with open(f"{self.top}/nsd.conf", "w") as f:
            f.write(f'server:\n  ip-address: 127.0.0.1@{self.nsd_port}\n  zonesdir: "{self.top}"\n  username: {me}\n  database: ""\n  pidfile: "{self.top}/nsd.pid"\n'
                    f'  xfrdfile: "{self.top}/xfrd"\n  xfrdir: "{self.top}"\n  zonelistfile: "{self.top}/zone.list"\n  server-count: 1\n  tcp-count: 10\n'
                    '  verbosity: 1\nremote-control:\n  control-enable: no\n')
            f.writelines(f'zone:\n  name: "{zone}"\n  zonefile: "{path}"\n' for zone, path in served)
        return self.spawn("nsd", "/usr/sbin/nsd", "-d", "-c", f"{self.top}/nsd.conf")

    def start_unbound(self, served):
        with open(f"{self.top}/unbound.conf", "w") as f:
            f.write(f'server:\n  interface: 127.0.0.1@{self.port}\n  port: {self.port}\n  do-ip6: no\n'
                    + (f"  interface: {self.standard}@53\n" if self.standard else "")
                    + f'  username: ""\n  chroot: ""\n  directory: "{self.top}"\n'
                    f'  pidfile: "{self.top}/unbound.pid"\n  use-syslog: no\n  do-daemonize: no\n  do-not-query-localhost: no\n  verbosity: 1\n  num-threads: 1\n'
                    f'  trust-anchor-file: "{self.anchors}"\n  module-config: "validator iterator"\n  aggressive-nsec: no\n')
            f.writelines(f'  local-zone: "{zone}" transparent\n' for zone, _ in served)
            f.write('  local-zone: "test." nodefault\n')
            f.write("remote-control:\n  control-enable: no\n")
            f.writelines(f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{self.nsd_port}\n' for zone, _ in served)
        return self.spawn("unbound", "/usr/sbin/unbound", "-d", "-c", f"{self.top}/unbound.conf")

    def answers(self, port):
        name = next(iter(self.zones))
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\x06\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            try:
                s.sendto(query, ("127.0.0.1", port))
                return len(s.recv(4096)) > len(query)
            except OSError:
                return False

    def output(self):
        return "".join(open(f"{self.top}/{n}.out").read() for n in ("nsd", "unbound") if os.path.exists(f"{self.top}/{n}.out"))

    def stop(self):
        for p in self.processes:
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            p.wait(60 * SLOW)
        shutil.rmtree(self.top, ignore_errors=True)
