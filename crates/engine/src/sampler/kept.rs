//! The tokens that `min_p`, `top_k` and `top_p` leave.

use domain::request::Sampling;

/// Sorted first for `top_p`; four times as many where they do not suffice.
const SORTED_FIRST: usize = 256;

/// Weights and tokens, the heaviest first; of equals the lower token. None: all of them. The largest weight is 1.
pub fn tokens(weights: &[f32], rules: &Sampling) -> Option<Vec<(f32, u32)>> {
    let (min_p, top_p) = (rules.min_p.unwrap_or(0.0), rules.top_p.unwrap_or(1.0));
    if min_p <= 0.0 && rules.top_k.is_none() && top_p >= 1.0 {
        return None;
    }
    let heavy = |(weight, _): &(f32, u32)| *weight > 0.0 && f64::from(*weight) >= min_p;
    let mut kept: Vec<(f32, u32)> = weights.iter().copied().zip(0..).filter(heavy).collect();
    if let Some(k) = rules.top_k {
        heaviest(&mut kept, k);
    }
    if top_p < 1.0 {
        nucleus(&mut kept, top_p);
    }
    Some(kept)
}

fn order(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn heaviest(kept: &mut Vec<(f32, u32)>, k: usize) {
    if k < kept.len() {
        kept.select_nth_unstable_by(k, order);
        kept.truncate(k);
    }
    kept.sort_unstable_by(order);
}

/// The fewest, the heaviest first, whose weights together reach `top_p` of all.
fn nucleus(kept: &mut Vec<(f32, u32)>, top_p: f64) {
    let wanted = top_p * kept.iter().map(|(weight, _)| f64::from(*weight)).sum::<f64>();
    let mut sorted = SORTED_FIRST.min(kept.len());
    loop {
        if sorted < kept.len() {
            kept.select_nth_unstable_by(sorted, order);
        }
        kept[..sorted].sort_unstable_by(order);
        let mut sum = 0.0;
        let reached = kept[..sorted].iter().position(|(weight, _)| {
            sum += f64::from(*weight);
            sum >= wanted
        });
        match reached {
            Some(last) => return kept.truncate(last + 1),
            None if sorted == kept.len() => return,
            None => sorted = (sorted * 4).min(kept.len()),
        }
    }
}
