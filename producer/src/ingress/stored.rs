//! An order as it is stored.

use schemas::{Currency, Status};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

use crate::database::timestamp;
use crate::orders::{Order, Product};

/// A row of `orders`. One whose values can't be read, because something other than this service has
/// written them, is an answer of its own: the other rows of the same statement are read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// The order's id.
    pub order_id: String,
    /// The order, or why it can't be read.
    pub order: Result<Order, String>,
}

impl FromRow<'_, PgRow> for StoredOrder {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let order_id: String = row.try_get("order_id")?;
        let order = columns(row, &order_id).map_err(|error| {
            tracing::error!(
                order = order_id,
                %error,
                "the order {order_id:?} can't be read: something else has written to its row"
            );
            error.to_string()
        });
        Ok(Self { order_id, order })
    }
}

fn columns(row: &PgRow, order_id: &str) -> sqlx::Result<Order> {
    let products: Json<Vec<Product>> = row.try_get("products")?;
    let time = |column| {
        let time = timestamp(row, column)?;
        time.ok_or_else(|| sqlx::Error::Decode(format!("{column} is null").into()))
    };
    Ok(Order {
        order_id: order_id.to_owned(),
        status: parsed::<Status>(row, "status")?,
        total: row.try_get("total")?,
        currency: parsed::<Currency>(row, "currency")?,
        products: products.0,
        version: row.try_get("version")?,
        sent_at: timestamp(row, "sent_at")?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
    })
}

fn parsed<T: std::str::FromStr>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|error: T::Err| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: Box::new(error),
        })
}
