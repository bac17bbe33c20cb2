use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);

/// Asks until the answer is there, and gives it. Panics with `what` when it is not there in time.
pub async fn wait_for<T, F>(what: &str, timeout: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "waited {timeout:?} in vain for {what}");
        sleep(POLL).await;
    }
}

/// Asks until the answer is `wanted`, and gives the last one: for an assertion that shows how they differ.
pub async fn wait_until<T, F>(timeout: Duration, wanted: &T, mut ask: impl FnMut() -> F) -> T
where
    T: PartialEq,
    F: Future<Output = T>,
{
    let until = Instant::now() + timeout;
    loop {
        let answer = ask().await;
        if answer == *wanted || Instant::now() > until {
            return answer;
        }
        sleep(POLL).await;
    }
}
