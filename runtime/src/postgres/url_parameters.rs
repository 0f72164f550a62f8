//! The parameters of `DATABASE_URL` and libpq's environment variables: each has its effect, or is
//! refused. By itself sqlx ignores parameters that it does not know, and variables that it cannot parse.

use std::fs::File;

use reqwest::Url;

/// The supported modes. sqlx has `allow` too, but never encrypts with it, unlike libpq.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

const WRITE_SSL_MODE: &str = "write disable, prefer, require, verify-ca or verify-full (best)";

/// The supported parameters, for messages.
const SUPPORTED: &str = "sslmode, sslrootcert, sslcert, sslkey, target_session_attrs, user, \
                         password, host, hostaddr, port, dbname and options";

/// Parameters of libpq, with the values that describe what the services do anyway, and what to write
/// instead of another value.
const WITHOUT_EFFECT: &[(&str, &[&str], &str)] = &[
    (
        "target_session_attrs",
        &["any", "read-write", "primary"],
        "write target_session_attrs=read-write, or leave it out: the services use the server \
         that is the primary",
    ),
    (
        "channel_binding",
        &["disable", "prefer"],
        "leave channel_binding out, and write sslmode=verify-full: channel binding is not supported",
    ),
    (
        "gssencmode",
        &["disable", "prefer"],
        "leave gssencmode out: GSSAPI is not supported, sslmode=verify-full is",
    ),
    (
        "client_encoding",
        &["auto", "utf8", "UTF8", "UTF-8"],
        "leave client_encoding out: it is UTF8",
    ),
    ("sslcompression", &["0"], "leave sslcompression out"),
    (
        "sslnegotiation",
        &["postgres"],
        "leave sslnegotiation out: direct TLS is not supported",
    ),
    (
        "load_balance_hosts",
        &["disable"],
        "leave load_balance_hosts out: the services use the server that is the primary",
    ),
];

/// Parameters that are not supported, of libpq and other clients, with what to do instead.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    (
        &["application_name", "fallback_application_name"],
        "leave it out: the services name their own sessions",
    ),
    (
        &[
            "connect_timeout",
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
        ],
        "leave it out: the services have their own timeouts and keepalives",
    ),
    (&["passfile"], "set the variable PGPASSFILE"),
    (
        &["service", "servicefile"],
        "write the host, port, user and database of the service",
    ),
    (
        &["sslpassword"],
        "leave it out: the key of a client certificate must have no passphrase",
    ),
    (
        &["ssl", "requiressl", "sslaccept"],
        "write sslmode=verify-full",
    ),
    (
        &["schema", "currentSchema", "search_path"],
        "write options=-c%20search_path=NAME",
    ),
    (
        &[
            "connection_limit",
            "gssdelegation",
            "gsslib",
            "krbsrvname",
            "max_protocol_version",
            "min_protocol_version",
            "pgbouncer",
            "pool_timeout",
            "replication",
            "require_auth",
            "requirepeer",
            "sslcertmode",
            "sslcrl",
            "sslcrldir",
            "sslidentity",
            "sslkeylogfile",
            "sslsni",
            "ssl_max_protocol_version",
            "ssl_min_protocol_version",
        ],
        "leave it out: it is not supported",
    ),
];

/// Checks the parameters of a URL, and the variables that replace those that it does not have. Returns
/// the URL without the parameters that have no effect.
///
/// # Errors
/// What is wrong and what to write. The message contains no value.
pub(super) fn checked(
    mut url: Url,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Url, String> {
    let mut tls = TlsSettings::default();
    let mut kept = Vec::new();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    for (name, value) in pairs {
        match WITHOUT_EFFECT.iter().find(|(known, _, _)| *known == name) {
            Some((_, values, _)) if values.contains(&&*value) => continue,
            Some((_, _, instead)) => return Err((*instead).to_owned()),
            None => {}
        }
        match name.as_str() {
            "sslmode" | "ssl-mode" => tls.mode = Some((String::from("sslmode"), value.clone())),
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                tls.root = Some((String::from("sslrootcert"), value.clone()));
            }
            "sslcert" | "ssl-cert" => {
                tls.certificate = Some((String::from("sslcert"), value.clone()));
            }
            "sslkey" | "ssl-key" => tls.key = Some((String::from("sslkey"), value.clone())),
            "host" if value.contains(',') => return Err(several_hosts("host")),
            "hostaddr" if value.parse::<std::net::IpAddr>().is_err() => {
                return Err("hostaddr: write one IP address".to_owned());
            }
            "port" if value.parse::<u16>().is_err() => {
                return Err("port: write one number, up to 65535".to_owned());
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                return Err("statement-cache-capacity: write a whole number".to_owned());
            }
            "host"
            | "hostaddr"
            | "port"
            | "statement-cache-capacity"
            | "dbname"
            | "user"
            | "password"
            | "options" => {}
            _ if name.starts_with("options[") && name.ends_with(']') => {}
            _ => return Err(unsupported(&name)),
        }
        kept.push((name, value));
    }
    if kept.is_empty() {
        url.set_query(None);
    } else {
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    let names_port = url.port().is_some() || url.query_pairs().any(|(name, _)| name == "port");
    if !names_port && variable("PGPORT").is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the variable PGPORT: write one number, up to 65535".to_owned());
    }
    let hosts = url
        .query_pairs()
        .filter(|(name, _)| name.starts_with("host"));
    let names_host = url.host_str().is_some_and(|host| !host.is_empty()) || hosts.count() > 0;
    for name in ["PGHOST", "PGHOSTADDR"] {
        if !names_host && variable(name).is_some_and(|hosts| hosts.contains(',')) {
            return Err(several_hosts(&format!("the variable {name}")));
        }
    }
    tls.or(variable).check()?;
    Ok(url)
}

fn several_hosts(place: &str) -> String {
    format!("{place} has several servers: write them before the database, host1:5432,host2:5432")
}

/// Returns why a parameter cannot be used. The message contains its name only if it is known: a part of
/// an unencoded password may have become a parameter.
fn unsupported(name: &str) -> String {
    match UNSUPPORTED.iter().find(|(names, _)| names.contains(&name)) {
        Some((_, instead)) => format!("the parameter {name} cannot be used: {instead}"),
        None => format!(
            "the URL has an unknown parameter; write one of {SUPPORTED}, and percent-encode special \
             characters of the password"
        ),
    }
}

/// The settings of TLS, each with the name of the parameter or the variable that has it.
#[derive(Default)]
struct TlsSettings {
    mode: Option<(String, String)>,
    root: Option<(String, String)>,
    certificate: Option<(String, String)>,
    key: Option<(String, String)>,
}

impl TlsSettings {
    /// Adds the variables for what the URL does not have.
    fn or(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = |name: &str| Some((format!("the variable {name}"), variable(name)?));
        Self {
            mode: self.mode.or_else(|| named("PGSSLMODE")),
            root: self.root.or_else(|| named("PGSSLROOTCERT")),
            certificate: self.certificate.or_else(|| named("PGSSLCERT")),
            key: self.key.or_else(|| named("PGSSLKEY")),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some((name, mode)) = &self.mode
            && !SSL_MODES.contains(&mode.to_ascii_lowercase().as_str())
        {
            return Err(format!("{name}: {WRITE_SSL_MODE}"));
        }
        if let Some((name, root)) = &self.root {
            if root == "system" {
                return Err(format!(
                    "{name}: leave it out and write sslmode=verify-full, which trusts the system's \
                     certificates"
                ));
            }
            let verifies =
                |(_, mode): &(String, String)| mode.to_ascii_lowercase().starts_with("verify-");
            if !self.mode.as_ref().is_some_and(verifies) {
                return Err(format!(
                    "{name} is set, but the server's certificate would not be checked: write \
                     sslmode=verify-full (or verify-ca) as well"
                ));
            }
        }
        if let (Some((name, _)), Some((_, mode))) = (&self.certificate, &self.mode)
            && mode.eq_ignore_ascii_case("disable")
        {
            return Err(format!(
                "{name} is set, but sslmode=disable uses no certificate: write sslmode=verify-full"
            ));
        }
        match (&self.certificate, &self.key) {
            (Some((name, _)), None) => {
                return Err(format!(
                    "{name} is set without its key: write sslkey as well"
                ));
            }
            (None, Some((name, _))) => {
                return Err(format!(
                    "{name} is set without its certificate: write sslcert as well"
                ));
            }
            _ => {}
        }
        for (name, file) in [&self.root, &self.certificate, &self.key]
            .into_iter()
            .flatten()
        {
            if let (false, Err(error)) = (file.starts_with("-----BEGIN"), File::open(file)) {
                return Err(format!("{name}: cannot read its file: {error}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(query: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let url = Url::parse(&format!("postgres://u:hunter2@h/d?{query}")).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        checked(url, variable).map(|url| url.query().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_supported_parameter_is_kept_and_one_without_effect_is_left_out() {
        let pem = "sslmode=VERIFY-FULL&sslrootcert=-----BEGIN";
        assert_eq!(with(pem, &[]).unwrap(), pem);
        let kept = "options=-c+search_path%3Da&options%5Bwork_mem%5D=1MB&dbname=d&port=6432";
        assert_eq!(with(kept, &[]).unwrap(), kept);
        let dropped = "target_session_attrs=read-write&channel_binding=prefer&gssencmode=disable";
        assert_eq!(with(dropped, &[]).unwrap(), "");
        assert_eq!(
            with("sslmode=require", &[("PGSSLMODE", "x")]).unwrap(),
            "sslmode=require"
        );
    }

    #[test]
    fn a_parameter_that_would_be_ignored_is_refused_with_what_to_write() {
        for (query, variables, expected) in [
            (
                "sslmode=verify_full",
                &[][..],
                "sslmode: write disable, prefer",
            ),
            ("sslmode=allow", &[], "sslmode: write disable, prefer"),
            (
                "",
                &[("PGSSLMODE", "verify_full")],
                "the variable PGSSLMODE: write",
            ),
            ("", &[("PGPORT", "x")], "the variable PGPORT"),
            ("host=a,b", &[], "host1:5432,host2:5432"),
            ("hostaddr=a", &[], "one IP address"),
            ("port=5432,5433", &[], "port: write one number"),
            ("statement-cache-capacity=-1", &[], "whole number"),
            (
                "sslmode=verify-full&sslrootcert=/nowhere",
                &[],
                "sslrootcert: cannot read",
            ),
            (
                "sslmode=verify-full&sslrootcert=system",
                &[],
                "leave it out",
            ),
            ("sslmode=require&sslrootcert=-----BEGIN", &[], "verify-full"),
            ("sslrootcert=-----BEGIN", &[], "verify-full"),
            (
                "sslmode=require",
                &[("PGSSLROOTCERT", "-----BEGIN")],
                "verify-full",
            ),
            ("sslcert=-----BEGIN", &[], "sslkey"),
            (
                "sslmode=disable&sslcert=-----BEGIN&sslkey=-----BEGIN",
                &[],
                "uses no certificate",
            ),
            ("options[work_mem=1MB", &[], "unknown"),
            ("", &[("PGSSLKEY", "-----BEGIN")], "sslcert"),
            ("target_session_attrs=standby", &[], "read-write"),
            ("channel_binding=require", &[], "verify-full"),
            ("sslnegotiation=direct", &[], "leave sslnegotiation out"),
            (
                "application_name=a",
                &[],
                "application_name cannot be used: leave it out",
            ),
            ("connect_timeout=10", &[], "connect_timeout cannot be used"),
            ("passfile=/hunter2", &[], "PGPASSFILE"),
            ("service=a", &[], "service"),
            ("ssl=true", &[], "sslmode=verify-full"),
            ("schema=public", &[], "search_path"),
            ("pgbouncer=true", &[], "pgbouncer cannot be used"),
            (
                "hunter2=1@h/d",
                &[],
                "unknown parameter; write one of sslmode",
            ),
        ] {
            let message = with(query, variables).expect_err(query);
            assert!(message.contains(expected), "{query}: {message}");
            assert!(!message.contains("hunter2"), "{query}: {message}");
        }
    }
}
