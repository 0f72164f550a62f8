//! The standard variables of OpenTelemetry that decide whether spans are recorded, and which. The
//! exporter itself reads those about the connection to the collector (endpoint, headers, timeout).
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{
    OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT, Sampler, SamplingDecision,
    ShouldSample,
};

use crate::trace_context::TraceParent;

/// What the environment asks for.
#[derive(Debug)]
pub(super) struct TraceSettings {
    /// Which requests are sampled.
    pub(super) sampling: Sampling,
    /// How many spans may wait for their export.
    pub(super) queue: usize,
}

/// Which requests are sampled.
#[derive(Debug)]
pub(super) struct Sampling {
    /// Whether a caller's decision is followed.
    is_parent_based: bool,
    /// Decides about requests without a caller's decision.
    root: Sampler,
}

impl Sampling {
    /// Returns whether a request of this trace is sampled.
    pub(super) fn decide(&self, caller: Option<TraceParent>, trace: u128) -> bool {
        match caller {
            Some(caller) if self.is_parent_based => caller.is_sampled(),
            _ => {
                let kind = SpanKind::Server;
                let trace = TraceId::from(trace);
                let result = self.root.should_sample(None, trace, "", &kind, &[], &[]);
                result.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

/// Returns what the environment asks for; `None` when no span is to be recorded.
///
/// # Errors
/// What to write instead.
pub(super) fn from_environment() -> Result<Option<TraceSettings>, String> {
    read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

/// Returns the value of a variable of the environment; an empty one counts as unset.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Option<TraceSettings>, String> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    // The variable of traces alone comes first.
    let exporter = |setting: &str| {
        [
            format!("OTEL_EXPORTER_OTLP_TRACES_{setting}"),
            format!("OTEL_EXPORTER_OTLP_{setting}"),
        ]
        .into_iter()
        .find_map(|name| variable(&name).map(|value| (name, value)))
    };
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => return Ok(None),
        Some("otlp") => {}
        Some(other) => {
            return Err(format!(
                "OTEL_TRACES_EXPORTER={other} is not supported: write otlp or none"
            ));
        }
        None if exporter("ENDPOINT").is_none() => return Ok(None),
        None => {}
    }
    if let Some((name, value)) = exporter("PROTOCOL")
        && value != "http/protobuf"
    {
        return Err(format!(
            "{name}={value} is not supported: write http/protobuf, which collectors receive on port \
             4318 by default"
        ));
    }
    if let Some((name, value)) = exporter("COMPRESSION")
        && !value.eq_ignore_ascii_case("none")
    {
        return Err(format!("{name}={value} is not supported: unset it"));
    }
    let sampler = variable("OTEL_TRACES_SAMPLER");
    let sampler = sampler.as_deref().unwrap_or("parentbased_always_on");
    let argument = variable("OTEL_TRACES_SAMPLER_ARG");
    let Some(sampling) = sampling(sampler, argument.as_deref())? else {
        return Ok(None);
    };
    let queue = match variable(OTEL_BSP_MAX_QUEUE_SIZE) {
        None => OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT,
        Some(value) => value
            .parse::<usize>()
            .ok()
            .filter(|queue| *queue > 0)
            .ok_or_else(|| {
                format!(
                    "{OTEL_BSP_MAX_QUEUE_SIZE}={value} is not a number of spans: write 1 or more"
                )
            })?,
    };
    Ok(Some(TraceSettings { sampling, queue }))
}

/// Returns which requests are sampled; `None` when no span is to be recorded, whatever callers say.
fn sampling(name: &str, argument: Option<&str>) -> Result<Option<Sampling>, String> {
    let (is_parent_based, root) = match name {
        "always_on" => (false, Sampler::AlwaysOn),
        "always_off" => return Ok(None),
        "traceidratio" => (false, Sampler::TraceIdRatioBased(ratio(argument)?)),
        "parentbased_always_on" => (true, Sampler::AlwaysOn),
        "parentbased_always_off" => (true, Sampler::AlwaysOff),
        "parentbased_traceidratio" => (true, Sampler::TraceIdRatioBased(ratio(argument)?)),
        other => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER={other} is not supported: write parentbased_traceidratio, \
                 parentbased_always_on, parentbased_always_off, traceidratio, always_on or always_off"
            ));
        }
    };
    Ok(Some(Sampling {
        is_parent_based,
        root,
    }))
}

/// Returns the share of traces that is sampled; all of them when none is set.
fn ratio(argument: Option<&str>) -> Result<f64, String> {
    let Some(argument) = argument else {
        return Ok(1.0);
    };
    argument
        .parse::<f64>()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| {
            format!(
                "OTEL_TRACES_SAMPLER_ARG={argument} is not a share: write a number from 0 to 1, such as \
                 0.01 for one request in a hundred"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn with(variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, String> {
        read(|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn is_on(variables: &[(&str, &str)]) -> bool {
        with(variables).unwrap().is_some()
    }

    #[test]
    fn nothing_is_recorded_unless_a_collector_is_named() {
        assert!(!is_on(&[]));
        assert!(!is_on(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(!is_on(&[("OTEL_SERVICE_NAME", "shop")]));
        assert!(is_on(&[ENDPOINT]));
        assert!(is_on(&[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://127.0.0.1:4318/v1/traces"
        )]));
        // The exporter's own default is a collector on this host.
        assert!(is_on(&[("OTEL_TRACES_EXPORTER", "otlp")]));
    }

    #[test]
    fn each_of_three_variables_turns_it_off() {
        for off in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
        ] {
            assert!(!is_on(&[ENDPOINT, off]), "{off:?}");
        }
        assert!(is_on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")]));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_to_write() {
        for (name, value, instead) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "grpc",
                "http/protobuf",
            ),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "unset it"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "otlp"),
            ("OTEL_TRACES_SAMPLER", "xray", "parentbased_traceidratio"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "1 or more"),
        ] {
            let why = with(&[ENDPOINT, (name, value)]).unwrap_err();
            assert!(why.contains(&format!("{name}={value}")), "{why}");
            assert!(why.contains(instead), "{why}");
        }
        for share in ["2", "-0.1", "NaN", "half"] {
            let ratio = [
                ENDPOINT,
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", share),
            ];
            assert!(with(&ratio).is_err(), "{share}");
        }
    }

    #[test]
    fn the_sampler_decides_about_new_traces_and_follows_callers_if_it_is_parent_based() {
        let caller = |flags: &str| {
            let header = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            TraceParent::parse(header.as_bytes())
        };
        // By sampler and share: without a caller, and with one that sampled or did not.
        for (sampler, share, expected) in [
            ("parentbased_always_on", None, [true, true, false]),
            ("parentbased_always_off", None, [false, true, false]),
            ("parentbased_traceidratio", None, [true, true, false]),
            ("parentbased_traceidratio", Some("0"), [false, true, false]),
            ("always_on", None, [true, true, true]),
            ("traceidratio", Some("0"), [false, false, false]),
        ] {
            let sampling = sampling(sampler, share).unwrap().unwrap();
            let decided =
                [None, caller("01"), caller("00")].map(|caller| sampling.decide(caller, u128::MAX));
            assert_eq!(decided, expected, "{sampler} {share:?}");
        }
        let half = sampling("traceidratio", Some("0.5")).unwrap().unwrap();
        assert!(half.decide(None, 1) && !half.decide(None, u128::MAX));
    }
}
