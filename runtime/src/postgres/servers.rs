//! `DATABASE_URL`: one server, or several of which the primary is taken, as libpq reads them
//! (`postgres://user@a:5432,b:5432/database?target_session_attrs=read-write`).

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::lifecycle::Failure;
use crate::settings::Secret;

const PARAMETER: &str = "target_session_attrs";

/// Returns the connect options of each server of the URL, in its order.
///
/// # Errors
/// Exit code 2 for a URL that can't be used. The URL is not shown: it holds a password.
pub(super) fn servers(url: &Secret) -> Result<Vec<PgConnectOptions>, Failure> {
    let wrong = || {
        Failure::bad_setting(
            "DATABASE_URL: write postgres://user:password@host:5432/database \
             (special characters percent-encoded; several servers as host1:5432,host2:5432)",
        )
    };
    let url = without_target(url.reveal())?;
    let parts = Parts::of(&url).ok_or_else(wrong)?;
    parts
        .hosts
        .split(',')
        .map(|host| PgConnectOptions::from_str(&parts.with_host(host)).map_err(|_| wrong()))
        .collect()
}

/// The URL around its list of hosts.
struct Parts<'a> {
    before: &'a str,
    hosts: &'a str,
    after: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return None;
        }
        let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let start = scheme.len() + "://".len() + user;
        let end = scheme.len() + "://".len() + authority.len();
        Some(Self {
            before: url.get(..start)?,
            hosts: url.get(start..end)?,
            after: url.get(end..)?,
        })
    }

    fn with_host(&self, host: &str) -> String {
        format!("{}{host}{}", self.before, self.after)
    }
}

/// Takes `target_session_attrs` out of the URL. Every server is asked whether it is the primary
/// anyway, so a value that asks for one changes nothing, and one that asks for a standby can't be
/// served.
fn without_target(url: &str) -> Result<String, Failure> {
    let Some((address, query)) = url.split_once('?') else {
        return Ok(url.to_owned());
    };
    let mut others = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((PARAMETER, "any" | "read-write" | "primary")) => {}
            Some((PARAMETER, _)) => {
                return Err(Failure::bad_setting(
                    "DATABASE_URL: write target_session_attrs=read-write, or leave it out: \
                     of the servers that are named the primary is taken",
                ));
            }
            _ => others.push(pair),
        }
    }
    Ok(if others.is_empty() {
        address.to_owned()
    } else {
        format!("{address}?{}", others.join("&"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Vec<String> {
        let servers = servers(&Secret::new(url)).unwrap();
        servers
            .iter()
            .map(|server| format!("{}:{}", server.get_host(), server.get_port()))
            .collect()
    }

    #[test]
    fn a_wrong_url_is_a_bad_setting_that_does_not_show_it() {
        for url in [
            "",
            "localhost",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:x/d",
            "postgres://u:hunter2@h,g:x/d",
            "postgres://u:hunter2@h/d?target_session_attrs=standby",
            "postgres://u:hunter2@h/d?sslmode=disable&target_session_attrs=prefer-standby",
        ] {
            let failure = servers(&Secret::new(url)).unwrap_err().to_string();
            assert!(failure.contains("DATABASE_URL: write"), "{failure}");
            assert!(!failure.contains("hunter2"), "{failure}");
        }
    }

    #[test]
    fn several_servers_are_named_as_libpq_names_them() {
        assert_eq!(addresses("postgres://u:p@localhost:1/d"), ["localhost:1"]);
        assert_eq!(addresses("postgres://u:p%2C@a,b:6/d"), ["a:5432", "b:6"]);
        assert_eq!(
            addresses("postgresql://a:1,b:2?dbname=d&target_session_attrs=read-write"),
            ["a:1", "b:2"]
        );
        let with_target = "postgres://u@a/d?target_session_attrs=primary&sslmode=disable";
        assert_eq!(addresses(with_target), ["a:5432"]);
    }
}
