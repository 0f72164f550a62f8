"""Waiting for a condition: the only way in which anything here waits."""

import time


def until(what, condition, seconds=60):
    """Calls `condition` until it returns something, and returns that. A failure counts as "not yet"."""
    deadline = time.monotonic() + seconds
    failure = None
    while True:
        try:
            found = condition()
            failure = None
        except Exception as error:  # whatever it is, the deadline reports it
            found, failure = None, error
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}" + (f": {failure}" if failure else ""))
        time.sleep(0.2)
