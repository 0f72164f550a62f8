"""The users in examples/kafka-strimzi.yaml have the rights of docs/access-rights.md."""

import re
import unittest

import yaml

from chart import EXAMPLES
from settings import PROJECT

OPERATIONS = ("Read", "Write", "Describe", "DescribeConfigs")
KINDS = {
    "topic": "topic",
    "topics": "topic",
    "group": "group",
    "groups": "group",
    "transactional id": "transactionalId",
    "transactional ids": "transactionalId",
}
ALL_TOPICS = [f"{topic}{of}" for topic in ("order-status", "vouchers") for of in ("", ".dlq", ".dlq.state")]
# In Kafka these imply Describe.
IMPLIES = {"Read": ("Read", "Describe"), "Write": ("Write", "Describe")}


def resources(cell):
    """Yields the kind, the name and the type of pattern of each resource in a cell of the table."""
    for part in filter(None, (one.strip() for one in cell.split(";"))):
        if part == "cluster":
            yield "cluster", None, None
            continue
        if part == "all six topics":
            yield from (("topic", topic, "literal") for topic in ALL_TOPICS)
            continue
        kind, names = re.fullmatch(r"([a-z ]+?) (`.*`)(?: \(.*\))?", part).groups()
        for name in re.findall(r"`([^`]+)`", names):
            yield KINDS[kind], name.removesuffix("*"), "prefix" if name.endswith("*") else "literal"


def documented(command):
    """Returns the rights of a command in the documentation: operation, kind, name and type of pattern."""
    for line in (PROJECT / "docs/access-rights.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == f"`{command}`":
            return {
                (operation, *resource)
                for operation, cell in zip(OPERATIONS, cells[1:], strict=True)
                for resource in resources(cell)
            }
    raise AssertionError(f"docs/access-rights.md has no row of {command}")


def granted(user):
    """Returns the rights of a user in the example, in the same form."""
    for one in yaml.safe_load_all((EXAMPLES / "kafka-strimzi.yaml").read_text()):
        if one["kind"] == "KafkaUser" and one["metadata"]["name"] == user:
            return {
                (operation, acl["resource"]["type"], acl["resource"].get("name"), acl["resource"].get("patternType"))
                for acl in one["spec"]["authorization"]["acls"]
                for operation in acl["operations"]
            }
    raise AssertionError(f"kafka-strimzi.yaml has no user {user}")


def allows(grant, right):
    """Returns whether a grant allows what a right is about."""
    operation, kind, name, pattern = grant
    if right[0] not in IMPLIES.get(operation, (operation,)) or right[1] != kind:
        return False
    if pattern == "prefix":
        return right[2].startswith(name)
    return (name, pattern) == right[2:]


class Rights(unittest.TestCase):
    def test_services_have_exactly_the_documented_rights(self):
        for service in ("producer", "processor", "sink"):
            self.assertEqual(granted(f"checkout-{service}"), documented(f"{service} run"), service)

    def test_the_migrations_have_those_of_check_and_may_create_topics(self):
        needed = documented("processor check")
        grants = granted("checkout-migrations")
        for right in needed:
            self.assertTrue(any(allows(grant, right) for grant in grants), f"{right} is not granted")
        for grant in grants:
            is_creation = grant[:2] == ("Create", "topic")
            self.assertTrue(is_creation or any(allows(grant, right) for right in needed), f"{grant} is not needed")
        for topic in ALL_TOPICS:
            right = ("Create", "topic", topic, "literal")
            self.assertTrue(any(allows(grant, right) for grant in grants), f"{topic} cannot be created")
