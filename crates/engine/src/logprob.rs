//! Log probabilities of the model's own distribution: before penalties, bias, temperature and all the rest.

/// A token's natural log probability, and the likeliest tokens at its place with theirs, the likeliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Chance {
    pub logprob: f64,
    pub tops: Vec<(u32, f64)>,
}

pub fn chance(logits: &[f32], token: u32, wanted: usize) -> Chance {
    let norm = norm(logits);
    let logprob = |token: u32| logits.get(token as usize).map_or(f64::NEG_INFINITY, |logit| f64::from(*logit) - norm);
    let tops = tops(logits, wanted).into_iter().map(|token| (token, logprob(token))).collect();
    Chance { logprob: logprob(token), tops }
}

/// The logarithm of the sum of all exponentials.
fn norm(logits: &[f32]) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    top + logits.iter().map(|logit| (f64::from(*logit) - top).exp()).sum::<f64>().ln()
}

/// The largest, without those that have no chance; of equals the lower token first.
fn tops(logits: &[f32], wanted: usize) -> Vec<u32> {
    let mut tops: Vec<(f32, u32)> = Vec::with_capacity(wanted + 1);
    for (logit, token) in logits.iter().copied().zip(0..) {
        let is_in = tops.len() < wanted || tops.last().is_some_and(|(least, _)| logit > *least);
        if is_in && wanted > 0 && logit > f32::NEG_INFINITY {
            let at = tops.partition_point(|(other, _)| *other >= logit);
            tops.insert(at, (logit, token));
            tops.truncate(wanted);
        }
    }
    tops.into_iter().map(|(_, token)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_logits_normalised() {
        let logits = [1.0_f32, 3.0, 2.0, 3.0, f32::NEG_INFINITY];
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let chance = chance(&logits, 0, 5);
        assert!((chance.logprob - (1.0_f64.exp() / sum).ln()).abs() < 1e-12);
        assert_eq!(chance.tops.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 3, 2, 0]);
        assert!((chance.tops.iter().map(|(_, logprob)| logprob.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(super::chance(&logits, 2, 0).tops, []);
    }
}
