-- Vouchers, one row for each (campaign, order). Rows are only ever inserted.
CREATE TABLE vouchers (
    campaign    text COLLATE "C" NOT NULL
                CHECK (octet_length(campaign) BETWEEN 1 AND 64),
    order_id    text COLLATE "C" NOT NULL
                CHECK (octet_length(order_id) BETWEEN 1 AND 128),
    -- A bearer secret: whoever has it can spend the voucher.
    code        text COLLATE "C" NOT NULL
                CHECK (char_length(code) BETWEEN 1 AND 64),
    -- No precision: numeric(p, s) would round silently.
    amount      numeric NOT NULL
                CHECK (amount > 0 AND amount < 1e15),
    currency    text COLLATE "C" NOT NULL
                CHECK (char_length(currency) = 3),
    -- When the order was sent.
    issued_at   timestamptz NOT NULL,
    -- Null: it does not expire.
    expires_at  timestamptz,
    -- W3C Trace Context of the request that sent the order.
    traceparent text COLLATE "C"
                CHECK (octet_length(traceparent) <= 128),
    -- The time of the row, not of its statement's start: as close to its becoming visible as a
    -- column can be.
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (campaign, order_id),
    -- The sink knows this constraint by its name.
    CONSTRAINT vouchers_code_key UNIQUE (code)
);

COMMENT ON TABLE vouchers IS 'Vouchers as the topic tells them; written by the sink alone.';
COMMENT ON COLUMN vouchers.code IS 'A bearer secret: not for logs or screens.';
