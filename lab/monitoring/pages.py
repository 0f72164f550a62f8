"""Every alert has a runbook with its four parts, a line in their index, a test, a fault that fires it, and all
annotations; and every runbook that a rule or the dashboard names exists. Needs no services."""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs/runbooks"
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
SEVERITIES = {"critical", "warning", "info"}


def alerts():
    """Returns the alerts of the shipped rules: name and text, one for each rule."""
    text = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
    rules = re.split(r"(?m)^ {6}- alert: ", text)[1:]
    return [(rule.split("\n", 1)[0].strip(), rule) for rule in rules]


def faults():
    index = (RUNBOOKS / "README.md").read_text()
    made = (ROOT / "lab/monitoring/faults.py").read_text()
    tests = "".join(path.read_text() for path in sorted((ROOT / "deploy/prometheus/tests").glob("*.yml")))
    for name, rule in alerts():
        if not name.startswith("Checkout"):
            yield f"the name of {name} does not begin with Checkout"
        severity = re.search(r"severity: (\w+)", rule)
        if not severity or severity[1] not in SEVERITIES:
            yield f"{name} has no known severity"
        for annotation in ["summary", "description", "runbook_url", "dashboard_url"]:
            if f" {annotation}: " not in rule:
                yield f"{name} has no {annotation}"
        if "{{" in (re.search(r" summary: (.*)", rule) or [""])[0]:
            yield f"the summary of {name} is not constant"
        if f"/docs/runbooks/{name}.md" not in rule:
            yield f"{name} names another runbook"
        # A test expects the alert to fire.
        if not re.search(rf"labels: 'ALERTS{{alertname=\"{name}\"", tests):
            yield f"no test sees {name} fire"
        # A fault fires the alert, or NOT_FIRED says why none can.
        if f'alert("{name.removeprefix("Checkout")}"' not in made and f'"{name}":' not in made:
            yield f"no fault in lab/monitoring fires {name}"
        if f"]({name}.md)" not in index:
            yield f"docs/runbooks/README.md does not list {name}"
        page = RUNBOOKS / f"{name}.md"
        if not page.exists():
            yield f"there is no {page.relative_to(ROOT)}"
        elif re.findall(r"(?m)^## (.*)$", page.read_text()) != PARTS:
            yield f"{page.relative_to(ROOT)} does not have the parts {', '.join(PARTS)}"
    names = {name for name, _ in alerts()}
    for page in RUNBOOKS.glob("Checkout*.md"):
        if page.stem not in names:
            yield f"{page.relative_to(ROOT)} is about no alert"
    text = (ROOT / "deploy/grafana/checkout.json").read_text()
    if "__inputs" in json.loads(text):
        yield "the dashboard has __inputs, which sidecars do not resolve"
    for page in set(re.findall(r"/docs/runbooks/(\w+)\.md", text)):
        if not (RUNBOOKS / f"{page}.md").exists():
            yield f"the dashboard names the runbook {page}, which does not exist"


def main():
    found = list(faults())
    for fault in found:
        print(fault)
    print(f"{len(alerts())} rules of {len({name for name, _ in alerts()})} alerts, each with its page, test and fault"
          if not found else f"{len(found)} faults")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
