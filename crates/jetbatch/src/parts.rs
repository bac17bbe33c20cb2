//! Puts together again what went out in parts.
use crate::bus::Raw;
use bytes::{Bytes, BytesMut};

/// `read` finds a part by its number; `missing` is the error where there is none.
pub async fn join<E, R>(parts: u32, read: impl Fn(u32) -> R, missing: impl Fn(u32) -> E) -> Result<Bytes, E>
where
    R: Future<Output = Result<Option<Raw>, E>>,
{
    let mut whole = BytesMut::new();
    for part in 0..parts {
        let raw = read(part).await?.ok_or_else(|| missing(part))?;
        whole.extend_from_slice(&raw.payload);
    }
    Ok(whole.freeze())
}
