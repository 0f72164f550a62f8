"""Runs other clients against the stack and checks what became of the orders that they sent.

Prints a line for each client and case. The exit code is 1 if any case is wrong. Words choose clients by
their names: `clients.py curl Go`.
"""

import concurrent.futures
import itertools
import os
import pathlib
import sys

import outcomes
import routes
import writers

SOURCES = pathlib.Path(__file__).parent
WORK = pathlib.Path(os.environ["CLIENTS_WORK"])


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def line(self, client, case, wrong, known_defect=None):
        """Reports one case. A case with a known defect must be wrong until the defect is fixed."""
        verdict, words = "ok", ""
        if known_defect and wrong:
            verdict, words = "known", f"defect, {known_defect}: {wrong}"
        elif known_defect:
            verdict, words = "FAILED", f"{known_defect} is fixed: move this case to those that work"
        elif wrong:
            verdict, words = "FAILED", wrong
        self.failed += verdict == "FAILED"
        self.passed += verdict != "FAILED"
        print(f"{verdict:8}{client:34}{case:52}{words}".rstrip(), flush=True)


def wrong_with(order_id, expected, rows, dead):
    """Returns what is wrong with the outcome of an order, or None."""
    row = rows.get(order_id, [])
    reasons = {reason for reason, _ in dead.get(order_id, [])}
    wants_row = expected == writers.VOUCHER
    if row != (["5.00 EUR"] if wants_row else []):
        words = dead.get(order_id, ["none"])[0]
        return f"order {order_id} has the rows {row} instead of {expected}; dead letter: {words}"
    if reasons != (set() if expected in (writers.VOUCHER, writers.NONE) else {expected}):
        return f"order {order_id} has the dead letters {dead.get(order_id)} instead of {expected}"
    return None


def main():
    words = sys.argv[1:]

    def is_chosen(client):
        return not words or any(word in client.name for word in words)

    jobs = [job for job in writers.jobs(writers.writers(WORK, SOURCES)) if is_chosen(job.writer)]
    callers = [caller for caller in routes.callers(WORK, SOURCES) if is_chosen(caller)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [
            pool.submit(writers.write, writer, list(its_jobs))
            for writer, its_jobs in itertools.groupby(jobs, lambda job: job.writer)
        ]
        running += [pool.submit(caller.run) for caller in callers]
        for one in running:
            one.result()

    outcomes.wait_until_done()
    rows, dead = outcomes.rows(), outcomes.dead_letters("order-status")
    report = Report()
    for job in jobs:
        wrong = job.error or next(
            filter(None, (wrong_with(order, what, rows, dead) for order, what in job.expected().items())), None)
        report.line(job.writer.name, job.case, wrong, job.writer.defects.get(job.case))
    for caller in callers:
        for case, wrong in caller.cases:
            report.line(caller.name, case, wrong)
        wrong = next(
            filter(None, (wrong_with(order, what, rows, dead) for order, what in caller.expected.items())), None)
        report.line(caller.name, f"the vouchers of its {len(caller.expected)} orders", wrong)
    report.line("all", "the sink has no dead letters", outcomes.dead_letters("vouchers") or None)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


sys.exit(main())
