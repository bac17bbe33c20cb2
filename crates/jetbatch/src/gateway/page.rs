//! The page at `/`: plain files in the program, nothing from elsewhere.
use super::error::Rejection;
use api::{About, ErrorCode};
use axum::{
    Json,
    extract::Path,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What it asks for after itself.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("text.js", SCRIPT, include_str!("page/text.js")),
    ("server.js", SCRIPT, include_str!("page/server.js")),
    ("session.js", SCRIPT, include_str!("page/session.js")),
    ("widgets.js", SCRIPT, include_str!("page/widgets.js")),
    ("jobs.js", SCRIPT, include_str!("page/jobs.js")),
    ("meter.js", SCRIPT, include_str!("page/meter.js")),
    ("job.js", SCRIPT, include_str!("page/job.js")),
    ("timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("workers.js", SCRIPT, include_str!("page/workers.js")),
    ("dead.js", SCRIPT, include_str!("page/dead.js")),
    ("keys.js", SCRIPT, include_str!("page/keys.js")),
    ("submit.js", SCRIPT, include_str!("page/submit.js")),
];

/// `GET /`: the page for a browser, and for any other caller what there is.
pub async fn index(headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if accepts.contains("text/html") {
        file(HTML, include_str!("page/index.html"))
    } else {
        Json(About::new(env!("CARGO_PKG_VERSION"))).into_response()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// `GET /page/{name}`.
pub async fn asset(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => file(kind, text),
        None => Rejection::new(ErrorCode::NotFound, "the page has no such file").into_response(),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // A new version of the program is a new page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (HEADERS, [(CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opened in the middle of a job: the first count is of before, and two come in a moment. Where there is no node, nothing
    /// is tried.
    #[test]
    fn the_rate_begins_without_a_spike() {
        let script = concat!(
            include_str!("page/meter.js"),
            "const { points, add } = meter(3);",
            "for (const [at, done] of [[0, 5000], [5, 5032], [400, 5064], [1000, 5100], [1010, 5132], [2010, 5200], [2000, 5300],",
            "  [4010, 5000], [5010, 5001], [6010, 5011]]) add(at, done);",
            "console.log(JSON.stringify(points.map(([at, rate]) => [at, Math.round(rate)])));",
        );
        let node = std::process::Command::new("node").args(["--input-type=module", "--eval", script]).output();
        let Ok(ran) = node else { return };
        let said = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(said.trim(), "[[4010,0],[5010,1],[6010,10]]", "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// All that one file names is there, and nothing else is.
    #[test]
    fn the_page_is_whole_and_small() {
        let all: Vec<&str> = FILES.iter().map(|(.., text)| *text).chain([include_str!("page/index.html")]).collect();
        for (name, ..) in FILES {
            let spellings = [format!("\"./{name}\""), format!("/page/{name}")];
            let is_named = all.iter().any(|text| spellings.iter().any(|spelling| text.contains(spelling)));
            assert!(is_named, "nobody asks for {name}");
        }
        for text in &all {
            for named in text.split("\"./").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()) {
                assert!(FILES.iter().any(|(name, ..)| *name == named), "{named} is not there");
            }
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "text stays text");
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "nothing from elsewhere");
        }
        assert!(all.iter().map(|text| text.len()).sum::<usize>() < 150_000);
    }
}
