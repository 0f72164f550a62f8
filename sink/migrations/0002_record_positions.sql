-- Where the voucher record lies in the topic of vouchers, so that it is found without reading the topic.
-- Null: the row was written before there were these columns, or by an older version.
--
-- They have no check: it would read the whole table under an exclusive lock.
ALTER TABLE vouchers
    ADD COLUMN record_partition integer,
    ADD COLUMN record_offset    bigint;

COMMENT ON COLUMN vouchers.record_partition IS
    'The partition of the voucher record in the topic of vouchers; null: not known.';
COMMENT ON COLUMN vouchers.record_offset IS
    'The offset of the voucher record in its partition; null: not known.';
