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
            let refusal: api::Refusal = response.json().await.unwrap();
            assert!(route.refuses().contains(&refusal.error.code), "{route:?}: {refusal:?}");
            refused += 1;
        }
    }
    refused
}
