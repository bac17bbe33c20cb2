use address::Message;

use super::publish::{Outgoing, PublishError, Tries, Try};
use super::{Bus, Raw};

/// What became of a compare-and-set append. A lost answer is neither: it is [`PublishError::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// Stored at this sequence, by this call or by an earlier one with the same id.
    Stored(u64),
    /// Another message came first: fold again and decide again.
    Conflict,
}

impl Bus {
    /// Appends to the message's subject if the last message there has sequence `expected` (0: there is none).
    ///
    /// Only one message can follow `expected` on the subject, so after a conflict the id of the one that does
    /// follow says whose it is: the server answers a repeated append of a stored message with a conflict on one
    /// replica and as a duplicate on three.
    pub async fn append(&self, message: Message, expected: u64) -> Result<Append, PublishError> {
        let mut out = self.address(message)?;
        let Some(id) = out.message.id.clone() else {
            return Err(PublishError::NoId { subject: out.message.subject });
        };
        out.expected = Some(expected);
        let mut tries = Tries::start(self.inner.retry_for);
        loop {
            match self.try_once(&out, tries.patience(&out)).await {
                Try::Stored(stored) => return Ok(Append::Stored(stored.seq)),
                Try::Conflict => return self.winner(&out, &id, expected).await,
                Try::Again(why) => self.again(&out, &mut tries, why).await?,
                other => return Err(out.failure(other, self)),
            }
        }
    }

    async fn winner(&self, out: &Outgoing, id: &str, expected: u64) -> Result<Append, PublishError> {
        let next = self.following(&out.stream, &out.message.subject, expected + 1).await;
        let next = next.map_err(|error| {
            tracing::warn!(%error, "the winner of an append could not be read");
            PublishError::Unknown { subject: out.message.subject.clone() }
        })?;
        Ok(match next {
            Some(raw) if raw.id() == Some(id) => Append::Stored(self.mine(raw)),
            Some(_) | None => Append::Conflict,
        })
    }

    fn mine(&self, raw: Raw) -> u64 {
        tracing::debug!(subject = raw.subject, seq = raw.seq, "the append was stored by an earlier try");
        raw.seq
    }
}
