"""Another machine, as far as TCP can tell: a network namespace with a cable to this one that can be pulled.

Who is on the other side does not answer then, not even with a reset, as when a machine loses its power. Needs root.
"""

import os
import subprocess
import sys
from types import TracebackType

# Connects and says what comes, as hexadecimal lines; what it reads as such lines it sends.
CLIENT = """
import socket, sys, threading
one = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
def send():
    for line in sys.stdin:
        one.sendall(bytes.fromhex(line))
threading.Thread(target=send, daemon=True).start()
while True:
    more = one.recv(65536)
    print(more.hex(), flush=True)
    if not more:
        break
"""

# Listens, and joins each connection with one to a Unix socket.
RELAY = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
def copy(source, sink):
    try:
        while more := source.recv(65536):
            sink.sendall(more)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
print("listening", flush=True)
while True:
    one, _ = listener.accept()
    other = socket.socket(socket.AF_UNIX)
    other.connect(sys.argv[3])
    for pair in ((one, other), (other, one)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


class Namespace:
    """Use as a context manager. `here` and `there`: the addresses of both ends of the cable."""

    def __init__(self, number: int):
        self.name = f"pgveil-{os.getpid() % 100_000}-{number}"
        self.cable = f"pgv{os.getpid() % 100_000}{number}"
        network = f"10.{200 + number}.{os.getpid() % 250}"
        self.here, self.there = f"{network}.1", f"{network}.2"
        self.running: list[subprocess.Popen] = []

    @staticmethod
    def possible() -> bool:
        """Whether this user may make namespaces here."""
        probe = subprocess.run(["unshare", "--net", "ip", "link", "add", "pgvprobe", "type", "veth"], capture_output=True, check=False)
        return os.geteuid() == 0 and probe.returncode == 0

    def __enter__(self) -> "Namespace":
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self._ip("addr", "add", f"{self.here}/24", "dev", self.cable)
        self._ip("link", "set", self.cable, "up")
        self._ip("-n", self.name, "addr", "add", f"{self.there}/24", "dev", "eth0")
        self._ip("-n", self.name, "link", "set", "eth0", "up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in self.running:
            one.kill()
            one.wait(10)
        self._ip("link", "del", self.cable)
        self._ip("netns", "del", self.name)

    def run(self, program: str, *arguments: str) -> subprocess.Popen:
        """A Python program on the other side."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", program, *arguments]
        one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(one)
        return one

    def pull(self) -> None:
        """Pull the cable out at the other side. Nobody is told."""
        self._ip("-n", self.name, "addr", "del", f"{self.there}/24", "dev", "eth0")

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
