"""Runs the services of docker-compose.yml from the files of the image, against the local stack.

    services.py IMAGE LOGS      IMAGE: the root of the mounted image; LOGS: a folder

Each service has the command, the environment, the health check and the restrictions of the file. Only
addresses are others: names of containers and their ports become those of the stack on this machine, as
`stack up` exports them. An order is placed over HTTP and awaited as a voucher row.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import yaml

IMAGE, LOGS = Path(sys.argv[1]), Path(sys.argv[2])
SERVICES = ["producer", "processor", "sink", "console"]
DEADLINE = 60

# What a container engine does: a read-only root, a /tmp in memory, /proc and /dev, no way to more
# privileges, and the image's user. Every step replaces the process, so that a signal reaches the service.
CONTAINER = """
set -e
root=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec setpriv --no-new-privs /usr/sbin/chroot --userspec=65532:65532 --groups= "$root" "$@"
"""

# What the image and the container engine set. `unshare` and `sh` are found by it too.
ENGINE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}


def ok(text):
    print(f"ok   {text}", flush=True)


def fail(text):
    sys.exit(f"wrong: {text}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def compose():
    """Returns the services of the file that are started from the image, by name."""
    with open("docker-compose.yml", encoding="utf-8") as file:
        services = yaml.safe_load(file)["services"]
    ours = {name: service for name, service in services.items() if "build" in service}
    if set(ours) != {"setup", *SERVICES}:
        fail(f"docker-compose.yml starts {sorted(ours)} from the image")
    for name, service in ours.items():
        # The restrictions under which CONTAINER runs them.
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
            fail(f"{name} has no read_only root, or keeps capabilities")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            fail(f"{name} may get new privileges")
        if service.get("tmpfs") != ["/tmp"]:
            fail(f"{name} has no tmpfs on /tmp, which is all that CONTAINER lets it write to")
    return ours


def addresses(services):
    """Returns for each address of the file, such as kafka:19092, the one on this machine."""
    registry = urlsplit(os.environ["SCHEMA_REGISTRY_URL"]).netloc
    database = urlsplit(os.environ["ORDERS_DATABASE_URL"]).netloc.rpartition("@")[2]
    found = {
        "kafka:19092": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        "registry:8080": registry,
        "postgres:5432": database,
    }
    for name in SERVICES:
        variable = "CONSOLE_HTTP_ADDR" if name == "console" else "HTTP_ADDR"
        listens = services[name]["environment"][variable]
        port = listens.rpartition(":")[2]
        here = free_port()
        found[f"{name}:{port}"] = f"127.0.0.1:{here}"
        found[listens] = listens.replace(port, str(here))
    return found


def environment(service, table):
    """Returns the environment of a service, with the variables of the shell and the addresses of here."""

    def of_shell(match):
        value = os.environ.get(match[1])
        return value if value else fail(f"docker-compose.yml wants {match[1]}")

    def here(value):
        value = re.sub(r"\$\{(\w+)[^}]*\}", of_shell, value)
        for address, local in table.items():
            value = value.replace(address, local)
        return value

    own = {name: here(str(value)) for name, value in service["environment"].items()}
    return {**ENGINE, **own}


def start(command, variables, output):
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONTAINER, "sh", str(IMAGE), *command],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def answer(command, variables):
    """Runs a command in a container to its end."""
    process = start(command, variables, subprocess.PIPE)
    text, _ = process.communicate(timeout=DEADLINE)
    return process.returncode, text.decode(errors="replace").strip()


def until(what, condition):
    """Waits until the condition returns something, and returns that."""
    end = time.monotonic() + DEADLINE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            fail(f"waited {DEADLINE} s for {what}; the logs: {LOGS}")
        time.sleep(0.2)


def psql(url, statement):
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", url]
    return subprocess.run([*command, "--command", statement], check=True, capture_output=True, text=True).stdout.strip()


def ask(method, url, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


def main():
    # As any failure: what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: fail("it took too long"))
    services = compose()
    table = addresses(services)
    variables = {name: environment(service, table) for name, service in services.items()}
    LOGS.mkdir(parents=True, exist_ok=True)

    for name in SERVICES:
        code, text = answer([name, "--version"], ENGINE)
        if code != 0 or not text.startswith(name):
            fail(f"{name} --version ended with {code}: {text}")
    ok("every binary finds its libraries: " + text)

    # As the postgres image of the file makes them.
    database = variables["sink"]["DATABASE_URL"]
    psql(os.environ["ORDERS_DATABASE_URL"], "CREATE ROLE checkout LOGIN PASSWORD 'checkout'")
    psql(os.environ["ORDERS_DATABASE_URL"], "CREATE DATABASE checkout OWNER checkout")

    code, text = answer(services["setup"]["command"], variables["setup"])
    if code != 0:
        fail(f"setup ended with {code}: {text}")
    ok("setup: " + " ".join(services["setup"]["command"]))

    running = {}
    try:
        for name in SERVICES:
            with open(LOGS / f"{name}.log", "wb") as log:
                running[name] = start(services[name]["command"], variables[name], log)
        for name in SERVICES:
            test = services[name]["healthcheck"]["test"]
            if test[:2] != ["CMD", name]:
                fail(f"the health check of {name} is {test}, which an image without a shell cannot run")

            def healthy(name=name, command=test[1:]):
                if running[name].poll() is not None:
                    fail(f"{name} ended with {running[name].returncode}: {(LOGS / f'{name}.log').read_text()}")
                return answer(command, variables[name])[0] == 0

            until(f"{name} to be healthy", healthy)
            ok(f"{name} is healthy: {' '.join(test[1:])}")

        ingress = "http://" + variables["producer"]["HTTP_ADDR"].replace("0.0.0.0", "127.0.0.1")
        ask("POST", f"{ingress}/orders", {"order_id": "image-1", "total": "120.50"})
        ask("PATCH", f"{ingress}/orders/image-1", {"status": "SENT"})
        query = "SELECT amount FROM vouchers WHERE order_id = 'image-1'"
        row = until("a voucher row", lambda: psql(database, query))
        ok(f"an order became a voucher row of {row}")

        # With the profile dev the page is not in the binary.
        if os.environ["IMAGE_PROFILE"] == "release":
            page = "http://" + variables["console"]["CONSOLE_HTTP_ADDR"].replace("0.0.0.0", "127.0.0.1")
            with urllib.request.urlopen(page, timeout=10) as response:
                if b"<html" not in response.read():
                    fail(f"{page} is not the console's page")
            ok("the console has its page")

        for name, process in running.items():
            process.send_signal(signal.SIGTERM)
        for name, process in running.items():
            code = process.wait(timeout=DEADLINE)
            if code != 0:
                fail(f"{name} ended with {code} at SIGTERM; its log: {LOGS / f'{name}.log'}")
            code, text = answer(services[name]["healthcheck"]["test"][1:], variables[name])
            if code != 1:
                fail(f"health of a stopped {name} ended with {code}: {text}")
        ok("SIGTERM ends each with 0, and health then says that it does not answer")
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()


main()
