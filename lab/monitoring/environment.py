"""The variables that `run` passes on, and the addresses of the stack that it has started."""

import os
import pathlib

WORK = pathlib.Path(os.environ["MONITORING_WORK"])
BIN = pathlib.Path(os.environ["MONITORING_BIN"])
ROOT = pathlib.Path(os.environ["MONITORING_ROOT"])

# The process of `stack up`, whose children are the broker, the registry and Postgres.
STACK_PID = int(os.environ["MONITORING_STACK_PID"])

BROKERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
REGISTRY = os.environ["SCHEMA_REGISTRY_URL"]
ORDERS = os.environ["ORDERS_DATABASE_URL"]
VOUCHERS = os.environ["VOUCHERS_DATABASE_URL"]
SIGNING_KEY = os.environ["VOUCHER_SIGNING_KEY"]

ORDER_STATUS, VOUCHERS_TOPIC, GROUP = "order-status", "vouchers", "processor"
