//! What an operator tells the worker itself: a request, answered with what it is then. A worker that is away hears nothing.
use super::{beat, chunk::Runner};
use async_nats::Message;
use domain::WorkerName;
use futures::StreamExt;
use std::{convert::Infallible, sync::Arc, time::Duration};
use wire::{Ordered, Orders};

const PAUSE: Duration = Duration::from_secs(1);

pub async fn obey(runner: Arc<Runner>) -> Infallible {
    let subject = Orders(runner.pool.clone(), WorkerName::of(&runner.name)).to_string();
    loop {
        match runner.shared.bus.client().subscribe(subject.clone()).await {
            Ok(mut orders) => {
                while let Some(message) = orders.next().await {
                    answer(&runner, message).await;
                }
            }
            Err(error) => tracing::debug!(%error, "orders cannot be heard; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn answer(runner: &Runner, message: Message) {
    let said = match serde_json::from_slice::<Ordered>(&message.payload) {
        Ok(Ordered { order }) => {
            tracing::info!(worker = runner.name, pool = %runner.pool, order = order.as_str(), "the worker was told");
            runner.health.order(order);
            runner.tenure.told(order).await;
            serde_json::to_vec(&beat::now(runner)).unwrap_or_default()
        }
        Err(error) => serde_json::json!({"error": error.to_string()}).to_string().into_bytes(),
    };
    let Some(reply) = message.reply else { return };
    if let Err(error) = runner.shared.bus.client().publish(reply, said.into()).await {
        tracing::debug!(%error, "an order was not answered");
    }
}
