"""queue_compression and queue_encryption_key: what stands in the queue files, and that it comes out again everywhere."""
import contextlib
import json
import os
import re

import pytest

from agent import FakeServer
from conftest import DEFAULT_MASTER, wait_until

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name
SECRET = "The quick brown secret jumps over the lazy dog."
LINES = [SECRET, ".dot", "", "From the start", "x" * 3000] * 60
TEXT = "Subject: packed\n\n" + "".join(line + "\n" for line in LINES)
KEYS = ["5a" * 32, "00112233445566778899aabbccddeeff", "C3" * 32]
WAYS = {"plain": (False, []), "compressed": (True, []), "encrypted": (False, KEYS[:1]), "both": (True, KEYS[1:2])}


def configure(p, compress=False, keys=(), **main):
    """Settings for the next start or reload; keys: for writing first."""
    p.key = f"{p.dir}/queue.key"
    for name in ("queue_compression", "queue_encryption_key", "defer_transports"):
        p.main.pop(name, None)
    if compress:
        p.main["queue_compression"] = "yes"
    if keys:
        write_key(p.key, "# the first is for new files\n\n" + "\n".join(keys) + "\n")
        p.main["queue_encryption_key"] = p.key
    p.main.update(main)
    p.write_config()


def write_key(path, text, mode=0o600):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def instance(postern, server=None, **main):
    """What can be chrooted is: the key file is not to be seen from there."""
    hop = server.hop if server else "[127.0.0.1]:1"
    master = re.sub(r"(?m)^((?:pickup|cleanup|qmgr|bounce|defer|smtp|showq) unix \S+ \S+) n", r"\1 y", DEFAULT_MASTER) if os.getuid() == 0 else None
    return postern({"transport_maps": f"inline:{{ {{far.test = smtp:{hop}}}, {{gone.test = error:5.1.2 no such place}}, {{later.test = retry:4.4.1 no}} }}",
                    "smtpd_reject_unlisted_recipient": "no", "bounce_size_limit": "1000000", "smtp_line_length_limit": "0", "minimal_backoff_time": "1h", **main}, start=False,
                   master=master)


def submit(p, to, sender="sender@example.test"):
    p.run("sendmail", "-f", sender, to, input=TEXT, check=True)


def ids(p):
    return [json.loads(line)["queue_id"] for line in p.run("postqueue", "-j", check=True).stdout.splitlines()]


def holds_text(path):
    with open(path, "rb") as f:
        return SECRET.encode() in f.read()


def waiting(p):
    """For each file whether it holds the text; nothing while some are on their way."""
    with contextlib.suppress(OSError):
        return [] if p.queue_files("maildrop", "incoming", "active") else list(map(holds_text, p.queue_files("deferred")))


def body_of(path):
    with open(path) as f:
        return f.read().split("\n\n", 1)[1]


def go_on(p, **settings):
    configure(p, **settings)
    p.reload()
    p.run("postqueue", "-f", check=True)


@pytest.mark.parametrize("way", WAYS)
def test_in_and_out(postern, way):
    """SMTP and sendmail in; mailbox, relay and notification out; a crash in between."""
    compress, keys = WAYS[way]
    with FakeServer() as server:
        p = instance(postern, server)
        configure(p, compress, keys, defer_transports="local, smtp")
        p.start()
        p.send([f"{USER}@example.test", "far@far.test"], text=TEXT.replace("\n", "\r\n"))
        submit(p, f"{USER}@example.test")
        submit(p, "gone@gone.test", sender=f"{USER}@example.test")
        p.wait_log("sender non-delivery notification")
        p.wait_log("status=deferred", count=4)
        files = p.wait_queue(3, "deferred")
        assert [holds_text(f) for f in files] == [way == "plain"] * 3
        if compress:
            assert all(os.path.getsize(f) < len(TEXT) / 3 for f in files)
        sizes = {m["queue_id"]: m["message_size"] for m in map(json.loads, p.run("postqueue", "-j", check=True).stdout.splitlines())}
        for i in ids(p):
            assert len(TEXT) < sizes[i] < len(TEXT) + 4000 and re.search(rf" {i}: .*size={sizes[i]},", p.logs())
            assert SECRET in p.run("postcat", "-bq", i, check=True).stdout
            assert "regular_text: " + SECRET in p.run("postcat", "-vq", i, check=True).stdout
            assert SECRET not in p.run("postcat", "-heq", i, check=True).stdout
            raw = p.run("postcat", "-rvq", i, check=True).stdout
            assert ("packed_content: " in raw) == (way != "plain") and "MESSAGE FILE END" in raw
        shown = p.run("postcat", files[0], check=True).stdout
        assert SECRET in shown
        p.kill9()
        configure(p, compress, keys)
        p.start()
        p.run("postqueue", "-f", check=True)
        mails = [open(m).read() for m in p.wait_mail(USER, 3)]
        notice, = [m for m in mails if "multipart/report" in m]
        assert [m.split("\n\n", 1)[1] for m in mails if m != notice] == [TEXT.split("\n\n", 1)[1]] * 2
        assert notice.count(SECRET) == LINES.count(SECRET) and LINES[-1] in notice
        wait_until(lambda: server.messages)
        got = [line.decode() for line in server.messages[0]["lines"]]
        assert got[got.index("") + 1:] == LINES
        p.wait_empty()
        p.wait_queue(0, "deferred", "corrupt")


def test_one_recipient_for_itself(postern):
    """smtpctl copies queue files as they are; one of the recipients stands behind the content."""
    p = instance(postern, always_bcc=f"{USER}@example.test", recipient_delimiter="+")
    configure(p, True, KEYS[:1], defer_transports="local")
    p.start()
    submit(p, f"{USER}+1@example.test")
    p.wait_queue(1, "deferred")
    envelopes = [line.split("|")[0] for line in p.run("smtpctl", "show", "queue", check=True).stdout.splitlines()]
    assert len(envelopes) == 2
    assert SECRET in p.run("smtpctl", "show", "message", envelopes[0], check=True).stdout
    p.run("smtpctl", "pause", "envelope", envelopes[1], check=True)
    files = p.wait_queue(2, "deferred", "hold")
    for f in files:
        assert not holds_text(f) and SECRET in p.run("postcat", f, check=True).stdout
    go_on(p, keys=["off", *KEYS])
    p.wait_mail(USER, 1)
    p.run("smtpctl", "resume", "envelope", envelopes[1], check=True)
    p.run("postqueue", "-f", check=True)
    assert [body_of(m) for m in p.wait_mail(USER, 2)] == [TEXT.split("\n\n", 1)[1]] * 2


def test_settings_change_while_mail_waits(postern):
    """Files of all kinds side by side, with rotated keys; at the end all is switched off but for the keys."""
    p = instance(postern)
    configure(p, defer_transports="local")
    p.start()
    used = []
    for n, (compress, keys) in enumerate([*WAYS.values(), (False, KEYS[2:])]):
        used = keys + used
        configure(p, compress, used, defer_transports="local")
        p.reload()
        submit(p, f"{USER}@example.test")
        p.wait_queue(n + 1, "deferred")
    assert sum(map(holds_text, p.queue_files("deferred"))) == 1
    configure(p, keys=["off", *used], defer_transports="local")
    p.reload()
    p.run("postsuper", "-r", "ALL", check=True)
    wait_until(lambda: waiting(p) == [True] * 5)  # pickup wrote them anew
    configure(p, True, used, defer_transports="local")
    p.reload()
    p.run("postsuper", "-r", "ALL", check=True)
    wait_until(lambda: waiting(p) == [False] * 5)
    go_on(p, keys=["off", *used])
    assert [body_of(m) for m in p.wait_mail(USER, 5)] == [TEXT.split("\n\n", 1)[1]] * 5
    p.wait_queue(0, "deferred", "corrupt", "maildrop")


def test_wrong_key_loses_nothing(postern):
    p = instance(postern)
    configure(p, keys=KEYS[:1], defer_transports="local")
    p.start()
    submit(p, f"{USER}@example.test")
    submit(p, f"{USER}@example.test")
    submit(p, "later@later.test", sender=f"{USER}@example.test")
    p.wait_queue(3, "deferred")
    configure(p, keys=KEYS[1:])
    p.reload()
    p.run("postqueue", "-f", check=True)
    p.wait_log(r"status=deferred .*a key that is not in .*queue\.key \(queue_encryption_key\)", count=2)
    first = ids(p)[0]
    assert "key that is not in" in p.run("postcat", "-bq", first).stderr
    # to its end: no notification without the original, no message removed
    p.main["maximal_queue_lifetime"] = "0"
    p.write_config()
    p.reload()
    p.run("postqueue", "-f", check=True)
    p.wait_log(r"sender notification failed to daemon@example.test: .*queue_encryption_key" if USER == "daemon" else "sender notification failed")
    p.run("postsuper", "-r", "ALL", check=True)
    p.wait_log(r"maildrop/.*: the content is encrypted with a key that is not in", count=3)
    assert len(p.wait_queue(3)) == 3 and not p.queue_files("corrupt") and not p.mails(USER)
    # without any key
    configure(p, maximal_queue_lifetime="1d")
    p.reload()
    p.wait_log("maildrop/.*: the content is encrypted, and queue_encryption_key is not set", count=3)
    go_on(p, keys=[KEYS[1], KEYS[0]])
    p.run("postkick", "public", "pickup", "W")
    assert [body_of(m) for m in p.wait_mail(USER, 2)] == [TEXT.split("\n\n", 1)[1]] * 2
    assert not p.queue_files("corrupt")


@pytest.mark.parametrize("way", ["compressed", "encrypted", "both"])
def test_damage(postern, way):
    compress, keys = WAYS[way]
    p = instance(postern)
    configure(p, compress, keys, defer_transports="local")
    p.start()
    submit(p, f"{USER}@example.test")
    path, = p.wait_queue(1, "deferred")
    with open(path, "r+b") as f:
        text = f.read()
        at = text.index(b"Z", text.index(b"M\0")) + 80
        f.seek(at)
        f.write(bytes([text[at] ^ 1]))
    go_on(p, compress=compress, keys=keys)
    p.wait_log(rf"status=deferred .*{'compressed' if way == 'compressed' else 'encrypted'} content is damaged")
    p.wait_queue(1, "deferred")
    assert not p.mails(USER) and not p.queue_files("corrupt")


@pytest.mark.parametrize("text,mode,words", [
    (None, 0, "open {key}: No such file or directory"),
    (KEYS[0] + "\n", 0o640, "{key}: others than its owner may use it (mode 640); run: chmod 600 {key}"),
    (KEYS[0] + "\n" + KEYS[0][1:] + "\n", 0o600, "{key}, line 2: a key is 64 (or 32) hexadecimal digits"),
    ("# nothing\n", 0o600, "{key}: there is no key in it; make a key with: openssl rand -hex 32"),
])
def test_refused_key_files(postern, text, mode, words):
    p = instance(postern)
    configure(p, keys=KEYS[:1])
    os.unlink(p.key)
    if text:
        write_key(p.key, text, mode)
    for command in ("check", "start"):
        r = p.run("postfix", command)
        assert r.returncode and words.format(key=p.key) in r.stderr + p.logs(), (command, r.stderr)
    assert not p.master_pid()
