"""Nothing fails open: whatever a decision needs is taken away or broken, before the start, while the system runs, and at reload. Each row refuses mail to
TO (or from this client) while all is well; afterwards there is no answer that takes it, and a start that is refused names the file."""
import contextlib
import os
import re
import shutil
import socket
import time

import pytest
from conftest import Raw, wait_until

TO, FROM = "x@example.test", "a@b.test"
RCPT = "smtpd_recipient_restrictions"
ACCESS = f"{TO} reject\n"


def access(kind):
    return {RCPT: f"check_recipient_access {kind}:FILE"}


def instructions(kind):
    return {"smtpd_client_instruction_maps": f"{kind}:FILE"}


# name: settings; contents of FILE; whether postmap makes a table of it (and of what kind); what makes it unusable beside removal
ROWS = {
    "check_rules": ({RCPT: "check_rules_file FILE"}, f"noto:ALL:ALL:{TO}:550 no\n", None, "noto:ALL:ALL\n"),
    "match_rules": ({"smtpd_relay_restrictions": "match_rules FILE"}, "action a any\nmatch sender=x reject 550 5.7.1 no\n".replace("sender=x", "any"), None, "match nonsense\n"),
    "match_table": ({"smtpd_relay_restrictions": "match_rules MATCH"}, f"joe x\n", None, None),
    "texthash": (access("texthash"), ACCESS, None, None),
    "regexp": (access("regexp"), "/^x@/ reject\n", None, "/(/ reject\n"),
    "pcre": (access("pcre"), "/^x@/ reject\n", None, "/(/ reject\n"),
    "cidr": ({"smtpd_client_restrictions": "check_client_access cidr:FILE"}, "127.0.0.0/8 reject\n", None, "127.0.0.0/99 reject\n"),
    "hash": (access("hash"), ACCESS, "hash", "garbage"),
    "lmdb": (access("lmdb"), ACCESS, "lmdb", "garbage"),
    "cdb": (access("cdb"), ACCESS, "cdb", "garbage"),
    "local_recipients": ({"local_recipient_maps": "texthash:FILE"}, "joe x\n", None, None),
    "logins": ({"smtpd_sender_restrictions": "reject_sender_login_mismatch", "smtpd_sender_login_maps": "texthash:FILE"}, f"{FROM} joe\n", None, None),
    "relay_domains": ({"relay_domains": "texthash:FILE", "mydestination": "", "mynetworks": "10.0.0.1"}, "other.test x\n", None, None),
    "mynetworks": ({"mynetworks": "!127.0.0.1, FILE", "mydestination": ""}, "10.0.0.0/8\n", None, None),
    "virtual_alias": ({"virtual_alias_domains": "example.test", "virtual_alias_maps": "texthash:FILE", "mydestination": ""}, "joe@example.test joe\n", None, None),
    "tcprules": (instructions("tcprules"), "127.0.0.1:deny\n", None, "127.0.0.1:permit\n"),
    "tcprules_cdb": (instructions("tcprules"), "127.0.0.1:deny\n", "tcprules", "garbage"),
    "ipsvd": (instructions("ipsvd"), {"127.0.0.1": None, "0": ""}, None, None),
    "restrictive_rule": (instructions("tcprules"), "127.0.0.1:allow,BLOCKRELAYPROBE=\"\",smtpd_recipient_restrictions=\"reject\"\n", None, "127.0.0.1:allow,MAXRCPTCOUNT=\"x\"\n"),
    "rbl_list": ({"smtpd_recipient_restrictions": "check_rbl_list, reject", "smtpd_rbl_list": "FILE"}, "bl.test reject 127.0.0.2 go away\n", None, "bl.test nonsense\n"),
    "signatures": ({"smtpd_recipient_restrictions": "reject", "smtpd_content_signatures": "FILE"}, "TVqQAAMAA\n", None, "\x01\n"),
    "filters": ({"smtpd_filters": "f", "smtpd_filter_definitions": "FILE"}, "f builtin f\n phase rcpt-to\n decision reject 550 no\n", None, "f nonsense\n"),
    "pop_before_smtp": ({"mydestination": "", "mynetworks": "10.0.0.1", "smtpd_pop_before_smtp_maps": "texthash:FILE",
                         "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"}, "10.1.1.1 x\n", None, None),
}


class Case:
    def __init__(self, postern, name):
        settings, self.contents, self.kind, self.broken = ROWS[name]
        self.p = postern(start=False)
        self.file = f"{self.p.dir}/the.{name}"
        self.p.main.update({k: v.replace("FILE", self.file).replace("MATCH", f"{self.p.dir}/match") for k, v in settings.items()})
        with open(f"{self.p.dir}/match", "w") as f:
            f.write(f"action a users=texthash:{self.file}\nmatch any action a\n")
        self.p.write_config()
        self.restore()

    @property
    def path(self):
        """What the system reads."""
        return next((self.file + end for end in (".db", ".lmdb", ".cdb") if os.path.exists(self.file + end)), self.file)

    def restore(self):
        self.remove()
        if isinstance(self.contents, dict):
            os.makedirs(self.file)
            for name, text in self.contents.items():
                with open(f"{self.file}/{name}", "w") as f:
                    f.write(text or "")
                os.chmod(f"{self.file}/{name}", 0 if text is None else 0o644)
            return
        with open(self.file, "w") as f:
            f.write(self.contents)
        if self.kind:
            self.p.run("postmap", f"{self.kind}:{self.file}", check=True)
            if self.kind == "tcprules":
                os.unlink(self.file)

    def remove(self):
        for path in {self.path, self.file}:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def ways(self):
        def directory():
            self.remove_table()
            os.mkdir(self.table)

        def damaged():
            self.remove_table()
            with open(self.table, "w") as f:
                f.write(self.broken)
        self.table = self.path
        return {"removed": self.remove_table, **({} if isinstance(self.contents, dict) else {"directory": directory}),
                **({"damaged": damaged} if self.broken else {})}

    def remove_table(self):
        if os.path.isdir(self.table):
            shutil.rmtree(self.table)
        elif os.path.exists(self.table):
            os.unlink(self.table)

    def answer(self):
        """The last reply of a session; '' when there is none."""
        with contextlib.suppress(OSError), contextlib.closing(Raw(self.p.port, greet=False, timeout=20)) as c:
            reply = c.reply()
            for command in ("EHLO c.test", f"MAIL FROM:<{FROM}>", f"RCPT TO:<{TO}>"):
                if reply[:1] != "2":
                    break
                reply = c.cmd(command)
            return reply
        return ""


@pytest.mark.parametrize("name", ROWS)
def test_without_its_file(postern, name):
    c = Case(postern, name)
    lines = []
    for way, spoil in c.ways().items():
        spoil()
        r = c.p.run("postfix", "start")
        if r.returncode == 0:
            a = c.answer()
            lines.append(f"start {way}: runs, {a!r}")
            c.p.stop()
        else:
            lines.append(f"start {way}: {(r.stdout + r.stderr).strip().splitlines()[0]}")
        c.restore()
    c.p.start()
    lines.append(f"good: {c.answer()!r}")
    for way, spoil in c.ways().items():
        c.answer()
        spoil()
        lines.append(f"run {way}: {[c.answer() for i in range(4)]!r}")
        r = c.p.run("postfix", "reload")
        time.sleep(0.3)
        lines.append(f"reload {way}: {r.returncode} {(r.stdout + r.stderr).strip().splitlines()[:1]} {[c.answer() for i in range(2)]!r}")
        c.restore()
        c.p.run("postfix", "reload")
        time.sleep(0.5)
        lines.append(f"again: {c.answer()!r}")
    open(f"/work/tmp/explain/closed.{name}", "w").write("\n".join(lines) + "\n" + c.p.logs())
