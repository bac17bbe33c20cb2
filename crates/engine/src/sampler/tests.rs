use super::*;
use crate::Key;

const DRAWS: usize = 100_000;

fn logits() -> Vec<f32> {
    (0..40).map(|token| ((token * 7 % 13) as f32 - 6.0) / 4.0).collect()
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn look<'a>(logits: &'a [f32], tally: &'a Tally) -> Look<'a> {
    Look { logits, tally, allowed: None, barred: &[] }
}

fn counts(rules: &Sampling, logits: &[f32]) -> Vec<f64> {
    let (sampler, tally, key) = (Sampler::new(rules), Tally::default(), Key::seeded(7));
    let mut counts = vec![0.0; logits.len()];
    for position in 0..DRAWS {
        let pick = sampler.pick(look(logits, &tally), || key.draw(position)).expect("a token");
        counts[pick.token as usize] += 1.0;
    }
    counts
}

/// Chi-square of the draws against `expected`, within its 99.9 % bound (Wilson and Hilferty's approximation).
fn agrees(rules: &Sampling, logits: &[f32], expected: &[f64]) {
    let counts = counts(rules, logits);
    let cells = expected.iter().filter(|p| **p > 0.0).count();
    let mut square = 0.0;
    for (count, share) in counts.iter().zip(expected) {
        let wanted = share * DRAWS as f64;
        assert!(wanted > 5.0 || (wanted == 0.0 && *count == 0.0), "{count} of {wanted}");
        if wanted > 0.0 {
            square += (count - wanted).powi(2) / wanted;
        }
    }
    let degrees = (cells - 1) as f64;
    let bound = degrees * (1.0 - 2.0 / (9.0 * degrees) + 3.0902 * (2.0 / (9.0 * degrees)).sqrt()).powi(3);
    assert!(square < bound, "chi-square {square:.1}, at most {bound:.1} with {degrees} degrees");
}

/// `expected` without the tokens that `keep` leaves out.
fn only(expected: &[f64], keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let sum: f64 = expected.iter().enumerate().filter(|(token, _)| keep(*token)).map(|(_, p)| p).sum();
    expected.iter().enumerate().map(|(token, p)| if keep(token) { p / sum } else { 0.0 }).collect()
}

/// The tokens in the order of their chance; of equals the lower token first.
fn ranks(expected: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..expected.len()).collect();
    order.sort_by(|a, b| expected[*b].total_cmp(&expected[*a]).then(a.cmp(b)));
    let mut ranks = vec![0; order.len()];
    order.iter().enumerate().for_each(|(rank, token)| ranks[*token] = rank);
    ranks
}

#[test]
fn draws_follow_the_temperature() {
    for temperature in [0.5, 0.7, 1.0, 2.0] {
        let rules = Sampling { temperature, ..Sampling::default() };
        agrees(&rules, &logits(), &softmax(&logits(), temperature));
    }
}

#[test]
fn draws_follow_top_k() {
    for (k, temperature) in [(2, 1.0), (7, 2.0), (1_000, 1.0)] {
        let rules = Sampling { temperature, top_k: Some(k), ..Sampling::default() };
        let all = softmax(&logits(), temperature);
        let ranks = ranks(&all);
        agrees(&rules, &logits(), &only(&all, |token| ranks[token] < k));
    }
}

#[test]
fn draws_follow_top_p() {
    for (top_p, temperature) in [(0.3, 1.0), (0.9, 1.0), (0.95, 2.0)] {
        let rules = Sampling { temperature, top_p: Some(top_p), ..Sampling::default() };
        let all = softmax(&logits(), temperature);
        let ranks = ranks(&all);
        let before = |token: usize| -> f64 {
            all.iter().enumerate().filter(|(other, _)| ranks[*other] < ranks[token]).map(|(_, p)| p).sum()
        };
        agrees(&rules, &logits(), &only(&all, |token| before(token) < top_p - 1e-9));
    }
}

#[test]
fn draws_follow_min_p() {
    for (min_p, temperature) in [(0.1, 1.0), (0.5, 2.0)] {
        let rules = Sampling { temperature, min_p: Some(min_p), ..Sampling::default() };
        let all = softmax(&logits(), temperature);
        let top = all.iter().copied().fold(0.0, f64::max);
        agrees(&rules, &logits(), &only(&all, |token| all[token] >= min_p * top));
    }
}

#[test]
fn draws_follow_a_grammar() {
    let (rules, all) = (Sampling::default(), softmax(&logits(), 1.0));
    let (sampler, tally, key) = (Sampler::new(&rules), Tally::default(), Key::seeded(9));
    let (values, mask) = (logits(), [0b1010_1010_u32, 0b1]);
    let mut counts = vec![0.0; values.len()];
    for position in 0..DRAWS {
        let look = Look { allowed: Some(Allowed(&mask)), barred: &[5], ..look(&values, &tally) };
        counts[sampler.pick(look, || key.draw(position)).expect("a token").token as usize] += 1.0;
    }
    let expected = only(&all, |token| [1, 3, 7, 32].contains(&token));
    for (count, share) in counts.iter().zip(expected) {
        assert!((count / DRAWS as f64 - share).abs() < 0.01, "{count} of {share}");
    }
}

#[test]
fn a_thousand_logits_are_cut_where_the_whole_sort_cuts() {
    let many: Vec<f32> =
        (0..5_000_u32).map(|token| (token.wrapping_mul(2_654_435_761) >> 16) as f32 / 20_000.0).collect();
    let all = softmax(&many, 1.0);
    let ranks = ranks(&all);
    let mut sorted: Vec<usize> = (0..many.len()).collect();
    sorted.sort_by_key(|token| ranks[*token]);
    let weights: Vec<f32> = all.iter().map(|p| (p / all[sorted[0]]) as f32).collect();
    let kept = kept::tokens(&weights, &Sampling { top_p: Some(0.9), ..Sampling::default() }).expect("a cut");
    assert!(kept.len() > 256 * 4);
    assert!(kept.iter().map(|(_, token)| *token as usize).eq(sorted[..kept.len()].iter().copied()));
    let mass: f64 = kept.iter().map(|(_, token)| all[*token as usize]).sum();
    assert!(mass >= 0.9 && mass - all[kept[kept.len() - 1].1 as usize] < 0.9, "{mass}");
}

#[test]
fn without_chance_the_most_likely_is_taken_and_nothing_copied() {
    let (logits, tally) = (logits(), Tally::default());
    let greedy = [
        Sampling { temperature: 0.0, ..Sampling::default() },
        Sampling { top_k: Some(1), ..Sampling::default() },
        Sampling { top_p: Some(0.0), ..Sampling::default() },
        Sampling { min_p: Some(1.0), temperature: 2.0, ..Sampling::default() },
    ];
    for rules in greedy {
        let pick = Sampler::new(&rules).pick(look(&logits, &tally), || panic!("chance has no part")).expect("a token");
        assert_eq!(Some(pick.token), argmax(&logits), "{rules:?}");
        assert_eq!(pick.changed, None, "{rules:?}");
    }
}

#[test]
fn penalties_are_over_the_answer_and_repetition_over_the_prompt_too() {
    let logits = [2.0_f32, 1.9, 1.8, -1.0];
    let pick = |rules: Sampling| {
        let mut tally = Tally::new(&rules, &[1, 1, 1]);
        [0, 0].into_iter().for_each(|token| tally.add(token));
        let mut values = logits.to_vec();
        tally.penalise(&mut values, &rules);
        values
    };
    let base = Sampling { temperature: 0.0, ..Sampling::default() };
    assert_eq!(pick(Sampling { frequency_penalty: 0.5, ..base.clone() }), [1.0, 1.9, 1.8, -1.0]);
    assert_eq!(pick(Sampling { presence_penalty: 0.5, ..base.clone() }), [1.5, 1.9, 1.8, -1.0]);
    assert_eq!(pick(Sampling { repetition_penalty: 2.0, ..base }), [1.0, 0.95, 1.8, -1.0]);
}

#[test]
fn bias_moves_the_choice() {
    let (logits, tally) = ([1.0_f32, 0.0, 0.5], Tally::default());
    let rules = Sampling { temperature: 0.0, bias: vec![(1, 5.0), (9, 100.0)], ..Sampling::default() };
    let pick = Sampler::new(&rules).pick(look(&logits, &tally), || 0.0).expect("a token");
    assert_eq!((pick.token, pick.changed.as_deref().and_then(argmax)), (1, None));
    assert_eq!(pick.changed, Some(vec![1.0, f32::INFINITY, 0.5]));
}

#[test]
fn what_cannot_be_taken_is_told() {
    let tally = Tally::default();
    let sampler = Sampler::new(&Sampling::default());
    let none = Look { allowed: Some(Allowed(&[0])), ..look(&[1.0, 2.0], &tally) };
    assert_eq!(sampler.pick(none, || 0.5), Err(Failed::Nothing));
    assert_eq!(sampler.pick(look(&[1.0, f32::NAN], &tally), || 0.5), Err(Failed::NotFinite));
    let greedy = Sampler::new(&Sampling { temperature: 0.0, ..Sampling::default() });
    assert_eq!(greedy.pick(look(&[f32::NAN; 20], &tally), || 0.5), Err(Failed::NotFinite));
}

#[test]
fn the_last_of_equals_is_the_largest() {
    for length in [1, 7, 8, 9, 100] {
        let mut values = vec![0.5_f32; length];
        values[0] = 0.25;
        assert_eq!(argmax(&values), Some(length as u32 - 1));
        values[length / 2] = 3.0;
        assert_eq!(argmax(&values), Some(length as u32 / 2));
    }
    assert_eq!(argmax(&[f32::NEG_INFINITY; 9]), None);
}
