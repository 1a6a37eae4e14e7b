"""postmap and postalias as administrators use them; proxymap, trivial-rewrite and changed tables in a running instance."""
import contextlib
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import threading

import pytest

from conftest import BUILD, reachable, wait_until

TYPES = subprocess.run([f"{BUILD}/bin/postconf", "-m"], capture_output=True, text=True, env={**os.environ, "MAIL_CONFIG": "/nonexistent"}).stdout.split()
INDEXED = [t for t in ("hash", "btree", "lmdb", "cdb") if t in TYPES]
FILES = {"hash": "db", "btree": "db", "lmdb": "lmdb", "cdb": "cdb"}

SOURCE = """\
# comment
Alpha one
beta  two words  
  continued
"q Q" quoted
gamma: three
lonely
  # not a continuation
alpha again
"""
LISTED = ['"q q"\tquoted', "alpha\tone", "beta\ttwo words    continued", "gamma:\tthree"]


class Tool:
    def __init__(self, directory):
        self.dir = directory
        (directory / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = host.example\n"
                                           "default_database_type = lmdb\nmail_owner = mail\nsetgid_group = games\n")
        (directory / "master.cf").write_text("")

    def __call__(self, program, *args, text=None, **kw):
        return subprocess.run([f"{BUILD}/bin/{program}", "-c", str(self.dir), *args], cwd=self.dir, input=text, capture_output=True, text=True,
                              timeout=60, env={**os.environ, "POSTERN_MODULES": f"{BUILD}/modules"}, **kw)

    def map(self, *args, **kw):
        return self("postmap", *args, **kw)

    def alias(self, *args, **kw):
        return self("postalias", *args, **kw)

    def write(self, name, text):
        (self.dir / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        return name


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


@pytest.mark.parametrize("kind", INDEXED)
def test_make_and_list(tool, kind):
    tool.write("t", SOURCE)
    r = tool.map(f"{kind}:t")
    name = {"cdb": "t", "lmdb": "lmdb:t"}.get(kind, "t.db")
    assert r.returncode == 0
    assert r.stderr.splitlines() == [
        'postmap: warning: t, line 6: record is in "key: value" format; is this an alias file?',
        "postmap: warning: t, line 8: expected format: key whitespace value",
        f'postmap: warning: {name}: duplicate entry: "alpha"']
    r = tool.map("-s", f"{kind}:t")
    assert (r.returncode, sorted(r.stdout.splitlines())) == (0, LISTED)
    assert not [f for f in os.listdir(tool.dir) if f.endswith(".tmp")]


@pytest.mark.parametrize("kind", INDEXED)
@pytest.mark.parametrize("option,value", [("-r", "again"), ("-w", "one")])
def test_duplicates(tool, kind, option, value):
    tool.write("t", SOURCE)
    assert "duplicate" not in tool.map(option, f"{kind}:t").stderr
    assert tool.map("-q", "alpha", f"{kind}:t").stdout == value + "\n"


@pytest.mark.parametrize("kind", [k for k in INDEXED if k != "cdb"])
def test_update_and_delete(tool, kind):
    tool.write("t", "a 1\nb 2\n")
    tool.map(f"{kind}:t")
    assert tool.map("-i", f"{kind}:t", text="c 3\na 9\n").stderr.endswith('duplicate entry: "a"\n')
    assert tool.map("-ir", f"{kind}:t", text="a 9\n").stderr == ""
    assert tool.map("-q", "-", f"{kind}:t", text="a\nx\nc\n").stdout == "a\t9\nc\t3\n"
    assert tool.map("-d", "a", f"{kind}:t").returncode == 0
    assert tool.map("-d", "a", f"{kind}:t").returncode == 1
    assert tool.map("-d", "-", f"{kind}:t", text="x\nb\n").returncode == 0
    assert tool.map("-s", f"{kind}:t").stdout == "c\t3\n"
    assert tool.map(f"{kind}:t").returncode == 0
    assert sorted(tool.map("-s", f"{kind}:t").stdout.splitlines()) == ["a\t1", "b\t2"]


@pytest.mark.parametrize("args,status,out,err", [
    (["-q", "a", "inline:{a=1}"], 0, "1\n", ""),
    (["-q", "b", "inline:{a=1}"], 1, "", ""),
    (["-q", "b", "inline:{a=1}", "static:x"], 0, "x\n", ""),
    (["-q", "a", "inline:{a=1}", "foo:x"], 0, "1\n", ""),
    (["-j", "-q", "a", 'inline:{ { a = say "x" } }'], 0, '{"a": "say \\"x\\""}\n', ""),
    (["-j", "-s", "inline:{a=1}"], 0, '{"a": "1"}\n', ""),
    (["-q", "a", "fail:x"], 1, "", "postmap: fatal: table fail:x: query error: Application error\n"),
    (["-q", "a", "foo:x"], 1, "", "postmap: fatal: unsupported dictionary type: foo\n"),
    (["-q", "a", "lmdb:none"], 1, "", "postmap: fatal: open database none.lmdb: No such file or directory\n"),
    (["-q", "a", "none"], 1, "", "postmap: fatal: open database none.lmdb: No such file or directory\n"),
    (["-q", "a", "cidr:none"], 1, "", "postmap: fatal: open none: No such file or directory\n"),
    (["-q", "a", "texthash:none"], 1, "", "postmap: fatal: open database none: No such file or directory\n"),
    (["-d", "a", "lmdb:none"], 1, "", "postmap: fatal: open database none.lmdb: No such file or directory\n"),
    (["lmdb:none"], 1, "", "postmap: fatal: open none: No such file or directory\n"),
    (["texthash:x"], 1, "", "postmap: fatal: open x: No such file or directory\n"),
    (["-q", "z", "debug:inline:{z=1}"], 0, "1\n", 'postmap: inline:{z=1} lookup: "z" = "1"\n'),
    (["-q", "a", "-d", "b", "lmdb:x"], 1, "", "postmap: fatal: specify only one of -s -q or -d\n"),
    (["-h", "-q", "a", "lmdb:x"], 1, "", 'postmap: fatal: specify -b -h or -m only with "-q -"\n'),
    ([], 1, "", "postmap: fatal: usage: postmap [-bfFhijmnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...\n"),
])
def test_queries(tool, args, status, out, err):
    r = tool.map(*args)
    assert (r.returncode, r.stdout, r.stderr) == (status, out, err)


def test_no_creation(tool):
    tool.write("t", "a b\n")
    assert tool.map("texthash:t").stderr == "postmap: fatal: unsupported dictionary type: texthash does not support bulk-mode creation.\n"
    assert tool.map("-d", "a", "texthash:t").stderr == "postmap: fatal: texthash:t map requires O_RDONLY access mode\n"


def test_message_queries(tool):
    tool.write("rules", "/^subject/ S\n/body/ B\n/x-part/ P\n/foo/ F\n")
    message = ("X-Foo: Bar\nSubject: hi\n there\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
               "preamble\n--b\nX-Part: 1\n\nbody line\n--b--\n")
    assert tool.map("-hq", "-", "regexp:rules", text=message).stdout == "X-Foo: Bar\tF\nSubject: hi\n there\tS\n"
    assert tool.map("-bq", "-", "regexp:rules", text=message).stdout == "X-Part: 1\tP\nbody line\tB\n"
    assert tool.map("-hmq", "-", "regexp:rules", text=message).stdout == "X-Foo: Bar\tF\nSubject: hi\n there\tS\nX-Part: 1\tP\n"
    assert tool.map("-bmq", "-", "regexp:rules", text=message).stdout == "body line\tB\n"
    assert "ignoring -m option" in tool.map("-mq", "-", "regexp:rules", text=message).stderr


def test_values_from_files(tool):
    tool.write("one", "first\n")
    tool.write("two", "second\n")
    tool.write("t", f"key {tool.dir}/one, {tool.dir}/two\nbad {tool.dir}/none\n")
    r = tool.map("-F", "lmdb:t")
    assert r.returncode == 0 and "line 2" in r.stderr
    assert tool.map("-q", "key", "lmdb:t").stdout == "Zmlyc3QKc2Vjb25kCg==\n"
    assert tool.map("-Fq", "key", "lmdb:t").stdout == "first\nsecond\n\n"
    assert tool.map("-Fq", "key", "texthash:t").stdout == "first\nsecond\n\n"


def test_folding_and_utf8(tool):
    tool.write("t", "\u00c9 v\nbad\udcff v\n")
    r = tool.map("lmdb:t")
    assert r.stderr.startswith("postmap: warning: t, line 2: non-UTF-8 input \"bad")
    assert tool.map("-q", "\u00e9", "lmdb:t").stdout == "v\n"
    tool.map("-f", "lmdb:t")
    assert tool.map("-q", "\u00e9", "lmdb:t").returncode == 1
    assert tool.map("-fq", "\u00c9", "lmdb:t").returncode == 0
    assert tool.map("-u", "lmdb:t").stderr == ""


@pytest.mark.skipif(os.getuid() != 0, reason="changes owners")
@pytest.mark.parametrize("kind", INDEXED)
def test_owner_and_mode(tool, kind):
    made = tool.dir / f"t.{FILES[kind]}"
    reachable(tool.dir)
    source = tool.dir / tool.write("t", "a b\n")
    source.chmod(0o640)
    shutil.chown(source, "mail", "games")
    assert "Permission denied" in tool.map(f"{kind}:t").stderr
    shutil.chown(tool.dir, "mail")
    assert tool.map(f"{kind}:t").stderr == ""
    st = made.stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (source.stat().st_uid, 0o640)
    made.unlink()
    assert tool.map("-op", f"{kind}:t").stderr == ""
    st = made.stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (0, 0o644)


ALIASES = """\
# comment
Root: me@example.com,   you
list:	"|/usr/bin/prog arg \\"q\\" x",
	/var/mail/file , :include:/etc/list
"q n": x@y
Name With Blank: z
bad line no colon
empty:
a@b: c
E1:   "quoted value" <a@b>, "x y"@z , \\user
dup: 1
dup: 2
up: |"/bin/X Y"
inc: :include:"/a b"
com: (comment) foo(c2)
"""


def test_aliases(tool):
    tool.write("al", ALIASES)
    r = tool.alias("al")
    assert r.returncode == 0
    assert r.stderr.splitlines() == [
        "postalias: warning: al, line 7: need name:value pair", "postalias: warning: al, line 8: need name:value pair",
        "postalias: warning: al, line 9: name must be local", 'postalias: warning: lmdb:al: duplicate entry: "dup"']
    assert tool.alias("-s", "al").stdout.splitlines() == [
        '"name with blank":\tz', '"q n":\tx@y', "@:\t@", "com:\t(comment) foo (c2)", "dup:\t1",
        'e1:\t"quoted value" <a@b>, "x y"@z, user', 'inc:\t:include:"/a b"',
        'list:\t"|/usr/bin/prog arg \\"q\\" x", /var/mail/file, :include:/etc/list', "root:\tme@example.com, you", 'up:\t|"/bin/X Y"']
    assert tool.alias("-q", "ROOT", "al").stdout == "me@example.com, you\n"
    assert tool.alias("-q", "q n", "al").stdout == "x@y\n"
    assert tool.alias("-q", "-", "al", text="root\nnone\n").stdout == "root:\tme@example.com, you\n"
    assert tool.alias("-q", "none", "al").returncode == 1
    assert tool.alias("-d", "root", "al").returncode == 0
    assert tool.alias("-q", "root", "al").returncode == 1


def test_large_table(tool):
    """More than lmdb_map_size holds, and replaced as a whole."""
    with open(tool.dir / "main.cf", "a") as f:
        f.write("lmdb_map_size = 65536\n")
    for kind in INDEXED:
        tool.write("t", "".join(f"key{i} value{i}\n" for i in range(20000)))
        assert tool.map(f"{kind}:t").stderr == ""
        assert tool.map("-q", "key19999", f"{kind}:t").stdout == "value19999\n"
        tool.write("t", "key1 new\n")
        assert tool.map(f"{kind}:t").stderr == ""
        assert tool.map("-s", f"{kind}:t").stdout == "key1\tnew\n"


def test_proxymap(postern):
    p = postern(main={"virtual_alias_maps": "proxy:texthash:$config_directory/virtual", "relocated_maps": "proxy:fail:x"}, start=False)
    with open(f"{p.etc}/virtual", "w") as f:
        f.write("here@example.test there@example.test\n")
    p.start()
    name = f"proxy:texthash:{p.etc}/virtual"
    assert p.run("postmap", "-q", "here@example.test", name).stdout == "there@example.test\n"
    assert p.run("postmap", "-q", "none@example.test", name).returncode == 1
    assert p.run("postmap", "-s", name).stdout == "here@example.test\tthere@example.test\n"
    assert "query error" in p.run("postmap", "-q", "x", "proxy:fail:x").stderr
    r = p.run("postmap", "-q", "x", "proxy:inline:{x=y}")
    assert r.returncode == 1 and "unapproved" in r.stderr
    p.wait_log(r'warning: request for unapproved table: "inline:\{x=y\}"')
    p.wait_log(r"to approve this table for read-only access, list proxy:inline:\{x=y\} in proxy_read_maps")


def test_proxymap_loads_modules(postern):
    """Modules are loaded when the service is confined already."""
    types = [t for t in ("hash", "btree", "cdb", "lmdb") if t in TYPES]
    rules = [t for t in ("pcre", "regexp") if t in TYPES]
    p = postern(start=False)
    p.main["virtual_alias_maps"] = " ".join(f"proxy:{t}:{p.etc}/{t}" for t in types + rules)
    p.write_config()
    for t in types + rules:
        with open(f"{p.etc}/{t}", "w") as f:
            f.write("key value\n" if t in types else "/key/ value\n")
        if t in types:
            p.run("postmap", f"{t}:{p.etc}/{t}", check=True)
    p.start()
    for t in types + rules:
        assert p.run("postmap", "-q", "key", f"proxy:{t}:{p.etc}/{t}").stdout == "value\n", t


def test_proxywrite(postern):
    p = postern(start=False)
    name = f"lmdb:{p.data}/cache"
    p.main["address_verify_map"] = f"proxy:{name}"
    p.write_config()
    p.start()
    assert p.run("postmap", "-i", f"proxy:{name}", text=True, input="k v\n").returncode == 0
    assert p.run("postmap", "-q", "k", name).stdout == "v\n"
    assert p.run("postmap", "-d", "k", f"proxy:{name}").returncode == 0
    assert p.run("postmap", "-q", "k", name).returncode == 1


def test_changed_table_is_seen(postern):
    """A transport table that is written anew works without a reload."""
    p = postern(main={"transport_maps": "lmdb:$config_directory/transport, texthash:$config_directory/more"}, start=False)

    def write(name, text):
        with open(f"{p.etc}/{name}", "w") as f:
            f.write(text)
    write("transport", "one.test discard:first\n")
    write("more", "two.test discard:first\n")
    p.run("postmap", f"lmdb:{p.etc}/transport", check=True)
    p.start()
    p.send("a@one.test")
    p.send("a@two.test")
    p.wait_log(r"to=<a@one.test>.*\(first\)")
    p.wait_log(r"to=<a@two.test>.*\(first\)")
    write("transport", "one.test discard:second\n")
    write("more", "two.test discard:second\n")
    p.run("postmap", f"lmdb:{p.etc}/transport", check=True)

    def second(domain):
        p.send(f"b@{domain}")
        return any(f"b@{domain}" in line and "(second)" in line for line in p.logs().splitlines())
    wait_until(lambda: second("one.test"), what="second transport")
    wait_until(lambda: second("two.test"), what="second transport")


# ---- tables of other servers and databases ----

class Server:
    """A lookup server for one test: handle(connection) runs for each connection on a thread of its own."""

    def __init__(self, handle):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.handle = handle
        self.connections = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.socket.accept()
                self.connections += 1
                threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        with contextlib.suppress(OSError, ValueError), c, c.makefile("rwb") as f:
            self.handle(f)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def server():
    made = []

    def make(handle):
        made.append(Server(handle))
        return made[-1]
    yield make
    for s in made:
        s.close()


def test_tcp(tool, server):
    answers = {b"get key": b"200 a%20b%25\n", b"get a%20%25b": b"200 blank\n", b"get none": b"500 no\n", b"get temp": b"400 later\n",
               b"get bad": b"hello\n", b"get long": b"200 " + b"x" * 5000 + b"\n"}

    def handle(f):
        for line in f:
            f.write(answers.get(line.rstrip(b"\n"), b""))
            f.flush()
            if line.startswith(b"get close"):
                return
    s = server(handle)
    name = f"tcp:127.0.0.1:{s.port}"
    assert tool.map("-q", "KEY", name).stdout == "a b%\n"
    assert tool.map("-q", "a %b", name).stdout == "blank\n"
    assert tool.map("-q", "none", name).returncode == 1
    assert "later" in tool.map("-q", "temp", name).stderr
    for key in ("bad", "long", "close"):
        assert "query error" in tool.map("-q", key, name).stderr
    before = s.connections
    assert tool.map("-q", "-", name, text="key\nnone\nkey\n").stdout == "key\ta b%\n" * 2
    assert s.connections == before + 1
    s.close()
    assert "Connection refused" in tool.map("-q", "key", name).stderr


def test_socketmap(tool, server):
    answers = {b"map key": b"OK value 1", b"map none": b"NOTFOUND ", b"map temp": b"TEMP later", b"map perm": b"PERM never", b"map bad": b"HUH"}

    def handle(f):
        while True:
            size = b""
            while not size.endswith(b":"):
                more = f.read(1)
                if not more:
                    return
                size += more
            request = f.read(int(size[:-1]))
            assert f.read(1) == b","
            reply = answers[request]
            f.write(b"%d:%s," % (len(reply), reply))
            f.flush()
    s = server(handle)
    name = f"socketmap:inet:127.0.0.1:{s.port}:map"
    assert tool.map("-q", "key", name).stdout == "value 1\n"
    assert tool.map("-q", "none", name).returncode == 1
    for key, text in (("temp", "TEMP later"), ("perm", "PERM never"), ("bad", "unknown reply")):
        assert text in tool.map("-q", key, name).stderr
    assert tool.map("-q", "-", name, text="key\nnone\nkey\n").stdout == "key\tvalue 1\n" * 2
    assert "socketmap requires" in tool.map("-q", "key", "socketmap:foo").stderr


def test_memcache(tool, server):
    stored = {}

    def handle(f):
        for line in f:
            word = line.split()
            if word[0] == b"get":
                value = stored.get(word[1])
                f.write(b"END\r\n" if value is None else b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (word[1], len(value), value))
            elif word[0] == b"set":
                stored[word[1]] = f.read(int(word[4]))
                f.read(2)
                f.write(b"STORED\r\n")
            elif word[0] == b"delete":
                f.write(b"NOT_FOUND\r\n" if stored.pop(word[1], None) is None else b"DELETED\r\n")
            f.flush()
    s = server(handle)
    tool.write("t", "old 1\n")
    tool.map("lmdb:t")
    tool.write("plain", f"memcache = inet:127.0.0.1:{s.port}\nkey_format = p:%s\n")
    tool.write("backed", f"memcache = inet:127.0.0.1:{s.port}\nbackup = lmdb:{tool.dir}/t\n")
    assert tool.map("-i", "memcache:plain", text="k v\n").returncode == 0
    assert stored == {b"p:k": b"v"}
    assert tool.map("-q", "k", "memcache:plain").stdout == "v\n"
    assert tool.map("-q", "with blank", "memcache:plain").returncode == 1
    assert tool.map("-d", "k", "memcache:plain").returncode == 0
    assert tool.map("-d", "k", "memcache:plain").returncode == 1
    assert tool.map("-q", "old", "memcache:backed").stdout == "1\n"
    assert stored == {b"old": b"1"}
    stored[b"old"] = b"cached"
    assert tool.map("-q", "old", "memcache:backed").stdout == "cached\n"
    assert tool.map("-s", "memcache:backed").stdout == "old\t1\n"
    s.close()
    tool.write("away", f"memcache = inet:127.0.0.1:{s.port}\nbackup = lmdb:{tool.dir}/t\nretry_pause = 0\n")
    assert tool.map("-q", "old", "memcache:away").stdout == "1\n"
    tool.write("bad", "memcache = inet:127.0.0.1:1\nkey_format = %s\nmisspelt = 1\nretry_pause = 0\n")
    r = tool.map("-q", "old", "memcache:bad")
    assert "unused parameter: misspelt" in r.stderr and "query error" in r.stderr


@pytest.mark.skipif("sqlite" not in TYPES, reason="built without SQLite")
def test_sqlite(tool):
    db = sqlite3.connect(tool.dir / "db")
    db.execute("create table aliases (address text, goto text, other text)")
    db.executemany("insert into aliases values (?, ?, ?)", [
        ("a@one.example", "x@y.example", None), ("two@one.example", "p", "q"), ("two@one.example", "r", ""), ("o'neill@one.example", "ok", None)])
    db.commit()
    db.close()

    def ask(key, **settings):
        settings = {"dbpath": f"{tool.dir}/db", "query": "select goto, other from aliases where address = '%s'", **settings}
        tool.write("cf", "# comment\n" + "".join(f"{k} = {v}\n" for k, v in settings.items() if v))
        r = tool.map("-q", key, "sqlite:cf")
        return r.stderr or (r.stdout.rstrip("\n") if r.returncode == 0 else None)

    assert ask("A@one.example") == "x@y.example"
    assert ask("none@one.example") is None
    assert ask("two@one.example") == "p,q,r"
    assert ask("o'neill@one.example") == "ok"
    assert "expansion_limit" in ask("two@one.example", expansion_limit=2)
    assert ask("a@one.example", domain="two.example") is None
    assert ask("a@one.example", domain="two.example, one.example") == "x@y.example"
    assert ask("@one.example", domain="one.example") is None
    assert ask("a@one.example", result_format="<%u/%d/%U/%D/%1/%%>") == "<x/y.example/a/one.example/example/%>"
    assert ask("two@one.example", result_format="%d") is None
    assert ask("a@one.example", query="select '%u|%d|%2'") == "a|one.example|one"
    assert ask("a", query="select '%d'") is None
    assert ask("a@example", query="select '%2'") is None
    assert ask("a@one.example", query=None, select_field="goto", table="aliases", where_field="address") == "x@y.example"
    assert "bad query" in ask("a@one.example", query="selec")
    assert "inside double quotes" in ask("a@one.example", query='select "%s"')
    assert "unused parameter: misspelt" in ask("none@one.example", misspelt="1")
    assert "dbpath is not set" in ask("a", dbpath=None)
    assert "open database" in ask("a", dbpath=f"{tool.dir}/none/db")


def test_other_type_instead_of_berkeley_db(tool):
    with open(tool.dir / "main.cf", "a") as f:
        f.write("non_bdb_migration_level = enable-redirect\n")
    tool.write("t", "a 1\n")
    r = tool.map("hash:t")
    assert (r.returncode, r.stderr) == (0, "postmap: redirecting hash:t to lmdb:t\n")
    assert (tool.dir / "t.lmdb").exists() and not (tool.dir / "t.db").exists()
    assert tool.map("-q", "a", "hash:t").stdout == "1\n"
