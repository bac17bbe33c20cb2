//! Where mistral.rs lets others take part: it hands on the logits of each place, and takes the largest of what it gets
//! back. (Its own sampler would draw every engine's numbers from one constant, and count the prompt as the answer.)

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use candle_core::{CpuStorage, Storage};
use mistralrs::{CustomLogitsProcessor, Device, Tensor};

use super::kit::Kit;
use crate::generation::{Broken, Generation, Step};

/// An answer in the making, seen from both ends of the line.
pub struct Draft {
    pub generation: Generation,
    pub broken: Option<Broken>,
    /// mistral.rs did not take what it was told to.
    pub strayed: bool,
}

pub struct Hook {
    pub kit: Arc<Kit>,
    pub draft: Arc<Mutex<Draft>>,
    pub prompt: usize,
    pub beats: Arc<AtomicU64>,
    /// Nobody waits any more.
    pub left: Arc<AtomicBool>,
}

pub fn lock(draft: &Mutex<Draft>) -> MutexGuard<'_, Draft> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CustomLogitsProcessor for Hook {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> mistralrs::Result<Tensor> {
        self.beats.fetch_add(1, Ordering::Relaxed);
        let mut draft = lock(&self.draft);
        // mistral.rs can ask once more after the token that ended an answer.
        let is_over = draft.generation.is_over() || draft.broken.is_some() || draft.strayed;
        if is_over || self.left.load(Ordering::Relaxed) {
            return self.end(logits);
        }
        if context.len() != self.prompt + draft.generation.len() || strayed(&draft.generation, context) {
            draft.strayed = true;
            return self.end(logits);
        }
        match view(logits, |values| draft.generation.step(values, &self.kit.vocabulary))? {
            Ok(Step::Own) => Ok(logits.clone()),
            Ok(Step::Changed(values)) => row(values),
            Ok(Step::Over) => self.end(logits),
            Err(broken) => {
                draft.broken = Some(broken);
                self.end(logits)
            }
        }
    }
}

impl Hook {
    /// A token that ends the sequence. A model without one goes on for nobody, up to its cap.
    fn end(&self, logits: &Tensor) -> mistralrs::Result<Tensor> {
        match self.kit.vocabulary.ends().first() {
            Some(end) => {
                let mut values = vec![0.0; logits.elem_count()];
                values.get_mut(*end as usize).into_iter().for_each(|value| *value = 1.0);
                row(values)
            }
            None => Ok(logits.clone()),
        }
    }
}

fn strayed(generation: &Generation, context: &[u32]) -> bool {
    generation.last().is_some_and(|last| context.last() != Some(&last))
}

/// The numbers where they lie, without a copy.
fn view<T>(logits: &Tensor, look: impl FnOnce(&[f32]) -> T) -> mistralrs::Result<T> {
    let (storage, layout) = logits.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(look(&values[start..end])),
        _ => Ok(look(&logits.to_vec1()?)),
    }
}

fn row(values: Vec<f32>) -> mistralrs::Result<Tensor> {
    let width = values.len();
    Tensor::from_vec(values, width, &Device::Cpu)
}
