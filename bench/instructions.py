#!/usr/bin/python3
"""bench/instructions.py [BUILD]: cost of finding the rule of a client among 10 ... 1,000,000 per-client instructions.

For each number of rules: time to compile (postmap), and microseconds for each look-up, as text and compiled, measured as the difference
between many look-ups and few, so that opening the table does not count.
"""
import os
import random
import resource
import subprocess
import sys
import tempfile

BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")
LOOKUPS = 50000


def rules(n):
    r = random.Random(1)
    lines = set()
    while len(lines) < n - 1:
        a, b, c, d = (r.randrange(256) for _ in range(4))
        lines.add(r.choice([f"{a}.{b}.{c}.{d}", f"{a}.{b}.{c}.", f"{a}.{b}.", f"{a}.{b}.{c & 0xf0}.0/20", f"=h{a}.d{b}.test", f"=.d{a}x{b}.test"]))
    return "".join(f'{k}:allow,MAXRCPTCOUNT="{i % 9 + 1}"\n' for i, k in enumerate(sorted(lines))) + ':allow,BLOCKRELAYPROBE=""\n'


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(run, *args, **kw):
    begin = cpu_seconds()  # others may use the machine
    subprocess.run([f"{BUILD}/bin/postmap", *args], check=True, env=run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
    return cpu_seconds() - begin


def main():
    r = random.Random(2)
    keys = "".join(f"{r.randrange(256)}.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(256)},h{r.randrange(256)}.d{r.randrange(256)}.test\n"
                   for _ in range(LOOKUPS)).encode()
    few = b"".join(keys.splitlines(True)[:10])
    with tempfile.TemporaryDirectory() as top:
        open(f"{top}/main.cf", "w").write("compatibility_level = 3.11\n")
        open(f"{top}/master.cf", "w").close()
        env = {**os.environ, "MAIL_CONFIG": top, "POSTERN_MODULES": f"{BUILD}/modules"}
        print(f"{'rules':>7} {'compile ms':>11} {'text us':>8} {'cdb us':>8}")
        for n in (10, 100, 1000, 10000, 100000, 1000000):
            path = f"{top}/rules{n}"
            open(path, "w").write(rules(n))
            cost = []
            for compiled in (False, True):
                made = seconds(env, f"tcprules:{path}") if compiled else 0
                many, some = (min(seconds(env, "-q", "-", f"tcprules:{path}", input=k) for _ in range(3)) for k in (keys, few))
                cost.append((many - some) / LOOKUPS * 1e6)
            print(f"{n:>7} {made * 1000:>11.1f} {cost[0]:>8.2f} {cost[1]:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
