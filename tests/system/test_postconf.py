"""postconf: every form of listing, expanding and editing; compared with Debian's own where it can be had."""
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

from conftest import BUILD, TOP

STOCK = f"{TOP}/conf"
OWN = set(re.findall(r'^PARAM\(.*?, (\w+), .*"postern-', open(f"{TOP}/src/config/params.def").read(), re.M))
OWN_SUFFIXES = tuple("_" + x for x in re.findall(r'^TRANSPORT_PARAM\(\w+, *\w+, *(\w+), .*"postern-', open(f"{TOP}/src/config/transports.def").read(), re.M))
# what depends on the machine, the installation or the build, or is ours by name
DIFFERENT = {"alias_maps", "daemon_directory", "mail_name", "mail_release_date", "mail_version", "manpage_directory", "mydomain",
             "myhostname", "mynetworks", "process_id", "process_name", "shlib_directory", "default_database_type",
             "default_cache_db_type"}

MAIN = """\
compatibility_level = 3.6
# a comment
mydestination = a,
\tb,  c

      d  {x   y}
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, check_client_access \
hash:/etc/postfix/access, permit
smtpd_banner =
forward_path = $x   $y {
mynetworks =  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbb
foo_destination_recipient_limit = 3
smtp_destination_recipient_limit = 3
myx = $myy
myy = 3
always_bcc = $myx
smtpd_restriction_classes = cl1
cl1 = permit
cl3 = permit
"""
MASTER = """\
# services
smtp inet n - n - - smtpd -v
   -o { smtpd_client_restrictions = permit_mynetworks, reject } -o stress= -o smtpd_timeout=5
x unix - n n - 3 pipe flags=F {a b} argv=/bin/cat { $x y }
relay unix - - n - - smtp -o syslog_name=${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name
# twice
y unix - - - 5? - smtp
y unix - - - 5? - lmtp -o max_use=1 -o max_idle=2
postlog unix-dgram n - n - 1 postlogd
"""


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "main.cf").write_text(MAIN)
    (tmp_path / "master.cf").write_text(MASTER)
    return tmp_path


def postconf(directory, *args):
    r = subprocess.run([f"{BUILD}/bin/postconf", "-c", str(directory), *args], capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout, r.stderr


def shown(directory, *args):
    status, out, err = postconf(directory, *args)
    assert status == 0, err
    return out.splitlines()


def test_all_defaults():
    want = {}
    with open(f"{TOP}/tests/data/params.tsv") as f:
        for line in f:
            name, kind, default = line.rstrip("\n").split("\t")
            if kind != "legacy":
                want[name] = default
    got = dict(line.split(" =", 1) for line in shown(STOCK, "-d"))
    assert {n for n in got if n in want or not n.endswith(OWN_SUFFIXES)} == set(want) | {n for n in OWN if not n.endswith(OWN_SUFFIXES)}
    assert list(got) == sorted(got)
    for name in set(want) - DIFFERENT:
        assert got[name].strip() == want[name].strip(), name
    assert len(want) == 1019


def test_stock_configuration_has_no_warnings():
    assert postconf(STOCK, "-n")[2] == ""
    assert postconf(STOCK, "-M")[2] == ""
    assert postconf(STOCK, "-n", "compatibility_level")[1] == "compatibility_level = 3.11\n"


def test_shapes(etc):
    assert shown(etc, "-n", "-q", "mydestination", "smtpd_banner", "forward_path") == [
        "mydestination = a, b, c d {x y}", "smtpd_banner =", "forward_path = $x $y {"]
    assert shown(etc, "-h", "-q", "mydestination", "smtpd_banner") == ["a, b, c d {x y}", ""]
    assert shown(etc, "-H", "-q", "mydestination") == ["mydestination"]
    assert shown(etc, "-x", "-q", "always_bcc", "smtp_helo_name", "-d") [0] == "always_bcc = 3"
    assert shown(etc, "-nf", "-q", "mynetworks", "smtpd_recipient_restrictions") == [
        "mynetworks =", "    " + "a" * 107, "    bbb",
        "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated,",
        "    reject_unauth_destination, check_client_access hash:/etc/postfix/access,", "    permit"]
    assert shown(etc, "-q", "-o", "relayhost=[x]", "relayhost") == ["relayhost = [x]"]
    assert shown(etc, "-q", "-o", "mydomain=x.test", "-x", "mydestination", "-d")[0] == "mydestination = a, b, c d {x y}"
    assert shown(etc, "-d", "relayhost", "virtual_maps") == ["relayhost =", "virtual_maps ="]
    assert json.loads(shown(etc, "-j", "-q", "mydestination")[0]) == {"mydestination": "a, b, c d {x y}"}
    assert all(len(json.loads(line)) == 1 for line in shown(etc, "-j", "-q"))
    assert shown(etc, "-q", "config_directory") == [f"config_directory = {etc}"]


def test_classes(etc):
    assert shown(etc, "-q", "-C", "user") == ["cl1 = permit", "myx = $myy", "myy = 3"]
    assert shown(etc, "-q", "-n", "-C", "service") == ["smtp_destination_recipient_limit = 3"] \
        or shown(etc, "-q", "-n", "-C", "service") == []
    names = [line.split(" =")[0] for line in shown(etc, "-q", "-C", "builtin")]
    assert "cl1" not in names and "relayhost" in names and "relay_destination_recipient_limit" not in names
    assert "relay_destination_recipient_limit = $default_destination_recipient_limit" in shown(etc, "-q", "-C", "service,user")


def test_warnings(etc):
    assert set(postconf(etc, "-n")[2].splitlines()) == {
        f"postconf: warning: {etc}/main.cf: unused parameter: foo_destination_recipient_limit=3",
        f"postconf: warning: {etc}/main.cf: unused parameter: smtp_destination_recipient_limit=3",
        f"postconf: warning: {etc}/main.cf: unused parameter: cl3=permit"}
    assert postconf(etc, "-q", "nonsense") == (0, "", "postconf: warning: nonsense: unknown parameter\n")
    assert postconf(etc, "-M", "-q", "nonsense") == (0, "", 'postconf: warning: unmatched request: "nonsense"\n')
    assert postconf(etc, "-q", "-n")[2] == ""
    with open(etc / "main.cf", "a") as f:
        f.write("smtp_use_tls = yes\n")
    assert 'support for parameter "smtp_use_tls" will be removed; instead, use "smtp_tls_security_level"' in postconf(etc)[2]


def test_mistakes(etc):
    for args, words in [(["-d", "-n"], "specify one of -d -n"), (["-e"], "-e requires name=value argument"),
                        (["-M", "-d"], "with option -M, do not specify -d"), (["-C", "x"], 'unknown -C option value "x"'),
                        (["-Z"], "usage: "), (["-F", "smtp/inet/nope"], 'invalid service attribute name: "nope"'),
                        (["-o", "x"], "invalid parameter override"), (["-e", "a b=c"], "blank in attribute name"),
                        (["-MX", "smtp"], "requires service_name/type")]:
        status, out, err = postconf(etc, *args)
        assert status == 1 and out == "" and err.startswith("postconf: fatal: ") and words in err, (args, err)
    status, _, err = postconf("/nonexistent", "-n")
    assert (status, err) == (1, "postconf: fatal: open /nonexistent/main.cf: No such file or directory\n")


def test_master(etc):
    assert shown(etc, "-M", "-q", "smtp", "postlog/*") == [
        "smtp       inet  n       -       n       -       -       smtpd -v "
        "-o {smtpd_client_restrictions=permit_mynetworks, reject} -o stress= -o smtpd_timeout=5",
        "postlog    unix-dgram n  -       n       -       1       postlogd"]
    assert shown(etc, "-Mf", "-q", "smtp/inet") == [
        "smtp       inet  n       -       n       -       -       smtpd -v",
        "    -o {smtpd_client_restrictions=permit_mynetworks, reject}", "    -o stress=", "    -o smtpd_timeout=5"]
    assert shown(etc, "-Mx", "-q", "relay") == [
        "relay      unix  -       -       n       -       -       smtp -o syslog_name=postfix/relay"]
    assert shown(etc, "-F", "-q", "x/unix") == [
        "x/unix/service = x", "x/unix/type = unix", "x/unix/private = -", "x/unix/unprivileged = n", "x/unix/chroot = n",
        "x/unix/wakeup = -", "x/unix/process_limit = 3", "x/unix/command = pipe flags=F {a b} argv=/bin/cat {$x y}"]
    assert shown(etc, "-Fh", "-q", "*/unix/chroot") == ["n", "n", "-", "-"]
    assert shown(etc, "-FH", "-q", "y/*/type") == ["y/unix/type", "y/unix/type"]
    assert shown(etc, "-P", "-q") == [
        "smtp/inet/smtpd_client_restrictions = permit_mynetworks, reject", "smtp/inet/smtpd_timeout = 5", "smtp/inet/stress =",
        "relay/unix/syslog_name = ${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name",
        "y/unix/max_idle = 2", "y/unix/max_use = 1"]
    assert shown(etc, "-Px", "-q", "*/*/syslog_name") == ["relay/unix/syslog_name = postfix/relay"]
    assert "relay/unix/relay_recipient_limit = $default_recipient_limit" in shown(etc, "-PP", "-q", "relay")
    assert json.loads(shown(etc, "-jM", "-q", "relay")[0])["relay/unix"].split()[:8] == "relay unix - - n - - smtp".split()
    assert json.loads(shown(etc, "-jF", "-q", "x/unix/type")[0]) == {"x/unix/type": "unix"}
    assert json.loads(shown(etc, "-jP", "-q", "smtp/inet/stress")[0]) == {"smtp/inet/stress": ""}


def test_facts():
    assert shown(STOCK, "-l") == ["flock", "fcntl", "dotlock"]
    assert "dovecot" in shown(STOCK, "-a")
    types = shown(STOCK, "-m")
    assert types == sorted(types) and {"cidr", "inline", "regexp", "static", "texthash"} <= set(types)
    assert shown(STOCK, "-T", "compile-version")[0].startswith("OpenSSL ")
    assert shown(STOCK, "-T", "run-version")[0].startswith("OpenSSL ")
    assert "rsa" in shown(STOCK, "-T", "public-key-algorithms")
    assert postconf(STOCK, "-T", "x")[0] == 1


def test_templates(tmp_path):
    raw = postconf(STOCK, "-t")[1]
    assert raw.startswith("failure_template = <<EOF\n") and "$myhostname" in raw
    (tmp_path / "templates").write_text(raw.replace("From: Mail", "From: Post"))
    assert postconf(STOCK, "-t", f"{tmp_path}/templates")[1].count("From: Post") == raw.count("From: Mail") > 0
    assert "$myhostname" not in postconf(STOCK, "-b")[1]
    assert postconf(STOCK, "-t", "/nonexistent")[0] == 1
    (tmp_path / "unknown").write_text("delay_template = <<X\nSubject: s\n\nhello $nobody\nX\n")
    assert "hello $nobody\n" in postconf(STOCK, "-t", f"{tmp_path}/unknown")[1]
    status, _, words = postconf(STOCK, "-b", f"{tmp_path}/unknown")
    assert status == 1 and "delay_template: undefined parameter: $nobody" in words
    assert postconf(STOCK, "-b", "a", "b")[0] == 1


def test_repeated_setting(etc):
    with open(etc / "main.cf", "a") as f:
        f.write("myorigin = one\nmyorigin = two\n")
    status, out, words = postconf(etc, "myorigin")
    assert (status, out) == (0, "myorigin = two\n") and "overriding earlier entry: myorigin=one" in words


@pytest.mark.parametrize("letter", ["d", "n", "x"])
def test_edit_is_not_shown(etc, letter):
    before = (etc / "main.cf").read_text()
    status, _, words = postconf(etc, f"-{letter}", "myorigin=y")
    assert status == 1 and f"specify one of -{letter} -e" in words
    assert (etc / "main.cf").read_text() == before


def test_edit_main_cf(etc):
    path = etc / "main.cf"
    path.chmod(0o640)
    assert postconf(etc, "mydestination = z", "new=1  2", "cl3=") == (0, "", "")
    text = path.read_text()
    assert text == MAIN.replace("mydestination = a,\n\tb,  c\n\n      d  {x   y}\n", "mydestination = z\n\n") \
        .replace("cl3 = permit", "cl3 =") + "new = 1  2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    postconf(etc, "-X", "new", "cl3")
    postconf(etc, "-#", "myx", "smtpd_banner")
    text = path.read_text()
    assert "new" not in text and "cl3" not in text and "\n#myx = $myy\n" in text and "\n#smtpd_banner =\n" in text
    assert postconf(etc, "-e", "=x")[0] == 1
    assert path.read_text() == text
    assert sorted(os.listdir(etc)) == ["main.cf", "master.cf"]


def test_edit_master_cf(etc):
    path = etc / "master.cf"
    assert postconf(etc, "-Me", "new/unix = new unix - - - - - smtp -o { a = b c }") == (0, "", "")
    assert postconf(etc, "-Fe", "*/inet/chroot=y", "new/unix/wakeup = 7?") == (0, "", "")
    assert postconf(etc, "-Pe", "new/unix/a=d", "new/unix/e=f g") == (0, "", "")
    assert shown(etc, "-M", "-q", "new", "smtp") == [
        "new        unix  -       -       -       7?      -       smtp -o a=d -o {e=f g}",
        "smtp       inet  n       -       y       -       -       smtpd -v "
        "-o {smtpd_client_restrictions=permit_mynetworks, reject} -o stress= -o smtpd_timeout=5"]
    assert postconf(etc, "-PX", "new/unix/a") == (0, "", "")
    assert postconf(etc, "-M#", "x/unix") == (0, "", "")
    assert postconf(etc, "-MX", "y/*") == (0, "", "")
    assert postconf(etc, "-MX", "y/*")[2] == 'postconf: warning: unmatched request: "y/*"\n'
    text = path.read_text()
    assert text.startswith("# services\n") and "\n#x unix" in text and "# twice\npostlog" in text
    assert text.endswith("smtp\n    -o {e=f g}\n")
    before = text
    assert postconf(etc, "-Fe", "smtp/inet/wakeup=zz")[0] == 1
    assert path.read_text() == before


@pytest.fixture(scope="module")
def oracle():
    where = os.path.join(tempfile.gettempdir(), "postern-oracle")
    if subprocess.run([f"{TOP}/tests/postfix-oracle", where], capture_output=True).returncode != 0:
        pytest.skip("Debian's postfix package cannot be had")
    env = {**os.environ, "LD_LIBRARY_PATH": f"{where}/usr/lib/postfix"}

    def run(directory, *args):
        for name in ("main.cf", "master.cf"):
            os.utime(directory / name, (1, 1))  # it waits for seconds where a file is new
        r = subprocess.run([f"{where}/usr/sbin/postconf", "-c", str(directory), *args], capture_output=True, text=True, env=env)
        return r.returncode, r.stdout, {line.split(": ", 1)[1] for line in r.stderr.splitlines()}
    return run


# braced arguments without -o are left out: 3.7 loses some of the braces
COMPARED = ["-n", "-nf", "mydestination", "-h mydestination smtpd_banner", "-x mydestination myy always_bcc", "-C user", "-M smtp y",
            "-Mf smtp relay postlog", "-F smtp relay", "-P", "-PH", "-xP", "-Fh */unix/chroot", "-M nope", "-hF smtp", "-HF smtp",
            "-Mx relay", "-n -o relayhost=foo relayhost", "-d virtual_maps foo_destination_recipient_limit", "-n -d", "-MF",
            "-C service -n", "-d -x mynetworks", "-x mynetworks_style myhostname mydomain mydestination", "-l"]


@pytest.mark.parametrize("args", COMPARED)
def test_like_postfix(etc, oracle, args):
    ours = postconf(etc, *args.split())
    theirs = oracle(etc, *args.split())
    assert ours[:2] == theirs[:2]
    assert {line.split(": ", 1)[1] for line in ours[2].splitlines()} == theirs[2]


EDITS = ["-e mydestination=z new=1", "-X cl1 mydestination", "-# cl1 mydestination", "-MX smtp/inet", "-M# smtp/inet",
         "-Fe relay/unix/chroot=y", "-Pe relay/unix/max_use=7", "-PX smtp/inet/stress"]


@pytest.mark.parametrize("args", EDITS)
def test_edits_like_postfix(etc, oracle, tmp_path_factory, args):
    other = tmp_path_factory.mktemp("other")
    for name in ("main.cf", "master.cf"):
        shutil.copy(etc / name, other / name)
    assert postconf(etc, *args.split())[0] == oracle(other, *args.split())[0] == 0
    for name in ("main.cf", "master.cf"):
        ours, theirs = (etc / name).read_text(), (other / name).read_text()
        if args.startswith(("-F", "-P")):  # 3.7 moves comments that stand behind the entry before it
            ours, theirs = ([line for line in text.splitlines() if not line.startswith("#")] for text in (ours, theirs))
        assert ours == theirs


# expansion: each text as the value of a parameter
TEXTS = ["x${stress: {a b} }y", "x${stress: q }y", "${{a} == {b} ? {T} : {F}}", "${{a} == {a}}", "${{a} == {b}}|", "${stress?{y}:n n}|",
         "${stress?{y} : n n }|", "${mail_name?y:n}|", "${{10}<{9}?{T}:{F}}", "${{10x}<{9}?{T}:{F}}", "${{3.10} <level {3.9}?{T}:{F}}",
         "$$x $(syslog_facility) $$$$", "${{ a } == {a}?{T}:{F}}", "${{a}=={a}?T:F}", "${{a}=={b}:F}", "${syslog_facility?b}z",
         "${ syslog_facility }|", "${{a}!={a}?{e}:$syslog_facility}", "$", "${x", "${x*}", "a$-b", "${x?{a}b}", "${{a}={b}?{x}}", "${}"]


@pytest.mark.parametrize("text", TEXTS)
def test_expands_like_postfix(tmp_path, oracle, text):
    (tmp_path / "main.cf").write_text(f"compatibility_level = 3.6\nshlib_directory = no\nalways_bcc = {text}\n")
    (tmp_path / "master.cf").write_text("")
    ours = postconf(tmp_path, "-hxq", "always_bcc")
    theirs = oracle(tmp_path, "-hx", "always_bcc")
    assert ours[:2] == theirs[:2]
