"""Queue files of Postern and of Debian's Postfix for the same message and the same settings, record by record."""
import os
import re

import pytest

from conftest import wait_until
from test_oracle import oracle_root, postfix  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="a real Postfix runs only as root"), pytest.mark.heavy]

COMMON = {"mail_name": "Postfix", "transport_maps": "static:{retry:4.3.0 later}", "smtpd_reject_unlisted_recipient": "no",
          "smtpd_relay_restrictions": "permit_mynetworks, reject", "recipient_delimiter": "+",
          "export_environment": "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH"}


def records(path):
    """[(type, payload)] of a queue file, without the notes of qmgr behind its end."""
    data, at, out = open(path, "rb").read(), 0, []
    while at < len(data):
        kind, at, n, shift = chr(data[at]), at + 1, 0, 0
        while True:
            byte, at = data[at], at + 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        out.append((kind, data[at:at + n].decode("latin-1")))
        at += n
        if kind == "E":
            break
    return out


def normal(path):
    """Without what differs from one message to the next: ids, times, ports."""
    qid, out = os.path.basename(path), []
    for kind, text in records(path):
        text = text.replace(qid, "QID")
        if kind in "TW" or text.startswith("create_time="):
            text = "TIME"
        elif kind == "C":
            numbers = text.split()
            text = " ".join(numbers[2:4] + numbers[5:])  # sizes depend on the length of the id
        text = re.sub(r"client_port=\d+", "client_port=PORT", text)
        text = re.sub(r"server_port=\d+", "server_port=PORT", text)
        text = re.sub(r"\b\d{14}\.QID", "STAMP.QID", text)
        text = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)", "DATE", text)
        text = re.sub(r"from userid \d+", "from userid UID", text)
        if kind == "K":
            kind = "A"  # trace_flags, after qmgr has seen them
        if not text.startswith(("message_id=", "log_message_origin=local")):  # not in that version
            out.append(f"{kind} {text}")
    if out[1].startswith("L "):
        out.insert(3, out.pop(1))  # that version's pickup writes the filter first
    return out


def by_smtp(inst, message, to, sender, options=""):
    with inst.raw() as c:
        c.cmd("EHLO client.test")
        assert c.cmd(f"MAIL FROM:<{sender}>{options}").startswith("250")
        for r in to:
            assert c.cmd(f"RCPT TO:{r}").startswith("250")
        c.cmd("DATA")
        c.send(message.replace("\n", "\r\n").encode("utf-8") + b".\r\n")
        return c.reply()


def by_sendmail(inst, message, to, sender, arguments=()):
    inst.run("sendmail", "-f", sender, *arguments, "--", *to, input=message, check=True)
    return "250 ok"


def queued(inst, how, *args):
    """The normalised file of this message, and what the client was told."""
    before = set(inst.queue_files("deferred"))
    reply = how(inst, *args)
    if not reply.startswith("250"):
        return re.sub(r"[0-9A-F]{9,}", "QID", reply)
    try:
        wait_until(lambda: set(inst.queue_files("deferred")) - before and not inst.queue_files("incoming", "active", "maildrop"))
    except AssertionError:
        raise AssertionError(inst.logs()[-3000:]) from None
    new = sorted(set(inst.queue_files("deferred")) - before)
    return [normal(f) for f in new]


PLAIN = "From: joe\nTo: a, B <b@x.test>, \"C, D\" <c>\nSubject: plain\n\nhello\n"
FULL = "Message-Id: <1@x.test>\nDate: Sat, 21 Nov 2026 10:35:00 +0000\n" + PLAIN

MESSAGES = {
    "plain": (by_smtp, PLAIN, ["<u@y.test>"], "s@x.test"),
    "complete": (by_smtp, FULL, ["<u@y.test>", "<v@y.test>"], "s@x.test"),
    "same twice": (by_smtp, FULL, ["<u@y.test>", "<u@y.test>", "<U@Y.test>"], "s@x.test"),
    "bare names": (by_smtp, FULL, ["<postmaster>", "<joe+ext>"], ""),
    "quoted": (by_smtp, FULL, ['<"two words"@y.test>', '<"a@b"@y.test>'], '"x y"@x.test'),
    "no header": (by_smtp, "\njust a body\n", ["<u@y.test>"], "s@x.test"),
    "body at once": (by_smtp, "just a body\n", ["<u@y.test>"], "s@x.test"),
    "empty": (by_smtp, "", ["<u@y.test>"], "s@x.test"),
    "only header": (by_smtp, "Subject: x\n", ["<u@y.test>"], "s@x.test"),
    "blank first": (by_smtp, " continued\nSubject: x\n\nbody\n", ["<u@y.test>"], "s@x.test"),
    "From line": (by_smtp, "From joe Mon\nSubject: x\n\nbody\n", ["<u@y.test>"], "s@x.test"),
    "folded": (by_smtp, "Subject: a\n b\n\tc\nX-Blank : x\nTo: a@b.invalid,\n b@b.invalid\n\nbody\n", ["<u@y.test>"], "s@x.test"),
    "dropped": (by_smtp, "Bcc: b@x.test\nContent-Length: 5\nReturn-Path: <x>\nSubject: x\n\nbody\n", ["<u@y.test>"], "s@x.test"),
    "resent": (by_smtp, "Message-Id: <1>\nDate: x\nFrom: a@b.test\nResent-To: c\n\nbody\n", ["<u@y.test>"], "s@x.test"),
    "long lines": (by_smtp, "Subject: " + "x" * 3000 + "\n\n" + "y" * 5000 + "\nz\n", ["<u@y.test>"], "s@x.test"),
    "8bit": (by_smtp, "Subject: x\nContent-Transfer-Encoding: 8bit\n\n\u00fc\n", ["<u@y.test>"], "s@x.test", " BODY=8BITMIME"),
    "8bit by header": (by_smtp, "Subject: x\nContent-Transfer-Encoding: 8bit\n\n\u00fc\n", ["<u@y.test>"], "s@x.test"),
    "7bit by header": (by_smtp, "Subject: x\nContent-Transfer-Encoding: 7bit\n\nu\n", ["<u@y.test>"], "s@x.test", " BODY=8BITMIME"),
    "dsn": (by_smtp, FULL, ["<u@y.test> NOTIFY=DELAY,FAILURE ORCPT=rfc822;x@y.test", "<v@y.test> NOTIFY=NEVER"], "s@x.test", " RET=HDRS ENVID=env+2B1"),
    "utf8": (by_smtp, "Subject: \u00fc\n\n\u00fc\n", ["<gr\u00fcn@y.test>"], "s@x.test", " SMTPUTF8"),
    "many received": (by_smtp, "Received: x\n" * 60 + "\nbody\n", ["<u@y.test>"], "s@x.test"),
    "sendmail": (by_sendmail, PLAIN, ["u@y.test", "root"], "s@x.test", ("-F", "Full Name")),
    "sendmail dsn": (by_sendmail, FULL, ["u@y.test"], "root", ("-N", "delay,failure", "-R", "hdrs", "-V", "env1")),
    "sendmail name": (by_sendmail, "Subject: x\n\nbody\n", ["u@y.test"], "s@x.test", ("-F", 'Doe, "J" (x)')),
    "sendmail -t": (by_sendmail, "To: a, b@y.test\nBcc: c@y.test\nSubject: none\n\nbody\n", [], "s@x.test", ("-t",)),
    "sendmail resent": (by_sendmail, "Resent-To: a\nFrom: b\n\nbody\n", ["u@y.test"], "s@x.test"),
    "sendmail null": (by_sendmail, "Subject: x\n\nbody\n", ["u@y.test"], ""),
}

SETTINGS = {
    "defaults": {},
    "remote": {"local_header_rewrite_clients": ""},
    "remote domain": {"local_header_rewrite_clients": "", "remote_header_rewrite_domain": "domain.invalid"},
    "canonical": {"canonical_maps": "inline:{ { joe = j.doe }, { a@example.test = a@new.test }, { @x.test = @z.test }, { u@y.test = w@y.test } }"},
    "canonical classes": {"sender_canonical_maps": "inline:{ { s@x.test = sender@x.test }, { joe = sj } }",
                          "recipient_canonical_maps": "inline:{ { u@y.test = recipient@y.test }, { a = ra } }"},
    "masquerade": {"masquerade_domains": "example.test test", "masquerade_exceptions": "root"},
    "virtual": {"virtual_alias_maps": "inline:{ { u@y.test = a@y.test, b } , { b@example.test = c@y.test d@y.test }, { joe@example.test = @j.test }, { root = root, x@y.test } }"},
    "bcc": {"always_bcc": "all@y.test", "sender_bcc_maps": "static:boss", "recipient_bcc_maps": "inline:{ { u@y.test = copy@y.test } }"},
    "no original": {"enable_original_recipient": "no", "virtual_alias_maps": "inline:{ { v@y.test = u@y.test } }"},
    "undisclosed": {"undisclosed_recipients_header": "To: undisclosed-recipients:;", "delay_warning_time": "4h", "always_add_missing_headers": "yes",
                    "local_header_rewrite_clients": ""},
    "checks": {"header_checks": "regexp:{ { /^Subject: plain/ REPLACE Subject: other }, { /^Subject: x/ PREPEND X-Pre: 1 } , { /^From: joe/ BCC extra@y.test },"
               " { /^Date/ STRIP }, { /^Resent-To/ IGNORE } }",
               "body_checks": "regexp:{ { /^hello/ PREPEND before }, { /^body/ IGNORE }, { /just a body/ REPLACE replaced } }"},
    "mime": {"mime_header_checks": "regexp:{ { /^Content-Transfer/ WARN }, { /^Subject/ IGNORE } }", "nested_header_checks": "regexp:{ { /./ IGNORE } }"},
    "strict": {"strict_8bitmime": "yes", "header_size_limit": "500", "hopcount_limit": "10"},
    "filter": {"content_filter": "smtp:[127.0.0.1]:1", "header_checks": "regexp:{ { /^Subject: plain/ REDIRECT other@y.test } }", "transport_maps": "", "defer_transports": "smtp local"},
    "long ids": {"enable_long_queue_ids": "yes"},
}


def said(inst):
    """What the log tells about headers and checks, without ids and times."""
    out = []
    for line in inst.logs().splitlines():
        found = re.search(r"\]: ((warning: )?[0-9A-Za-z]{9,}: ((resent-)?message-id=|message rejected|(reject|warning|info|prepend|replace|strip|redirect|bcc): ).*)", line)
        if found:
            text = re.sub(r"^(warning: )?[0-9A-Za-z]{9,}: ", r"\1QID: ", found.group(1))
            text = re.sub(r" id [0-9A-Za-z]+|\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d", "", text)
            out.append(re.sub(r"<\d{14}\.[0-9A-F]+@|<[0-9A-Za-z]{14,}@", "<STAMP@", text))
    return out


@pytest.mark.parametrize("name", SETTINGS)
def test_same_queue_file(postern, postfix, name):  # noqa: F811
    settings = {**COMMON, **SETTINGS[name]}
    p, real = postern(settings), postfix(settings)
    differ = []
    for what, message in MESSAGES.items():
        ours, theirs = queued(p, *message), queued(real, *message)
        if what == "sendmail -t":  # here its recipients stand before the content
            ours, theirs = ([sorted(f) for f in files] for files in (ours, theirs))
        if ours != theirs:
            differ.append(f"{what}:\n" + explain(theirs, ours))
    assert not differ, "\n" + "\n".join(differ)
    ours, theirs = said(p), said(real)
    if name == "strict":  # Postfix goes on after a MIME error and may report another
        ours, theirs = ([line for line in lines if "reject" in line and "body" not in line] for lines in (ours, theirs))
    assert ours == theirs, explain([theirs], [ours])


def explain(theirs, ours):
    if isinstance(theirs, str) or isinstance(ours, str) or len(theirs) != len(ours):
        return f"  Postfix {theirs}\n  Postern {ours}"
    import difflib
    return "\n".join("  " + line[:300] for a, b in zip(theirs, ours) for line in difflib.unified_diff(a, b, "Postfix", "Postern", n=0, lineterm=""))
