-- Orders as they stand. The status events of the same transaction are in "outbox".
CREATE TABLE orders (
    order_id   text COLLATE "C" PRIMARY KEY
               CHECK (octet_length(order_id) BETWEEN 1 AND 128),
    status     text NOT NULL
               CHECK (status IN ('PENDING', 'SENT', 'DELIVERED', 'CANCELLED')),
    -- Two decimals are checked before they get here: numeric(17,2) would round silently.
    total      numeric(17, 2) NOT NULL
               CHECK (total >= 0 AND total < 1e15),
    currency   text COLLATE "C" NOT NULL
               CHECK (currency ~ '^[A-Z]{3}$'),
    products   jsonb NOT NULL
               CHECK (jsonb_typeof(products) = 'array'),
    version    bigint NOT NULL
               CHECK (version >= 1),
    -- Set once, when the order is sent, and carried by every later status.
    sent_at    timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (status NOT IN ('SENT', 'DELIVERED') OR sent_at IS NOT NULL),
    CHECK (status <> 'PENDING' OR sent_at IS NULL)
);

-- The list of orders by status, in pages.
CREATE INDEX orders_status_order_id ON orders (status, order_id);

-- Status events that are committed and not published yet. Rows are deleted, never updated:
-- the table stays as small as the backlog.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    status      text NOT NULL,
    total       numeric NOT NULL,
    currency    text NOT NULL,
    occurred_at timestamptz NOT NULL,
    sent_at     timestamptz,
    traceparent text
) WITH (
    -- The head of the index fills with dead entries at the rate of publishing: vacuum early.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.01,
    autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- The answers to requests that carried an Idempotency-Key, for 24 hours.
CREATE TABLE idempotency_keys (
    api_key_id   text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    status       integer NOT NULL,
    body         bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (api_key_id, key)
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- The integers of the old routes. Order ids that are taken are skipped.
CREATE SEQUENCE old_order_ids AS bigint;
CREATE SEQUENCE product_ids AS bigint;
