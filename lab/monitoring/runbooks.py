"""Runs every command of the runbooks' diagnosis against the system, as a person would paste it."""

import os
import re
import subprocess

import environment


def commands():
    """Returns page and line of each command."""
    for page in sorted((environment.ROOT / "docs/runbooks").glob("Checkout*.md")):
        diagnosis = page.read_text().split("\n## Diagnosis\n")[1].split("\n## Mitigation\n")[0]
        for block in re.findall(r"(?s)```sh\n(.*?)```", diagnosis):
            for line in block.strip().splitlines():
                yield page.stem, line


def variables(system):
    return {
        **os.environ,
        "PATH": f"{environment.BIN}:{os.environ['PATH']}",
        "PRODUCER_HTTP_ADDR": system.producer.address,
        "PROCESSOR_HTTP_ADDR": system.processor.address,
        "SINK_HTTP_ADDR": system.sink.address,
    }


def a_dead_letter(environ):
    """Returns partition and offset of the original of a dead letter."""
    listed = subprocess.run(["processor", "dead-letters", "--all"], env=environ, capture_output=True, text=True)
    found = re.search(r"order-status/(\d+/\d+)", listed.stdout)
    return found[1] if found else "0/0"


def check(system, report):
    environ = variables(system)
    words = {
        "cargo stack ": f"{environment.BIN / 'stack'} ",
        "http://prometheus:9090": system.prometheus.url,
        "ORDER_ID": "traffic-1",
        " 4/0": f" {a_dead_letter(environ)}",
    }
    tried = set()
    for page, line in commands():
        if line in tried:
            continue
        tried.add(line)
        command = line
        for word, value in words.items():
            command = command.replace(word, value)
        try:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], env=environ, capture_output=True, text=True, timeout=120)
            # grep found nothing, and check found something: both are answers.
            accepted = [0, 1] if " | grep " in line or re.search(r" check$", line) else [0]
            wrong = None if done.returncode in accepted else f"exit code {done.returncode}: {done.stderr.strip()}"
        except subprocess.TimeoutExpired:
            wrong = "it does not end"
        report.line("runbook", f"{page}: {line}", wrong)
