"""make install and make upgrade."""
import os
import subprocess

import pytest
from conftest import BUILD, TOP

OUT = os.path.relpath(BUILD, TOP)


def make(what, *names):
    return subprocess.run(["make", "-s", "-C", TOP, f"O={OUT}", what, *names], capture_output=True, text=True)


def test_package_needs_no_root_and_keeps_its_hands_off(tmp_path):
    root = tmp_path / "package"
    r = make("install", f"install_root={root}")
    assert r.returncode == 0, r.stderr
    assert (root / "usr/sbin/postfix").exists() and (root / "usr/lib/postfix/sbin/master").exists()
    assert not (root / "usr/sbin/sendmail").exists() and not (root / "usr/bin/mailq").exists()
    main = (root / "etc/postfix/main.cf").read_text()
    assert "sendmail_path = /usr/lib/postfix/sbin/sendmail\n" in main
    assert "\nqueue_directory" not in main  # the built-in default
    assert str(root) not in main
    assert (root / "etc/postfix/postfix-files").exists()


def test_upgrade_keeps_the_configuration(tmp_path):
    root = tmp_path / "package"
    names = (f"install_root={root}", "config_directory=/opt/p/etc", "command_directory=/opt/p/sbin", "daemon_directory=/opt/p/libexec",
             "meta_directory=/opt/p/etc", "manpage_directory=/opt/p/man", "sendmail_path=/opt/p/sbin/sendmail", "html_directory=no")
    assert make("install", *names).returncode == 0
    etc = root / "opt/p/etc"
    assert "daemon_directory = /opt/p/libexec\n" in (etc / "main.cf").read_text()
    with open(etc / "main.cf", "a") as f:
        f.write("# mine\nmyorigin = keep.example\n")
    (etc / "master.cf").write_text("# mine\n")
    before = (etc / "main.cf").read_text()
    (root / "opt/p/libexec/master").unlink()
    r = make("upgrade", f"install_root={root}", "config_directory=/opt/p/etc")
    assert r.returncode == 0, r.stderr
    assert (etc / "main.cf").read_text() == before
    assert (etc / "master.cf").read_text() == "# mine\n"
    assert (root / "opt/p/libexec/master").exists()
    assert (root / "opt/p/sbin/sendmail").exists()
    assert os.path.islink(root / "opt/p/sbin/mailq")


@pytest.mark.parametrize("name", ["bogus=1", "install_root=relative", "queue_directory=spool", "create_users=maybe"])
def test_wrong_names_are_refused(tmp_path, name):
    names = [name] if name.startswith("install_root") else [f"install_root={tmp_path}/p", name]
    r = make("install", *names)
    assert r.returncode != 0 and name.split("=")[0] in r.stderr
    assert not (tmp_path / "p").exists()


def test_upgrade_configuration_adds_services(postern):
    p = postern(start=False)
    p.master = "\n".join(x for x in p.master.splitlines() if not x.startswith(("anvil", "retry"))) + "\n# end\n"
    p.write_config()
    r = p.run("postfix", "-c", p.etc, "upgrade-configuration", check=True)
    assert "adding missing entry for anvil service" in r.stdout and "retry service" in r.stdout
    text = open(f"{p.etc}/master.cf").read()
    assert text.startswith(p.master) and "\nanvil " in text
    assert p.run("postfix", "-c", p.etc, "upgrade-configuration", check=True).stdout == ""
