//! Reading what a client sends: small JSON whole, everything else in pieces.
use super::{error::Rejection, limits, state::AppState};
use api::ErrorCode;
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::{fmt, io};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_util::io::{ReaderStream, StreamReader};

/// A JSON body, and the place in memory that it takes.
pub struct Json<T> {
    pub value: T,
    pub fingerprint: String,
    pub place: OwnedSemaphorePermit,
}

/// The type without its parameters, in lower case; empty where there is none.
pub fn media(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Upper and lower case are the same to HTTP.
fn encoding(headers: &HeaderMap) -> Option<String> {
    headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase())
}

/// JSON bodies are small, and come as they are.
pub fn plain(headers: &HeaderMap) -> Result<(), Rejection> {
    match encoding(headers).as_deref() {
        None | Some("identity") => Ok(()),
        Some(_) => Err(Rejection::media("a Content-Encoding", "the body uncompressed").param("Content-Encoding")),
    }
}

/// A file may come compressed; it is kept as it was before that. Of many members each belongs to it.
pub fn decoded(request: Request) -> Result<Request, Rejection> {
    let encoding = encoding(request.headers());
    let reader = |body: Body| StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    match encoding.as_deref() {
        None | Some("identity") => Ok(request),
        Some("gzip" | "x-gzip") => Ok(request.map(|plain| Body::from_stream(gunzip(reader(plain))))),
        Some("zstd") => Ok(request.map(|plain| {
            let mut decoder = ZstdDecoder::new(reader(plain));
            decoder.multiple_members(true);
            Body::from_stream(ReaderStream::with_capacity(decoder, limits::READ_BYTES_MAX))
        })),
        Some(_) => Err(Rejection::media("this Content-Encoding", "gzip, zstd or none").param("Content-Encoding")),
    }
}

/// Member by member. Zeros behind one are padding, as tapes and blocks of disks have it, and `gzip` passes them over.
fn gunzip<R: AsyncBufRead + Unpin>(packed: R) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(GzipDecoder::new(packed), |mut member| async move {
        loop {
            let mut piece = BytesMut::with_capacity(limits::READ_BYTES_MAX);
            if member.read_buf(&mut piece).await? > 0 {
                return Ok(Some((piece.freeze(), member)));
            }
            let mut rest = member.into_inner();
            if !skip_zeros(&mut rest).await? {
                return Ok(None);
            }
            member = GzipDecoder::new(rest);
        }
    })
}

/// Whether anything else follows.
async fn skip_zeros(rest: &mut (impl AsyncBufRead + Unpin)) -> io::Result<bool> {
    loop {
        let held = rest.fill_buf().await?;
        let (count, zeros) = (held.len(), held.iter().take_while(|byte| **byte == 0).count());
        rest.consume(zeros);
        if zeros < count || count == 0 {
            return Ok(count > 0);
        }
    }
}

pub async fn json<T: DeserializeOwned>(app: &AppState, headers: &HeaderMap, body: Body) -> Result<Json<T>, Rejection> {
    plain(headers)?;
    let max = app.shared.config.http.json_bytes_max;
    let too_large = || Rejection::too_large(format!("a JSON body has at most {max} bytes (http.json_bytes_max)"));
    let size = body.size_hint();
    if size.lower() > max as u64 {
        return Err(too_large());
    }
    let known = size.exact().and_then(|bytes| usize::try_from(bytes).ok());
    let place = app.json_place(known.unwrap_or(max))?;
    let read = timeout(limits::JSON_WITHIN, whole(body.into_data_stream(), max)).await;
    let bytes = read.map_err(|_| Rejection::too_slow())??.ok_or_else(too_large)?;
    Ok(Json { value: parse(&bytes)?, fingerprint: blake3::hash(&bytes).to_hex().to_string(), place })
}

/// All pieces together, or None where they are more than `max` bytes.
pub async fn whole<E: fmt::Display>(
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    max: usize,
) -> Result<Option<Bytes>, Rejection> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Rejection::cut_off)?;
        if bytes.len() + piece.len() > max {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes.freeze()))
}

/// A mistake is told with the field, line and column it is at.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Rejection> {
    // A mark, as some editors and shells put it first.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // serde would take an array for an object, its items for the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Rejection::invalid("the body must be a JSON object, and this one is a list"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Of broken JSON the path is no more than where the reader stood.
        match error.inner().classify() {
            Category::Data if path != "." => {
                Rejection::invalid(format!("'{path}' is not valid: {}", said(error.inner()))).param(path)
            }
            Category::Data => Rejection::invalid(format!("the body is not what is expected: {}", said(error.inner()))),
            _ => broken(error.inner()),
        }
    })?;
    json.end().map_err(|error| broken(&error))?;
    Ok(value)
}

/// Without the names that types have here.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once("expected struct ") {
        Some((before, rest)) => format!("{before}expected an object{}", rest.trim_start_matches(char::is_alphanumeric)),
        None => text,
    }
}

fn broken(error: &serde_json::Error) -> Rejection {
    Rejection { code: ErrorCode::InvalidJson, ..Rejection::invalid(format!("the body is not valid JSON: {error}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'hi\n' | gzip -n`
    const PACKED: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\xc8\xe4\x02\x00\x7a\x7a\x6f\xed\x03\x00\x00\x00";

    #[tokio::test]
    async fn what_follows_a_packed_file_is_another_or_padding() {
        async fn unpacked(parts: &[&[u8]]) -> Option<Vec<u8>> {
            let pieces: io::Result<Vec<Bytes>> = gunzip(parts.concat().as_slice()).try_collect().await;
            pieces.ok().map(|pieces| pieces.concat())
        }
        let zeros = vec![0; 10_240];
        for (parts, want) in [
            (&[PACKED] as &[&[u8]], Some(&b"hi\n"[..])),
            (&[PACKED, PACKED], Some(b"hi\nhi\n")),
            (&[PACKED, &zeros], Some(b"hi\n")),
            (&[PACKED, &zeros, PACKED], Some(b"hi\nhi\n")),
            (&[PACKED, b"tail"], None),
            (&[&PACKED[..15]], None),
            (&[b"" as &[u8]], None),
        ] {
            assert_eq!(unpacked(parts).await.as_deref(), want, "{parts:?}");
        }
    }
    use domain::submission::Submission;

    #[test]
    fn a_mistake_in_json_names_field_and_line() {
        let refusal = parse::<Submission>(b"{\"requests\": [],\n \"metadata\": {\"k\": 7}}").unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("metadata.k"));
        assert!(refusal.message.contains("line 2"), "{}", refusal.message);
        let refusal = parse::<Submission>(b"{\"inputs\": \"x\"}").unwrap_err();
        assert!(refusal.message.contains("inputs"), "{}", refusal.message);
        for (bad, code) in [
            ("", ErrorCode::InvalidJson),
            ("{", ErrorCode::InvalidJson),
            ("{} {}", ErrorCode::InvalidJson),
            ("\u{1}", ErrorCode::InvalidJson),
            ("[]", ErrorCode::InvalidRequest),
            ("7", ErrorCode::InvalidRequest),
        ] {
            assert_eq!(parse::<Submission>(bad.as_bytes()).unwrap_err().code, code, "{bad}");
        }
        assert!(parse::<Submission>(b"\xff").is_err());
        let refusal = parse::<api::openai::CreateBatch>(b"null").unwrap_err();
        assert!(refusal.message.contains("null, expected an object at line 1"), "{}", refusal.message);
    }

    /// Of what `printf` can pack: one block as it is.
    fn zstd(text: &str) -> Vec<u8> {
        let (bytes, head) = (u8::try_from(text.len()).unwrap(), (text.len() as u32) << 3 | 1);
        [b"\x28\xb5\x2f\xfd\x20", &[bytes][..], &head.to_le_bytes()[..3], text.as_bytes()].concat()
    }

    async fn unpacked(encoding: &str, body: Vec<u8>) -> Result<String, Rejection> {
        let request = Request::builder().header("Content-Encoding", encoding).body(Body::from(body)).unwrap();
        let bytes = whole(decoded(request)?.into_body().into_data_stream(), 1_000).await?.unwrap();
        Ok(String::from_utf8(bytes.into()).unwrap())
    }

    /// Packers in parallel, and `cat`, write many frames; what stands behind the first is no less of the file.
    #[tokio::test]
    async fn a_packed_body_is_read_to_its_end() {
        let skipped = b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec();
        let frames = [skipped.clone(), zstd("a\n"), skipped.clone(), zstd("b\n"), skipped].concat();
        for (encoding, body, text) in [
            ("zstd", [zstd("a\n"), zstd("b\n")].concat(), "a\nb\n"),
            ("zstd", frames, "a\nb\n"),
            ("ZSTD", zstd("a"), "a"),
            ("Identity", b"a".to_vec(), "a"),
        ] {
            assert_eq!(unpacked(encoding, body.clone()).await.as_deref(), Ok(text), "{encoding} {body:?}");
        }
        let rest = [zstd("a\n"), b"and more".to_vec()].concat();
        assert_eq!(unpacked("zstd", rest).await.unwrap_err().code, ErrorCode::IncompleteBody);
        assert_eq!(unpacked("br", Vec::new()).await.unwrap_err().code, ErrorCode::UnsupportedMediaType);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_json() {
        assert!(parse::<Submission>("\u{feff}{\"input\":\"x\"}".as_bytes()).is_ok());
        assert!(parse::<Submission>("\u{feff}\u{feff}{}".as_bytes()).is_err());
        assert!(parse::<Submission>("\u{feff}[]".as_bytes()).unwrap_err().message.contains("a list"));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let pieces =
            || futures::stream::iter(["abc", "def"].map(|s| Ok::<_, String>(Bytes::from_static(s.as_bytes()))));
        assert_eq!(whole(pieces(), 6).await.unwrap().as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(whole(pieces(), 5).await.unwrap(), None);
        let broken = futures::stream::iter([Ok(Bytes::new()), Err("gone")]);
        assert_eq!(whole(broken, 5).await.unwrap_err().code, ErrorCode::IncompleteBody);
    }
}
