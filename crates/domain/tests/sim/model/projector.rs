//! The projector: statuses from its own fold, which it keeps in snapshots and goes on from.
use super::{env::Env, log::Fold};
use domain::status::Status;

#[derive(Default)]
pub struct Projector {
    fold: Fold,
    snapshot: Option<Vec<u8>>,
}

impl Projector {
    pub fn step(&mut self, env: &mut Env) -> bool {
        self.fold.next(&env.log).is_some()
    }

    pub fn save(&mut self, env: &mut Env) {
        match rmp_serde::to_vec_named(&self.fold) {
            Ok(bytes) => self.snapshot = Some(bytes),
            Err(error) => env.wrong("a snapshot can be written", || error.to_string()),
        }
    }

    /// The log ends there now. It ends, too, and starts again; a snapshot that knows more is deleted.
    pub fn cut(&mut self, kept: usize) {
        let of = |bytes: &[u8]| rmp_serde::from_slice::<Fold>(bytes).ok();
        let fold = self.snapshot.as_deref().and_then(of).filter(|fold| fold.seq <= kept);
        if fold.is_none() {
            self.snapshot = None;
        }
        self.fold = fold.unwrap_or_default();
    }

    /// Goes on from its snapshot, or from the beginning.
    pub fn restart(&mut self, env: &mut Env) {
        let fold = self.snapshot.as_deref().map(rmp_serde::from_slice).transpose();
        match fold {
            Ok(fold) => self.fold = fold.unwrap_or_default(),
            Err(error) => env.wrong("a snapshot can be read", || error.to_string()),
        }
    }

    /// Its statuses as they would be stored, once it has folded all.
    pub fn statuses(&self) -> Vec<Vec<u8>> {
        statuses(&self.fold)
    }
}

pub fn statuses(fold: &Fold) -> Vec<Vec<u8>> {
    let status = |job| serde_json::to_vec(&Status::of(job)).expect("a status is plain JSON");
    fold.jobs.values().map(|folded| status(&folded.job)).collect()
}
