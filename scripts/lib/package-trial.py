"""Uses the installed service as an operator does. scripts/try-package runs this as root inside a machine that systemd has booted.

Prints a line for each thing seen, and "all as expected" at the end; the first thing that is not so ends it with an error.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

SERVICE = "pmemkv-server.service"
ADDRESS = ("127.0.0.1", 6379)
POOL = "/dev/shm/pmemkv-server/pmemkv-server.pool"
PACKAGE = "/root/package.deb"


def run(*arguments, check=True):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def shown(name):
    return run("systemctl", "show", "--property", name, "--value", SERVICE)


def expect(what, fact):
    if not fact:
        print(run("journalctl", "--no-pager", "--lines", "30", "--unit", SERVICE, check=False))
        sys.exit(f"not so: {what}")
    print(what)


class Client:
    """A connection that sends inline commands and reads replies of one line or of one string."""

    def __init__(self, timeout=30):
        self.socket = socket.create_connection(ADDRESS, timeout=timeout)
        self.reader = self.socket.makefile("rb")

    def call(self, *words):
        self.socket.sendall((" ".join(words) + "\r\n").encode())
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        if line.startswith(b"$") and line != b"$-1\r\n":
            return self.reader.read(int(line[1:]) + 2)[:-2].decode()
        return line[:-2].decode()

    def close(self):
        self.reader.close()
        self.socket.close()


def once(*words):
    client = Client()
    try:
        return client.call(*words)
    finally:
        client.close()


def wait_for(what, seconds, condition):
    """Waits until the condition holds, and returns how many seconds that took."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        try:
            if condition():
                return time.monotonic() - begin
        except (OSError, ConnectionError):
            pass
        time.sleep(0.02)
    expect(what, False)


class Load(threading.Thread):
    """Counts by INCR at a key of its own, with a new connection for every ten calls."""

    stopping = False

    def __init__(self, number):
        super().__init__()
        self.key = f"load:{number}"
        self.answered = self.unanswered = self.connections = self.refused = 0
        self.longest = 0.0

    def run(self):
        last = time.monotonic()
        while not Load.stopping:
            try:
                client = Client()
            except ConnectionRefusedError:
                self.refused += 1
                time.sleep(0.01)
                continue
            self.connections += 1
            try:
                for _ in range(10):
                    self.unanswered += 1
                    client.call("INCR", self.key)
                    self.unanswered -= 1
                    self.answered += 1
                    self.longest = max(self.longest, time.monotonic() - last)
                    last = time.monotonic()
            except (OSError, ConnectionError):
                pass
            finally:
                client.close()


def under_load(action):
    """Runs the action beside eight clients, and says what these met."""
    before = {f"load:{number}": int(once("INCR", f"load:{number}").lstrip(":")) for number in range(8)}
    Load.stopping = False
    clients = [Load(number) for number in range(8)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    action()
    time.sleep(0.5)
    Load.stopping = True
    for client in clients:
        client.join()
    for client in clients:
        counted = int(once("GET", client.key)) - before[client.key]
        if not client.answered <= counted <= client.answered + client.unanswered:
            expect(f"{client.key} has all acknowledged calls: {counted} of {client.answered}", False)
    answered = sum(client.answered for client in clients)
    connections = sum(client.connections for client in clients)
    refused = sum(client.refused for client in clients)
    longest = max(client.longest for client in clients)
    print(f"  {answered} calls on {connections} connections, {refused} refused, longest time without a reply {longest:.2f} s")
    return refused


def main():
    with open("/proc/1/comm") as comm:
        expect("systemd is the first process", comm.read().strip() == "systemd")
    wait_for("the service is active", 30, lambda: shown("ActiveState") == "active")
    wait_for("the server answers", 10, lambda: once("PING") == "+PONG")
    user = run("ps", "-o", "user=", "-p", shown("MainPID"))
    expect(f"the service is active as the user {user}, status: {shown('StatusText')}", user == "pmemkv")
    print(run("systemd-analyze", "security", SERVICE, "--no-pager").splitlines()[-1])

    for number in range(1000):
        once("SET", f"key:{number}", f"value:{number}")
    process = int(shown("MainPID"))
    os.kill(process, signal.SIGKILL)
    seconds = wait_for("the server is back after kill -9", 20, lambda: once("GET", "key:999") == "value:999")
    expect(f"after kill -9 systemd starts the server again, {seconds:.2f} s to the first GET", int(shown("MainPID")) != process)
    expect("all keys are there", all(once("GET", f"key:{number}") == f"value:{number}" for number in range(1000)))

    print("a restart without the socket unit:")
    under_load(lambda: run("systemctl", "restart", SERVICE))

    run("systemctl", "stop", SERVICE)
    run("systemctl", "enable", "--now", "pmemkv-server.socket")
    run("systemctl", "start", SERVICE)
    for turn in range(3):
        print(f"restart {turn + 1} with the socket unit:")
        expect("  no connection is refused", under_load(lambda: run("systemctl", "restart", SERVICE)) == 0)
    print("an upgrade with the socket unit:")
    process = shown("MainPID")
    refused = under_load(lambda: run("dpkg", "--install", PACKAGE))
    expect("  no connection is refused", refused == 0)
    expect("  the new program serves", shown("MainPID") != process)

    os.makedirs(f"/etc/systemd/system/{SERVICE}.d")
    with open(f"/etc/systemd/system/{SERVICE}.d/watchdog.conf", "w") as drop_in:
        drop_in.write("[Service]\nWatchdogSec=3\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", SERVICE)
    process = int(shown("MainPID"))
    os.kill(process, signal.SIGSTOP)
    begin = time.monotonic()
    wait_for("the watchdog ends a server that hangs", 60, lambda: shown("MainPID") not in ("0", str(process)))
    wait_for("the server answers again", 30, lambda: once("GET", "key:1") == "value:1")
    print(f"a server that hangs is replaced after {time.monotonic() - begin:.1f} s, with WatchdogSec=3")

    lines = run("journalctl", "--no-pager", "--unit", SERVICE)
    expect(f"the journal has the server's log, {len(lines.splitlines())} lines", "pmemkv-server is ready" in lines)
    run("systemctl", "stop", "pmemkv-server.socket", SERVICE)
    run("dpkg", "--purge", "pmemkv-server")
    gone = not os.path.exists("/etc/pmemkv-server") and not os.path.exists("/usr/bin/pmemkv-server")
    expect("a purge removes program and configuration", gone)
    expect("a purge keeps the pool", os.path.exists(POOL))
    run("dpkg", "--install", PACKAGE)
    wait_for("the pool serves after the package was purged and installed", 20, lambda: once("GET", "key:500") == "value:500")
    print("the pool serves after the package was purged and installed")
    print("all as expected")


main()
