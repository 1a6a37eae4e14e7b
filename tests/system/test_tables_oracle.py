"""Tables of Postern and of Debian's Postfix: each reads, changes and lists what the other has made; both answer and warn alike."""
import os
import subprocess

import pytest

from test_oracle import oracle_root  # noqa: F401 (fixture)
from test_tables import ALIASES, FILES, INDEXED, SOURCE, Tool, tool  # noqa: F401 (fixture)

pytestmark = [pytest.mark.heavy, pytest.mark.skipif(os.getuid() != 0, reason="the accounts of Postfix are needed")]


class Other(Tool):
    """postmap and postalias of the real Postfix, in the same directory."""

    def __init__(self, directory, root):
        self.dir, self.root = directory, root
        (directory / "dynamicmaps.cf").write_text("".join(
            f"{t}\t{root}/usr/lib/postfix/postfix-{t}.so\tdict_{t}_open{f' mkmap_{t}_open' if t != 'pcre' else ''}\n".replace(" mk", "\tmk")
            for t in ("lmdb", "cdb", "pcre")))

    def __call__(self, program, *args, text=None, **kw):
        conf = self.dir / "other"
        conf.mkdir(exist_ok=True)
        (conf / "main.cf").write_text((self.dir / "main.cf").read_text() +
                                      f"queue_directory = {self.dir}\nmeta_directory = {self.dir}\nshlib_directory = {self.root}/usr/lib/postfix\n")
        (conf / "master.cf").write_text("")
        os.utime(conf / "main.cf", (1e9, 1e9))  # a new file would make it wait
        return subprocess.run([f"{self.root}/usr/sbin/{program}", "-c", str(conf), *args], cwd=self.dir, input=text, capture_output=True,
                              text=True, timeout=60, env={**os.environ, "LD_LIBRARY_PATH": f"{self.root}/usr/lib/postfix"})


@pytest.fixture
def other(tool, oracle_root):  # noqa: F811
    return Other(tool.dir, oracle_root)


@pytest.mark.parametrize("kind", INDEXED)
def test_each_reads_what_the_other_made(tool, other, kind):  # noqa: F811
    tool.write("t", SOURCE)
    for maker, reader in ((tool, other), (other, tool)):
        r = maker.map(f"{kind}:t")
        assert r.returncode == 0, r
        assert reader.map("-q", "alpha", f"{kind}:t").stdout == "one\n"
        assert reader.map("-q", "-", f"{kind}:t", text='BETA\n"q Q"\nnone\n').stdout == 'BETA\ttwo words    continued\n"q Q"\tquoted\n'
        if kind == "cdb":
            continue
        assert reader.map("-i", f"{kind}:t", text="new 1\n").returncode == 0
        assert maker.map("-q", "new", f"{kind}:t").stdout == "1\n"
        assert reader.map("-d", "alpha", f"{kind}:t").returncode == 0
        assert maker.map("-q", "alpha", f"{kind}:t").returncode == 1
        assert sorted(maker.map("-s", f"{kind}:t").stdout.splitlines()) == sorted(reader.map("-s", f"{kind}:t").stdout.splitlines())
        os.unlink(tool.dir / f"t.{FILES[kind]}")


@pytest.mark.parametrize("options", [[], ["-N"], ["-n"], ["-f"]])
def test_same_bytes_in_entries(tool, other, options):  # noqa: F811
    """Keys and values with and without NUL are found by both."""
    tool.write("t", "Key value\n")
    for kind in INDEXED:
        for maker, reader in ((tool, other), (other, tool)):
            maker.map(*options, f"{kind}:t")
            assert reader.map("-fq" if options == ["-f"] else "-q", "Key", f"{kind}:t").stdout == "value\n", kind
            os.unlink(tool.dir / f"t.{FILES[kind]}")


def alike(a, b, *args, program="postmap", text=None):
    x, y = a(program, *args, text=text), b(program, *args, text=text)
    assert (x.returncode, x.stdout, x.stderr) == (y.returncode, y.stdout, y.stderr), args


RULES = r"""/a(b)c/ one $1
!/x/ two $1
/(a/ bad
/foo/q flag
/foo/
/foo
foo bar
/nogroup/ $1
/(k)(l)?/ v$1$(2)${2}w
if /zz/ text
/zza/ A
endif junk
endif
if !/qq/
!/q1/ not q1
endif
if /open/
/a+|b/m vv
/a+|b/x vv
%perc% PERC
if
"""
NETWORKS = """10.0.0.0/8 ten
10.0.0.1/8 bad
300.1.1.1 bad
1.2.3.4
[fe80::1]/64 x
[2001:db8::]/32 six
!192.168.0.0/16 notit
if 1.2.0.0/16
1.2.3.0/24 in
endif x
endif
endif
if foo
2.0.0.0/40 x
[1.1.1.1]/32 y
1.1.1.0/255.255.255.0 y
if 3.0.0.0/8
"""


def test_rules_and_their_warnings(tool, other):  # noqa: F811
    tool.write("rules", RULES)
    tool.write("nets", NETWORKS)
    for key in ("abc", "xq1xx", "kx", "klx", "foo", "perc"):
        alike(tool, other, "-q", key, "regexp:rules")
    for key in ("10.1.2.3", "2001:db8::5", "1.2.3.4", "192.168.1.1", "foo", "8.1.1.1", "[10.1.2.3]", "::ffff:10.1.1.1"):
        alike(tool, other, "-q", key, "cidr:nets")


@pytest.mark.parametrize("name", [
    "inline:{k=v}", "inline:{ k=v, b = c }", "inline:{ {k = v w}, b=c }", "inline:{k}", "inline:{ {k = v}", "inline:k=v", "inline:{ K=v, k=w}",
    "inline:{ }", "inline:", "static:foo", "static:{ a b }", "static:{a", "static:{a}x", "fail:x", "unix:foo", "pipemap:{inline:{k=b},inline:{b=c}}",
    "pipemap:foo", "pipemap:{}", "unionmap:{inline:{k=b},inline:{k=c}}", "unionmap:{static:1,fail:x}", "randmap:{x}", "randmap:{}", "hash:/none",
    "cidr:/none", "texthash:/none", "lmdb:/none", "cdb:/none"])
def test_names(tool, other, name):  # noqa: F811
    alike(tool, other, "-q", "k", name)


def test_aliases_are_written_alike(tool, other):  # noqa: F811
    """But for quotes around names, which newer releases have, too, and for what NIS wants."""
    tool.write("al", ALIASES)
    lists = []
    for maker in (tool, other):
        r = maker.alias("lmdb:al")
        lines = maker.alias("-s", "lmdb:al").stdout.splitlines()
        lists.append((r.stderr, sorted(line.replace('"', "", 2) if line.startswith('"') else line for line in lines if not line.startswith("YP_"))))
    assert lists[0] == lists[1]


def test_message_queries_alike(tool, other):  # noqa: F811
    tool.write("rules", "/^subject/ S\n/body/ B\n/x-part/ P\n/foo/ F\n")
    message = (f"X-Foo: Bar\nSubject: hi\n there\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
               "preamble\n--b\nX-Part: 1\n\nbody line\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody of it\n--b--\n")
    for options in ("-hq", "-bq", "-hbq", "-hmq", "-bmq", "-hbmq", "-q"):
        alike(tool, other, options, "-", "regexp:rules", text=message)
