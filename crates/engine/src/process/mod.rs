//! An engine in a process of its own, so that its death (a panic, an abort, the kernel short of memory, a GPU that
//! hangs) takes nothing with it but the calls it held.
//!
//! The worker's side is [`Hosted`]: an engine like any other, that starts the process, starts it again when it dies, and
//! says so. The process is `jetbatch engine-host` ([`child`]). Between them are frames over the process's stdin and
//! stdout. The process never outlives its worker: it ends when its stdin does. (`PR_SET_PDEATHSIG` would be no
//! better, for it fires at the end of the thread that started the process.)
mod calls;
pub mod child;
mod delay;
mod end;
pub mod frame;
mod hosted;
mod limits;
mod outbox;
mod parent;
mod stall;

pub use end::{End, Error};
pub use hosted::Hosted;
pub use parent::Program;

use std::time::Duration;

/// How an engine is hosted.
#[derive(Debug, Clone)]
pub struct Settings {
    pub program: Program,
    pub engine: crate::Spec,
    /// What the program makes its process ready with. The program knows its form.
    pub setup: String,
    /// Calls that wait, and neither token nor answer for so long: the engine hangs. None: it may.
    pub stall: Option<Duration>,
    /// The longest that a call waits for an engine that is started again.
    pub wait: Duration,
}

impl Settings {
    pub fn new(engine: crate::Spec, setup: String) -> Self {
        let wait = Duration::from_secs(limits::WAIT_SECONDS_MAX);
        Self { program: Program::own(), engine, setup, stall: None, wait }
    }

    /// With the slots that it found on a CPU: how many copies fit may look otherwise the next time.
    fn found(mut self, about: &crate::About) -> Self {
        if about.device == "cpu" {
            self.engine = self.engine.with_slots(about.slots);
        }
        self
    }
}
