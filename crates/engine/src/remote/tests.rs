//! Against a server that does as it is told, over real sockets.
use super::*;
use crate::{Key, answer::Kind};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

/// Bytes both ways, in the clear or not.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for T {}

const GOOD: &str =
    r#"{"choices":[{"index":0,"message":{"content":"Paris"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#;
const MODELS: &str = r#"{"data":[{"id":"m","owned_by":"vllm"}]}"#;

#[derive(Clone)]
enum Reply {
    Full(u16, &'static str, String),
    /// Of an answer, half.
    Half,
    /// The connection ends without a byte.
    Close,
    /// An answer, and then the connection ends without a word.
    GoodThenClose,
    Never,
    Events(Vec<&'static str>),
    /// The same, and the connection goes on until the caller is gone.
    Open(Vec<&'static str>),
}

impl Reply {
    fn good() -> Self {
        Self::Full(200, "", GOOD.to_owned())
    }

    fn error(status: u16, message: &str) -> Self {
        Self::Full(status, "", format!(r#"{{"error":{{"message":"{message}"}}}}"#))
    }
}

type Script = dyn Fn(usize, &str) -> Reply + Send + Sync;

struct Stand {
    url: String,
    /// Calls that came, in their order, heads and bodies.
    calls: Mutex<Vec<String>>,
    /// Calls that are there and not answered.
    open: AtomicUsize,
    is_up: AtomicBool,
    script: Box<Script>,
}

/// `script` is asked with the number of the call and its body.
async fn stand(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Arc<Stand> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stand = Stand::at(format!("http://{}", listener.local_addr().unwrap()), script);
    let serving = stand.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serving.clone().serve(socket));
        }
    });
    stand
}

/// One that proves who it is by a certificate of an authority that nobody knows; and the file of that authority.
async fn secret_stand(dir: &tempfile::TempDir) -> (Arc<Stand>, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let (acceptor, ca) = (TlsAcceptor::from(Arc::new(config)), dir.path().join("ca.pem"));
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stand = Stand::at(format!("https://{}", listener.local_addr().unwrap()), |_, _| Reply::good());
    let serving = stand.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, serving) = (acceptor.clone(), serving.clone());
            tokio::spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    serving.serve(socket).await;
                }
            });
        }
    });
    (stand, ca)
}

impl Stand {
    fn at(url: String, script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        let (calls, open, is_up) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(true));
        Arc::new(Self { url, calls, open, is_up, script: Box::new(script) })
    }

    async fn serve(self: Arc<Self>, mut socket: impl Socket) {
        let mut read = Vec::new();
        while self.is_up.load(Ordering::Relaxed) {
            let Some((head, body)) = request(&mut socket, &mut read).await else { return };
            let reply = if head.starts_with("GET") {
                Reply::Full(200, "", MODELS.to_owned())
            } else {
                let number = {
                    let mut calls = self.calls.lock().unwrap();
                    calls.push(format!("{head}{body}"));
                    calls.len() - 1
                };
                (self.script)(number, &body)
            };
            self.open.fetch_add(1, Ordering::Relaxed);
            let goes_on = say(&mut socket, reply).await;
            self.open.fetch_sub(1, Ordering::Relaxed);
            if !goes_on {
                return;
            }
        }
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

async fn request(socket: &mut impl Socket, read: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end + 4].to_vec()).unwrap();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or(0);
            if read.len() >= end + 4 + length {
                let body = String::from_utf8(read[end + 4..end + 4 + length].to_vec()).unwrap();
                read.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if socket.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Whether the connection goes on.
async fn say(socket: &mut impl Socket, reply: Reply) -> bool {
    let whole = |status: u16, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
    };
    let (text, goes_on) = match reply {
        Reply::Full(status, headers, body) => (whole(status, headers, &body), true),
        Reply::GoodThenClose => (whole(200, "", GOOD), false),
        Reply::Half => {
            let text = whole(200, "", GOOD);
            (text[..text.len() - 20].to_owned(), false)
        }
        Reply::Close => return false,
        Reply::Never => {
            // Until the caller is gone.
            let _ = socket.read(&mut [0; 1]).await;
            return false;
        }
        Reply::Events(events) => (streamed(&events), false),
        Reply::Open(events) => {
            let _ = socket.write_all(streamed(&events).as_bytes()).await;
            let _ = socket.read(&mut [0; 1]).await;
            return false;
        }
    };
    socket.write_all(text.as_bytes()).await.is_ok() && goes_on
}

fn streamed(events: &[&str]) -> String {
    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    format!("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}")
}

fn spec(stands: &[&Arc<Stand>]) -> Openai {
    let urls = stands.iter().map(|stand| stand.url.clone()).collect();
    Openai { base_urls: urls, slots: Slots::Fixed(4), call_seconds_max: Some(5), ..Openai::at("") }
}

fn engine(spec: &Openai) -> Remote {
    start(spec).unwrap()
}

fn chat() -> Call {
    let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":"Capital?"}],"odd":1.50}"#);
    Call { endpoint: Endpoint::Chat, body, key: Key::seeded(0) }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_body_goes_through_and_an_answer_comes_back() {
    let server = stand(|_, _| Reply::good()).await;
    let mut spec = spec(&[&server]);
    spec.headers.insert("X-Title".to_owned(), "batch".to_owned());
    let answer = engine(&spec).run(chat()).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.usage.completion), (GOOD, 1));
    let call = server.calls.lock().unwrap()[0].clone();
    assert!(call.starts_with("POST /v1/chat/completions HTTP/1.1"), "{call}");
    assert!(call.contains("x-title: batch"), "{call}");
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Capital?"}],"odd":1.50}"#;
    assert!(call.ends_with(body), "{call}");
}

#[tokio::test]
async fn a_refusal_is_the_answer() {
    let server = stand(|_, _| Reply::error(400, "no")).await;
    let answer = engine(&spec(&[&server])).run(chat()).await.unwrap();
    assert_eq!((answer.kind, answer.status), (Kind::Refused, 400));
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_costs_nothing_else() {
    for (what, odd) in [
        ("429", Reply::Full(429, "retry-after: 0.3\r\n", "{}".to_owned())),
        ("500", Reply::error(500, "CUDA error")),
        ("half", Reply::Half),
        ("reset", Reply::Close),
        ("no JSON", Reply::Full(200, "", "<html>".to_owned())),
    ] {
        let server = stand(move |number, _| if number == 0 { odd.clone() } else { Reply::good() }).await;
        let engine = engine(&spec(&[&server]));
        let begun = Instant::now();
        assert!(engine.run(chat()).await.unwrap().is_good(), "{what}");
        assert_eq!(server.calls(), 2, "{what}");
        assert!(what != "429" || begun.elapsed() >= Duration::from_millis(300), "it was asked to wait");
    }
}

#[tokio::test]
async fn a_server_that_never_has_room_keeps_no_call_for_ever() {
    let full = stand(|_, _| Reply::Full(429, "retry-after: 0.05\r\n", "{}".to_owned())).await;
    let spec = Openai { call_seconds_max: Some(1), ..spec(&[&full]) };
    assert_eq!(engine(&spec).run(chat()).await, Err(Fault::Overloaded));
    assert!(full.calls() > 2, "{}", full.calls());
}

#[tokio::test]
async fn a_connection_that_is_closed_without_a_word_costs_no_try() {
    let server = stand(|_, _| Reply::GoodThenClose).await;
    let engine = engine(&spec(&[&server]));
    for _ in 0..20 {
        assert!(engine.run(chat()).await.unwrap().is_good());
    }
    assert_eq!(server.calls(), 20, "none was answered twice");
}

#[tokio::test]
async fn what_a_request_does_to_every_server_is_told_after_a_few_tries() {
    let fails = stand(|_, _| Reply::error(500, "out of luck")).await;
    let fault = engine(&spec(&[&fails])).run(chat()).await.unwrap_err();
    assert_eq!(fault, Fault::Internal { message: "it answered with 500: out of luck".to_owned() });
    assert_eq!(fails.calls(), TRIES as usize);
    let dies = stand(|_, _| Reply::Close).await;
    assert!(matches!(engine(&spec(&[&dies])).run(chat()).await, Err(Fault::Died { .. })));
    let hangs = stand(|_, _| Reply::Never).await;
    let spec = Openai { call_seconds_max: Some(1), ..spec(&[&hangs]) };
    assert_eq!(engine(&spec).run(chat()).await, Err(Fault::Timeout { seconds: 1 }));
}

#[tokio::test]
async fn a_key_that_is_refused_breaks_it_with_the_reason_and_without_the_key() {
    // Read by name alone: the test's own runner sets PATH.
    let server = stand(|_, _| Reply::error(401, &format!("bad key {}", key("PATH").unwrap()))).await;
    let spec = Openai { api_key_env: Some("PATH".to_owned()), ..spec(&[&server]) };
    let engine = engine(&spec);
    let (fault, _) = tokio::join!(engine.run(chat()), until("it to be broken", || engine.broken().is_some()));
    let Err(Fault::Away { message }) = fault else { panic!("{fault:?}") };
    assert!(message.ends_with("it answered with 401: bad key ***"), "{message}");
    assert!(engine.ready().now_or_never().is_none() || engine.broken().is_some());
}

#[tokio::test]
async fn a_key_that_is_taken_again_mends_it_for_all_that_ask_at_once() {
    let server = stand(|number, _| if number < 3 { Reply::error(401, "no") } else { Reply::good() }).await;
    let engine = engine(&spec(&[&server]));
    assert!(matches!(engine.run(chat()).await, Err(Fault::Away { .. })));
    let passed = async || crate::control::run(&engine, Duration::from_secs(5)).await == crate::control::Outcome::Passed;
    let end = Instant::now() + Duration::from_secs(20);
    while !passed().await {
        assert!(Instant::now() < end, "it is not found to be mended");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let engine = engine(&Openai { slots: Slots::Fixed(4), ..Openai::at(format!("http://{address}")) });
    until("it to be broken", || engine.broken().is_some()).await;
    assert!(matches!(engine.run(chat()).await, Err(Fault::Away { .. })));
    assert!(engine.ready().now_or_never().is_none());
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while let Some((head, _)) = request(&mut socket, &mut read).await {
                    let body = if head.starts_with("GET") { MODELS } else { GOOD };
                    say(&mut socket, Reply::Full(200, "", body.to_owned())).await;
                }
            });
        }
    });
    engine.ready().await;
    assert!(engine.run(chat()).await.unwrap().is_good());
    assert_eq!(engine.about().model, "m");
}

#[tokio::test]
async fn the_least_busy_server_is_taken_and_one_that_fails_rests() {
    let (one, other) = (stand(|_, _| Reply::good()).await, stand(|_, _| Reply::good()).await);
    let engine = engine(&spec(&[&one, &other]));
    until("both to be there", || engine.servers().iter().all(|server| server.state == "up")).await;
    let all = join_all((0..64).map(|_| engine.run(chat()))).await;
    assert!(all.iter().all(|answer| answer.as_ref().unwrap().is_good()));
    assert!(one.calls() >= 16 && other.calls() >= 16, "{} and {}", one.calls(), other.calls());
    one.is_up.store(false, Ordering::Relaxed);
    let all = join_all((0..64).map(|_| engine.run(chat()))).await;
    assert!(all.iter().all(|answer| answer.as_ref().unwrap().is_good()));
    assert_eq!(engine.broken(), None, "one is enough");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_dropped() {
    let server = stand(|_, _| Reply::Never).await;
    let engine = engine(&spec(&[&server]));
    let call = tokio::time::timeout(Duration::from_millis(300), engine.run(chat())).await;
    assert!(call.is_err());
    until("the server to notice", || server.calls() == 1 && server.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(engine.servers()[0].busy, 0);
}

#[tokio::test]
async fn a_streamed_answer_is_whole_or_none() {
    let server = stand(|number, body| {
        assert!(body.contains(r#""stream":true"#), "{body}");
        let mut events = vec![r#"{"choices":[{"index":0,"delta":{"content":"Paris"},"finish_reason":"stop"}]}"#];
        events.extend((number > 0).then_some("[DONE]"));
        Reply::Events(events)
    })
    .await;
    let spec = Openai { stream: Stream::On, ..spec(&[&server]) };
    let answer = engine(&spec).run(chat()).await.unwrap();
    assert!(answer.body.contains(r#""content":"Paris""#), "{}", answer.body);
    assert_eq!(server.calls(), 2, "the first ended too early");
}

/// Servers and gateways that let the connection stand: the answer was there, and would be too late.
#[tokio::test]
async fn a_stream_ends_with_its_last_event() {
    let good = stand(|_, _| {
        Reply::Open(vec![r#"{"choices":[{"index":0,"delta":{"content":"Paris"},"finish_reason":"stop"}]}"#, "[DONE]"])
    });
    let bad = stand(|_, _| Reply::Open(vec![r#"{"error":{"message":"no such field","code":400}}"#]));
    for (server, is_good) in [(good.await, true), (bad.await, false)] {
        let spec = Openai { stream: Stream::On, ..spec(&[&server]) };
        let answer = engine(&spec).run(chat()).await.unwrap();
        assert_eq!((answer.is_good(), server.calls()), (is_good, 1), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_our_own_is_trusted_where_we_are_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (server, ca) = secret_stand(&dir).await;
    let stranger = engine(&spec(&[&server]));
    until("it to be broken", || stranger.broken().is_some()).await;
    let why = stranger.broken().unwrap();
    assert!(why.contains(&server.url) && why.contains("certificate"), "{why}");
    assert_eq!(server.calls(), 0, "nothing was said to it");
    let friend = engine(&Openai { ca: Some(ca), ..spec(&[&server]) });
    assert!(friend.run(chat()).await.unwrap().is_good());
    let missing = Openai { ca: Some("/no/such/ca.pem".into()), ..spec(&[&server]) };
    let told = start(&missing).err().unwrap().to_string();
    assert!(told.contains("ca") && told.contains("/no/such/ca.pem"), "{told}");
}

#[tokio::test]
async fn mistakes_in_the_settings_are_named() {
    for (url, words) in [
        ("ftp://a", "is no http"),
        ("here", "is no URL"),
        ("http://user:pass@a", "a login does not belong"),
        ("http://user:pass@a:port", "is no URL"),
        ("ftp://user:pass@a", "is no http"),
        ("http://a/v1?x=1", "more than a path"),
    ] {
        let error = start(&Openai::at(url)).err().unwrap().to_string();
        assert!(error.contains(words) && !error.contains("pass@"), "{error}");
    }
    let unset = Openai { api_key_env: Some("NO_SUCH_VARIABLE".to_owned()), ..Openai::at("http://a") };
    assert!(start(&unset).err().unwrap().to_string().contains("NO_SUCH_VARIABLE"));
    for (url, base_url) in [
        ("http://a", "http://a/v1"),
        ("http://a:1/", "http://a:1/v1"),
        ("https://a/api/v1/", "https://a/api/v1"),
        ("http://a/v1", "http://a/v1"),
    ] {
        assert_eq!(base(url).unwrap(), base_url);
    }
}
