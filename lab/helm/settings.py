"""The variables of docs/settings.md, and which of them the chart's `settings` accept."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# What is secret, or what the chart itself sets from other values.
REFUSED = re.compile(
    r"""DATABASE_URL | ORDERS_DATABASE_URL | VOUCHER_SIGNING_KEY | .*_FILE | KAFKA_.* | SCHEMA_REGISTRY_.*
    | CHECKOUT_CONFIG | HTTP_ADDR | HTTP_BULK_SPOOL_LIMIT | PROCESSOR_INSTANCE_ID
    | CONSOLE_HTTP_ADDR | CONSOLE_HOSTS | CONSOLE_WITHOUT_KEYS | CONSOLE_.*_URLS? | AUDIT_BY""",
    re.VERBOSE,
)
# libpq's variables are described in docs/connections.md.
LIBPQ = {"PGSSLMODE", "PGSSLROOTCERT"}


def readers():
    """Returns each variable with the commands that read it: {"HTTP_ADDR": {"producer": ["run"]}}."""
    found = {}
    for line in (PROJECT / "docs/settings.md").read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) < 6 or not re.fullmatch(r"`[A-Z][A-Z0-9_]*`", cells[1]):
            continue
        for part in cells[4].split(";"):
            service, _, commands = part.strip().partition("` ")
            variable = found.setdefault(cells[1].strip("`"), {})
            variable.setdefault(service.strip("`"), []).append(commands)
    return found


def is_read(commands, wanted):
    """Returns whether a cell such as `run, check` or `(all but run)` contains one of the `wanted` commands."""
    excepted = re.fullmatch(r"\(all but (.*)\)", commands)
    names = {name.strip() for name in (excepted[1] if excepted else commands).split(",")}
    if excepted:
        return any(name not in names for name in wanted)
    return commands == "" or any(name in names for name in wanted)


def accepted(component):
    """Returns the names that `COMPONENT.settings` accepts; for `shared`, those of all components."""
    if component == "shared":
        return sorted({name for of in COMPONENTS for name in accepted(of)})
    names = set()
    for variable, services in readers().items():
        for service, cells in services.items():
            # What the chart runs: the services, and the steps of its Job.
            wanted = {"run", "check", "migrate"}
            is_its_own = service == component and any(is_read(cell, wanted) for cell in cells)
            # The console's commands have its environment.
            if is_its_own or (component == "console" and service in ("processor", "sink")):
                names.add(variable)
    return sorted(name for name in names if not REFUSED.fullmatch(name))


COMPONENTS = ("producer", "processor", "sink", "console")
