//! What an operator tells the worker itself: a request, answered with what it is then. A worker that is away hears nothing.
use super::{beat, chunk::Runner};
use async_nats::{Message, Subscriber};
use domain::WorkerName;
use futures::StreamExt;
use std::{convert::Infallible, sync::Arc, time::Duration};
use wire::{Ordered, Orders};

const PAUSE: Duration = Duration::from_secs(1);

/// Before the worker says that it is there: whoever reads so may tell it something.
pub async fn listen(runner: &Runner) -> Option<Subscriber> {
    let subject = Orders(runner.pool.clone(), WorkerName::of(&runner.name)).to_string();
    let heard = runner.shared.bus.client().subscribe(subject).await;
    heard.inspect_err(|error| tracing::debug!(%error, "orders cannot be heard; trying again")).ok()
}

pub async fn obey(runner: Arc<Runner>, mut orders: Option<Subscriber>) -> Infallible {
    loop {
        while let Some(message) = next(&mut orders).await {
            answer(&runner, message).await;
        }
        tokio::time::sleep(PAUSE).await;
        orders = listen(&runner).await;
    }
}

async fn next(orders: &mut Option<Subscriber>) -> Option<Message> {
    orders.as_mut()?.next().await
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
