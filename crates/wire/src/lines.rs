//! Lines on their way through NATS: every byte spared here is spared four times, at each socket and in the stream.
use crate::blob;
use bytes::Bytes;
use lz4_flex::block;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeTuple};
use std::fmt;

/// One after the other, each with its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lines {
    /// On the wire: a binary.
    Plain(Bytes),
    /// Their size as four bytes, the lowest first, and one LZ4 block. On the wire: a list of one binary, so that who
    /// does not know of it reads no message rather than other lines.
    Packed(Bytes),
}

/// Less is not worth the work.
const BYTES_MIN: usize = 1 << 10;
/// What no LZ4 block exceeds: a byte of it stands for 255 at most.
const RATIO_MAX: usize = 255;

#[derive(Debug, thiserror::Error)]
#[error("the lines are no LZ4 block of the size that they name")]
pub struct BadLines;

impl Lines {
    /// Packs lines, unless that would not make them shorter.
    pub fn pack(lines: Bytes) -> Self {
        if lines.len() < BYTES_MIN {
            return Self::Plain(lines);
        }
        let packed = block::compress_prepend_size(&lines);
        if packed.len() < lines.len() { Self::Packed(packed.into()) } else { Self::Plain(lines) }
    }

    /// The lines as they were. No more memory is taken than a block of this length can fill.
    pub fn unpack(self) -> Result<Bytes, BadLines> {
        match self {
            Self::Plain(lines) => Ok(lines),
            Self::Packed(packed) => {
                let (bytes, block) = block::uncompressed_size(&packed).map_err(|_| BadLines)?;
                if bytes / RATIO_MAX > block.len() {
                    return Err(BadLines);
                }
                let lines = block::decompress(block, bytes).map_err(|_| BadLines)?;
                if lines.len() == bytes { Ok(lines.into()) } else { Err(BadLines) }
            }
        }
    }

    /// As they go out.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Plain(bytes) | Self::Packed(bytes) => bytes,
        }
    }

    pub fn bytes_mut(&mut self) -> &mut Bytes {
        match self {
            Self::Plain(bytes) | Self::Packed(bytes) => bytes,
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::Plain(Bytes::new())
    }
}

impl From<&'static str> for Lines {
    fn from(lines: &'static str) -> Self {
        Self::Plain(lines.into())
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(bytes) => blob::serialize(bytes, serializer),
            Self::Packed(bytes) => {
                let mut list = serializer.serialize_tuple(1)?;
                list.serialize_element(&Blob(bytes.clone()))?;
                list.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Lines;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a binary, or a list of one")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lines, E> {
                Ok(Lines::Plain(Bytes::copy_from_slice(bytes)))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Lines, A::Error> {
                let Blob(bytes) = list.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                Ok(Lines::Packed(bytes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Blob(#[serde(with = "crate::blob")] Bytes);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;

    #[test]
    fn what_is_packed_is_unpacked() {
        let text: Bytes = "{\"custom_id\":\"a\"}\n".repeat(1_000).into();
        let random = std::iter::successors(Some(1u64), |n| Some(n.wrapping_mul(6_364_136_223_846_793_005) + 1));
        let noise: Bytes = random.map(|n| (n >> 33) as u8).take(4_096).collect();
        for (lines, is_packed) in [(text, true), (noise, false), (Bytes::from_static(b"x"), false)] {
            let packed = Lines::pack(lines.clone());
            assert_eq!(matches!(packed, Lines::Packed(_)), is_packed);
            assert_eq!(packed.bytes().len() < lines.len(), is_packed);
            let read: Lines = envelope::decode("lines", &envelope::encode(&packed)).unwrap();
            assert_eq!(read, packed);
            assert_eq!(read.unpack().unwrap(), lines);
        }
    }

    /// A worker or a head of before takes them for no chunk and no result, and leaves them to others.
    #[test]
    fn packed_lines_are_no_binary() {
        let encoded = |lines| envelope::encode(&lines);
        let (plain, packed) = (encoded(Lines::from("x")), encoded(Lines::Packed(Bytes::from_static(b"x"))));
        assert_eq!(envelope::decode::<Blob>("lines", &plain).unwrap().0, "x");
        assert!(envelope::decode::<Blob>("lines", &packed).is_err());
        assert!(envelope::decode::<Lines>("lines", &envelope::encode(&Vec::<u8>::new())).is_err());
    }

    /// Blocks as they were written once are read for ever.
    #[test]
    fn a_block_of_long_ago_is_read() {
        // Two letters, six more from two places back, then three letters.
        let block = b"\x0b\0\0\0\x22ab\x02\0\x30abc";
        assert_eq!(Lines::Packed(Bytes::from_static(block)).unpack().unwrap(), "ababababab_"[..8].to_owned() + "abc");
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let huge = [&u32::MAX.to_le_bytes()[..], b"\x10a"].concat();
        let short = [&9u32.to_le_bytes()[..], b"\x10a"].concat();
        for bad in [&b""[..], b"abc", &huge, &short] {
            assert!(Lines::Packed(Bytes::copy_from_slice(bad)).unpack().is_err(), "{bad:?}");
        }
    }
}
