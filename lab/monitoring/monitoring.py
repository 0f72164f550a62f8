"""Starts the system, makes the faults, and runs the queries of the dashboard and the commands of the runbooks.

Prints a line for each. The exit code is 1 if one is wrong.
"""

import sys

import dashboard
import runbooks
from faults import FAULTS
from system import System
from wait import until

# An alert fires within the scaled time, and the service has to notice its fault first.
FIRES = 120
# The longest window is that of CheckoutVoucherDifferent: an hour, which is two minutes here.
RESOLVES = 300


class Report:
    def __init__(self):
        self.failed = 0

    def line(self, subject, case, wrong):
        self.failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':8}{subject:11}{case:64}{wrong or ''}".rstrip(), flush=True)


def name(alert):
    labels = ", ".join(f"{label}={value}" for label, value in alert.items() if label != "alertname")
    return f"{alert['alertname']} {labels}".strip()


def check_fires(prometheus, alerts, report):
    for alert in alerts:
        wrong = None
        try:
            until("it to fire", lambda: prometheus.firing(**alert), FIRES)
        except Exception as error:  # not in time, or Prometheus does not answer
            wrong = error
        report.line("fires", name(alert), wrong)


def check_none_fires(prometheus, case, report):
    wrong = None
    try:
        # Twice, because an alert may come back when counters are scraped again.
        for _ in range(2):
            until("no alert to fire", lambda: not prometheus.firing(), RESOLVES)
    except TimeoutError:
        wrong = ", ".join(sorted({labels["alertname"] for labels in prometheus.firing()})) + " still fires"
    report.line("resolves", case, wrong)


def check_fault(system, fault, report):
    print(f"\n{fault.name.replace('_', ' ')}", flush=True)
    # Nothing may be raised inside the context: the fault is removed by the code after its yield.
    with fault.make(system):
        check_fires(system.prometheus, fault.alerts, report)
    check_fires(system.prometheus, fault.after, report)
    check_none_fires(system.prometheus, fault.name.replace("_", " "), report)


def chosen(words):
    if "--all" in words:
        return FAULTS
    names = [fault.name for fault in FAULTS]
    if unknown := [word for word in words if word not in names]:
        sys.exit(f"there is no fault {', '.join(unknown)}; the faults are {', '.join(names)}")
    return [fault for fault in FAULTS if fault.name in words] if words else [one for one in FAULTS if one.short]


def main():
    words = sys.argv[1:]
    faults = chosen(words)
    system, report = System(), Report()
    try:
        system.start()
        check_none_fires(system.prometheus, "nothing is wrong", report)
        print()
        dashboard.check(system.prometheus, report)
        for fault in faults:
            check_fault(system, fault, report)
        if "--all" in words:
            print()
            runbooks.check(system, report)
    finally:
        system.stop()
    print(f"\n{report.failed} failed" if report.failed else "\nall as expected")
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
