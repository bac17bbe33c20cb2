use super::InitError;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    Registry,
    filter::{EnvFilter, FilterExt, FilterFn, filter_fn},
    layer::Filter,
};

const OWN: [&str; 2] = ["jetbatch", "engine"];

/// What belongs into traces: our own spans, and the log lines within them, from `info` up. The spans of libraries
/// (the exporter's own among them) would drown the job.
pub fn own() -> FilterFn {
    FilterFn::new(is_own as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

/// Log lines by the filter's text. Our spans stay on whatever it says: a line carries the job, chunk and trace of the
/// span around it, also where only errors are logged.
pub fn logs(text: &str) -> Result<impl Filter<Registry> + use<>, InitError> {
    let filter = EnvFilter::builder().parse(text);
    let filter = filter.map_err(|source| InitError::Filter { filter: text.to_owned(), source })?;
    let spans = filter_fn(|metadata| metadata.is_span() && is_own(metadata)).with_max_level_hint(LevelFilter::INFO);
    Ok(spans.or(filter))
}

fn is_own(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= tracing::Level::INFO && OWN.contains(&root)
}
