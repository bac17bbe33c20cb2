//! The streams of jetbatch, for the bus.
use bus::Declared;

pub const DECLARED: Declared = Declared {
    streams: wire::STREAMS,
    consumers: wire::CONSUMERS,
    cache_mark: wire::CACHE_MARK,
    log: wire::LOG,
    queues: wire::QUEUES,
};
