use serde::{Deserialize, Serialize};

/// The `[telemetry]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where spans are sent, such as `http://localhost:4317`. Unset, the standard variables
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` say it; without them nothing is sent.
    pub otlp_endpoint: Option<String>,
    pub otlp_protocol: Protocol,
    /// The service's name in traces.
    pub service: String,
    /// The part of jobs that is traced, 0 to 1. A job that comes with a trace context follows that.
    pub sample: f64,
    /// Which log lines are written, as an env-filter (`info,jetbatch::worker=debug`). `RUST_LOG` goes before it.
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Grpc,
    Http,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub url: String,
    pub protocol: Protocol,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_protocol: Protocol::default(),
            service: "jetbatch".to_owned(),
            sample: 1.0,
            log: "info".to_owned(),
            log_format: LogFormat::default(),
        }
    }
}

impl Settings {
    pub(super) fn filter(&self) -> String {
        env("RUST_LOG").unwrap_or_else(|| self.log.clone())
    }

    pub(super) fn target(&self) -> Option<Target> {
        self.target_with(env)
    }

    /// The settings go before the environment; there, the variable for traces goes before the general one.
    fn target_with(&self, env: impl Fn(&str) -> Option<String>) -> Option<Target> {
        if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        if let Some(endpoint) = self.otlp_endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) {
            let protocol = self.otlp_protocol;
            return Some(Target { url: base(endpoint, protocol), protocol });
        }
        let either = |name| env(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
        let protocol = either("PROTOCOL").or_else(|| env("OTEL_EXPORTER_OTLP_PROTOCOL"));
        let protocol = match protocol.as_deref() {
            Some(text) if text.starts_with("http") => Protocol::Http,
            Some("grpc") => Protocol::Grpc,
            Some(_) | None => self.otlp_protocol,
        };
        let general = || env("OTEL_EXPORTER_OTLP_ENDPOINT").map(|url| under(&url, protocol));
        either("ENDPOINT").or_else(general).map(|url| Target { url, protocol })
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The general endpoint is a base to which HTTP adds the signal's path.
fn under(url: &str, protocol: Protocol) -> String {
    match protocol {
        Protocol::Http => format!("{}/v1/traces", url.trim_end_matches('/')),
        Protocol::Grpc => url.to_owned(),
    }
}

/// A configured endpoint is a base too, unless it has a path of its own.
fn base(url: &str, protocol: Protocol) -> String {
    let has_path = url::Url::parse(url).is_ok_and(|url| url.path().len() > 1);
    if has_path { url.to_owned() } else { under(url, protocol) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(settings: &Settings, vars: &[(&str, &str)]) -> Option<(String, Protocol)> {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        settings.target_with(env).map(|target| (target.url, target.protocol))
    }

    #[test]
    fn nothing_is_sent_when_unconfigured() {
        assert_eq!(target(&Settings::default(), &[]), None);
        let on = Settings { otlp_endpoint: Some("http://a:4317".into()), ..Settings::default() };
        assert_eq!(target(&on, &[("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn the_endpoint_comes_from_settings_or_the_standard_variables() {
        let none = Settings::default();
        let set =
            |url: &str, protocol| Settings { otlp_endpoint: Some(url.into()), otlp_protocol: protocol, ..none.clone() };
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318/");
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        for (settings, vars, want) in [
            (set("http://a:4317", Protocol::Grpc), &[general][..], ("http://a:4317", Protocol::Grpc)),
            (set("http://a:4318", Protocol::Http), &[], ("http://a:4318/v1/traces", Protocol::Http)),
            (set("http://a/x/v1/traces", Protocol::Http), &[], ("http://a/x/v1/traces", Protocol::Http)),
            (none.clone(), &[general], ("http://env:4318/", Protocol::Grpc)),
            (none.clone(), &[general, http], ("http://env:4318/v1/traces", Protocol::Http)),
            (
                none.clone(),
                &[general, http, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/own")],
                ("http://t/own", Protocol::Http),
            ),
        ] {
            assert_eq!(target(&settings, vars), Some((want.0.to_owned(), want.1)));
        }
    }
}
