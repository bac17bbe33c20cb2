use super::*;

#[tokio::test]
async fn readiness_follows_what_the_door_stands_on() {
    let mut stand = stand().await;
    assert_eq!(stand.get("/healthz").await.text().await.unwrap(), "ok\n");
    let is_ready = async |stand: &Stand, wanted: u16| {
        testkit::wait_for("readiness", WAIT, || async {
            (stand.get("/readyz").await.status() == wanted).then_some(())
        })
        .await;
    };
    is_ready(&stand, 200).await;
    let ready = json(stand.get("/readyz").await).await;
    assert_eq!(ready["nats"], stand.server.url());
    stand.server.kill().await;
    is_ready(&stand, 503).await;
    let reasons = json(stand.get("/readyz").await).await["reasons"].clone();
    assert!(reasons[0].as_str().unwrap().contains("NATS"), "{reasons}");
    assert_eq!(stand.get("/healthz").await.status(), 200);
    stand.server.restart().await;
    is_ready(&stand, 200).await;
}

#[tokio::test]
async fn no_login_is_shown_with_the_address() {
    let login = |config: &mut Config| config.nats.url = Some("nats://ann:hunter2@a:4222, token@b".into());
    let stand = stand_with(login).await;
    let ready = stand.get("/readyz").await.text().await.unwrap();
    assert!(ready.contains(r#""nats":"nats://a:4222,b""#) && !ready.contains("hunter2"), "{ready}");
}

#[tokio::test]
async fn every_answer_has_its_shape() {
    let stand = stand().await;
    assert_eq!(refusal(stand.get("/nothing").await).await, (404, "not_found".into(), None));
    let wrong = stand.request(Method::DELETE, "/jobs").send().await.unwrap();
    assert_eq!(refusal(wrong).await, (405, "method_not_allowed".into(), None));
    assert_eq!(json(stand.get("/").await).await["links"]["jobs"], "/jobs");
    let metrics = stand.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("jetbatch_http_requests_total{route=\"/\",status=\"200\"} 1"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_door_closes_though_somebody_listens() {
    let stand = stand().await;
    stand.put(status(job("a"), State::InProgress)).await;
    let response = stand.get(&format!("/jobs/{}/events", job("a"))).await;
    assert_eq!(response.status(), 200);
    stand.stop.cancel();
    tokio::time::timeout(Duration::from_secs(8), stand.door).await.unwrap().unwrap();
    assert!(response.text().await.unwrap().contains("in_progress"));
}

/// What the document tells is there, and what is there is told: at each path each method is either documented or refused.
#[tokio::test]
async fn the_document_is_of_this_door() {
    let stand = stand().await;
    let document = json(stand.get("/openapi.json").await).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15 && paths.contains_key("/openapi.json"), "{:?}", paths.keys());
    for (path, item) in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let is_documented = !item[method.as_str().to_lowercase()].is_null();
            let response = stand.request(method.clone(), &path.replace("{id}", "x")).send().await.unwrap();
            assert_eq!(response.status() != 405, is_documented, "{method} {path}");
        }
    }
    let links = json(stand.get("/").await).await["links"].as_object().unwrap().clone();
    assert!(links.values().all(|link| paths.contains_key(link.as_str().unwrap())), "{links:?}");
}

/// No answer says no in a way that the document does not tell of.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_in_the_document() {
    let stand = stand().await;
    testkit::wait_for("the door to be ready", WAIT, || async {
        stand.get("/readyz").await.status().is_success().then_some(())
    })
    .await;
    let all = api::Route::ALL.iter().map(|route| refusals(&stand, *route));
    assert!(futures::future::join_all(all).await.into_iter().sum::<usize>() > 50);
}

/// Asks wrongly in some ways, and gives how often it was refused.
async fn refusals(stand: &Stand, route: api::Route) -> usize {
    let (some, mut refused) = (job("none").to_string(), 0);
    let method = Method::from_bytes(route.method().as_str().as_bytes()).unwrap();
    for (id, body, query) in [("x", "{", "?x=1"), (&*some, "{}", ""), ("7", "[1]", "?limit=0")] {
        let request = stand.request(method.clone(), &format!("{}{query}", route.of(id)));
        for request in [request.try_clone().unwrap(), request.header("Origin", "http://evil.example")] {
            let response = request.header("Content-Type", "application/json").body(body).send().await.unwrap();
            if response.status().is_success() {
                continue;
            }
            let refusal: api::ErrorBody = response.json().await.unwrap();
            assert!(route.refuses().contains(&refusal.error.code), "{route:?}: {refusal:?}");
            refused += 1;
        }
    }
    refused
}

#[tokio::test]
async fn what_troubles_the_whole_installation_is_said_by_the_probe() {
    let stand = stand().await;
    let probe = async |wanted: u16| {
        let look = || async {
            let answer = stand.get("/readyz").await;
            if answer.status() == wanted { Some(json(answer).await) } else { None }
        };
        testkit::wait_for("readiness", WAIT, look).await
    };
    probe(200).await;
    let tell = |what| {
        let trouble = Trouble::new(what, "the store is another's", "give it back", Timestamp::new(1));
        stand.troubles.tell(Scope::Installation, trouble);
    };
    tell(Kind::Rights);
    tell(Kind::Identity);
    let reasons = probe(503).await["reasons"].clone();
    assert_eq!(
        reasons,
        serde_json::json!(["identity: the store is another's; give it back"]),
        "work stops for this alone"
    );
    let metrics = stand.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("jetbatch_troubles{scope=\"installation\",what=\"identity\"} 1"), "{metrics}");
    stand.troubles.clear(&Scope::Installation, Kind::Identity);
    probe(200).await;
}

/// A page of another site whose name resolves to 127.0.0.1.
#[tokio::test]
async fn a_door_on_loopback_answers_to_its_own_names_alone() {
    let stand = stand_with(|config| config.http.hosts = vec!["batch.local".into()]).await;
    let ask = async |method: Method, path: &str, host: &str| {
        let asked = stand.request(method, path).header("Host", host).header("Origin", format!("http://{host}"));
        asked.json(&serde_json::json!({"prompts": ["a"]})).send().await.unwrap()
    };
    for (method, path) in [(Method::POST, "/start"), (Method::GET, "/jobs"), (Method::GET, "/nothing")] {
        let refused = refusal(ask(method, path, "evil.example").await).await;
        assert_eq!(refused, (421, "misdirected".into(), Some("Host".into())), "{path}");
    }
    assert_eq!(stand.bus.state(SUBMIT).await.unwrap().messages, 0);
    for host in ["batch.local", "localhost:8800"] {
        assert_eq!(ask(Method::GET, "/jobs", host).await.status(), 200, "{host}");
    }
}

/// NATS came back without its data: what is submitted now would be gone when that is found out.
#[tokio::test]
async fn nothing_is_taken_into_a_log_that_nobody_knows() {
    let mut stand = stand().await;
    stand.begin(job("a")).await;
    let submit = || async { (stand_submit(&stand.http, &stand.address).await.status() == 202).then_some(()) };
    testkit::wait_for("the door to open", WAIT, submit).await;
    stand.server.kill().await;
    std::fs::remove_dir_all(stand.server.dir().join("store")).unwrap();
    stand.server.restart().await;
    let bus = stand.bus.clone();
    testkit::wait_for("the streams to be made anew", WAIT, || async { bus.apply_streams(&[]).await.ok() }).await;
    for _ in 0..3 {
        let refused = refusal(stand_submit(&stand.http, &stand.address).await).await;
        assert_eq!((refused.0, refused.1.as_str()), (503, "unavailable"));
    }
    let told = async || {
        let ready = stand.get("/readyz").await;
        assert_eq!(ready.status(), 503);
        json(ready).await["reasons"].to_string().contains("made anew").then_some(())
    };
    testkit::wait_for("the cause to be told", WAIT, told).await;
}

async fn stand_submit(http: &reqwest::Client, address: &str) -> Response {
    let body = serde_json::json!({"prompts": ["a"]});
    http.post(format!("http://{address}/start")).json(&body).timeout(WAIT).send().await.unwrap()
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_in_the_same_shape() {
    let stand = stand().await;
    for path in ["/jobs/%ff", "/jobs/%ff/events", "/dead/%C3%28"] {
        assert_eq!(refusal(stand.get(path).await).await, (400, "invalid_request".into(), Some("id".into())), "{path}");
    }
    assert_eq!(refusal(stand.get("/jobs/%C3%A4%2").await).await.0, 400);
}
