//! Databases by their URLs.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::process::Port;

/// Returns the URL of a database on `port`.
pub(super) fn url(port: &Port, database: &str) -> String {
    format!("postgres://postgres@{}/{database}", port.address())
}

/// Returns `url` with another database's name in its path; the query stays.
pub(in crate::backends) fn with_database(url: &str, database: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let end = address
        .get(scheme..)
        .and_then(|rest| rest.find('/'))
        .map_or(address.len(), |at| scheme + at);
    format!(
        "{}/{database}{query}",
        address.get(..end).unwrap_or(address)
    )
}

/// Succeeds when the database answers.
pub(super) async fn answers(url: String) -> Result<()> {
    let answer = async {
        // Without the startup parameters that a pooler does not know.
        let options = PgConnectOptions::from_str(&url)?.extra_float_digits(None::<i8>);
        let mut connection = options.connect().await?;
        connection.execute("SELECT 1").await?;
        connection.close().await
    };
    Ok(tokio::time::timeout(Duration::from_secs(5), answer).await??)
}

/// Creates a database on the server of `url`, unless it exists.
pub(in crate::backends) async fn create(url: &str, name: &str) -> Result<()> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        bail!("{name:?} cannot be a database's name here: use letters, digits, - and _");
    }
    let mut connection = PgConnection::connect(url).await?;
    let created = connection
        .execute(AssertSqlSafe(format!("CREATE DATABASE \"{name}\"")))
        .await;
    match created {
        Ok(_) => {}
        // It exists.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => {}
        Err(error) => {
            return Err(error).with_context(|| format!("the database {name} could not be created"));
        }
    }
    Ok(connection.close().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced_and_its_query_stays() {
        assert_eq!(
            with_database("postgres://u:p@h:5432/a?sslmode=require", "b"),
            "postgres://u:p@h:5432/b?sslmode=require"
        );
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(with_database("postgres://h/", "b"), "postgres://h/b");
    }
}
