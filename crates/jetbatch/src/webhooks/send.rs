//! From HOOKS to the URLs. A hook that was taken or given up is acknowledged; any other comes again later. What fails is
//! held against its URL, and one that is switched off is told: in the log, as a trouble and by a metric.
use super::{
    CONSUMER, Error,
    flying::Flying,
    post::Poster,
    secrets::Secrets,
    standings::{Place, Standings},
    turns::Turns,
};
use crate::{
    bus::{AckError, Delivery},
    clock,
    shared::Shared,
};
use domain::{
    Timestamp,
    quota::has_share,
    trouble::{Kind, Scope, Trouble},
    webhook::{Dropped, Pace, Target, Turn, Verdict},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::{Hook, stream::HOOKS};

const WAIT: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 64;
const BYTES: usize = 1 << 20;
/// Before what cannot be read is looked at again.
const UNREAD: Duration = Duration::from_secs(60);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Less than the room takes to stop.
const END_WITHIN: Duration = Duration::from_secs(4);

const _: () = assert!(END_WITHIN.as_secs() < super::END_WITHIN.as_secs());

pub struct Sender {
    shared: Shared,
    poster: Poster,
    secrets: Arc<Secrets>,
    standings: Standings,
    flying: Flying,
    turns: Turns,
    tasks: JoinSet<Done>,
    pace: Pace,
}

/// What a task came to.
enum Done {
    Sent(Box<Sent>),
    Answered(Result<(), AckError>),
}

struct Sent {
    delivery: Delivery,
    hook: Hook,
    target: Target,
    verdict: Verdict,
}

impl Sender {
    pub async fn open(shared: &Shared) -> Result<Self, Error> {
        let settings = &shared.config.webhooks;
        Ok(Self {
            poster: Poster::open(settings.rule())?,
            secrets: Arc::new(Secrets::open(&shared.config)?),
            standings: Standings::open(&shared.bus).await,
            flying: Flying::default(),
            turns: Turns::default(),
            tasks: JoinSet::new(),
            pace: settings.pace(),
            shared: shared.clone(),
        })
    }

    /// Until `stop`; what is on its way then may arrive.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut puller = self.shared.bus.puller(HOOKS, CONSUMER).await?;
        let mut tick = interval(TELL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = AT_ONCE.saturating_sub(self.tasks.len());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.tasks.join_next() => self.note(done.ok()).await,
                _ = tick.tick() => self.tell(),
                pulled = puller.fetch(room, BYTES, WAIT), if room > 0 => pulled?.into_iter().for_each(|d| self.take(d)),
            }
        }
        // What is held and was not taken goes back.
        drop(puller);
        let _ = timeout(END_WITHIN, self.finish()).await;
        Ok(())
    }

    async fn finish(&mut self) {
        while let Some(done) = self.tasks.join_next().await {
            self.note(done.ok()).await;
        }
    }

    fn take(&mut self, delivery: Delivery) {
        let now = clock::now();
        let Some((hook, target)) = read(&delivery) else { return self.pass(delivery, now) };
        let place = Place::of(&target);
        let turn = Turn::of(self.standings.of(&place), self.flying.to(&place), queued(&delivery), now, self.pace);
        let has_share = has_share(self.flying.of(hook.tenant), self.flying.all(), AT_ONCE);
        match turn.beside(has_share) {
            Turn::Send => self.send(delivery, hook, target, place),
            Turn::Wait(ms) => {
                let ms = self.turns.give(place, now, ms);
                self.answer(delivery.nak(Some(Duration::from_millis(ms))));
            }
            Turn::Drop(why) => self.give_up(delivery, &hook, &target, why),
        }
    }

    /// What cannot be read may be a newer head's: one of its version may lead soon.
    fn pass(&mut self, delivery: Delivery, now: Timestamp) {
        let subject = &delivery.subject;
        if now.since(queued(&delivery)) < self.pace.retry_ms {
            tracing::warn!(
                subject,
                "what waits there is no webhook that this version knows; it stays until webhooks.retry_s is over"
            );
            return self.answer(delivery.nak(Some(UNREAD)));
        }
        tracing::warn!(subject, "what waits there is no webhook; it is dropped");
        self.answer(delivery.ack());
    }

    fn send(&mut self, delivery: Delivery, hook: Hook, target: Target, place: Place) {
        self.flying.start(place, hook.tenant);
        let (poster, secrets) = (self.poster.clone(), self.secrets.clone());
        let beat = Duration::from_secs(self.shared.config.nats.ack_wait_s.max(3)) / 3;
        self.tasks.spawn(async move {
            let sending = async {
                match secrets.of(hook.tenant) {
                    Some(signer) => poster.post(&hook, &target, signer).await,
                    None => Verdict::Failed("nothing signs it: set webhooks.secret".to_owned()),
                }
            };
            let verdict = delivery.keep(beat, sending).await;
            Done::Sent(Box::new(Sent { delivery, hook, target, verdict }))
        });
    }

    /// A task that panicked has lost its hook for now: it is delivered again.
    async fn note(&mut self, done: Option<Done>) {
        match done {
            Some(Done::Sent(sent)) => self.sent(*sent).await,
            Some(Done::Answered(Err(error))) => {
                tracing::warn!(%error, "a webhook was not acknowledged; it may be sent again, with the same id");
            }
            Some(Done::Answered(Ok(()))) | None => {}
        }
    }

    async fn sent(&mut self, sent: Sent) {
        let Sent { delivery, hook, target, verdict } = sent;
        let (place, now) = (Place::of(&target), clock::now());
        self.flying.land(&place, hook.tenant);
        let (job, webhook, topic, host) = (hook.job, hook.id, hook.topic.as_str(), target.host());
        if verdict == Verdict::Taken {
            tracing::info!(%job, %webhook, topic, host, "webhook");
            self.shared.metrics.webhook("delivered");
            self.standings.taken(&place).await;
            return self.answer(delivery.ack());
        }
        let gone = verdict == Verdict::Gone;
        let why = if let Verdict::Failed(why) = verdict { why } else { "it was answered with 410".to_owned() };
        tracing::warn!(%job, %webhook, topic, host, why, "a webhook was not taken");
        self.shared.metrics.webhook("failed");
        self.standings.failed(&place, host, gone, now, self.pace).await;
        if gone {
            return self.give_up(delivery, &hook, &target, Dropped::Off);
        }
        let rest = self.standings.of(&place).map_or(0, |standing| standing.rests_until.since(now));
        let wait = self.pace.wait_ms(now.since(queued(&delivery))).max(rest);
        self.answer(delivery.nak(Some(Duration::from_millis(wait))));
    }

    fn give_up(&mut self, delivery: Delivery, hook: &Hook, target: &Target, why: Dropped) {
        let (job, webhook, topic) = (hook.job, hook.id, hook.topic.as_str());
        tracing::warn!(%job, %webhook, topic, host = target.host(), why = why.as_str(), "a webhook is given up");
        self.shared.metrics.webhook(why.as_str());
        self.answer(delivery.ack());
    }

    fn answer(&mut self, answer: impl Future<Output = Result<(), AckError>> + Send + 'static) {
        self.tasks.spawn(async move { Done::Answered(answer.await) });
    }

    /// Says how many URLs are switched off, again while it lasts. Their hosts are in the log: they may be a tenant's secret.
    fn tell(&mut self) {
        self.standings.forget(clock::now());
        self.turns.forget(clock::now());
        let off = self.standings.off();
        self.shared.metrics.webhooks_off(off);
        if off == 0 {
            return self.shared.troubles.clear(&Scope::Installation, Kind::Webhooks);
        }
        let cause = format!("webhooks are switched off for URLs that took none for long: {off}");
        let mend = "see the log of the head that leads 'webhooks' for their hosts; the next webhook after the rest is tried, \
                    and switches its URL on";
        self.shared.troubles.tell(Scope::Installation, Trouble::new(Kind::Webhooks, cause, mend, clock::now()));
    }
}

fn read(delivery: &Delivery) -> Option<(Hook, Target)> {
    let hook: Hook = serde_json::from_slice(&delivery.payload).ok()?;
    let target = Target::read(&hook.url).ok()?;
    Some((hook, target))
}

fn queued(delivery: &Delivery) -> Timestamp {
    Timestamp::new(delivery.stored_ms)
}
