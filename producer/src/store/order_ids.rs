//! The sequences of the old routes: integers for orders and for their products.

use sqlx::PgConnection;

/// Takes the next `count` integers and returns those that are not the id of an order. A taken integer
/// is used up, so the next call continues after it.
pub(crate) async fn free_order_numbers(
    connection: &mut PgConnection,
    count: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT number
         FROM (SELECT nextval('old_order_ids') AS number FROM generate_series(1, $1)) AS next
         WHERE NOT EXISTS (SELECT FROM orders WHERE order_id = number::text)",
    )
    .bind(count)
    .fetch_all(connection)
    .await
}

/// Takes the next `count` integers for products.
pub(crate) async fn product_numbers(
    connection: &mut PgConnection,
    count: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT nextval('product_ids') FROM generate_series(1, $1)")
        .bind(count)
        .fetch_all(connection)
        .await
}
