//! Tables that the server reads itself: the same rows give the same requests by every door, and what is wrong says where.
use crate::{
    cli::jetbatch,
    support::{Http, KEY, LONG, MODEL, Plan, S3, SECRET, Stand, answer, root},
};
use domain::JobId;
use serde_json::{Value, json};
use std::{fs, path::Path};
use testkit::process::{Start, binary};
use wire::{Message, Subject, stream};

fn made(name: &str) -> Vec<u8> {
    fs::read(root().join("crates/tables/tests/files").join(name)).unwrap()
}

/// Lays a file where jobs may name it, and gives its URL.
fn lay(stand: &Stand, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = stand.path("inputs").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    format!("file://{}", path.display())
}

async fn submit(http: &Http, url: &str, map: &Value) -> JobId {
    answer(http.post("/jobs").json(&json!({"model": MODEL, "input": {"url": url, "map": map}}))).await.accepted()
}

/// The request lines that a job was made of.
async fn lines(stand: &Stand, id: JobId) -> String {
    let batch = stand.http.get(&format!("/v1/batches/{}", api::openai::BatchId(id))).await;
    let file = batch.body["input_file_id"].as_str().unwrap().to_owned();
    stand.http.text(&format!("/v1/files/{file}/content")).await
}

/// What is wrong with a job that was refused, as one text.
async fn refused(stand: &Stand, id: JobId) -> String {
    let status = stand.end(id).await;
    assert_eq!(status["state"], "failed", "{status}");
    status["errors"].to_string()
}

fn query(map: &Value) -> String {
    let map: String = map.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/jobs?model={MODEL}&map={map}")
}

#[tokio::test]
async fn every_door_makes_the_same_requests_of_a_table() {
    let stand = Plan::echo("", 8).start().await;
    let url = lay(&stand, "reviews.parquet", made("types.parquet"));
    let map = json!({"prompt_column": "text", "system": "Be brief.", "max_tokens": 16, "name": "reviews.parquet"});
    let flags = ["--prompt-column", "text", "--system", "Be brief.", "--max-tokens", "16", "--model", MODEL];
    let door = ["--url", stand.http.base.as_str()];
    let local = stand.path("inputs/reviews.parquet");
    let by_cli = |input: &str| {
        let args = [&["submit", input][..], &flags, &door].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            jetbatch(&args, 0).await.stdout().trim().parse::<JobId>().unwrap()
        }
    };
    let first = by_cli(local.to_str().unwrap()).await;
    let kept = answer(stand.http.post("/files").body(made("types.parquet"))).await;
    let named = json!({"model": MODEL, "input": {"url": url, "map": map}});
    let published = stand.log().await.publish(Message::new(Subject::Submit, named.to_string())).await;
    let form = reqwest::multipart::Form::new()
        .text("model", MODEL)
        .text("map", json!({"prompt_column": "text", "system": "Be brief.", "max_tokens": 16}).to_string())
        .part("file", reqwest::multipart::Part::bytes(made("types.parquet")).file_name("reviews.parquet"));
    let raw = stand.http.post(&query(&map)).header("Content-Type", "application/vnd.apache.parquet");
    let others = [
        by_cli(&url).await,
        submit(&stand.http, &url, &map).await,
        submit(&stand.http, kept.body["input"].as_str().unwrap(), &map).await,
        JobId::sequenced(stream::SUBMIT.as_str(), published.sequence),
        answer(raw.body(made("types.parquet"))).await.accepted(),
        answer(stand.http.post("/jobs").multipart(form)).await.accepted(),
    ];
    stand.end(first).await;
    let want = (lines(&stand, first).await, stand.http.text(&format!("/jobs/{first}/results")).await.lines().count());
    assert!(want.0.starts_with(r#"{"custom_id":"reviews.parquet:1","#) && want.0.lines().count() == 4, "{}", want.0);
    assert_eq!(want.1, 3);
    for id in others {
        let status = stand.end(id).await;
        assert_eq!((&status["state"], &status["requests"]["failed"]), (&json!("completed"), &json!(1)), "{status}");
        let found = stand.http.text(&format!("/jobs/{id}/results")).await.lines().count();
        assert_eq!((lines(&stand, id).await, found), want, "{status}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_table_says_where() {
    let stand = Plan::echo("", 8).start().await;
    let url = lay(&stand, "a.csv", "id,text,heat\nx,one,0.5\ny,two,9\nz,three,0\nx,four,0\n");
    let none = submit(&stand.http, &url, &json!({"prompt_column": "txt"})).await;
    let said = refused(&stand, none).await;
    assert!(said.contains("a.csv: there is no column `txt`; the columns are `id`, `text`, `heat`"), "{said}");
    assert!(said.contains("input.map"), "{said}");
    let twice = submit(&stand.http, &url, &json!({"prompt_column": "text", "id_column": "id"})).await;
    let said = refused(&stand, twice).await;
    assert!(said.contains("a.csv, row 4, column `id`: custom_id stands on line 1 too"), "{said}");
    let hot = json!({"prompt_column": "text", "param_column": {"temperature": "heat"}, "strict": true});
    let said = refused(&stand, submit(&stand.http, &url, &hot).await).await;
    assert!(said.contains("a.csv, row 2, column `heat`: ") && said.contains("9 is not between"), "{said}");
    let parquet = lay(&stand, "r.parquet", made("types.parquet"));
    let null = json!({"prompt_column": "text", "strict": true});
    let said = refused(&stand, submit(&stand.http, &parquet, &null).await).await;
    assert!(said.contains("r.parquet, row group ") && said.contains(", row 3: column `text` is null"), "{said}");
    let broken = lay(&stand, "broken.parquet", "PAR1 and no more");
    let said = refused(&stand, submit(&stand.http, &broken, &null).await).await;
    assert!(said.contains("broken.parquet: no whole Parquet file"), "{said}");
    let absent = url.replace("a.csv", "b.csv");
    assert!(refused(&stand, submit(&stand.http, &absent, &null).await).await.contains("input_not_found"));

    let both = json!({"input": {"url": url, "map": {"prompt_column": "a", "template": "b"}}});
    for (body, param) in [
        (both, "input.map"),
        (json!({"input": {"url": url, "map": {"format": "xls"}}}), "input.map.format"),
        (json!({"input": {"url": url, "map": {"promt_column": "text"}}}), "input.map.promt_column"),
        (json!({"input": {"map": {"prompt_column": "text"}}}), "input"),
    ] {
        let told = answer(stand.http.post("/jobs").json(&body)).await;
        let (status, found) = (told.status, told.body["error"]["param"].as_str().unwrap_or_default());
        assert!(status == 400 && found.starts_with(param), "{told:?}");
    }
}

#[tokio::test]
async fn a_table_is_quoted_and_leaves_nothing_behind() {
    let stand = Plan::echo("", 8).start().await;
    let url = lay(&stand, "a.csv.gz", made("pandas.csv.gz"));
    let body = json!({"model": MODEL, "input": {"url": url, "map": {"prompt_column": "text", "limit": 2}}});
    let quote = answer(stand.http.post("/jobs?dry_run=true").json(&body)).await;
    assert_eq!((quote.status, &quote.body["requests"]), (200, &json!(2)), "{quote:?}");
    let raw = stand.http.post(&format!("{}&dry_run=true", query(&json!({"prompt_column": "text"}))));
    let quote = answer(raw.header("Content-Type", "text/csv").body(made("pandas.csv.gz"))).await;
    assert_eq!(quote.status, 200, "{quote:?}");
    assert!(quote.body.to_string().contains("say format csv"), "{quote:?}");
    assert_eq!(files(&stand.objects.join("jobs")), 0);
}

/// The rows of two files below a folder, with what tools leave there.
fn parts(lay: impl Fn(&str, Vec<u8>)) {
    lay("parts/dt=1/a.csv", b"text,n\none,1\ntwo,2\n".to_vec());
    lay("parts/dt=2/b.parquet", made("types.parquet"));
    lay("parts/dt=1/_SUCCESS", Vec::new());
    lay("parts/_tmp/c.csv", b"text\nno\n".to_vec());
}

#[tokio::test]
async fn a_folder_that_the_server_reads_is_one_job() {
    let stand = Plan::echo("", 8).start().await;
    parts(|name, bytes| drop(lay(&stand, name, bytes)));
    let outside = stand.path("secret.csv");
    fs::write(&outside, "text\nsecret\n").unwrap();
    std::os::unix::fs::symlink(&outside, stand.path("inputs/parts/link.csv")).unwrap();
    let folder = format!("file://{}", stand.path("inputs/parts").display());
    let submit = async |input: &str| {
        let args = ["submit", input, "--prompt-column", "text", "--model", MODEL, "--url", &stand.http.base];
        let id: JobId = jetbatch(&args, 0).await.stdout().trim().parse().unwrap();
        let status = stand.end(id).await;
        assert_eq!(status["state"], "completed", "{status}");
        lines(&stand, id).await
    };
    let whole = submit(&format!("{folder}/")).await;
    let ids: Vec<&str> = whole.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(ids[..3], ["dt=1/a.csv:1", "dt=1/a.csv:2", "dt=2/b.parquet:1"]);
    assert!(ids.len() == 6 && !whole.contains("secret"), "{whole}");
    assert_eq!(submit(&format!("{folder}/dt=*")).await, whole);
    fs::remove_file(stand.path("inputs/parts/link.csv")).unwrap();
    assert_eq!(submit(stand.path("inputs/parts").to_str().unwrap()).await, whole);
    let some = submit(&format!("{folder}/*/*.csv")).await;
    assert!(some.lines().count() == 3, "what a pattern names is taken: {some}");
    let body = json!({"input": {"url": format!("{folder}/*.tsv"), "map": {"prompt_column": "text"}}});
    let none = answer(stand.http.post("/jobs").json(&body)).await.accepted();
    assert!(refused(&stand, none).await.contains("it holds no file"));
}

#[tokio::test]
async fn a_folder_of_a_bucket_is_one_job() {
    let Some(s3) = S3::start("a_folder_of_a_bucket_is_one_job").await else { return };
    let stand = s3.plan(Plan::echo("", 8)).start().await;
    parts(|name, bytes| s3.put_bytes(name, &bytes));
    let map = json!({"prompt_column": "text"});
    let id = submit(&stand.http, &s3.input("parts/"), &map).await;
    let status = stand.end(id).await;
    assert_eq!((&status["state"], &status["requests"]["total"]), (&json!("completed"), &json!(6)), "{status}");
    let one = submit(&stand.http, &s3.input("parts/dt=2/*.parquet"), &map).await;
    assert_eq!(stand.end(one).await["requests"]["total"], 4);
    assert!(lines(&stand, one).await.starts_with(r#"{"custom_id":"b.parquet:1""#));
}

#[tokio::test]
async fn answers_go_to_a_bucket() {
    let Some(s3) = S3::start("answers_go_to_a_bucket").await else { return };
    let stand = s3.plan(Plan::echo("", 8)).start().await;
    let input = stand.path("reviews.parquet");
    fs::write(&input, made("types.parquet")).unwrap();
    let out = s3.input("out/answers.parquet");
    let map = ["--prompt-column", "text", "--model", MODEL, "-o", &out, "--url", &stand.http.base];
    let start = Start::new(binary()).args(["run", input.to_str().unwrap()]).args(map).env("NO_PROXY", "127.0.0.1");
    let start = start.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1");
    let endpoint = format!("http://127.0.0.1:{}", s3.port());
    let mut run = start.env("AWS_ENDPOINT", &endpoint).env("AWS_ALLOW_HTTP", "true").spawn();
    assert_eq!(run.exit(LONG).await.code(), Some(0), "{}", run.story());
    let written = tables::open(&s3.path("in/out/answers.parquet"), &tables::Options::default()).unwrap();
    assert_eq!(written.total, Some(4));
    assert!(written.names().any(|name| name == "response"));
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
