//! What is known of requests before they are answered: as much as a forecast needs, and no text.
use crate::limits::KINDS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Bytes of its prompt, or of its messages' texts, as they stand in the line.
    pub prompt_bytes: u32,
    /// Answer tokens it may have at most, over all of its choices. None: it sets no limit.
    pub cap: Option<u32>,
    /// A hash of its system prompt, or of the prompt's beginning.
    pub template: u32,
}

/// The requests of a chunk together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    pub prompt_bytes: u64,
    /// The sum of their caps, tokens; 0 where one of them has none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub caps: u64,
    pub kind: Kind,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own form
const fn is_none(caps: &u64) -> bool {
    *caps == 0
}

/// Requests whose answers are likely to be of about one length: of one template, with prompts of about one length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(u32);

impl Kind {
    const TEMPLATE: u32 = !0xff;

    /// Template 0: of several, or of one too many. Two lengths to the octave.
    pub const fn new(template: u32, prompt_bytes: u64) -> Self {
        let bits = u64::BITS - prompt_bytes.leading_zeros();
        let half = if bits > 1 { (prompt_bytes >> (bits - 2)) & 1 } else { 0 };
        Self((template & Self::TEMPLATE) | (2 * bits + half as u32))
    }

    /// The first and the last of its template.
    pub(crate) const fn template(self) -> (Self, Self) {
        (Self(self.0 & Self::TEMPLATE), Self(self.0 | !Self::TEMPLATE))
    }

    /// By how many half octaves the lengths differ.
    pub(crate) const fn distance(self, other: Self) -> u32 {
        (self.0 & !Self::TEMPLATE).abs_diff(other.0 & !Self::TEMPLATE)
    }

    /// The same length, of no template.
    const fn plain(self) -> Self {
        Self(self.0 & !Self::TEMPLATE)
    }
}

/// 32 bits, FNV-1a: the same at every build and on every machine. Never 0.
pub fn hash(text: &[u8]) -> u32 {
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    // The last bits give way to a length.
    if hash & Kind::TEMPLATE == 0 { 0x100 } else { hash }
}

/// The load of a chunk that is being filled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gather {
    requests: u64,
    prompt_bytes: u64,
    caps: Option<u64>,
    template: u32,
    unknown: bool,
}

impl Gather {
    pub fn add(&mut self, ask: Option<Ask>) {
        let Some(Ask { prompt_bytes, cap, template }) = ask else {
            self.unknown = true;
            return;
        };
        let (caps, same) = match self.requests {
            0 => (Some(0), template),
            _ => (self.caps, if template == self.template { template } else { 0 }),
        };
        self.requests += 1;
        self.prompt_bytes += u64::from(prompt_bytes);
        self.caps = caps.zip(cap).map(|(caps, cap)| caps + u64::from(cap));
        self.template = same;
    }

    /// A job has so many kinds and no more: who sums by kind needs no more room than that.
    pub fn load(&self, kinds: &mut BTreeSet<Kind>) -> Option<Load> {
        if self.unknown || self.requests == 0 {
            return None;
        }
        let kind = Kind::new(self.template, self.prompt_bytes / self.requests);
        let is_known = kinds.contains(&kind) || (kinds.len() < KINDS_MAX && kinds.insert(kind));
        let kind = if is_known { kind } else { kind.plain() };
        Some(Load { prompt_bytes: self.prompt_bytes, caps: self.caps.unwrap_or(0), kind })
    }
}

impl Load {
    pub(crate) fn half(self) -> Self {
        Self { prompt_bytes: self.prompt_bytes.div_ceil(2), caps: self.caps.div_ceil(2), kind: self.kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(prompt_bytes: u32, cap: Option<u32>, template: u32) -> Option<Ask> {
        Some(Ask { prompt_bytes, cap, template })
    }

    fn gather(asks: &[Option<Ask>]) -> Option<Load> {
        let mut gather = Gather::default();
        asks.iter().for_each(|ask| gather.add(*ask));
        gather.load(&mut BTreeSet::new())
    }

    #[test]
    fn a_chunk_sums_its_requests() {
        let load = gather(&[ask(100, Some(10), 512), ask(140, Some(20), 512)]).unwrap();
        assert_eq!(load, Load { prompt_bytes: 240, caps: 30, kind: Kind::new(512, 120) });
    }

    #[test]
    fn two_templates_are_none_and_one_without_a_cap_is_no_sum() {
        let load = gather(&[ask(100, Some(10), 512), ask(100, None, 1024), ask(100, Some(5), 512)]).unwrap();
        assert_eq!(load, Load { prompt_bytes: 300, caps: 0, kind: Kind::new(0, 100) });
        assert_eq!(gather(&[ask(100, Some(10), 512), None]), None);
    }

    #[test]
    fn lengths_of_an_octave_are_two_kinds() {
        let kind = |bytes| Kind::new(512, bytes);
        assert_eq!((kind(256), kind(384)), (kind(383), kind(511)));
        assert!(kind(0) < kind(1) && kind(1) < kind(2) && kind(383) < kind(384) && kind(511) < kind(512));
        assert_ne!(kind(300), Kind::new(1024, 300));
    }

    #[test]
    fn a_job_has_so_many_kinds_and_no_more() {
        let mut kinds = BTreeSet::new();
        let loads = (1..=2 * KINDS_MAX as u32).map(|template| {
            let mut gather = Gather::default();
            gather.add(ask(100, None, template << 8));
            gather.load(&mut kinds).unwrap().kind
        });
        assert_eq!(loads.collect::<BTreeSet<_>>().len(), KINDS_MAX + 1);
    }
}
