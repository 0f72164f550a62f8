"""The faults, and the alerts that each has to fire.

While a fault lasts, all its alerts have to fire; once it is removed, every alert has to resolve. `after` are
alerts that fire only after the removal, because a delay is measured only when the delayed work is done.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, Producer, TopicPartition

import environment
from environment import GROUP, ORDER_STATUS, VOUCHERS_TOPIC
from processes import broker_pid
from system import WEEK
from wait import until


@dataclasses.dataclass
class Fault:
    name: str
    make: Callable
    # Labels of alerts. One fault may fire others as well.
    alerts: list
    after: list = dataclasses.field(default_factory=list)
    # Whether it is tried without --all.
    short: bool = False


def alert(name, **labels):
    return {"alertname": f"Checkout{name}", **labels}


FAULTS = []

# Alerts whose fault cannot be made here, with the reason. Their rules are tested by promtool alone.
NOT_FIRED = {
    "CheckoutKafkaCallsAbandoned": "a call of the client that never returns needs a coordinator that is gone while the "
                                   "rest of its cluster answers; runtime/tests/transactions.rs makes one",
}


def fault(*alerts, after=(), short=False):
    """Registers a fault: a context manager that injects it, and removes it at its end."""
    def add(function):
        FAULTS.append(Fault(
            function.__name__, contextlib.contextmanager(function), list(alerts), list(after), short))
        return function
    return add


@contextlib.contextmanager
def repeated(*calls):
    """Repeats each of these calls in a thread of its own until the context ends."""
    stopping = threading.Event()

    def run(call):
        while not stopping.is_set():
            with contextlib.suppress(OSError):
                call()

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)


@contextlib.contextmanager
def ended(process):
    """Kills this process at the end."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


@fault(alert("DeadLetters", service="processor", reason="invalid_json"), alert("DeadLetters", service="sink"), short=True)
def records_that_cannot_be_used(system):
    for topic in [ORDER_STATUS, VOUCHERS_TOPIC]:
        system.write(topic, [(b"bad", b"not json")])
    yield


@fault(alert("ApiKeysStale", variable="API_KEYS_FILE"), short=True)
def an_empty_file_of_keys(system):
    system.write_keys("")
    yield
    system.write_keys()


@fault(alert("LagNearsCompaction", group=GROUP, topic=ORDER_STATUS), alert("TargetDown", job="checkout-processor"),
       alert("ServiceAbsent", service="processor"), after=[alert("EndToEndSlow", hop="order_to_voucher")], short=True)
def no_processor_for_longer_than_half_of_what_the_topic_keeps(system):
    system.set_retention("30000")
    # The rules must have recorded the retention before, because they use the recorded value while no
    # processor is scraped.
    until("the retention to be recorded", lambda: [
        1 for _, value in system.prometheus.query("topic:checkout_topic_guaranteed_retention_seconds:min")
        if value == 30])
    system.processor.kill()
    yield
    # A processor that has issued its late vouchers before its first scrape shows no increase of them, so the
    # broker stands still until then.
    broker = broker_pid()
    os.kill(broker, signal.SIGSTOP)
    try:
        system.processor.start()
        until("a scrape of the new processor", lambda: system.prometheus.query(
            "checkout_order_to_voucher_seconds_count"))
    finally:
        os.kill(broker, signal.SIGCONT)
    system.processor.ready()
    # The setting is changed without a restart, which would be a second pause: the alerts that follow are
    # about the first one.
    system.configure(ORDER_STATUS, "min.compaction.lag.ms", WEEK)


@fault(alert("NotReady", job="checkout-sink"), alert("ConsumerStuck", service="sink"),
       alert("ConsumerBehind", topic=VOUCHERS_TOPIC, severity="warning"),
       alert("ConsumerBehind", topic=VOUCHERS_TOPIC, severity="critical"),
       after=[alert("EndToEndSlow", hop="voucher_to_row")])
def the_vouchers_database_is_cut_off(system):
    system.vouchers_gate.close()
    yield
    system.vouchers_gate.open()


@fault(alert("IngressErrorBudgetBurn", severity="critical"), alert("IngressErrorBudgetBurn", severity="warning"),
       alert("RelayAbsent"), alert("NotReady", job="checkout-producer"))
def the_orders_database_is_cut_off(system):
    system.orders_gate.close()
    yield
    system.orders_gate.open()


@fault(alert("OutboxOld", severity="warning"), alert("OutboxOld", severity="critical"),
       alert("NotReady", job="checkout-processor"))
def the_broker_stands_still(system):
    broker = broker_pid()
    os.kill(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker, signal.SIGCONT)
    for service in [system.processor, system.sink]:
        # The processor ends after five calls that do not return, by design.
        if service.has_ended:
            service.kill()
            service.start()
        service.ready()


@fault(alert("CompactionUnguarded", topic=ORDER_STATUS))
def a_topic_that_may_be_compacted_at_once(system):
    system.set_retention("0")
    yield
    system.set_retention(WEEK)


@fault(alert("Restarting", job="checkout-sink"))
def a_sink_that_is_killed_again_and_again(system):
    query = f'process_start_time_seconds{{instance="{system.sink.address}"}}'

    def seen():
        return [value for _, value in system.prometheus.query(query)]

    for _ in range(4):
        before = until("the sink to be scraped", seen)
        system.sink.kill()
        # Start times differ only if they are more than a clock tick of the kernel apart.
        system.sink.start()
        until("the sink to be scraped anew", lambda: seen() not in ([], before))
    yield
    system.sink.ready()


@fault(alert("CircuitOpen", job="checkout-processor"), alert("ConsumerStuck", service="processor"))
def most_records_cannot_be_used(system):
    system.write(ORDER_STATUS, ((b"bad-%d" % number, b"not json") for number in range(4000)))
    yield
    system.processor.restart("--accept-dead-letters")
    until("the dead letters to be accepted", lambda: system.processor.metric(
        "checkout_consumer_lag_records") < 100, 120)
    system.processor.restart()


@fault(alert("RecordsRefused", service="processor"), alert("TransactionsAborting", service="processor"))
def a_topic_that_refuses_vouchers(system):
    system.configure(VOUCHERS_TOPIC, "max.message.bytes", "80")
    yield
    system.configure(VOUCHERS_TOPIC, "max.message.bytes", "1048588")
    # The processor tries the batch again after a pause of up to 30 s.
    until("the processor to be ready", lambda: system.processor.metric("checkout_ready") == 1, 90)


@fault(alert("TransactionsAborting", service="producer"))
def a_topic_that_refuses_order_statuses(system):
    system.configure(ORDER_STATUS, "max.message.bytes", "80")
    yield
    system.configure(ORDER_STATUS, "max.message.bytes", "1048588")
    until("the outbox to be published", lambda: system.producer.metric(
        "checkout_outbox_oldest_seconds") < 5, 90)


@fault(alert("PartitionBlocked", topic=ORDER_STATUS, reason="out_of_range"))
def an_offset_that_the_log_does_not_hold(system):
    system.processor.stop()
    right = system.committed()[0]
    system.commit([TopicPartition(ORDER_STATUS, right.partition, right.offset + 1_000_000)])
    system.processor.start()
    yield
    system.processor.stop()
    system.commit([TopicPartition(ORDER_STATUS, right.partition, right.offset)])
    system.processor.start()
    system.processor.ready()


@fault(alert("OffsetsHeldBack", topic=ORDER_STATUS))
def another_transaction_holds_the_groups_offsets(system):
    holder = Producer({
        "bootstrap.servers": environment.BROKERS, "transactional.id": "holder", "transaction.timeout.ms": 600_000})
    asker = Consumer({"bootstrap.servers": environment.BROKERS, "group.id": GROUP})
    holder.init_transactions(30)
    holder.begin_transaction()
    holder.send_offsets_to_transaction(system.committed(), asker.consumer_group_metadata(), 30)
    system.processor.stop()
    system.processor.start()
    yield
    holder.abort_transaction(30)
    asker.close()
    system.processor.ready()


@fault(alert("VoucherDifferent"))
def another_signing_key_under_the_same_campaign(system):
    other = system.new_processor("other-key", "other-key", {
        "PROCESSOR_GROUP": "other-key", "VOUCHER_SIGNING_KEY": "b3RoZXIga2V5LCBvdGhlciBrZXksIG90aGVyIGtleSE="})
    other.start("--accept-dead-letters")
    yield
    other.stop()


@fault(alert("Fenced", job="checkout-processor"))
def two_processors_with_one_name(system):
    twin = system.new_processor("twin", "monitoring", {})
    system.prometheus.scrape("checkout-processor", twin)
    twin.start()
    yield
    system.prometheus.forget(twin)
    for processor in [twin, system.processor]:
        processor.stop()
    system.processor.start()
    system.processor.ready()


@fault(alert("OrdersLocked"))
def a_session_that_locks_an_order(system):
    assert system.request("POST", "/orders", {"order_id": "locked", "total": "1.00"}) in (200, 201)
    session = system.psql("begin", "select from orders where order_id = 'locked' for update")
    writers = [lambda: system.request("PATCH", "/orders/locked", {"status": "SENT"})] * 4
    with ended(session), repeated(*writers):
        yield


@fault(alert("PoolExhausted"))
def a_session_that_locks_the_table_of_orders(system):
    session = system.psql("begin", "lock table orders in access exclusive mode")
    readers = [lambda: system.request("GET", "/orders")] * 8
    with ended(session), repeated(*readers):
        yield


@fault(alert("VacuumHeldBack"))
def a_session_that_stays_open(system):
    session = system.psql("begin isolation level repeatable read", "select txid_current()")
    with ended(session):
        # A transaction that is rolled back leaves dead rows, which the relay does not publish.
        system.psql(
            "begin",
            "insert into outbox (order_id, version, status, total, currency, occurred_at)"
            " select 'vacuum', 1, 'PENDING', 1, 'EUR', now() from generate_series(1, 150000)",
            "rollback",
        ).kill()
        yield


@fault(alert("ConnectionsFull", job="checkout-producer"))
def more_connections_than_the_producer_allows(system):
    host, port = system.producer.address.split(":")
    connections = []
    try:
        # More than HTTP_CONNECTIONS; the last ones wait in the listener's queue.
        for _ in range(80):
            connections.append(socket.create_connection((host, int(port)), timeout=10))
        time.sleep(1)
    finally:
        # While they are open, Prometheus can not connect either.
        for connection in connections:
            connection.close()
    yield


@fault(alert("ClientRateLimited", api_key_id="flood"))
def a_client_beyond_its_rate(system):
    with repeated(*[lambda: system.request("GET", "/orders/none", client="flood")] * 6):
        yield
