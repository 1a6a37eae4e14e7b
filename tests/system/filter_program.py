#!/usr/bin/python3
"""A filter for tests: what it does stands in the JSON file that is its argument.

register: list of "report|link-connect", "filter|helo", "out|link-connect" (a report of smtp-out) ...; answers: {"PHASE" or "PHASE PARAMETER": decision};
lines: "echo" (default), "upper", "drop", or a header to add in front; log: file for all that it hears; die_at: a phase.
"""
import json
import sys

conf = json.load(open(sys.argv[1]))
log = open(conf["log"], "a", buffering=1)
messages = {}


def say(*fields):
    sys.stdout.write("|".join(fields) + "\n")
    sys.stdout.flush()


def data_line(session, token, line):
    how = conf.get("lines", "echo")
    if line != ".":
        messages.setdefault(session, []).append(line)
        return
    lines = messages.pop(session, [])
    if how == "upper":
        lines = [x.upper() for x in lines]
    elif how == "drop":
        lines = [x for x in lines if "drop" not in x]
    elif how != "echo":
        lines = [how, *lines]
    for x in [*lines, "."]:
        say("filter-dataline", session, token, x)


print("hello on standard error", file=sys.stderr, flush=True)
for text in sys.stdin:
    text = text.rstrip("\n")
    log.write(text + "\n")
    f = text.split("|")
    if text == "config|ready":
        for item in conf["register"]:
            stream, event = item.split("|")
            subsystem = "smtp-out" if stream == "out" else "smtp-in"
            say("register", "report" if stream == "out" else stream, subsystem, event)
        say("register", "ready")
    elif f[0] == "filter":
        phase, session, token = f[4:7]
        parameter = "|".join(f[7:])
        if phase == conf.get("die_at"):
            sys.exit(3)
        if phase == conf.get("silent_at"):
            continue
        if phase == "data-line":
            data_line(session, token, parameter)
        else:
            answers = conf.get("answers", {})
            answer = answers.get(f"{phase} {parameter}", answers.get(phase, "proceed"))
            say("filter-result", session, token, answer)
