//! Who may what, and whose what is: every route of the table, with every role and with another tenant's ids.
use super::*;
use api::{Access, Method as Verb, Route};
use domain::{
    ChunkId,
    event::{FaultClass, File},
    key::{Draft, KeyId, Role, Roles},
};
use futures::{StreamExt, future::join_all};
use jetbatch::{
    config::Auth,
    keys::{self, Made},
    paths::{self, Kind as Lines, UploadRef},
};
use serde_json::json;
use wire::{DeadChunk, Message, Owner};

async fn locked() -> Stand {
    stand_with(|config| config.http.auth = Auth::Required).await
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

impl Stand {
    /// A key that this door knows by now.
    async fn key(&self, tenant: Tenant, roles: impl IntoIterator<Item = Role>) -> Made {
        let (name, roles) = ("test".to_owned(), roles.into_iter().collect::<Roles>());
        let draft = Draft { name, tenant, roles, pools: Vec::new(), expires_in: None };
        let made = keys::create(&keys::bucket(&self.bus), draft).await.unwrap();
        let known = || async { self.whoami(&made).await.status().is_success().then_some(()) };
        testkit::wait_for("the key to be known", WAIT, known).await;
        made
    }

    async fn whoami(&self, made: &Made) -> Response {
        self.by(made, Method::GET, "/whoami").send().await.unwrap()
    }

    fn by(&self, made: &Made, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(made.token.reveal())
    }

    fn route(&self, route: Route, id: &str) -> RequestBuilder {
        let method = Method::from_bytes(route.method().as_str().as_bytes()).unwrap();
        self.request(method, &route.of(id)).header("Content-Type", "application/json").body(body(route).to_string())
    }
}

/// One that gets as far as to the look for what the path names.
fn body(route: Route) -> Value {
    match route {
        Route::Deadline => json!({"completion_window": "1h"}),
        Route::Priority => json!({"priority": "low"}),
        Route::CompleteUpload => json!({"part_ids": ["part_x"]}),
        _ => json!({}),
    }
}

/// An id of the right kind that names nothing.
fn nothing(route: Route) -> String {
    match kind(route) {
        "jobs" | "" => job("none").to_string(),
        "dead" => "7".into(),
        "files" => format!("file-{}", uuid::Uuid::nil().simple()),
        "uploads" => format!("upload_{}", uuid::Uuid::nil().simple()),
        "batches" => format!("batch_{}", uuid::Uuid::nil().simple()),
        "limits" => "nobody".into(),
        _ => KeyId::new(7).to_string(),
    }
}

/// Of what a route's id names one.
fn kind(route: Route) -> &'static str {
    let before = route.path().split("/{id}").next().filter(|_| route.has_id());
    before.and_then(|path| path.rsplit('/').next()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_who_has_its_role_and_no_other() {
    let stand = locked().await;
    let mut holders = Vec::new();
    for role in Role::ALL.iter().copied() {
        holders.push((role, stand.key(Tenant::default(), [role]).await));
    }
    let holders = &holders;
    join_all(Route::ALL.iter().map(|route| strangers(&stand, *route))).await;
    join_all(Route::ALL.iter().map(|route| lets_in(&stand, *route, holders))).await;
}

async fn strangers(stand: &Stand, route: Route) {
    let dead = format!("jb_{}_{}", KeyId::new(9), "00".repeat(32));
    let ask = || stand.route(route, &nothing(route));
    for request in [ask(), ask().bearer_auth("none"), ask().bearer_auth(dead), ask().header("Cookie", "jetbatch_key=x")]
    {
        let answer = request.send().await.unwrap();
        if route.access() == Access::Open {
            assert!(![401, 403].contains(&answer.status().as_u16()) || route == Route::SignOut, "{route:?}");
            continue;
        }
        let refused_at_once = answer.status() == 403 && route.method() != Verb::Get;
        if !refused_at_once {
            assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{route:?}");
            assert_eq!(refusal(answer).await, (401, "invalid_api_key".into(), None), "{route:?}");
        }
    }
}

async fn lets_in(stand: &Stand, route: Route, holders: &[(Role, Made)]) {
    for (role, made) in holders {
        let answer = stand.route(route, &nothing(route)).bearer_auth(made.token.reveal()).send().await.unwrap();
        let status = answer.status().as_u16();
        let may = match route.access() {
            Access::Open | Access::Key => true,
            Access::Role(needed) => needed == *role || *role == Role::Admin,
        };
        if may {
            assert!(![401, 403].contains(&status), "{route:?} as {role:?}: {status}");
            // Who tells of usage is the projector, and here is none.
            assert!(status < 500 || [Route::Ready, Route::Usage].contains(&route), "{route:?} as {role:?}: {status}");
        } else {
            assert_eq!(refusal(answer).await, (403, "missing_role".into(), None), "{route:?} as {role:?}");
        }
    }
}

/// What a tenant has: a job that is done, its files, an upload, one in parts, and a dead letter.
struct Things {
    job: JobId,
    file: String,
    upload: String,
    dead: u64,
}

impl Things {
    async fn of(stand: &Stand, owner: &Made) -> Self {
        let (tenant, id) = (owner.key.tenant, job(owner.key.tenant.as_str()));
        let path = paths::file(id, Lines::Output, 0);
        stand.store.put(&path, Bytes::from_static(b"{}\n")).await.unwrap();
        let output = Some(File { path, bytes: 3 });
        stand.begin_as(id, tenant).await;
        let ended_at = Some(Timestamp::new(1_700_000_001_000));
        stand.put(Status { tenant, output, ended_at, ..status(id, State::Completed) }).await;
        let form = reqwest::multipart::Form::new().text("purpose", "batch").part("file", part());
        let file = json(stand.by(owner, Method::POST, "/v1/files").multipart(form).send().await.unwrap()).await;
        let upload = json!({"filename": "a", "purpose": "batch", "bytes": 3, "mime_type": "application/jsonl"});
        let upload = json(stand.by(owner, Method::POST, "/v1/uploads").json(&upload).send().await.unwrap()).await;
        let text = |value: &Value| value["id"].as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
        Self { job: id, file: text(&file), upload: text(&upload), dead: stand.die(id, tenant).await }
    }

    /// Those that a route's id may name; none: it names what is no tenant's.
    fn ids(&self, route: Route) -> Vec<String> {
        let simple = self.job.uuid().simple();
        match kind(route) {
            "jobs" => vec![self.job.to_string(), format!("batch_{simple}")],
            "dead" => vec![self.dead.to_string()],
            "files" => vec![self.file.clone(), format!("file-out{simple}")],
            "uploads" => vec![self.upload.clone()],
            "batches" => vec![format!("batch_{simple}"), self.job.to_string()],
            "" | "workers" | "keys" | "models" | "limits" => Vec::new(),
            other => panic!("whose are {other}? say it here"),
        }
    }
}

fn part() -> reqwest::multipart::Part {
    reqwest::multipart::Part::bytes(b"{}\n".as_slice()).file_name("a.jsonl")
}

impl Stand {
    async fn begin_as(&self, id: JobId, tenant: Tenant) {
        self.begin_with(id, |submitted| submitted.tenant = tenant).await;
    }

    async fn die(&self, job: JobId, tenant: Tenant) -> u64 {
        let (chunk, class, pool) = (ChunkId::new(0, 0), FaultClass::Internal, "tiny".parse().unwrap());
        let dead = DeadChunk {
            job,
            chunk,
            class,
            reason: "no luck".into(),
            history: Vec::new(),
            endpoint: None,
            model: None,
            requests: 1,
            custom_ids: Vec::new(),
            lines: Bytes::from_static(b"{}\n"),
            parts: 0,
        };
        let message = Message::new(Subject::Dead { pool, reason: class, job, chunk }, envelope::encode(&dead));
        let owner = Owner { tenant, pools: Vec::new() };
        self.bus.publish(owner.put(message).id(job)).await.unwrap().seq
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_not_there() {
    let stand = locked().await;
    let owner = stand.key(Tenant::default(), Role::ALL.iter().copied()).await;
    let other = stand.key(tenant("blue"), Role::ALL.iter().copied()).await;
    let (things, others) = (Things::of(&stand, &owner).await, Things::of(&stand, &other).await);
    let listed = || async { (names(&stand, &owner, "/jobs").await.len() == 1).then_some(()) };
    testkit::wait_for("the lists", WAIT, listed).await;
    let before = stand.files().await;
    for (who, whose) in [(&other, &things), (&owner, &others)] {
        let asked = Route::ALL.iter().flat_map(|route| whose.ids(*route).into_iter().map(|id| (*route, id)));
        let asked: Vec<_> = asked.collect();
        assert!(asked.len() > 30);
        let stand = &stand;
        join_all(asked.iter().map(|(route, id)| async move {
            let answer = stand.route(*route, id).bearer_auth(who.token.reveal()).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{route:?} {id}: {}", answer.text().await.unwrap());
        }))
        .await;
        for path in ["/jobs", "/v1/batches"] {
            let after = stand.by(who, Method::GET, &format!("{path}?after={}", whose.job)).send().await.unwrap();
            assert_eq!(refusal(after).await.0, 400, "{path}");
        }
        let dead = stand.by(who, Method::GET, &format!("/dead?job={}", whose.job)).send().await.unwrap();
        assert_eq!(json(dead).await["data"], json!([]));
    }
    // Nothing was changed by that, and each finds his own.
    assert!(stand.commands().await.is_empty());
    assert_eq!(stand.files().await, before);
    for (who, own) in [(&owner, &things), (&other, &others)] {
        for route in Route::ALL.iter().copied().filter(|route| route.method() == Verb::Get) {
            for id in own.ids(route) {
                // One in parts is not shown by itself.
                let answer = stand.route(route, &id).bearer_auth(who.token.reveal()).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{route:?} {id}");
            }
        }
        assert_eq!(names(&stand, who, "/jobs").await, [own.job.to_string()]);
        assert_eq!(names(&stand, who, "/v1/batches").await, [format!("batch_{}", own.job.uuid().simple())]);
        assert_eq!(names(&stand, who, "/dead").await, [own.dead.to_string()]);
        let files = names(&stand, who, "/v1/files").await;
        assert_eq!(files, [own.file.clone(), format!("file-out{}", own.job.uuid().simple())]);
        let mut live = stand.by(who, Method::GET, "/events").send().await.unwrap().bytes_stream();
        let first = String::from_utf8(live.next().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(first.contains(&own.job.to_string()) && first.contains("\"total\":1"), "{first}");
    }
}

async fn names(stand: &Stand, who: &Made, path: &str) -> Vec<String> {
    let page = json(stand.by(who, Method::GET, path).send().await.unwrap()).await;
    let name = |entry: &Value| entry["id"].as_str().map_or_else(|| entry["id"].to_string(), str::to_owned);
    page["data"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_says_whose_it_is() {
    let stand = locked().await;
    let owner = stand.key(Tenant::default(), [Role::Submit, Role::Read]).await;
    let blue = stand.key(tenant("blue"), [Role::Submit, Role::Read]).await;
    let start = async |who: &Made, key: &str| {
        let sent = stand.by(who, Method::POST, "/start").header("Idempotency-Key", key);
        json(sent.json(&json!({"prompts": ["a"]})).send().await.unwrap()).await["id"].clone()
    };
    assert_eq!(start(&owner, "monday").await, JobId::keyed("default", "monday").to_string());
    let id = start(&blue, "monday").await;
    assert_eq!(id, JobId::keyed("blue", "monday").to_string());
    let tenants: Vec<_> =
        stand.submitted().await.iter().map(|(_, raw)| raw.header("Jb-Tenant").map(str::to_owned)).collect();
    assert_eq!(tenants, [None, Some("blue".to_owned())]);
    // Known before anybody took it in, to its own alone.
    let path = format!("/jobs/{}", id.as_str().unwrap());
    assert_eq!(stand.by(&blue, Method::GET, &path).send().await.unwrap().status(), 200);
    assert_eq!(refusal(stand.by(&owner, Method::GET, &path).send().await.unwrap()).await.0, 404);
    // A chosen id that another has is nobody else's, whatever the body.
    let chosen = JobId::new(uuid::Uuid::now_v7());
    stand.put(status(chosen, State::InProgress)).await;
    let claim = stand.by(&blue, Method::POST, "/start").json(&json!({"prompts": ["a"], "id": chosen}));
    assert_eq!(refusal(claim.send().await.unwrap()).await, (409, "conflict".into(), Some("id".into())));
    // An upload lies where its tenant's do.
    let kept = json(stand.by(&blue, Method::POST, "/files").body("{}\n").send().await.unwrap()).await;
    let at = UploadRef { tenant: tenant("blue"), id: kept["id"].as_str().unwrap().parse().unwrap() };
    assert_eq!(stand.files().await, [paths::upload(at)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_rotated_and_revoked_at_every_door() {
    let stand = locked().await;
    let (admin, other) = (stand.key(Tenant::default(), [Role::Admin]).await, stand.other_door().await);
    let asked = json!({"name": "ci", "tenant": "blue", "roles": ["read"], "expires_in": "1h"});
    let made = stand.by(&admin, Method::POST, "/keys").json(&asked).send().await.unwrap();
    assert_eq!((made.status().as_u16(), &made.headers()["cache-control"]), (201, &"no-store".parse().unwrap()));
    let made = json(made).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap().to_owned());
    let doors = [stand.address.clone(), other];
    let at_both = async |secret: &str, wanted: u16| {
        for door in &doors {
            let ask = || stand.at(door, Method::GET, "/jobs").bearer_auth(secret).send();
            let look = || async { (ask().await.unwrap().status() == wanted).then_some(()) };
            testkit::wait_for("the door to know", WAIT, look).await;
        }
    };
    at_both(&secret, 200).await;
    let listed = stand.by(&admin, Method::GET, "/keys").send().await.unwrap().text().await.unwrap();
    let proof = secret.rsplit('_').next().unwrap();
    assert!(listed.contains(id) && !listed.contains(proof) && !listed.contains("digest"), "{listed}");
    let stored = stand.bus.bucket(bucket::KEYS).get(id).await.unwrap().unwrap().0;
    assert!(!String::from_utf8(stored.to_vec()).unwrap().contains(proof));

    let rotated = json(stand.by(&admin, Method::POST, &format!("/keys/{id}/rotate")).send().await.unwrap()).await;
    let second = rotated["secret"].as_str().unwrap().to_owned();
    at_both(&second, 200).await;
    at_both(&secret, 401).await;
    // What is watched ends with the key.
    let watched = stand.request(Method::GET, "/events").bearer_auth(&second).send().await.unwrap();
    let revoked = stand.by(&admin, Method::DELETE, &format!("/keys/{id}")).send().await.unwrap();
    assert_eq!(json(revoked).await["state"], "revoked");
    at_both(&second, 401).await;
    tokio::time::timeout(WAIT, watched.text()).await.unwrap().unwrap();
    let again = stand.by(&admin, Method::POST, &format!("/keys/{id}/rotate")).send().await.unwrap();
    assert_eq!(refusal(again).await.0, 409);
    let wrong =
        stand.by(&admin, Method::POST, "/keys").json(&json!({"name": "", "roles": ["read"]})).send().await.unwrap();
    assert_eq!(refusal(wrong).await, (400, "invalid_request".into(), Some("name".into())));
}

/// Where none is asked for, one that is shown counts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_a_key_is_optional() {
    let stand = stand().await;
    let blue = stand.key(tenant("blue"), [Role::Read]).await;
    assert_eq!(json(stand.get("/whoami").await).await["tenant"], "default");
    let openai = stand.request(Method::GET, "/v1/models").bearer_auth("none").send().await.unwrap();
    assert_eq!(openai.status(), 200);
    let who = json(stand.whoami(&blue).await).await;
    assert_eq!((&who["tenant"], &who["roles"]), (&json!("blue"), &json!(["read"])));
    let bad = stand.request(Method::GET, "/jobs").bearer_auth("jb_x").send().await.unwrap();
    assert_eq!(refusal(bad).await.0, 401);
    let denied = stand.by(&blue, Method::POST, "/start").json(&json!({"prompts": ["a"]})).send().await.unwrap();
    assert_eq!(refusal(denied).await.1, "missing_role");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_keeps_a_key_that_no_other_site_can_use() {
    let stand = locked().await;
    let made = stand.key(tenant("blue"), [Role::Submit, Role::Read]).await;
    let sign_in =
        async |key: &str| stand.request(Method::POST, "/session").json(&json!({"key": key})).send().await.unwrap();
    assert_eq!(refusal(sign_in("jb_x").await).await.1, "invalid_api_key");
    let signed = sign_in(&made.token.reveal()).await;
    let kept = signed.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(kept.contains("HttpOnly") && kept.contains("SameSite=Strict"), "{kept}");
    assert_eq!(json(signed).await["tenant"], "blue");
    let cookie = kept.split(';').next().unwrap().to_owned();
    let by = |method, path: &str| stand.request(method, path).header("Cookie", &cookie);
    assert_eq!(by(Method::GET, "/jobs").send().await.unwrap().status(), 200);
    let own = format!("http://{}", stand.address);
    let start = || by(Method::POST, "/start").json(&json!({"prompts": ["a"]}));
    for (request, wanted) in [
        (start(), 403),
        (start().header("Origin", "http://evil.example"), 403),
        (start().header("Origin", &own).header("Sec-Fetch-Site", "cross-site"), 403),
        (start().header("Origin", &own), 202),
        (start().header("Origin", &own).header("Sec-Fetch-Site", "same-origin"), 202),
    ] {
        assert_eq!(request.send().await.unwrap().status(), wanted);
    }
    let out = by(Method::DELETE, "/session").header("Origin", &own).send().await.unwrap();
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn who_has_no_key_is_told_how_the_first_is_made_and_nothing_else() {
    let stand = locked().await;
    let look = || async {
        let text = stand.get("/jobs").await.text().await.unwrap();
        text.contains("jetbatch keys create").then_some(())
    };
    testkit::wait_for("the hint", WAIT, look).await;
    let ready = stand.get("/readyz").await.text().await.unwrap();
    assert!(!ready.contains("nats://"), "{ready}");
}
