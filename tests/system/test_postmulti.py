"""postmulti: instances beside each other, with a stand-in for postfix(1) that writes down how it was called."""
import json
import os
import subprocess

import pytest

from conftest import BUILD

POSTFIX = """#!/bin/sh
[ "$3" = status ] && exec test -e "$2/running"
echo "$2 $3" >>{log}
[ "$3" != fail ]
"""


class Machine:
    def __init__(self, top):
        self.top, self.log = top, top / "calls"
        for name in ("bin", "etc/postfix", "spool/postfix", "lib/postfix"):
            (top / name).mkdir(parents=True)
        (top / "bin/postfix").write_text(POSTFIX.format(log=self.log))
        (top / "bin/postfix").chmod(0o755)
        (top / "etc/postfix/main.cf").write_text(
            f"# primary\ncompatibility_level = 3.11\ncommand_directory = {top}/bin\nqueue_directory = {top}/spool/postfix\n"
            f"data_directory = {top}/lib/postfix\nmyhostname = one.example.test\n")
        (top / "etc/postfix/master.cf").write_text("smtp inet n - n - - smtpd\n")

    def run(self, *args, status=0):
        env = {**os.environ, "MAIL_CONFIG": f"{self.top}/etc/postfix"}
        r = subprocess.run([f"{BUILD}/bin/postmulti", *args], capture_output=True, text=True, env=env, timeout=60)
        assert r.returncode == status, r
        return r.stdout if status == 0 else r.stderr

    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.replace(f"{self.top}/etc/", "") for line in lines]

    def value(self, name, parameter):
        r = subprocess.run([f"{BUILD}/bin/postconf", "-hqc", f"{self.top}/etc/{name}", parameter], capture_output=True, text=True)
        return r.stdout.rstrip("\n")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def two(machine):
    machine.run("-e", "init")
    machine.run("-e", "create", "-I", "postfix-out", "-G", "edge", "myhostname=two.example.test", "x=a b")
    machine.calls()
    return machine


def test_one_instance(machine):
    top = machine.top
    assert machine.run("-l") == f"{'-':<15} {'-':<15} {'y':<9} {top}/etc/postfix\n"
    assert json.loads(machine.run("-j")) == {"name": "-", "group": "-", "enabled": "y", "config_directory": f"{top}/etc/postfix"}
    assert "run first: postmulti -e init" in machine.run("-e", "create", "-I", "postfix-a", status=1)
    machine.run("-e", "init")
    assert machine.value("postfix", "multi_instance_wrapper") == "${command_directory}/postmulti -p --"
    assert machine.run("-l").split()[2] == "y"
    machine.run("-e", "init")


def test_create(two):
    top = two.top
    assert two.run("-l").splitlines()[1] == f"{'postfix-out':<15} {'edge':<15} {'n':<9} {top}/etc/postfix-out"
    assert two.value("postfix", "multi_instance_directories") == f"{top}/etc/postfix-out"
    assert two.value("postfix-out", "queue_directory") == f"{top}/spool/postfix-out"
    assert two.value("postfix-out", "data_directory") == f"{top}/lib/postfix-out"
    assert two.value("postfix-out", "myhostname") == "two.example.test"
    assert two.value("postfix-out", "command_directory") == f"{top}/bin"
    assert two.value("postfix-out", "master_service_disable") == "inet"
    assert two.value("postfix-out", "authorized_submit_users") == ""
    assert (top / "spool/postfix-out").is_dir() and (top / "etc/postfix-out/master.cf").read_text().startswith("smtp inet")
    assert "is there already" in two.run("-e", "create", "-I", "postfix-out", status=1)
    assert "postfix-something" in two.run("-e", "create", "-I", "other", status=1)
    for directory in ("queue_directory=" + str(top / "spool/postfix-out"), "data_directory=" + str(top / "lib/postfix")):
        assert "is that of the instance in" in two.run("-e", "create", "-I", "postfix-new", directory, status=1)
    assert not (top / "etc/postfix-new").exists()


def test_run(two):
    two.run("-p", "start")
    assert two.calls() == ["postfix start", "postfix-out check"]  # not enabled
    two.run("-p", "--", "reload")
    assert two.calls() == ["postfix reload"]
    two.run("-i", "postfix-out", "-e", "enable")
    two.run("-p", "start")
    assert two.calls() == ["postfix start", "postfix-out start"]
    two.run("-p", "stop")
    assert two.calls() == ["postfix-out stop", "postfix stop"]
    two.run("-R", "-p", "flush")
    assert two.calls() == ["postfix-out flush", "postfix flush"]
    two.run("-g", "edge", "-p", "check")
    assert two.calls() == ["postfix-out check"]
    two.run("-i", "-", "-p", "check")
    assert two.calls() == ["postfix check"]
    two.run("-p", "fail", status=1)
    assert len(two.calls()) == 2
    out = two.run("-x", "sh", "-c", "echo $multi_instance_name,$multi_instance_group,$MAIL_CONFIG,$queue_directory")
    assert out.replace(str(two.top), "") == ",,/etc/postfix,/spool/postfix\npostfix-out,edge,/etc/postfix-out,/spool/postfix-out\n"
    assert two.run("-x", "false", status=1) == ""
    assert two.run("-x", "sh", "-c", "exit 3", status=1) == ""
    assert two.run("-i", "postfix-no", "-l") == two.run("-g", "no", "-l") == ""
    assert "no instance is selected" in two.run("-g", "no", "-x", "true", status=1)


def test_assign_deport_import(two):
    two.run("-i", "postfix-out", "-e", "assign", "-I", "postfix-in", "-G", "core")
    assert two.run("-i", "postfix-in", "-l").split()[:2] == ["postfix-in", "core"]
    two.run("-i", "postfix-in", "-e", "assign", "-G", "-")
    assert two.run("-i", "postfix-in", "-l").split()[:2] == ["postfix-in", "-"]
    two.run("-i", "-", "-e", "assign", "-I", "postfix-main", "-G", "core")
    assert two.run("-i", "postfix-main", "-l").split()[:2] == ["postfix-main", "core"]
    two.run("-i", "-", "-e", "assign", "-I", "-", "-G", "-")
    assert two.run("-i", "-", "-l").split()[:2] == ["-", "-"]
    two.run("-i", "postfix-in", "-e", "enable")
    assert "is enabled" in two.run("-i", "postfix-in", "-e", "deport", status=1)
    two.run("-i", "postfix-in", "-e", "disable")
    two.run("-i", "postfix-in", "-e", "deport")
    assert len(two.run("-l").splitlines()) == 1
    assert (two.top / "etc/postfix-out/main.cf").exists()
    (two.top / "etc/other").mkdir()
    (two.top / "etc/other/main.cf").write_text(f"compatibility_level = 3.11\nqueue_directory = {two.top}/spool/postfix\n")
    assert "is that of the instance in" in two.run("-e", "import", "-I", "postfix-x", f"config_directory={two.top}/etc/other", status=1)
    two.run("-e", "import", f"config_directory={two.top}/etc/postfix-out")
    assert two.run("-i", "postfix-in", "-l").split()[0] == "postfix-in"


def test_destroy(two):
    top = two.top
    (top / "etc/postfix-out/running").touch()
    assert "is running" in two.run("-i", "postfix-out", "-e", "destroy", status=1)
    (top / "etc/postfix-out/running").unlink()
    (top / "spool/postfix-out/deferred/A").mkdir(parents=True)
    (top / "spool/postfix-out/deferred/A/A123").write_text("mail")
    assert "has mail in" in two.run("-i", "postfix-out", "-e", "destroy", status=1)
    (top / "spool/postfix-out/deferred/A/A123").unlink()
    (top / "spool/postfix-out/pid").mkdir()
    (top / "spool/postfix-out/tlstrace").mkdir()
    (top / "spool/postfix-out/pid/master.pid").write_text("1")
    two.run("-i", "postfix-out", "-e", "destroy")
    assert sorted(os.listdir(top / "etc")) == sorted(os.listdir(top / "spool")) == sorted(os.listdir(top / "lib")) == ["postfix"]
    assert len(two.run("-l").splitlines()) == 1
    assert "not for the primary" in two.run("-i", "-", "-e", "destroy", status=1)


@pytest.mark.parametrize("args, words", [
    ([], "usage"), (["-l", "-p", "x"], "specify one of"), (["-p"], "requires a command"), (["-i", "postfix-no", "-e", "enable"], "no instance named"),
    (["-e", "enable"], "requires -i"), (["-e", "explode"], "unknown action"), (["-e", "assign"], "requires -i"), (["-Z"], "usage")])
def test_mistakes(machine, args, words):
    assert words in machine.run(*args, status=1)
