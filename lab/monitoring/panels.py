"""The dashboard keeps to its conventions: the data source is a variable, every panel says what it shows and in
which unit, every query keeps to the chosen jobs and instances and to Grafana's interval, and what alerts use is
shown. Needs no services."""

import itertools
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The title of a panel whose counter is shown as it is.
SINCE_THE_START = "Dead letters since the start"
COUNTER = re.compile(r"\w+_(?:total|bucket|sum|count)")
# A metric of a service with its selector and its window; names with a colon are those of recording rules.
SERIES = re.compile(r"(?<![\w:])((?:checkout|process)_\w+|up)(?![\w:(])(\{[^}]*\})?(\[[^\]]*\])?")
UNITS = {"_seconds": "s", "_seconds_bucket": "s", "_bytes": "bytes"}


def panel_faults(panel):
    title = panel["title"]
    if not panel.get("description", "").endswith("."):
        yield f"{title}: its description is no sentence"
    if panel.get("datasource") != DATASOURCE:
        yield f"{title}: its data source is not the variable"
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if not unit:
        yield f"{title}: it has no unit"
    targets = panel.get("targets", [])
    if not targets:
        yield f"{title}: it has no query"
    letters = [target["refId"] for target in targets]
    if letters != sorted(set(letters)):
        yield f"{title}: the letters of its queries are {letters}"
    for target in targets:
        if target.get("datasource") != DATASOURCE:
            yield f"{title}: the data source of query {target['refId']} is not the variable"
        if panel["type"] == "timeseries" and not target.get("legendFormat"):
            yield f"{title}: query {target['refId']} has no legend"
        yield from (f"{title}: {fault}" for fault in query_faults(title, unit, target["expr"]))


def query_faults(title, unit, query):
    for window in re.findall(r"\[([^\]]*)\]", query):
        if window != "$__rate_interval":
            yield f"a window is {window} and not $__rate_interval"
    for name, selector, window in SERIES.findall(query):
        for variable in ("job", "instance"):
            if f'{variable}=~"${variable}"' not in selector:
                yield f"{name} is not of the chosen {variable}"
        if COUNTER.fullmatch(name) and not window and title != SINCE_THE_START:
            yield f"the counter {name} has no rate"
        for ending, expected in UNITS.items():
            if name.endswith(ending) and unit != expected:
                yield f"{name} is shown in {unit} and not in {expected}"
    recorded = set(re.findall(r"- record: (\S+)", (RULES / "recording.yml").read_text()))
    for name in re.findall(r"\w+:\w+:\w+", query):
        if name not in recorded:
            yield f"no rule records {name}"


def overlap(one, other):
    one, other = one["gridPos"], other["gridPos"]
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def variable_faults(variables):
    source, *others = variables
    if (source["name"], source["type"], source["query"]) != ("datasource", "datasource", "prometheus"):
        yield "the first variable is not the data source"
    for variable in others:
        if variable["datasource"] != DATASOURCE:
            yield f"the variable {variable['name']} has another data source"
        if variable["query"]["query"] != variable["definition"]:
            yield f"the variable {variable['name']} has two queries"


def faults():
    text = (ROOT / "deploy/grafana/checkout.json").read_text()
    dashboard = json.loads(text)
    if dashboard["uid"] != "checkout":
        yield "the uid is not checkout, which the links of alerts name"
    yield from variable_faults(dashboard["templating"]["list"])
    for annotation in dashboard["annotations"]["list"]:
        if annotation["datasource"] != DATASOURCE:
            yield f"the annotation {annotation['name']} has another data source"
    panels = dashboard["panels"]
    for what in ("id", "title"):
        seen = [panel[what] for panel in panels]
        yield from (f"two panels have the {what} {one}" for one in set(seen) if seen.count(one) > 1)
    for one, other in itertools.combinations(panels, 2):
        if overlap(one, other):
            yield f"{one['title']} and {other['title']} are at the same place"
    for panel in panels:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            yield f"{panel['title']} is beyond the right edge"
        if panel["type"] != "row":
            yield from panel_faults(panel)
    queries = "\n".join(target["expr"] for panel in panels for target in panel.get("targets", []))
    rules = "".join(path.read_text() for path in sorted(RULES.glob("*.yml")))
    for name in sorted({name for name, _, _ in SERIES.findall(rules) if name.startswith("checkout")}):
        if not re.search(rf"\b{name}\b", queries):
            yield f"no panel shows {name}, which a rule uses"


def main():
    found = list(faults())
    for fault in found:
        print(fault)
    print(f"{len(found)} faults of the dashboard" if found else "the dashboard keeps to its conventions")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
