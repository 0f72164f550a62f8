"""Runs every query of the dashboard against Prometheus: each must be valid and return data."""

import json
import math

import environment
from wait import until

# Panels about faults: their queries may return nothing while everything works.
NEED_AN_EVENT = {"Dead letters by reason", "Refused clients", "Blocked partitions", "Fenced members and lost calls"}

VARIABLES = {"$__rate_interval": "20s", "$job": ".+", "$instance": ".+"}


def queries():
    """Returns title and query of each target of each panel, and the variables' and annotations' as well."""
    dashboard = json.loads((environment.ROOT / "deploy/grafana/checkout.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], filled(target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        # Returns nothing as long as no alert fires.
        yield "Alerts firing", f"count({filled(annotation['expr'])}) or vector(0)"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            yield f"the variable {variable['name']}", f"count by ({label}) ({filled(selector)})"


def filled(query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def check(prometheus, report):
    for title, query in queries():
        wrong = None
        try:
            if title in NEED_AN_EVENT:
                prometheus.query(query)
            else:
                # NaN is the ratio or quantile of an empty result.
                until("data", lambda: any(not math.isnan(value) for _, value in prometheus.query(query)), 30)
        except Exception as error:  # a wrong query, or none that returns data
            wrong = f"{error}; the query is {query}"
        report.line("dashboard", title, wrong)
