"""local(8): aliases, .forward files, commands, mailboxes, and what happens when they fail."""
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

ROOT = os.getuid() == 0
ME = pwd.getpwuid(os.getuid()).pw_name
USER = "daemon" if ROOT else ME
needs_root = pytest.mark.skipif(not ROOT, reason="delivers with the rights of other accounts")


def text_of(path):
    return open(path, errors="replace").read()


@pytest.fixture
def area():
    """A directory that everybody may write to."""
    d = tempfile.mkdtemp(prefix="local-", dir="/tmp")
    os.chmod(d, 0o1777)
    yield d
    shutil.rmtree(d, ignore_errors=True)


def aliases(**names):
    return "inline:{ " + ", ".join(f"{{ {k.replace('_', '-')} = {v} }}" for k, v in names.items()) + " }"


@pytest.fixture
def local(postern):
    """local(main, **aliases): an instance with these aliases."""
    def make(main=None, **names):
        return postern({"smtpd_reject_unlisted_recipient": "no", "alias_maps": aliases(**names) if names else "", **(main or {})})
    return make


def test_maildir_without_new(postern):
    """What is missing of a maildir is made, also when a delivery has begun."""
    p = postern()
    for part in ("new", "cur"):
        p.send(f"{USER}@example.test")
        p.wait_mail(USER)
        shutil.rmtree(f"{p.mail}/{USER}/{part}")
    p.send(f"{USER}@example.test")
    p.wait_log("status=sent", count=3)
    p.wait_empty()
    assert "bounced" not in p.logs()


def test_alias_to_user(local):
    p = local(postmaster=USER)
    p.send("postmaster@example.test")
    mail = text_of(p.wait_mail(USER)[0])
    assert "\nDelivered-To: postmaster@example.test\n" in mail and "\nX-Original-To: postmaster@example.test\n" in mail
    p.wait_log(rf"to=<{USER}@mx\.example\.test>, orig_to=<postmaster@example\.test>, relay=local, .*status=sent \(delivered to maildir\)")
    p.wait_empty()


def test_alias_names_are_folded_and_nested(local):
    p = local(one="TWO", two="three, three", three=USER)
    p.send("One@example.test")
    p.wait_mail(USER)
    p.wait_empty()
    assert len(p.mails(USER)) == 1


def test_alias_loop_ends(local):
    p = local(a="b", b="a")
    p.send("a@example.test")
    p.wait_log(r'dsn=5\.1\.1, status=bounced \(unknown user: "a"\)')
    p.wait_empty()


def test_alias_with_itself(local):
    p = local(**{USER: f"{USER}, nobody-here"})
    p.send(f"{USER}@example.test")
    p.wait_mail(USER)
    p.wait_log(r'status=bounced \(unknown user: "nobody-here"\)')


def test_alias_elsewhere_is_forwarded(local):
    p = local({"default_transport": "discard:away"}, out="x@elsewhere.test, Y <y@elsewhere.test>")
    p.send("out@example.test")
    line = p.wait_log(r"to=<out@example\.test>, relay=local, .*status=sent \(forwarded as [0-9A-F]+\)")[0]
    new = re.search(r"forwarded as ([0-9A-F]+)", line).group(1)
    p.wait_log(rf"{new}: from=<sender@example\.test>, size=\d+, nrcpt=2 ")
    p.wait_log(rf"{new}: to=<x@elsewhere\.test>")
    p.wait_log(rf"{new}: to=<y@elsewhere\.test>")
    p.wait_empty()


def test_owner_alias(local):
    p = local({"default_transport": "error:5.0.0 no"}, list="x@elsewhere.test", owner_list=USER)
    p.send("list@example.test")
    p.wait_log(r"from=<owner-list@mx\.example\.test>")
    assert "x@elsewhere.test" in text_of(p.wait_mail(USER)[0])


def test_owner_hears_of_local_members(local):
    p = local(list="nobody-here", owner_list=USER)
    p.send("list@example.test")
    assert "nobody-here" in text_of(p.wait_mail(USER)[0])
    p.wait_empty()


def test_unknown_user(local):
    p = local()
    p.send("nobody-here@example.test")
    p.wait_log(r'to=<nobody-here@example\.test>, relay=local, .*dsn=5\.1\.1, status=bounced \(unknown user: "nobody-here"\)')


@pytest.mark.parametrize("relay, box", [("$user@lost.test", "nobody-here"), (USER, None), ("$local+x@lost.test", "nobody-here")])
def test_luser_relay(local, relay, box):
    p = local({"luser_relay": relay, "transport_maps": "inline:{ lost.test=discard:found }"})
    p.send("nobody-here@example.test")
    if box:
        p.wait_log(rf"to=<{box}(\+x)?@lost\.test>.*status=sent \(found\)")
    else:
        p.wait_mail(USER)


def test_include(local, area):
    os.chmod(area, 0o755)
    with open(f"{area}/list", "w") as f:
        f.write(f"# members\n{USER}\n\nA Name <x@elsewhere.test>,\n  y@elsewhere.test\n")
    p = local({"default_transport": "discard:away"}, list=f":include:{area}/list")
    p.send("list@example.test")
    p.wait_mail(USER)
    p.wait_log(r"nrcpt=2 ")
    os.unlink(f"{area}/list")
    p.send("list@example.test")
    p.wait_log(r"dsn=5\.2\.4, status=bounced \(cannot open include file .*/list: No such file or directory\)")


def test_file_of_alias(local, area):
    p = local({"recipient_delimiter": "+"}, file=f"{area}/box")
    p.send("file+ext@example.test", text="Subject: f\r\n\r\nFrom me\r\n")
    p.wait_log(rf"relay=local, .*status=sent \(delivered to file: {area}/box\)")
    box = text_of(f"{area}/box")
    assert box.startswith("From sender@example.test  ") and "\n>From me\n\n" in box
    assert "\nDelivered-To: file+ext@example.test\n" in box
    if ROOT:
        assert os.stat(f"{area}/box").st_uid == pwd.getpwnam("nobody").pw_uid
    assert stat.S_IMODE(os.stat(f"{area}/box").st_mode) == 0o600


def test_maildir_of_alias(local, area):
    p = local(dir=f"{area}/md/")
    p.send("dir@example.test")
    p.wait_log(r"status=sent \(delivered to maildir\)")
    names = os.listdir(f"{area}/md/new")
    assert len(names) == 1 and re.fullmatch(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.mx\.example\.test", names[0])
    assert not os.listdir(f"{area}/md/tmp")


def test_dev_null(local):
    p = local(null="/dev/null")
    p.send("null@example.test")
    p.wait_log(r"status=sent \(delivered to file: /dev/null\)")


def test_command_of_alias(local, area):
    p = local({"recipient_delimiter": "+"}, cmd=f'"|env >{area}/env; cat >{area}/mail; id -un >{area}/who; pwd >{area}/where"')
    p.send("cmd+more@example.test", text="Subject: c\r\n\r\nbody\r\n")
    p.wait_log(r"status=sent \(delivered to command: env >.*\)")
    env = dict(line.split("=", 1) for line in text_of(f"{area}/env").splitlines())
    assert env["EXTENSION"] == "more" and env["RECIPIENT"] == "cmd+more@example.test" and env["SENDER"] == "sender@example.test"
    assert env["LOCAL"] == "cmd+more" and env["DOMAIN"] == "example.test" and env["USER"] == env["LOGNAME"] == "cmd"
    assert env["CLIENT_ADDRESS"] == "127.0.0.1" and env["CLIENT_PROTOCOL"] == "ESMTP" and env["CLIENT_HELO"] == "client.test"
    assert env["ORIGINAL_RECIPIENT"] == "cmd+more@example.test" and "PATH" in env and "POSTERN_CONFIG_FD" not in env
    mail = text_of(f"{area}/mail")
    assert mail.startswith("From sender@example.test  ") and "\nDelivered-To: cmd+more@example.test\n" in mail and mail.endswith("\nbody\n")
    if ROOT:
        assert text_of(f"{area}/who") == "nobody\n"
    assert text_of(f"{area}/where").strip() == os.path.realpath(p.spool)


@pytest.mark.parametrize("command, dsn, status, words", [
    ("exit 67", "5.1.1", "bounced", "user unknown"),
    ("echo too busy; exit 75", "4.3.0", "deferred", "temporary failure. Command output: too busy"),
    ("echo 5.7.9 go away; exit 1", "5.7.9", "bounced", "go away"),
    ("echo 4.7.9 come again; exit 70", "4.7.9", "deferred", "come again"),
    ("echo one; echo two >&2; exit 3", "5.3.0", "bounced", 'Command died with status 3: "echo one; echo two >&2; exit 3". Command output: one two'),
    ("kill -9 $$$$", "4.3.0", "deferred", "Command died with signal 9: "),
    ("head -c 100000 /dev/zero; exit 69", "5.3.0", "bounced", "service unavailable. Command output: "),
])
def test_exit_status_of_command(local, command, dsn, status, words):
    p = local(cmd=f'"|{command}"')
    p.send("cmd@example.test", text="Subject: x\r\n\r\n" + "line of text\r\n" * 20000)
    line = p.wait_log(rf"to=<cmd@example.test>.*dsn={dsn}, status={status} ")[0]
    assert words in line


def test_command_without_shell(local, area):
    p = local(plain=f'"|/usr/bin/tee {area}/out"', missing='"|/nonexistent/program x"')
    p.send("plain@example.test")
    p.wait_log(r"status=sent \(delivered to command: /usr/bin/tee ")
    assert "hello" in text_of(f"{area}/out")
    p.send("missing@example.test")
    p.wait_log(r"dsn=4\.3\.0, status=deferred \(cannot run command: execute /nonexistent/program: No such file or directory\)")


def test_command_time_limit(local):
    p = local({"command_time_limit": "1s"}, slow='"|echo waiting; sleep 60 & sleep 60"')
    p.send("slow@example.test")
    p.wait_log(r'dsn=5\.3\.0, status=bounced \(Command time limit exceeded: "echo waiting; sleep 60 & sleep 60"\. Command output: waiting\)')


def test_what_is_not_allowed(local, area):
    p = local({"allow_mail_to_commands": "", "allow_mail_to_files": "forward"}, cmd='"|cat"', file=f"{area}/x")
    p.send(["cmd@example.test", "file@example.test"])
    p.wait_log(r"to=<cmd@.*dsn=5\.7\.1, status=bounced \(mail to command is restricted\)")
    p.wait_log(r"to=<file@.*dsn=5\.7\.1, status=bounced \(mail to file is restricted\)")


def test_table_trouble_defers(postern):
    p = postern({"alias_maps": "fail:x", "smtpd_reject_unlisted_recipient": "no", "local_recipient_maps": ""})
    p.send(f"{USER}@example.test")
    p.wait_log(r"dsn=4\.3\.0, status=deferred \(alias database unavailable\)")
    assert not p.mails(USER)


def test_loop(local):
    p = local()
    p.send(f"{USER}@example.test", text=f"Delivered-To: {USER}@example.test\r\nSubject: x\r\n\r\nhi\r\n")
    p.wait_log(rf"dsn=5\.4\.6, status=bounced \(mail forwarding loop for {USER}@example\.test\)")


def test_deferred_part_forwards_nothing(local):
    """What is tried again as a whole must not reach the others twice."""
    p = local({"default_transport": "discard:away"}, mix='"|exit 75", x@elsewhere.test')
    p.send("mix@example.test")
    p.wait_log("status=deferred")
    p.wait_queue(1, "deferred")
    assert "forwarded as" not in p.logs()


def test_mailbox_command(local, area):
    p = local({"mailbox_command": f"cat >{area}/mail"})
    p.send(f"{USER}@example.test")
    p.wait_log(r"status=sent \(delivered to command: cat >")
    assert "hello" in text_of(f"{area}/mail")
    if ROOT:
        assert os.stat(f"{area}/mail").st_uid == pwd.getpwnam(USER).pw_uid


def test_other_transports(local):
    p = local({"mailbox_transport_maps": f"inline:{{ {USER}=discard:mapped }}", "mailbox_transport": "discard:all"})
    p.send([f"{USER}@example.test", "nobody-here@example.test"])
    p.wait_log(rf"passing <{USER}@example\.test> to transport=discard")
    p.wait_log(rf"discard\[\d+\]: [0-9A-F]+: to=<{USER}@example\.test>, .*status=sent \(mapped\)")
    p.wait_log(r"discard\[\d+\]: [0-9A-F]+: to=<nobody-here@example\.test>, .*status=sent \(all\)")
    p.wait_empty()


def test_fallback_transport(local):
    p = local({"fallback_transport": "error:5.1.1 nowhere", "luser_relay": "other"})
    p.send([f"{USER}@example.test", "nobody-here@example.test"])
    p.wait_mail(USER)
    p.wait_log(r"error\[\d+\]: .*to=<nobody-here@example\.test>.*dsn=5\.1\.1, status=bounced \(nowhere\)")
    p.wait_empty()


def test_trial(local):
    p = local({"default_transport": "discard:x"}, out="x@elsewhere.test", cmd='"|cat"', file="/tmp/f")
    for to, words in ((USER, "delivers to maildir"), ("out", "forwards to x@elsewhere.test"), ("cmd", "delivers to command: cat"),
                      ("file", "delivers to file: /tmp/f")):
        p.run("sendmail", "-bv", f"{to}@example.test", input="", check=True)
        p.wait_log(rf"status=deliverable \({words}\)")
    assert not os.path.exists("/tmp/f")


def test_size_limit(local):
    p = local({"message_size_limit": "10000", "mailbox_size_limit": "15000", "mail_spool_directory": "/tmp"})
    p.main["mail_spool_directory"] = p.mail
    p.write_config()
    p.reload()
    p.send(f"{USER}@example.test", text="Subject: x\r\n\r\n" + "0123456789\r\n" * 700)
    p.wait_log(r"delivered to mailbox")
    p.send(f"{USER}@example.test", text="Subject: x\r\n\r\n" + "0123456789\r\n" * 700)
    p.wait_log(r"dsn=5\.2\.2, status=bounced \(mailbox delivery failed: .*size limit")


# ---- accounts with homes of their own ----

@pytest.fixture
def account(area):
    """A new account; its home is below area."""
    name = f"pt{os.getpid() % 100000}"
    home = f"{area}/{name}"
    subprocess.run(["useradd", "-m", "-d", home, "-s", "/bin/sh", "-c", "Test", name], check=True, capture_output=True)
    os.chmod(home, 0o700)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", name], capture_output=True)


def write_as(account, path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chown(path, account.pw_uid, account.pw_gid)
    os.chmod(path, mode)


@needs_root
def test_home_mailbox(local, account):
    p = local({"home_mailbox": "Maildir/"})
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"status=sent \(delivered to maildir\)")
    new = f"{account.pw_dir}/Maildir/new"
    st = os.stat(f"{new}/{os.listdir(new)[0]}")
    assert st.st_uid == account.pw_uid and st.st_gid == account.pw_gid and stat.S_IMODE(st.st_mode) == 0o600
    p.main["home_mailbox"] = "mbox"
    p.write_config()
    p.reload()
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"status=sent \(delivered to mailbox\)")
    assert os.stat(f"{account.pw_dir}/mbox").st_uid == account.pw_uid
    assert not os.path.exists(f"{account.pw_dir}/mbox.lock")


@needs_root
@pytest.mark.parametrize("mode, group", [(0o755, 0), (0o2775, "mail"), (0o1777, 0)])
def test_spool_directories(local, account, area, mode, group):
    """As root, as the group, as the user: whoever may make files there."""
    spool = f"{area}/spool"
    os.mkdir(spool)
    shutil.chown(spool, 0, group)
    os.chmod(spool, mode)
    p = local()
    p.main["mail_spool_directory"] = spool
    p.write_config()
    p.reload()
    for n in (1, 2):
        p.send(f"{account.pw_name}@example.test")
        p.wait_log(r"status=sent \(delivered to mailbox\)", count=n)
    st = os.stat(f"{spool}/{account.pw_name}")
    assert st.st_uid == account.pw_uid and stat.S_IMODE(st.st_mode) == 0o600
    assert os.listdir(spool) == [account.pw_name]
    assert text_of(f"{spool}/{account.pw_name}").count("\nSubject: t\n") == 2


@needs_root
@pytest.mark.parametrize("strict", ["yes", "no"])
def test_mailbox_that_somebody_else_made(local, account, area, strict):
    p = local({"strict_mailbox_ownership": strict})
    p.main["mail_spool_directory"] = area
    p.write_config()
    p.reload()
    box = f"{area}/{account.pw_name}"
    shutil.rmtree(box)
    open(box, "w").close()
    os.chown(box, 65533, 65533)
    os.chmod(box, 0o666)
    p.send(f"{account.pw_name}@example.test")
    if strict == "yes":
        p.wait_log(r"dsn=4\.2\.0, status=deferred \(mailbox delivery failed: destination .* is not owned by recipient\)")
        assert os.path.getsize(box) == 0
    else:
        p.wait_log(r"status=sent")


@needs_root
def test_forward_file(local, account):
    p = local({"default_transport": "discard:away", "home_mailbox": "Maildir/"})
    write_as(account, f"{account.pw_dir}/.forward",
             f'# mine\n\\{account.pw_name}, other@elsewhere.test\n"|cat >{account.pw_dir}/piped; id -un >{account.pw_dir}/who"\n{account.pw_dir}/file\n')
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"forwarded as")
    p.wait_empty()
    assert len(os.listdir(f"{account.pw_dir}/Maildir/new")) == 1
    assert text_of(f"{account.pw_dir}/who").strip() == account.pw_name
    assert os.stat(f"{account.pw_dir}/file").st_uid == account.pw_uid
    assert "hello" in text_of(f"{account.pw_dir}/piped")


@needs_root
def test_forward_to_self_without_backslash(local, account):
    p = local({"home_mailbox": "Maildir/", "default_transport": "discard:away"})
    write_as(account, f"{account.pw_dir}/.forward", f"{account.pw_name}, x@elsewhere.test\n")
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"forwarded as")
    p.wait_empty()
    assert len(os.listdir(f"{account.pw_dir}/Maildir/new")) == 1


@needs_root
def test_forward_with_extension(local, account):
    p = local({"home_mailbox": "Maildir/", "recipient_delimiter": "+", "transport_maps": "inline:{ a.test=discard:A, b.test=discard:B }"})
    write_as(account, f"{account.pw_dir}/.forward", "x@a.test\n")
    write_as(account, f"{account.pw_dir}/.forward+ext", "x@b.test\n")
    p.send(f"{account.pw_name}+ext@example.test")
    p.wait_log(r"to=<x@b\.test>.*status=sent \(B\)")
    p.send(f"{account.pw_name}+other@example.test")
    p.wait_log(r"to=<x@a\.test>.*status=sent \(A\)")


@needs_root
@pytest.mark.parametrize("mode, owner", [(0o666, None), (0o644, 65533)])
def test_unsafe_forward_is_not_used(local, account, mode, owner):
    p = local({"home_mailbox": "Maildir/"})
    write_as(account, f"{account.pw_dir}/.forward", "x@elsewhere.test\n", mode)
    if owner:
        os.chown(f"{account.pw_dir}/.forward", owner, owner)
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"status=sent \(delivered to maildir\)")
    p.wait_log(r"warning: .*\.forward: .* -- the file is not used")


@needs_root
def test_forward_that_is_a_link_is_not_followed(local, account, area):
    p = local({"home_mailbox": "Maildir/"})
    secret = f"{area}/secret"
    with open(secret, "w") as f:
        f.write("x@elsewhere.test\n")
    os.symlink(secret, f"{account.pw_dir}/.forward")
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"status=sent \(delivered to maildir\)")


@needs_root
def test_mailbox_of_another_is_refused(local, account, area):
    """A link in place of the mailbox does not make us write elsewhere."""
    p = local({"home_mailbox": "mbox"})
    target = f"{area}/target"
    open(target, "w").close()
    os.symlink(target, f"{account.pw_dir}/mbox")
    p.send(f"{account.pw_name}@example.test")
    p.wait_log(r"mailbox delivery failed")
    assert os.path.getsize(target) == 0
