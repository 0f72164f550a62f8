//! `DATABASE_URL`, with one server, or several of which the primary is used. The form is libpq's:
//! `postgres://user@a:5432,b:5432/database?target_session_attrs=read-write`.

use std::str::FromStr;

use reqwest::Url;
use sqlx::postgres::PgConnectOptions;

use super::url_parameters;
use crate::lifecycle::Failure;
use crate::settings::Secret;

/// Returns the connect options of each server of the URL, in its order.
///
/// # Errors
/// Exit code 2 for a URL that cannot be used. The message does not contain the URL, which contains a
/// password.
pub(super) fn servers(url: &Secret) -> Result<Vec<PgConnectOptions>, Failure> {
    let bad = |why: &str| Failure::bad_setting(format!("DATABASE_URL: {why}"));
    let malformed = || {
        bad(
            "write postgres://user:password@host:5432/database (special characters \
             percent-encoded; several servers as host1:5432,host2:5432)",
        )
    };
    // sqlx reads these variables itself, and would open a file without a name.
    let files = ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if let Some(name) = files.iter().find(|name| is_empty(name)) {
        return Err(bad(&format!("the variable {name} is empty: unset it")));
    }
    let parts = UrlParts::of(url.reveal().trim()).ok_or_else(malformed)?;
    let hosts: Vec<_> = parts.hosts.split(',').collect();
    if hosts.len() > 1 && hosts.contains(&"") {
        return Err(malformed());
    }
    hosts
        .into_iter()
        .map(|host| {
            // The parser refuses a user without a host, which is right when a parameter has the host.
            let is_missing = host.is_empty() && parts.before.ends_with('@');
            let host = match is_missing && parts.after.contains("host=") {
                true => "localhost",
                false => host,
            };
            let url = Url::parse(&parts.with_host(host)).map_err(|_| malformed())?;
            // Unencoded special characters of a password end up here.
            let database = url.path().trim_start_matches('/');
            if url.fragment().is_some() || database.contains(['/', '@']) {
                return Err(malformed());
            }
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let url = url_parameters::checked(url, variable).map_err(|why| bad(&why))?;
            PgConnectOptions::from_str(url.as_str()).map_err(|_| malformed())
        })
        .collect()
}

/// A URL, split around its list of hosts.
struct UrlParts<'a> {
    before: &'a str,
    hosts: &'a str,
    after: &'a str,
}

impl<'a> UrlParts<'a> {
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
            "postgres://u:hunter2@a,,b/d",
            "postgres://u:hunter2@a,b,/d",
            "postgres://u:12/hunter2@h/d",
            "postgres://u:12#hunter2@h/d",
            "postgres://u:hunter2@h/d/e",
            "postgres://u:hunter2@h/d?target_session_attrs=standby",
            "postgres://u:hunter2@h/d?sslmode=disable&target_session_attrs=prefer-standby",
            "jdbc:postgresql://h/d?password=hunter2",
            "host=h password=hunter2",
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
        assert_eq!(addresses("postgres://u@[::1]:6,b/d"), ["[::1]:6", "b:5432"]);
        assert_eq!(
            addresses(" postgres://u:p%23%2F%3F%40@h/d%2Fe\n"),
            ["h:5432"]
        );
        let with_target = "postgres://u@a/d?target_session_attrs=primary&sslmode=disable";
        assert_eq!(addresses(with_target), ["a:5432"]);
    }

    #[test]
    fn a_socket_is_named_in_the_host_or_as_a_parameter() {
        for url in [
            "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
            "postgresql:///d?host=/var/run/postgresql&user=u",
            "postgres://u@/d?host=%2Fvar%2Frun%2Fpostgresql",
        ] {
            let servers = servers(&Secret::new(url)).unwrap();
            let socket = servers[0].get_socket().unwrap();
            assert_eq!(socket.to_str(), Some("/var/run/postgresql"), "{url}");
            assert_eq!(servers[0].get_username(), "u");
            assert_eq!(servers[0].get_database(), Some("d"));
        }
    }
}
