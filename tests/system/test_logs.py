"""Log lines are what existing tools read."""
import os
import re
import subprocess

USER = "daemon" if os.getuid() == 0 else __import__("pwd").getpwuid(os.getuid()).pw_name


def traffic(p):
    for i in range(3):
        p.send(f"{USER}@example.test", text=f"Subject: {i}\r\n\r\nx\r\n")
    with p.raw() as c:
        c.cmd("EHLO c.test")
        c.cmd("MAIL FROM:<s@x.test>")
        c.cmd("RCPT TO:<nobody-here@example.test>")
        c.cmd("QUIT")
    p.run("sendmail", "-f", "s@example.test", "u@elsewhere.test", input="Subject: x\n\nx\n", check=True)
    p.wait_log("status=sent", count=3)
    p.wait_log("status=deferred")
    p.wait_empty()


MAIN = {"local_recipient_maps": "unix:passwd.byname", "default_transport": "retry:4.3.0 later"}


def test_pflogsumm(postern):
    p = postern(MAIN)
    traffic(p)
    report = subprocess.run(["pflogsumm", p.log], capture_output=True, text=True, check=True).stdout
    grand = {m[2].strip(): m[1] for m in re.finditer(r"^ *(\d+)k? +([a-z ]+?) *(?:\(.*)?$", report, re.M)}
    assert grand["received"] == "4", report
    assert grand["delivered"] == "3", report
    assert grand["deferred"] == "1", report
    assert grand["rejected"] == "1", report
    assert "User unknown in local recipient table" in report


def test_fail2ban_filter(postern):
    p = postern(MAIN)
    traffic(p)
    r = subprocess.run(["fail2ban-regex", p.log, "/etc/fail2ban/filter.d/postfix.conf[mode=more]"], capture_output=True, text=True)
    m = re.search(r"Failregex: (\d+) total", r.stdout)
    assert m and int(m[1]) >= 1, r.stdout + r.stderr


def test_line_frame(postern):
    p = postern()
    traffic_line = re.compile(r"^\w{3} \d\d \d\d:\d\d:\d\d \S+ postfix/[\w.-]+\[\d+\]: ")
    p.send(f"{USER}@example.test")
    p.wait_log("removed")
    assert [line for line in p.logs().splitlines() if not traffic_line.match(line)] == []
