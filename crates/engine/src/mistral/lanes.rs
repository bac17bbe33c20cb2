//! Who may run now.
//!
//! On a CPU mistral.rs 0.8.1 answers wrongly as soon as two sequences decode in one batch: its attention kernel for one
//! new token (`flash_attn_cpu_single_q`) keeps one scratch row for all sequences, so each gets a mixture. Its own
//! `max_num_seqs` does not prevent that: an idle scheduler starts everything that waits. So on a CPU each copy of the
//! model runs one sequence at a time, and `slots` is the number of copies.

use std::sync::{Arc, Mutex, PoisonError};

use mistralrs::Model;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub struct Lanes {
    copies: Vec<Model>,
    gate: Option<Gate>,
}

struct Gate {
    permits: Arc<Semaphore>,
    free: Arc<Mutex<Vec<usize>>>,
}

/// The right to run one sequence on one copy. Ends when dropped, so it must outlive the sequence.
pub struct Turn {
    pub lane: usize,
    ends: Option<Ends>,
}

struct Ends {
    free: Arc<Mutex<Vec<usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    /// One model that batches by itself.
    pub fn shared(model: Model) -> Self {
        Self { copies: vec![model], gate: None }
    }

    /// Copies that run one sequence each.
    pub fn single(copies: Vec<Model>) -> Self {
        let permits = Arc::new(Semaphore::new(copies.len()));
        let free = Arc::new(Mutex::new((0..copies.len()).collect()));
        Self { copies, gate: Some(Gate { permits, free }) }
    }

    pub fn model(&self, lane: usize) -> &Model {
        &self.copies[lane]
    }

    /// In the order of asking.
    pub async fn turn(&self) -> Turn {
        let Some(gate) = &self.gate else {
            return Turn { lane: 0, ends: None };
        };
        let permit = gate.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let lane = gate.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let ends = Some(Ends { free: gate.free.clone(), _permit: permit });
        Turn { lane: lane.expect("a permit stands for a free lane"), ends }
    }
}

impl Drop for Turn {
    /// The lane is free before its permit is: fields are dropped after this.
    fn drop(&mut self) {
        if let Some(ends) = &self.ends {
            ends.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.lane);
        }
    }
}
