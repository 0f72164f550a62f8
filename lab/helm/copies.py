"""The files that the chart copies from the project: a chart can read no files outside itself, and symbolic
links are lost where a GitOps tool packs the folder. `copies.py` writes the copies; a test compares them.
"""

import json

from settings import COMPONENTS, PROJECT, accepted

CHART = PROJECT / "deploy/helm/checkout"
SCHEMA = CHART / "values.schema.json"

# Folder of the chart, folder of the project, and the files in both.
FOLDERS = [
    (CHART / "files/rules", PROJECT / "deploy/prometheus/rules", "*.yml"),
    (CHART / "files/dashboards", PROJECT / "deploy/grafana", "*.json"),
]


def files():
    """Returns the path of each copy with its content, or with None if its original does not exist any more."""
    wanted = {}
    for copies, originals, pattern in FOLDERS:
        wanted |= {copy: None for copy in copies.glob(pattern)}
        wanted |= {copies / file.name: file.read_text() for file in originals.glob(pattern)}
    return wanted


def schema():
    """Returns the schema of the values with the current names of the settings."""
    schema = json.loads(SCHEMA.read_text())
    for component in (*COMPONENTS, "shared"):
        schema["$defs"][f"{component}Settings"]["propertyNames"]["enum"] = accepted(component)
    return json.dumps(schema, indent=2) + "\n"


def main():
    for path, content in files().items():
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    SCHEMA.write_text(schema())


if __name__ == "__main__":
    main()
