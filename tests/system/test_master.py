"""master and the postfix command: limits, crashes, reload, wake-ups, sockets from outside, instances without root."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from conftest import SLOW, descendants, free_port, wait_until

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name


def program(pid):
    """Name of the program, or None when it has ended (and perhaps nobody has asked for its status yet)."""
    with contextlib.suppress(OSError):
        name, state = re.fullmatch(r"\d+ \((.*)\) (\S) .*", open(f"/proc/{pid}/stat").read().strip()).groups()
        return name if state != "Z" else None


def children(p, name):
    """Pids of that program."""
    return [pid for pid in descendants(p.master_pid()) if program(pid) == name]


def begin(c, n=1):
    assert c.cmd("EHLO c.test").startswith("250")
    assert c.cmd(f"MAIL FROM:<s{n}@example.test>").startswith("250")
    assert c.cmd(f"RCPT TO:<{USER}@example.test>").startswith("250")


def finish(c):
    assert c.cmd("DATA").startswith("354")
    assert c.cmd("Subject: x\r\n\r\nbody\r\n.").startswith("250")
    assert c.cmd("QUIT").startswith("221")


@pytest.mark.threads
def test_sessions_share_a_process(postern):
    p = postern()
    sessions = [p.raw() for _ in range(20)]
    assert all(c.greeting.startswith("220 ") for c in sessions)
    assert len(children(p, "smtpd")) == 1
    for c in sessions:
        begin(c)
    for c in sessions:
        finish(c)
    p.wait_mail(USER, count=20)


def test_process_limit_counts_sessions(postern):
    p = postern({"smtpd_process_sessions": "2"}, start=False)
    p.master = p.master.replace(" - - smtpd", " - 3 smtpd")
    p.write_config()
    p.start()
    first = [p.raw() for _ in range(3)]
    assert len(children(p, "smtpd")) == 2  # 2 + 1
    with socket.create_connection(("127.0.0.1", p.port), 5) as waiting:
        p.wait_log(r'warning: service "127\.0\.0\.1:\d+" \(\d+\) has reached its process limit "3": new clients may experience noticeable delays')
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(3)
        first[0].cmd("QUIT")
        waiting.settimeout(60 * SLOW)
        assert waiting.recv(3) == b"220"
    for c in first:
        c.close()


def test_stress_reaches_new_sessions(postern):
    p = postern({"smtpd_helo_required": "${stress?{yes}:{no}}"}, start=False)
    p.master = p.master.replace(" - - smtpd", " - 2 smtpd")
    p.write_config()
    p.start()
    calm = p.raw()
    assert calm.cmd("MAIL FROM:<s@example.test>").startswith("250")
    other = p.raw()
    with socket.create_connection(("127.0.0.1", p.port), 5):
        p.wait_log("has reached its process limit")
        calm.close()
    other.close()

    def is_strict():
        try:
            with p.raw() as c:
                return c.cmd("MAIL FROM:<s@example.test>").startswith("503")
        except OSError:  # both places are still taken
            return False
    wait_until(is_strict, what="stress mode")


def test_killed_process_is_replaced(postern):
    p = postern()
    victim = children(p, "smtpd")[0]
    os.kill(victim, signal.SIGKILL)
    p.wait_log(rf"master\[\d+\]: warning: process .*/smtpd pid {victim} killed by signal 9")
    p.wait_port()
    assert "throttling" not in p.logs()


def test_crash_at_start_is_throttled(postern):
    p = postern(master_extra="broken unix n - n 1 1 spawn\n")
    p.wait_log(r"master\[\d+\]: warning: process .*/spawn pid \d+ exit status 1")
    p.wait_log(r"master\[\d+\]: warning: .*/spawn: bad command startup -- throttling")
    time.sleep(2.5)
    assert p.logs().count("bad command startup") == 1


@pytest.mark.threads
def test_reload_keeps_sessions(postern):
    p = postern()
    old = [p.raw() for _ in range(5)]
    for c in old[:3]:
        begin(c)
    before = children(p, "smtpd")
    p.main["smtpd_banner"] = "$myhostname ESMTP after reload"
    p.write_config()
    p.reload()
    with p.raw() as new:
        assert new.greeting.endswith("after reload")
    assert before[0] in children(p, "smtpd")
    for c in old[3:]:
        begin(c)
    for c in old:
        finish(c)
    p.wait_mail(USER, count=5)
    wait_until(lambda: before[0] not in children(p, "smtpd"), what="end of the old process")


@pytest.mark.threads
def test_reload_under_load_loses_nothing(postern):
    p = postern({"smtpd_client_connection_count_limit": "0"})
    import threading
    stop, sent, trouble = threading.Event(), [], []

    def client(k):
        n = 0
        while not stop.is_set():
            try:
                p.send(f"{USER}@example.test", sender=f"c{k}.{n}@example.test")
                sent.append(f"c{k}.{n}")
                n += 1
            except Exception as e:  # noqa: BLE001: everything that a client can notice counts
                trouble.append(repr(e))
    threads = [threading.Thread(target=client, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for _ in range(5):
        time.sleep(0.4)
        p.reload()
    wait_until(lambda: len(sent) > 20 or trouble, what="enough mail")
    stop.set()
    for t in threads:
        t.join()
    assert not trouble
    p.wait_mail(USER, count=len(sent))
    p.wait_empty()
    assert len(p.mails(USER)) == len(sent)


def test_bad_configuration_keeps_the_old_one(postern):
    p = postern()
    with open(f"{p.etc}/main.cf", "a") as f:
        f.write("smtpd_recipient_limit = many\n")
    r = p.run("postfix", "-c", p.etc, "reload")
    assert r.returncode == 1 and "smtpd_recipient_limit" in r.stderr and "main.cf" in r.stderr
    os.kill(p.master_pid(), signal.SIGHUP)  # somebody does not ask the command
    p.wait_log(r"master\[\d+\]: error: reload refused, the running configuration stays: .*smtpd_recipient_limit")
    for pid in children(p, "smtpd"):
        os.kill(pid, signal.SIGKILL)
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)


def is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return True
    return False


def test_services_come_and_go(postern):
    p = postern()
    other = free_port()
    plain = p.master
    p.master += f"127.0.0.1:{other} inet n - n - - smtpd\n"
    p.write_config()
    p.reload()
    p.wait_port(other)
    p.master = plain
    p.write_config()
    p.reload()
    wait_until(lambda: is_closed(other), what="a closed port")
    p.main["master_service_disable"] = "inet"
    p.write_config()
    p.reload()
    wait_until(lambda: is_closed(p.port), what="a closed port")


def test_wakeups(postern):
    p = postern(master_extra="w1 unix - - n 1 1 pickup -v\nw2 unix - - n 1? 1 pickup -v\nw3 fifo n - n 1 1 pickup -v\n"
                             "w4 unix-dgram n - n 1 1 postlogd\n")
    p.wait_log(r"pickup\[\d+\]: wake-up, 1 bytes", count=5)
    assert not p.run("postkick", "-c", p.etc, "private", "w2", "QQ").stderr
    p.wait_log(r"pickup\[\d+\]: wake-up, 2 bytes")
    assert p.run("postkick", "-c", p.etc, "public", "nosuch", "W").returncode == 1


def test_unknown_program_concerns_its_service_only(postern):
    p = postern(master_extra="x unix - - n 1 1 nosuchprogram\n")
    p.wait_log(r"warning: .*service x cannot run: .*/nosuchprogram: No such file")
    p.wait_log(r"master\[\d+\]: warning: .*/nosuchprogram: bad command startup -- throttling")
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)


def test_commands_and_their_status(postern):
    p = postern(start=False)

    def postfix(*words):
        return p.run("postfix", "-c", p.etc, *words)
    for word in ("stop", "reload", "abort", "drain"):
        r = postfix(word)
        assert r.returncode == 1 and "fatal: the Postfix mail system is not running" in r.stderr
    r = postfix("status")
    assert r.returncode == 1 and r.stderr == "postfix/postfix-script: the Postfix mail system is not running\n"
    assert p.run("master", "-c", p.etc, "-t").returncode == 0
    p.start()
    pid = p.master_pid()
    assert open(f"{p.spool}/pid/master.pid").read() == f"{pid:32d}\n" == open(f"{p.data}/master.lock").read()
    r = postfix("status")
    assert r.returncode == 0 and r.stderr == f"postfix/postfix-script: the Postfix mail system is running: PID: {pid}\n"
    assert p.run("master", "-c", p.etc, "-t").returncode == 1
    r = postfix("start")
    assert r.returncode == 1 and "fatal: the Postfix mail system is already running" in r.stderr
    r = postfix("quick-stop")
    assert r.returncode == 0 and r.stderr == "postfix/postfix-script: stopping the Postfix mail system\n"
    assert os.path.exists(f"{p.spool}/quick-start")
    p.start()
    assert not os.path.exists(f"{p.spool}/quick-start")
    assert postfix("abort").returncode == 0
    wait_until(lambda: not p.master_pid(), what="abort")
    r = postfix("frobnicate")
    assert r.returncode == 1 and "unknown command: 'frobnicate'" in r.stderr
    assert postfix().returncode == 1


def test_drain_lets_sessions_finish(postern):
    p = postern()
    with p.raw() as c:
        begin(c)
        assert p.run("postfix", "-c", p.etc, "drain").returncode == 0
        assert not p.master_pid()
        p.start()  # the old process has let go of the port
        finish(c)
    p.wait_mail(USER)


def test_logrotate(postern):
    p = postern({"maillog_file_rotate_suffix": "old"})
    p.run("postfix", "-c", p.etc, "logrotate", check=True)
    assert os.path.exists(f"{p.log}.old.gz") and not os.path.exists(f"{p.log}.old")
    p.send(f"{USER}@example.test")
    p.wait_log("connect from")


def test_log_on_standard_output(postern):
    p = postern({"maillog_file": "/dev/stdout"}, start=False)
    with open(f"{p.dir}/out", "w") as out:
        fg = subprocess.Popen([f"{p.prefix}/sbin/postfix", "-c", p.etc, "start-fg"], stdout=out, stderr=subprocess.STDOUT)
        try:
            p.wait_port()
            p.send(f"{USER}@example.test")
            p.wait_mail(USER)
            wait_until(lambda: re.search(r"^\w{3} \d\d [\d:]{8} \S+ postfix/smtpd\[\d+\]: connect from", open(f"{p.dir}/out").read(), re.M))
        finally:
            fg.send_signal(signal.SIGTERM)
            assert fg.wait(60 * SLOW) == 0
    wait_until(lambda: "terminating on signal 15" in open(f"{p.dir}/out").read(), what="the last line")


def test_check_tells_unsafe_files(postern):
    p = postern(start=False)
    p.run("postfix", "-c", p.etc, "check", check=True)
    os.chmod(f"{p.etc}/main.cf", 0o666)
    os.chmod(f"{p.spool}/active", 0o777)
    os.makedirs(f"{p.spool}/corrupt", exist_ok=True)
    open(f"{p.spool}/corrupt/ABC", "w").close()
    r = p.run("postfix", "-c", p.etc, "check")
    assert r.returncode == 0
    assert f"warning: group or other writable: {p.etc}/main.cf" in r.stderr
    assert f"warning: group or other writable: {p.spool}/active" in r.stderr
    assert "warning: damaged message: corrupt/ABC" in r.stderr
    p.run("postfix", "-c", p.etc, "set-permissions", check=True)
    assert os.stat(f"{p.spool}/active").st_mode & 0o777 == 0o700


def test_directories_have_their_modes(postern):
    p = postern()
    modes = {d: os.stat(f"{p.spool}/{d}").st_mode & 0o777 for d in os.listdir(p.spool) if os.path.isdir(f"{p.spool}/{d}")}
    for d in "active bounce corrupt defer deferred flush hold incoming saved trace private".split():
        assert modes[d] == 0o700, d
    assert (modes["public"], modes["maildrop"], modes["pid"], modes["submit"]) == (0o710, 0o730, 0o755, 0o755)
    assert os.stat(f"{p.spool}/submit/submit").st_mode & 0o777 == 0o666


def test_socket_activation_and_notification(postern):
    p = postern(start=False)
    p.run("postfix", "-c", p.etc, "check")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", p.port))
    listener.listen()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(f"{p.dir}/notify")
    notify.settimeout(60 * SLOW)
    fg = subprocess.Popen(["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 exec {p.prefix}/libexec/master -s -c {p.etc}"],
                          pass_fds=[3], preexec_fn=lambda: os.dup2(listener.fileno(), 3),
                          env={**os.environ, "NOTIFY_SOCKET": f"{p.dir}/notify"})
    try:
        assert notify.recv(100) == b"READY=1"
        p.wait_port()
        assert len(subprocess.run(["sh", "-c", f"ls -l /proc/{fg.pid}/fd | grep -c 'socket:\\[{os.fstat(listener.fileno()).st_ino}\\]'"],
                                  capture_output=True, text=True).stdout.split()) == 1
        fg.send_signal(signal.SIGHUP)
        assert notify.recv(100) == b"RELOADING=1"
        assert notify.recv(100) == b"READY=1"
        p.wait_port()
    finally:
        fg.terminate()
        assert fg.wait(60 * SLOW) == 0
        assert notify.recv(100) == b"STOPPING=1"
        listener.close()


def test_services_are_confined(postern):
    p = postern()
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)

    def status(name, key):
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            return re.search(rf"^{key}:\s*(\S+)", open(f"/proc/{children(p, name)[0]}/status").read(), re.M).group(1)
    if os.environ.get("POSTERN_SLOW"):
        pytest.skip("sanitizer builds have no sandbox")
    for name in ("smtpd", "qmgr", "pickup"):
        wait_until(lambda: (status(name, "NoNewPrivs"), status(name, "Seccomp")) == ("1", "2"), what=f"confined {name}")
    assert (status("local", "NoNewPrivs"), status("local", "Seccomp")) == ("0", "0")
    p.main["service_sandbox"] = "no"
    p.write_config()
    p.reload()
    p.wait_port()
    wait_until(lambda: status("smtpd", "NoNewPrivs") == "0")


def test_postlock_and_postlog(postern):
    p = postern()
    r = p.run("postlock", "-c", p.etc, f"{p.dir}/box", "sh", "-c", f"test -f {p.dir}/box.lock && exit 7")
    assert r.returncode == 7 and not os.path.exists(f"{p.dir}/box.lock")
    open(f"{p.dir}/box.lock", "w").close()
    p.main.update(deliver_lock_attempts="2", deliver_lock_delay="1s")
    p.write_config()
    assert p.run("postlock", "-c", p.etc, f"{p.dir}/box", "true").returncode == 75
    p.run("postlog", "-c", p.etc, "-t", "my/script", "-p", "warn", "some", "words", check=True)
    p.run("postlog", "-c", p.etc, input="one\ntwo\n", check=True)
    p.wait_log(r"my/script\[\d+\]: warning: some words$")
    p.wait_log(r"postfix/postlog\[\d+\]: two$")


@pytest.mark.skipif(not ROOT, reason="everything else runs without root then")
def test_instance_of_an_ordinary_user(postern):
    p = postern(start=False)
    p.main.pop("mail_owner")
    p.main.pop("setgid_group")
    p.master = p.master.replace("qmgr unix n - n", "qmgr unix n - y")
    p.write_config()
    subprocess.run(["chown", "-R", "nobody:nogroup", p.dir], check=True)

    def as_nobody(*args, **kw):
        return subprocess.run([f"{p.prefix}/sbin/{args[0]}", *args[1:]], user="nobody", group="nogroup", extra_groups=[],
                              env={**os.environ, "MAIL_CONFIG": p.etc}, capture_output=True, text=True, timeout=60 * SLOW, **kw)
    r = as_nobody("postfix", "-c", p.etc, "start")
    assert r.returncode == 0, r.stderr
    assert "chroot of 1 services in master.cf is ignored" in p.logs() + r.stderr
    p.wait_port()
    p.send("nobody@example.test")
    p.wait_mail("nobody")
    assert as_nobody("sendmail", "nobody@example.test", input="Subject: x\n\nx\n").returncode == 0
    p.wait_mail("nobody", count=2)
    assert {os.stat(f"/proc/{x}").st_uid for x in p.processes()} == {__import__("pwd").getpwnam("nobody").pw_uid}
    assert "owned" not in as_nobody("postfix", "-c", p.etc, "check").stderr
    assert as_nobody("postfix", "-c", p.etc, "reload").returncode == 0
    p.send("nobody@example.test")
    p.wait_mail("nobody", count=3)
    assert as_nobody("postfix", "-c", p.etc, "stop").returncode == 0
    subprocess.run(["chown", "root", p.spool], check=True)
    r = as_nobody("postfix", "-c", p.etc, "start")
    assert r.returncode == 1 and "reserved for the superuser" in r.stderr


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_chroot(postern):
    p = postern(start=False)
    p.master = re.sub(r"^(\S+ \S+ \S+ \S+) n( .* (smtpd|cleanup|qmgr|trivial-rewrite|bounce|smtp|error|discard|anvil).*)$", r"\1 y\2", p.master, flags=re.M)
    p.write_config()
    p.start()
    for name in ("smtpd", "qmgr"):  # it may just have started
        wait_until(lambda: os.readlink(f"/proc/{children(p, name)[0]}/root") == p.spool, what=f"{name} in its jail")
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)
    p.run("sendmail", "-f", f"{USER}@example.test", "nobody-here@example.test", input="Subject: x\n\nx\n", check=True)
    p.wait_mail(USER, count=2)  # the notification
    p.wait_empty()


def test_pass_service_takes_over_connections(postern):
    p = postern(master_extra="handover pass - - n - - smtpd\n")
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{p.spool}/private/handover")
        socket.send_fds(s, [b"\0"], [theirs.fileno()])
    theirs.close()
    ours.settimeout(60 * SLOW)
    assert ours.recv(3) == b"220"
    ours.close()


def test_stop_ends_what_services_run(postern):
    p = postern({"mailbox_command": "sleep 1000"})
    p.send(f"{USER}@example.test")
    sleepers = wait_until(lambda: children(p, "sleep"))
    assert p.run("postfix", "-c", p.etc, "stop").returncode == 0
    wait_until(lambda: not any(program(x) for x in sleepers), what="end of the command")


DEBIAN_MASTER = """\
127.0.0.1:{port} inet n - y - - smtpd
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
trace     unix  -       -       y       -       0       bounce
verify    unix  -       -       y       -       1       verify
flush     unix  n       -       y       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
showq     unix  n       -       y       -       -       showq
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       y       -       -       lmtp
anvil     unix  -       -       y       -       1       anvil
scache    unix  -       -       y       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${{recipient}}
mailman   unix  -       n       n       -       -       pipe
  flags=FRX user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py ${{nexthop}} ${{user}}
"""


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_services_of_debian(postern):
    """Chroot jails for most services, pipes to programs that are not installed."""
    p = postern({"compatibility_level": "3.6", "default_transport": "discard:"}, master=DEBIAN_MASTER)
    assert os.readlink(f"/proc/{children(p, 'smtpd')[0]}/root") == p.spool
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)
    p.run("sendmail", USER + "@example.test", input="Subject: x\n\nx\n", check=True)
    p.wait_mail(USER, count=2)
    p.send("somebody@elsewhere.test")
    p.wait_log("status=sent .elsewhere.test")
    p.wait_empty()
    assert "fatal" not in p.logs() and "throttling" not in p.logs()
    old = re.findall(r"postfix-script\[\d+\]: using backwards-compatible default setting (.*)", p.logs())
    assert old == ["smtp_tls_security_level="], old
    assert p.run("mailq").stdout == "Mail queue is empty\n"


def test_master_dies_and_starts_again(postern):
    p = postern()
    for n in range(3):
        p.send(f"{USER}@example.test")
        old = p.processes()
        with p.raw() as c:
            begin(c)
            os.kill(p.master_pid(), signal.SIGKILL)
            wait_until(lambda: not program(old[0]), what="end of master")
            p.start()
            finish(c)
        p.wait_mail(USER, count=2 * n + 2)
        wait_until(lambda: not any(program(x) for x in old), what="end of the old processes")
    p.wait_empty()


def test_settings_of_an_old_level(postern):
    """What a compatibility_level of 0 leaves as it was, less what main.cf sets."""
    p = postern({"compatibility_level": "0", "smtputf8_enable": "no"}, start=False)
    r = p.run("postfix", "-c", p.etc, "check")
    assert r.returncode == 0
    said = r.stderr + p.logs()
    for setting in ("append_dot_mydomain=yes", "smtp_tls_fingerprint_digest=md5", "respectful_logging=no"):
        assert f"using backwards-compatible default setting {setting}\n" in said, said
    assert "smtputf8_enable" not in said and 'use "postconf compatibility_level=3.11"' in said


def test_exit_time(postern):
    p = postern(start=False)
    p.run("postfix", "-c", p.etc, "check")
    assert p.run("master", "-s", "-e", "1", "-c", p.etc).returncode == 0
    assert "terminating: exit time" in p.logs()
