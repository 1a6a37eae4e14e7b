"""smtp-source against smtp-sink: their options, and against each other's kin in Debian's Postfix where that is there."""
import glob
import os
import re
import subprocess
import time

import pytest

from conftest import BUILD, SLOW, Raw, free_port, listens, reachable, wait_until

USER = ["-u", "nobody"] if os.getuid() == 0 else []


class Sink:
    def __init__(self, *options, where=None):
        self.port = free_port()
        self.where = where or f"127.0.0.1:{self.port}"
        self.p = subprocess.Popen([f"{BUILD}/bin/smtp-sink", *USER, *options, self.where, "100"], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: listens(self.where[5:] if where else self.port) or self.p.poll() is not None, what="listening")

    def end(self):
        self.p.terminate()
        return self.p.communicate(timeout=60 * SLOW)


@pytest.fixture
def sink():
    made = []

    def make(*options, **kw):
        made.append(Sink(*options, **kw))
        return made[-1]
    yield make
    for s in made:
        if s.p.poll() is None:
            s.end()


def source(*args):
    return subprocess.run([f"{BUILD}/bin/smtp-source", *args], capture_output=True, text=True, timeout=60 * SLOW)


@pytest.fixture
def dumps(tmp_path):
    reachable(tmp_path)
    os.chmod(tmp_path, 0o777)
    return tmp_path


@pytest.mark.parametrize("protocol", [[], ["-L"]])
@pytest.mark.parametrize("keep", [[], ["-d"]])
def test_all_arrive(sink, protocol, keep):
    s = sink("-c", *protocol)
    r = source("-s", "5", "-m", "57", "-r", "3", "-l", "10000", "-c", *protocol, *keep, s.where)
    assert r.returncode == 0, r.stderr
    assert r.stdout.rstrip().endswith("57")
    out, _ = s.end()
    assert re.search(r"sess=\d+ quit=\d+ mesg=57\n", out)


def test_unix_socket(sink, dumps):
    s = sink("-M", "3", where=f"unix:{dumps}/s")
    assert source("-m", "3", s.where).returncode == 0
    assert s.p.wait(60 * SLOW) == 0


def test_message_written_down(sink, dumps):
    s = sink("-D", f"{dumps}/all", "-S", r"From x\n", "-h", "sink.test")
    text = dumps / "text"
    text.write_text("Subject: dots\n\n.one\n..two\nlast line without end")
    assert source("-F", str(text), "-f", "a@b.test", "-t", "<c@d.test>", "-M", "me.test", "-r", "2", s.where).returncode == 0
    assert source("-m", "2", "-d", "-N", "-S", "two", "-l", "81", s.where).returncode == 0
    got = (dumps / "all").read_text()
    first, second, third = got.split("From x\n")[1:]
    assert re.fullmatch(r"X-Client-Addr: 127.0.0.1\nX-Client-Proto: SMTP\nX-Helo-Args: me.test\nX-Mail-Args: <a@b.test>\n"
                        r"X-Rcpt-Args: <1c@d.test>\nX-Rcpt-Args: <c@d.test>\nReceived: from me.test \(\[127.0.0.1\]\)\n"
                        r"\tby sink.test \(smtp-sink\) with SMTP id [0-9a-f]{8};\n\t\w{3}, .*\n"
                        r"Subject: dots\n\n.one\n..two\nlast line without end\n\n", first)
    assert "Subject: two\n\n1XXX" in second and "<1foo@" in second and "<2foo@" in third


def test_a_file_for_each_message(sink, dumps):
    s = sink("-d", f"{dumps}/%Y/sub.")
    assert source("-m", "4", "-d", s.where).returncode == 0
    files = glob.glob(f"{dumps}/{time.strftime('%Y')}/sub.*")
    assert len(files) == 4 and all(re.search(r"sub\.[0-9a-f]{8}$", f) for f in files)


def test_interrupted_message_leaves_nothing(sink, dumps):
    s = sink("-D", f"{dumps}/all")
    with Raw(s.port) as c:
        for line in ("MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"):
            c.cmd(line)
        c.send("Subject: half\r\n")
    assert source(s.where).returncode == 0
    assert "half" not in (dumps / "all").read_text()


@pytest.mark.parametrize("options,where,reply", [
    (["-f", "RCPT"], "recipient", "500 5.3.0 Error: command failed"),
    (["-r", "mail"], "sender", "450 4.3.0 Error: command failed"),
    (["-f", ".", "-B", "554 no"], "data", "554 no"),
    (["-Q", "DATA"], "data", "421 4.0.0 Server closing connection"),
    (["-f", "CONNECT"], "startup", "500 5.3.0 Error: command failed"),
    (["-A", "0"], "data", "550 5.0.0 Error: aborted"),
])
def test_refusals(sink, options, where, reply):
    r = source(sink(*options).where)
    assert r.returncode == 1
    assert r.stderr == f"smtp-source: fatal: {where} rejected: {reply}\n"


def test_hang_up(sink):
    r = source(sink("-q", "RCPT").where)
    assert r.returncode == 1 and "recipient: lost connection" in r.stderr


def test_nobody_listens():
    r = source("-C", "3", f"127.0.0.1:{free_port()}")
    assert r.returncode == 1 and "connect: Connection refused" in r.stderr


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
def test_go_on_after_refusals(sink, command):
    s = sink("-f", command, "-n", "2")
    assert source("-A", "-m", "4", "-d", s.where).returncode == 0
    assert source("-A", "-m", "1", s.where).returncode == 0
    assert s.p.wait(60 * SLOW) == 0


@pytest.mark.parametrize("options,missing", [
    ("-8", "8BITMIME"), ("-a", "AUTH"), ("-C", "XCLIENT"), ("-E", "ENHANCEDSTATUSCODES"), ("-F", "XFORWARD"), ("-N", "DSN"),
    ("-p", "PIPELINING"), ("-fVRFY", "PIPELINING")])
def test_what_is_offered(sink, options, missing):
    full, less = sink(), sink(options)
    with Raw(full.port) as a, Raw(less.port) as b:
        gone = set(a.cmd("EHLO x").split("\n")) - set(b.cmd("EHLO x").split("\n"))
    assert [line for line in gone if line[4:].startswith(missing)] and len(gone) == 1


def test_greetings(sink):
    for options, greeting, ehlo in ((["-h", "h"], "220 h ESMTP", "250"), (["-e"], "220 smtp-sink SMTP", "500"),
                                    (["-P"], "220 ********", "500"), (["-L"], "220 smtp-sink LMTP", "500")):
        with Raw(sink(*options).port) as c:
            assert c.greeting == greeting and c.cmd("EHLO x").startswith(ehlo)


def test_pipelined_dialogue(sink):
    with Raw(sink().port) as c:
        c.send("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..\r\nx\r\n.\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nFOO\r\nQUIT\r\n")
        replies = [c.reply()[:3] for _ in range(10)]
        assert replies == ["250", "250", "250", "354", "250", "334", "334", "235", "500", "221"]
        assert c.line() == b""


def test_long_lines_pass(sink, dumps):
    s = sink("-D", f"{dumps}/all")
    with Raw(s.port) as c:
        for line in ("MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"):
            c.cmd(line)
        c.send("x" * 300000 + "\r\n.\r\n")
        assert c.reply().startswith("250")
        c.send("y" * 100000 + "\r\n")
        assert c.reply().startswith("500")
    assert "x" * 300000 in (dumps / "all").read_text()


def test_delays(sink):
    s = sink("-W", "RCPT:1", "-w", "1", "-H", "1")
    start = time.monotonic()
    assert source(s.where).returncode == 0
    assert time.monotonic() - start > 2.9


def test_pause(sink):
    start = time.monotonic()
    assert source("-w", "1", "-d", "-m", "3", sink().where).returncode == 0
    assert time.monotonic() - start > 1.9


def test_silence_ends_a_session(sink):
    with Raw(sink("-t", "1").port) as c:
        assert c.line() == b""


def test_at_most_so_many_sessions(sink):
    s = sink("-m", "2")
    with Raw(s.port), Raw(s.port) as b:
        c = Raw(s.port, greet=False)
        c.s.settimeout(0.5)
        with pytest.raises(TimeoutError):
            c.line()
        b.cmd("QUIT")
        c.s.settimeout(60 * SLOW)
        assert c.reply().startswith("220")
        c.close()


def test_log(sink):
    s = sink("-s", "MAIL,RCPT,CONNECT")
    assert source("-f", "a@b.test", "-t", "c@d.test", s.where).returncode == 0
    _, err = s.end()
    assert "127.0.0.1: CONNECT\n" in err and "127.0.0.1: MAIL FROM:<a@b.test>\n" in err and "RCPT TO:<c@d.test>\n" in err


@pytest.mark.parametrize("program,args,words", [
    ("smtp-sink", ["-f", "FOO", ":1", "1"], "unknown command: FOO"),
    ("smtp-sink", [":1"], "usage: smtp-sink"),
    ("smtp-sink", ["-W", "RCPT:x", ":1", "1"], "-W"),
    ("smtp-source", [], "usage: smtp-source"),
    ("smtp-source", ["-m", "0", "x"], "option -m"),
    ("smtp-source", ["-w", "1", "-R", "1", "x"], "-w and -R"),
])
def test_wrong_use(program, args, words):
    r = subprocess.run([f"{BUILD}/bin/{program}", *args], capture_output=True, text=True, timeout=60 * SLOW)
    assert r.returncode == 1 and f"{program}: fatal: " in r.stderr and words in r.stderr
