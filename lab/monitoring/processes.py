"""Child processes that do not outlive this one, services, and gates in front of databases."""

import atexit
import os
import pathlib
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

import environment
from wait import until

running = set()


@atexit.register
def kill_all():
    for child in list(running):
        child.kill()


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def get(url, seconds=10):
    """Returns the body of an answer; whatever is no 2xx is an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=seconds) as answer:
        return answer.read().decode()


class Process:
    """A program with its output in a log."""

    def __init__(self, name, command, variables):
        self.name, self.command, self.variables = name, [str(word) for word in command], variables
        self.log = environment.WORK / "logs" / f"{name}.log"
        self.child = None

    def start(self, *arguments):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*self.command, *arguments], env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        running.add(self.child)

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            running.discard(self.child)
            self.child = None

    def stop(self):
        """Asks it to stop, waits until it has, and kills it when it takes too long."""
        if self.child:
            self.child.terminate()
            try:
                self.child.wait(40)
            except subprocess.TimeoutExpired:
                pass
            self.kill()

    @property
    def has_ended(self):
        return self.child is None or self.child.poll() is not None


class Service(Process):
    """`PROGRAM run` on an address of its own, which it keeps over restarts."""

    def __init__(self, name, program, variables):
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        super().__init__(name, [environment.BIN / program, "run"], {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LOG_FORMAT": "text",
            # There is no load balancer that has to notice first.
            "HTTP_SHUTDOWN_DELAY": "0",
            "HTTP_ADDR": self.address,
            "KAFKA_BOOTSTRAP_SERVERS": environment.BROKERS,
            "SCHEMA_REGISTRY_URL": environment.REGISTRY,
            **variables,
        })

    def ready(self):
        """Waits until it is ready."""
        def is_ready():
            if self.has_ended:
                raise RuntimeError(f"it has ended; its log is {self.log}")
            return get(f"{self.url}/readyz")
        until(f"{self.name} to be ready", is_ready)

    def restart(self, *arguments):
        self.stop()
        self.start(*arguments)
        self.ready()

    def metric(self, name, labels=""):
        """Returns the sum over the series of a metric whose labels contain `labels`."""
        values = [
            float(line.rsplit(" ", 1)[1]) for line in get(f"{self.url}/metrics").splitlines()
            if line.startswith((f"{name} ", f"{name}{{")) and labels in line
        ]
        if not values:
            raise KeyError(name)
        return sum(values)


class Gate:
    """A gate in front of a database: open, or closed, when connections are cut and refused."""

    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url)
        self.port = free_port()
        self.server, self.connections, self.lock = None, set(), threading.Lock()

    @property
    def url(self):
        """The URL of the database, through the gate."""
        user, at, _ = self.target.netloc.rpartition("@")
        return self.target._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    def open(self):
        self.server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()

    def close(self):
        # Closing a socket alone does not wake a thread that waits in accept().
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        with self.lock:
            for connection in self.connections:
                shut(connection)
            self.connections.clear()

    def _accept(self, server):
        while True:
            try:
                client, _ = server.accept()
                backend = socket.create_connection((self.target.hostname, self.target.port or 5432))
            except OSError:
                return
            with self.lock:
                self.connections |= {client, backend}
            for source, sink in [(client, backend), (backend, client)]:
                threading.Thread(target=copy, args=(source, sink), daemon=True).start()


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    shut(source)
    shut(sink)


def shut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def broker_pid():
    """Returns the process of the stack's broker."""
    for folder in pathlib.Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # no process, or it has ended meanwhile
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == environment.STACK_PID and b"kafka.Kafka" in command:
            return int(folder.name)
    raise RuntimeError("the stack has no process of Kafka")
