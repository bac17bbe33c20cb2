//! What is too large for one message goes out before it, in parts.
use crate::{Message, Subject};
use bytes::Bytes;
use domain::limits::PART_BYTES_MAX;

/// Takes out what is too large, as the messages that go before; none, and nothing taken, where it is not. `room` is what
/// the server takes of one message.
pub fn cut(bytes: &mut Bytes, room: usize, subject: impl Fn(u32) -> Subject) -> Vec<Message> {
    let most = room.clamp(1, PART_BYTES_MAX);
    if bytes.len() <= most {
        return Vec::new();
    }
    let whole = std::mem::take(bytes);
    let parts = whole.chunks(most).zip(0..);
    parts.map(|(part, number)| Message::new(subject(number), whole.slice_ref(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ChunkId, JobId};

    #[test]
    fn only_what_is_too_large_is_cut() {
        let (job, chunk) = (JobId::keyed("t", "k"), ChunkId::new(0, 1));
        let subject = |part| Subject::ResultPart { job, chunk, tag: 7, part };
        let mut small = Bytes::from(vec![b'x'; PART_BYTES_MAX]);
        assert_eq!((cut(&mut small, 1 << 20, subject), small.len()), (vec![], PART_BYTES_MAX));
        let whole: Bytes = (0..2 * PART_BYTES_MAX + 1).map(|n| (n % 251) as u8).collect();
        let mut large = whole.clone();
        let parts = cut(&mut large, 1 << 20, subject);
        assert_eq!(
            parts.iter().map(|part| part.payload.len()).collect::<Vec<_>>(),
            [PART_BYTES_MAX, PART_BYTES_MAX, 1]
        );
        assert_eq!(parts.iter().flat_map(|part| part.payload.iter().copied()).collect::<Bytes>(), whole);
        assert_eq!((parts[2].subject.as_str(), large.len()), (subject(2).to_string().as_str(), 0));
        let parts = cut(&mut Bytes::from_static(b"12345"), 2, subject);
        let sizes: Vec<usize> = parts.iter().map(|part| part.payload.len()).collect();
        assert_eq!(sizes, [2, 2, 1], "as much as the server takes");
    }
}
