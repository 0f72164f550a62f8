//! Answers of the services for tests, shortened to the lines that the console reads.

/// `/metrics` of a producer.
pub(crate) const PRODUCER: &str = r#"# HELP checkout_producer_group_changes_total Order changes committed in groups.
# TYPE checkout_producer_group_changes_total counter
checkout_producer_group_changes_total 1854

# HELP checkout_producer_rate_limited_total Requests and bulk lines refused because the rate of their client was used up; by api_key_id, the client's name, or the first 8 hex digits of the SHA-256 of a key without one.
# TYPE checkout_producer_rate_limited_total counter
checkout_producer_rate_limited_total{api_key_id="shop, \"a\""} 12

# HELP checkout_producer_relay_published_total Status events published.
# TYPE checkout_producer_relay_published_total counter
checkout_producer_relay_published_total 1850

# TYPE checkout_producer_relay_transactions_total counter
checkout_producer_relay_transactions_total{outcome="committed"} 190
checkout_producer_relay_transactions_total{outcome="failed"} 0

# HELP checkout_http_connections Open connections.
# TYPE checkout_http_connections gauge
checkout_http_connections 3

# TYPE checkout_producer_api_keys gauge
checkout_producer_api_keys 2

# TYPE checkout_producer_outbox_rows gauge
checkout_producer_outbox_rows 4

# HELP checkout_outbox_oldest_seconds Age of the oldest status event that is not published yet; 0 while there is none.
# TYPE checkout_outbox_oldest_seconds gauge
checkout_outbox_oldest_seconds 0.5

# TYPE checkout_producer_relay_active gauge
checkout_producer_relay_active 1

# HELP checkout_producer_http_request_seconds Time from the headers of a request to those of its response; by route and method.
# TYPE checkout_producer_http_request_seconds histogram
checkout_producer_http_request_seconds_bucket{route="/orders",method="POST",le="0.005"} 500
checkout_producer_http_request_seconds_bucket{route="/orders",method="POST",le="0.01"} 990
checkout_producer_http_request_seconds_bucket{route="/orders",method="POST",le="+Inf"} 1000
checkout_producer_http_request_seconds_sum{route="/orders",method="POST"} 5.25
checkout_producer_http_request_seconds_count{route="/orders",method="POST"} 1000
checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="PATCH",le="0.005"} 400
checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="PATCH",le="0.01"} 845
checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="PATCH",le="+Inf"} 850
checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="GET",le="0.005"} 77
checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="GET",le="+Inf"} 77
checkout_producer_http_request_seconds_bucket{route="/orders/bulk",method="POST",le="0.005"} 1
checkout_producer_http_request_seconds_bucket{route="/orders/bulk",method="POST",le="+Inf"} 1
checkout_producer_http_request_seconds_bucket{route="/metrics",method="GET",le="0.005"} 300
checkout_producer_http_request_seconds_bucket{route="/metrics",method="GET",le="+Inf"} 300
"#;

/// `/metrics` of a processor with two tasks, one of which has a blocked partition.
pub(crate) const PROCESSOR: &str = r#"# HELP checkout_processor_records_total Order statuses whose outcome was committed; outcome: voucher, skipped, dead_letter.
# TYPE checkout_processor_records_total counter
checkout_processor_records_total{outcome="voucher"} 553
checkout_processor_records_total{outcome="skipped"} 1301
checkout_processor_records_total{outcome="dead_letter"} 3

# TYPE checkout_processor_dead_letters_total counter
checkout_processor_dead_letters_total{reason="invalid_total"} 1
checkout_processor_dead_letters_total{reason="empty_value"} 0
checkout_processor_dead_letters_total{reason="invalid_json"} 2

# TYPE checkout_processor_transactions_total counter
checkout_processor_transactions_total{outcome="committed"} 400
checkout_processor_transactions_total{outcome="aborted"} 2
checkout_processor_transactions_total{outcome="unknown"} 1

# TYPE checkout_processor_partitions gauge
checkout_processor_partitions{task="0"} 6
checkout_processor_partitions{task="1"} 6

# TYPE checkout_processor_circuit_open gauge
checkout_processor_circuit_open{task="0"} 0
checkout_processor_circuit_open{task="1"} 0

# TYPE checkout_processor_partition_blocked gauge
checkout_processor_partition_blocked{topic="order-status",partition="3",reason="out_of_range"} 1
checkout_processor_partition_blocked{topic="order-status",partition="4",reason="fetch_failed"} 0

# TYPE checkout_consumer_lag_records gauge
checkout_consumer_lag_records{group="processor",topic="order-status",partition="0"} 5
checkout_consumer_lag_records{group="processor",topic="order-status",partition="1"} 2

# TYPE checkout_consumer_lag_seconds gauge
checkout_consumer_lag_seconds{group="processor",topic="order-status"} 1.5

# TYPE checkout_order_to_voucher_seconds histogram
checkout_order_to_voucher_seconds_bucket{le="0.01"} 12
checkout_order_to_voucher_seconds_bucket{le="0.025"} 19
checkout_order_to_voucher_seconds_bucket{le="+Inf"} 20
checkout_order_to_voucher_seconds_sum 0.25
checkout_order_to_voucher_seconds_count 20

# TYPE checkout_processor_transaction_seconds histogram
checkout_processor_transaction_seconds_bucket{le="0.01"} 38
checkout_processor_transaction_seconds_bucket{le="+Inf"} 40
"#;

/// `/metrics` of a sink.
pub(crate) const SINK: &str = r#"# TYPE checkout_sink_rows_total counter
checkout_sink_rows_total{outcome="inserted"} 553
checkout_sink_rows_total{outcome="existing"} 2
checkout_sink_rows_total{outcome="different"} 1
checkout_sink_rows_total{outcome="tombstone"} 0
checkout_sink_rows_total{outcome="dead_letter"} 0

# TYPE checkout_sink_write_errors_total counter
checkout_sink_write_errors_total{cause="unavailable"} 3
checkout_sink_write_errors_total{cause="data"} 1

# TYPE checkout_consumer_lag_records gauge
checkout_consumer_lag_records{group="sink",topic="vouchers",partition="0"} 0

# TYPE checkout_consumer_lag_seconds gauge
checkout_consumer_lag_seconds{group="sink",topic="vouchers"} 0

# TYPE checkout_voucher_to_row_seconds histogram
checkout_voucher_to_row_seconds_bucket{le="0.01"} 553
checkout_voucher_to_row_seconds_bucket{le="+Inf"} 553

# TYPE checkout_sink_batch_seconds histogram
checkout_sink_batch_seconds_bucket{le="0.01"} 60
checkout_sink_batch_seconds_bucket{le="+Inf"} 60
"#;

/// `/readyz` of a service whose parts are all ready.
pub(crate) const READY: &str =
    r#"{"parts":{"kafka":"ready","registry-0":"ready","task-0":"ready"},"status":"ready"}"#;
