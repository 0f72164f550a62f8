//! Whether a service's tables take its writes: tries them in a transaction that is rolled back.

use sqlx::{Connection, Error, PgConnection};

/// The statements of a service's writes, on rows that no other session has.
#[derive(Debug, Clone, Copy)]
pub struct WriteProbe(pub &'static [&'static str]);

impl WriteProbe {
    /// Executes the statements and rolls them back.
    ///
    /// # Errors
    /// The error that a write would have now.
    pub async fn run(self, connection: &mut PgConnection) -> Result<(), Error> {
        let mut transaction = connection.begin().await?;
        for statement in self.0 {
            sqlx::raw_sql(*statement).execute(&mut *transaction).await?;
        }
        transaction.rollback().await
    }
}
