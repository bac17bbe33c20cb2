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
