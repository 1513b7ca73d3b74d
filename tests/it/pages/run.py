#!/usr/bin/env python3
"""Runs the commands of README.md and docs/guide as the pages show them, in order, and checks what the pages say they print.

usage: run.py CHECKOUT PROGRAMS SCRATCH PAGE...

A block of a page is fenced as one of these:
  sh                commands for bash. A line `#> TEXT` demands that the commands since the last such line print TEXT.
  sh until          the same, repeated until it holds: what it shows happens by itself a little later
  sh needs-dissect  the same; skipped by name where Dissect is not installed
  sh not-run        commands that this test cannot run; the first line tells the reader why, and which suite runs them
  text, toml, rust  no commands
Pages of one call share one deployment. What the test changes in the commands is listed in RULES and PRELUDE, and nowhere else.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

# How the first line of a block begins that does not run here. The reader sees it, and the suite that it names must exist.
NOT_RUN = re.compile(r"# Not run with the other commands of this page: suites? `([a-z-]+)`")

# What a page says, what the test runs in its place, and why.
RULES = [
    (r"/srv/(exhibit|mirror)\b", r"{scratch}/srv/\1", "a folder of the test's own"),
    (r"/disk([123])/", r"{scratch}/disk\1/", "three folders stand for three disks"),
    (r"0\.0\.0\.0:7453", "127.0.0.1:{mirror_port}", "a port that is free here"),
    (r"backup-1\.example:7453", "127.0.0.1:{mirror_port}", "the mirror's machine is this one"),
    (r"/usr/share/exhibit/", "{checkout}/packaging/", "where the package takes the script from"),
    (r"/usr/share/doc/exhibit/examples/", "{checkout}/docs/guide/examples/", "where the package takes the examples from"),
    (r"INC-2026-0001", "INC-{year}-0001", "an incident is numbered in the year in which it is opened"),
    (r"7b1e44d0", "{collection}", "the first collection of this deployment"),
    (r"5f3a9c01", "{order}", "the newest order of this deployment"),
]

# Programs as an installed host has them: services run the programs of this build, and the agent collects from a small tree.
PRELUDE = r"""
exhibit-server() {
    case "$1 ${2:-}" in
    "init "*) command exhibit-server "$@" --listen "127.0.0.1:$PORT_MAIN" --enrol-listen "127.0.0.1:$PORT_ENROL" --metrics-listen 127.0.0.1:0 ;;
    "mirror init") command exhibit-server "$@" --metrics-listen 127.0.0.1:0 ;;
    *) command exhibit-server "$@" ;;
    esac
}
exhibit() {
    case "$1 ${2:-}" in
    "bundle export") # as the page says: while a mirror still copies, the export is refused, and the reader tries again
        local said code
        for _ in $(seq 60); do
            code=0; said=$(command exhibit "$@" 2>&1) || code=$?
            grep -q "no mirror holds" <<<"$said" || break
            sleep 0.5
        done
        printf '%s\n' "$said"; return "$code" ;;
    *) command exhibit "$@" ;;
    esac
}
exhibit-agent() { command exhibit-agent "$@" --state "$SCRATCH/agent"; }
service() { # name, file that says that it runs, command...
    local name=$1 sign=$2; shift 2
    rm -f "$sign"
    setsid "$@" >>"$SCRATCH/$name.log" 2>&1 </dev/null & echo $! >"$SCRATCH/$name.pid"
    for _ in $(seq 600); do
        [ -e "$sign" ] && return
        kill -0 "$(cat "$SCRATCH/$name.pid")" || { cat "$SCRATCH/$name.log" >&2; return 1; }
        sleep 0.1
    done
    echo "$name did not start" >&2; return 1
}
systemctl() {
    case "$1 $2" in
    "start exhibit-server") service exhibit-server "$SCRATCH/srv/exhibit/run/addresses.json" exhibit-server.real run "$SCRATCH/srv/exhibit" ;;
    "start exhibit-mirror") service exhibit-mirror "$SCRATCH/srv/mirror/run/addresses.json" exhibit-server.real mirror run "$SCRATCH/srv/mirror" ;;
    "start exhibit-agent") service exhibit-agent "$SCRATCH/agent/identity.json.started" sh -c \
        "touch '$SCRATCH/agent/identity.json.started'; exec exhibit-agent.real run --state '$SCRATCH/agent' --root '$SCRATCH/host'" ;;
    "restart "*)
        local pid; pid=$(cat "$SCRATCH/$2.pid")
        kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        systemctl start "$2" ;;
    *) echo "systemctl $*: the test does not know this" >&2; return 1 ;;
    esac
}
"""

PATIENCE_S = 90


def blocks(text):
    """(info string, lines) of each fenced block."""
    found, current = [], None
    for line in text.split("\n"):
        if line.startswith("```"):
            if current is None:
                current = (line[3:].strip(), [])
            else:
                found.append(current)
                current = None
        elif current is not None:
            current[1].append(line)
    assert current is None, "a block without end"
    return found


def segments(lines):
    """(commands, texts that they must print)."""
    commands, wanted = [], []
    for line in lines:
        if line.startswith("#>"):
            wanted.append(line[2:].strip())
        else:
            if wanted:
                yield "\n".join(commands), wanted
                commands, wanted = [], []
            commands.append(line)
    yield "\n".join(commands), wanted


class World:
    def __init__(self, checkout, programs, scratch):
        self.scratch = scratch
        home = os.path.join(scratch, "home")
        work = os.path.join(scratch, "work")
        tools = os.path.join(scratch, "bin")
        host = os.path.join(scratch, "host")
        for folder in (home, work, tools, os.path.join(host, "etc"), os.path.join(host, "var/log"), os.path.join(host, "home/carol")):
            os.makedirs(folder)
        for name in ("exhibit", "exhibit-server", "exhibit-agent", "exhibit-verify"):
            os.symlink(os.path.join(programs, name), os.path.join(tools, name))
            os.symlink(os.path.join(programs, name), os.path.join(tools, name + ".real"))
        files = {"etc/hostname": "web-03\n", "etc/os-release": "ID=debian\nVERSION_ID=12\n", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
                 "home/carol/.bash_history": "history\n", "var/log/auth.log": "sshd[7]: Accepted password for root from 203.0.113.9\n"}
        for name, text in files.items():
            with open(os.path.join(host, name), "w", encoding="utf-8") as file:
                file.write(text)
        venv = os.environ.get("EXHIBIT_VENV", "")
        self.dissect = shutil.which("target-query", path=os.path.join(venv, "bin")) if venv else shutil.which("target-query")
        path = [tools, os.environ["PATH"]] + ([os.path.dirname(self.dissect)] if self.dissect else [])
        self.work = work
        self.env = {"PATH": os.pathsep.join(path), "HOME": home, "SCRATCH": scratch, "LC_ALL": "C.UTF-8", "RUST_BACKTRACE": "0"}
        main_port, enrol_port, mirror_port = map(str, free_ports(3))
        self.env.update(PORT_MAIN=main_port, PORT_ENROL=enrol_port)
        self.known = {"scratch": scratch, "mirror_port": mirror_port, "checkout": checkout, "year": time.strftime("%Y", time.gmtime())}

    def ask(self, *args):
        done = subprocess.run(["exhibit", "--json", *args], cwd=self.work, env=self.env, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def value(self, name):
        if name == "collection" and name not in self.known:
            rows = self.ask("collection", "list")
            assert rows, "the page names a collection before one is there"
            self.known[name] = rows[0]["collection"][:12]
        if name == "order":
            return self.ask("order", "list")[-1]["order"][:12]
        return self.known[name]

    def translate(self, text):
        for pattern, replacement, _why in RULES:
            if re.search(pattern, text):
                names = re.findall(r"{(\w+)}", replacement)
                replacement = replacement.format(**{name: self.value(name) for name in names})
                text = re.sub(pattern, replacement, text)
        return text

    def run(self, commands):
        script = f"set -euo pipefail\n{PRELUDE}\n{self.translate(commands)}\npwd >\"$SCRATCH/where\""
        done = subprocess.run(["bash", "-c", script], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=180, check=False)
        return done.returncode, done.stdout

    def check(self, commands, wanted):
        """None, or what is wrong."""
        code, out = self.run(commands)
        if code != 0:
            return f"exit code {code}\n{out}"
        for text in map(self.translate, wanted):
            if " ".join(text.split()) not in " ".join(out.split()):
                return f"the page says that this prints {text!r}; it printed:\n{out}"
        return None

    def end(self):
        for name in os.listdir(self.scratch):
            if name.endswith(".pid"):
                with open(os.path.join(self.scratch, name), encoding="ascii") as file:
                    try:
                        os.killpg(int(file.read()), signal.SIGKILL)
                    except ProcessLookupError:
                        pass


def free_ports(count):
    import socket
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main():
    checkout, programs, scratch, pages = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    world, ran = World(checkout, programs, scratch), 0
    with open(os.path.join(checkout, "packaging/run-tests.py"), encoding="utf-8") as file:
        suites = file.read()
    try:
        for page in pages:
            with open(os.path.join(checkout, page), encoding="utf-8") as file:
                found = blocks(file.read())
            for info, lines in found:
                if info in ("text", "toml", "rust"):
                    continue
                if info == "sh not-run":
                    why = NOT_RUN.match(lines[0])
                    if why is None or f'Suite("{why.group(1)}"' not in suites:
                        sys.exit(f"{page}: a block is not run, and its first line does not say why and which suite runs it: {lines[0]}")
                    continue
                if info not in ("sh", "sh until", "sh needs-dissect"):
                    sys.exit(f"{page}: a block of a kind that this test does not know: {info!r}")
                if info == "sh needs-dissect" and not world.dissect:
                    print(f"SKIPPED every_command_of_the_guide_does_what_the_page_says: {page}: Dissect is not installed (packaging/test-deps.sh)")
                    continue
                folder = world.work
                for commands, wanted in segments(lines):
                    deadline = time.monotonic() + PATIENCE_S
                    while True:
                        wrong = world.check(commands, wanted)
                        if wrong is None or info != "sh until" or time.monotonic() > deadline:
                            break
                        time.sleep(0.5)
                    if wrong is not None:
                        sys.exit(f"{page}: {commands}\n{wrong}")
                    ran += 1
                    # `cd` lasts to the end of its block.
                    with open(os.path.join(scratch, "where"), encoding="utf-8") as file:
                        world.work = file.read().rstrip("\n")
                world.work = folder
    finally:
        world.end()
    print(f"ran {ran} pieces of {len(pages)} pages")


if __name__ == "__main__":
    main()
