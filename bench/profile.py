#!/usr/bin/env python3
"""profile.py PREFIX [CASE]: system calls, context switches and CPU per message, by service, for one installation.

CASE: accept (default), local, relay. PREFIX as for compare.py. Root; strace counts the calls in a run of their own, the switches and
the CPU time come from /proc in a run without strace.
"""
import collections, json, os, re, shutil, subprocess, sys, tempfile, time
import mta

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = f"{HERE}/tools"
LOCAL = ",".join(u + "@example.test" for u in "daemon bin sys games man lp mail news uucp proxy".split())


def setup(case, d, root):
    main, to, sink = {"in_flow_delay": "0"}, ("-T", "user%n@discard.test", "-N", "1000"), None
    if case == "accept":
        main["default_transport"] = "discard:"
    elif case == "local":
        os.mkdir(f"{d}/mail"), os.chmod(f"{d}/mail", 0o1777)
        main["mail_spool_directory"], to = f"{d}/mail/", ("-T", LOCAL)
    else:
        port = mta.free_port()
        sink = subprocess.Popen([f"{TOOLS}/smtpsink", "-f", f"{d}/sink", str(port)])
        main["relayhost"] = f"[127.0.0.1]:{port}"
    inst = mta.Instance(f"{d}/i", mta.Install(root), main=main)
    for f in ("main.cf", "master.cf"):
        os.utime(f"{inst.etc}/{f}", (time.time() - 60,) * 2)
    return inst.start(), to, sink


def load(inst, n, to):
    p = subprocess.run([f"{TOOLS}/smtpload", "-s", "20", "-m", str(n), *to, f"127.0.0.1:{inst.port}"], capture_output=True, text=True)
    while inst.queue_files("incoming", "active", "maildrop"):
        time.sleep(0.02)
    return json.loads(p.stdout)["accepted"]


def counters(inst):
    out = {}
    for pid in [inst.master_pid(), *mta.descendants(inst.master_pid())]:
        try:
            name = open(f"/proc/{pid}/comm").read().strip()
            stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            switches = 0
            for t in os.listdir(f"/proc/{pid}/task"):
                s = open(f"/proc/{pid}/task/{t}/status").read()
                switches += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", s))
            out[pid] = (name, (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), switches)
        except OSError:
            pass
    return out


def main():
    root, case = sys.argv[1], (sys.argv + ["accept"])[2]
    subprocess.run(["make", "-s", "-C", TOOLS], check=True)
    d = tempfile.mkdtemp(prefix="profile-", dir=os.environ.get("BENCH_DIR", "/var/tmp"))
    os.chmod(d, 0o755)
    inst, to, sink = setup(case, d, root)
    try:
        load(inst, 200, to)
        before = counters(inst)
        n = load(inst, 4000, to)
        cpu, switches = collections.Counter(), collections.Counter()
        for pid, (name, c, s) in counters(inst).items():
            _, c0, s0 = before.get(pid, (name, 0, 0))
            cpu[name] += c - c0
            switches[name] += s - s0
        calls, detail = collections.Counter(), collections.defaultdict(collections.Counter)
        pids = {p: v[0] for p, v in counters(inst).items()}
        trace = subprocess.Popen(["strace", "-f", "-qq", "-o", f"{d}/trace", *[a for p in pids for a in ("-p", str(p))]], stderr=subprocess.DEVNULL)
        time.sleep(1)
        names = dict(pids)
        m = load(inst, 500, to)
        trace.terminate(), trace.wait()
        owner = {}
        for line in open(f"{d}/trace", errors="replace"):
            tid, call = line.split(None, 1)
            if (r := re.match(r"(?:<\.\.\. )?(\w+)(\(| resumed)", call)) and r[2] == "(":
                if tid not in owner:
                    try:
                        owner[tid] = names.get(int(open(f"/proc/{tid}/status").read().split("Tgid:")[1].split()[0])) or open(f"/proc/{tid}/comm").read().strip()
                    except (OSError, IndexError):
                        owner[tid] = "(ended)"
                calls[owner[tid]] += 1
                detail[owner[tid]][r[1]] += 1
        print(f"{'service':12} {'calls':>7} {'switches':>9} {'cpu ms':>7}   per message; calls by kind")
        for name in sorted(set(cpu) | set(calls), key=lambda x: -cpu[x]):
            kinds = ", ".join(f"{k} {v / m:.1f}" for k, v in detail[name].most_common(9) if v / m >= 0.1)
            if cpu[name] or calls[name] / m >= 0.05:
                print(f"{name:12} {calls[name] / m:7.1f} {switches[name] / n:9.2f} {cpu[name] / n * 1000:7.3f}   {kinds}")
        print(f"{'total':12} {sum(calls.values()) / m:7.1f} {sum(switches.values()) / n:9.2f} {sum(cpu.values()) / n * 1000:7.3f}")
    finally:
        inst.stop()
        if sink:
            sink.terminate()
        shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()
