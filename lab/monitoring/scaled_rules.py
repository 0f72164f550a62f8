"""Makes minutes of the shipped rules short, so that alerts can be seen to fire and to resolve.

The same files are used, and three things are changed in their text, each minute to SECONDS seconds:

- `for: 5m`
- windows of queries: `[5m]`, `[6h]`
- thresholds that are times: `5 * 60`

Everything else (expressions, labels, ratios, names) stays as it is. The names of recording rules still say
the shipped window.

    scaled_rules.py FOLDER      writes the rules into this folder
"""

import pathlib
import re
import sys

# A minute. A window of five minutes has ten samples then, at one each second.
SECONDS = 2

RULES = pathlib.Path(__file__).parents[2] / "deploy/prometheus/rules"
MINUTES = {"m": 1, "h": 60}


def seconds(count, unit):
    return f"{int(count) * MINUTES[unit] * SECONDS}s"


def scaled(text):
    text = re.sub(r"(?m)^(\s+for: )(\d+)([mh])$", lambda m: m[1] + seconds(m[2], m[3]), text)
    text = re.sub(r"\[(\d+)([mh])\]", lambda m: f"[{seconds(m[1], m[2])}]", text)
    return re.sub(r"(\d+) \* 60\b", lambda m: f"{m[1]} * {SECONDS}", text)


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for rules in sorted(RULES.glob("*.yml")):
        text = scaled(rules.read_text())
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        left = re.findall(r"for: \d+[a-z]+\b(?<!s)|\[\d+[a-z]+\b(?<!s)\]|\* 60\b", code)
        assert not left, f"{rules.name}: {left} is not scaled"
        (folder / rules.name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
