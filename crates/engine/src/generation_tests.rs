use domain::request::{Constraint, Grammar};
use llguidance::toktrie::ApproximateTokEnv;

use super::*;
use crate::grammar::Grammars;

/// A token is a byte; 0 ends an answer.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new() -> Self {
        Self((0..=255).collect())
    }
}

impl Tokens for Bytes {
    fn bytes(&self, token: u32) -> &[u8] {
        &self.0[token as usize..=token as usize]
    }

    fn ends(&self) -> &[u32] {
        &[0]
    }
}

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, ..Sampling::default() }
}

fn rules(sampling: Sampling, cap: usize) -> Rules {
    Rules { sampling, cap, logprobs: Some(1), key: Key::seeded(1) }
}

/// A model that says `words` and then ends, where it is let. Gives the answer and how often it was asked.
fn run(mut generation: Generation, words: &[u8]) -> (Done, usize) {
    let mut asked = 0;
    while !generation.is_over() {
        let mut logits = vec![0.0_f32; 256];
        logits[usize::from(b'x')] = 1.0;
        let wanted = words.get(generation.len()).copied().unwrap_or(0);
        logits[usize::from(wanted)] = 9.0;
        let step = generation.step(&logits, &Bytes::new()).expect("a step");
        asked += 1;
        match step {
            Step::Own => assert_eq!(generation.last(), crate::sampler::argmax(&logits)),
            Step::Changed(logits) => assert_eq!(logits[generation.last().expect("a token") as usize], f32::INFINITY),
            Step::Over => assert!(generation.is_over()),
        }
    }
    (generation.done(), asked)
}

fn said(sampling: Sampling, cap: usize, words: &[u8]) -> (String, Finish, usize) {
    let (done, _) = run(Generation::new(rules(sampling, cap), &[], None), words);
    (String::from_utf8(done.text).expect("whole characters"), done.finish, done.taken.len())
}

fn matched(grammar: Grammar, sampling: Sampling, cap: usize, words: &[u8]) -> (String, Finish, usize) {
    let grammars = Grammars::new(&ApproximateTokEnv::single_byte_env(), &[0]).expect("a vocabulary");
    let matcher = grammars.matcher(&Constraint { param: "grammar", grammar }).expect("a grammar");
    let (done, _) = run(Generation::new(rules(sampling, cap), &[], Some(matcher)), words);
    (String::from_utf8(done.text).expect("whole characters"), done.finish, done.taken.len())
}

fn expect(text: &str, finish: Finish, tokens: usize) -> (String, Finish, usize) {
    (text.to_owned(), finish, tokens)
}

#[test]
fn an_answer_ends_with_the_models_end_or_at_its_cap() {
    assert_eq!(said(greedy(), 9, b"Paris"), expect("Paris", Finish::Stop, 6));
    assert_eq!(said(greedy(), 6, b"Paris"), expect("Paris", Finish::Stop, 6));
    assert_eq!(said(greedy(), 5, b"Paris"), expect("Paris", Finish::Length, 5));
}

#[test]
fn no_character_is_left_half() {
    for (cap, text) in [(1, "a"), (2, "a"), (3, "a"), (4, "a\u{20ac}"), (5, "a\u{20ac}"), (8, "a\u{20ac}\u{1f600}")] {
        assert_eq!(said(greedy(), cap, "a\u{20ac}\u{1f600}".as_bytes()).0, text, "{cap}");
    }
    let (done, _) = run(Generation::new(rules(greedy(), 3), &[], None), b"a\xffb");
    assert_eq!(String::from_utf8_lossy(&done.text), "a\u{fffd}b", "what is no character stays where it stands");
}

#[test]
fn a_stop_string_ends_it_at_once_and_is_left_out() {
    let stop = |stops: &[&str]| Sampling { stop: stops.iter().map(|s| (*s).to_owned()).collect(), ..greedy() };
    assert_eq!(said(stop(&["ri"]), 99, b"Paris"), expect("Pa", Finish::Stop, 4));
    assert_eq!(said(stop(&["s", "ari"]), 99, b"Paris"), expect("P", Finish::Stop, 4));
    assert_eq!(said(stop(&["x"]), 5, b"Paris"), expect("Paris", Finish::Length, 5));
    let (_, asked) = run(Generation::new(rules(stop(&["P"]), 99), &[], None), b"Paris");
    assert_eq!(asked, 1);
}

#[test]
fn an_answer_may_be_kept_from_ending() {
    let long = Sampling { ignore_eos: true, ..greedy() };
    assert_eq!(said(long, 8, b"Paris").2, 8);
    let least = Sampling { min_tokens: 8, ..greedy() };
    assert_eq!((said(least.clone(), 99, b"Paris").2, said(least, 99, b"Paris").1), (9, Finish::Stop));
    let tokens = Sampling { stop_token_ids: vec![u32::from(b'r')], ..greedy() };
    assert_eq!(said(tokens, 99, b"Paris"), expect("Pa", Finish::Stop, 3));
    let late = Sampling { stop: vec!["a".to_owned()], min_tokens: 3, ..greedy() };
    assert_eq!(said(late, 99, b"Parisa"), expect("Paris", Finish::Stop, 6));
}

#[test]
fn a_grammar_ends_it_at_once() {
    let regex = |text: &str| Grammar::Regex(text.to_owned());
    assert_eq!(matched(regex("Paris"), greedy(), 99, b"Rome"), expect("Paris", Finish::Stop, 5));
    assert_eq!(matched(regex("Paris"), greedy(), 3, b"Rome"), expect("Par", Finish::Length, 3));
    assert_eq!(matched(regex("Pari+s?"), greedy(), 99, b"Pari"), expect("Pari", Finish::Stop, 5));
    let enumeration = Grammar::Schema(r#"{"enum": ["Paris", "Rome"]}"#.to_owned());
    assert_eq!(matched(enumeration, greedy(), 99, b"\"Rome").0, "\"Rome\"");
    let choice = Grammar::Choice(vec!["Paris".to_owned(), "Rome".to_owned()]);
    assert_eq!(matched(choice, Sampling::default(), 99, b"").1, Finish::Stop);
}

#[test]
fn json_holds_few_blanks() {
    let schema = Grammar::Schema(
        r#"{"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"],
        "additionalProperties": false}"#
            .to_owned(),
    );
    for blank in [b' ', b'\n'] {
        let (text, finish, _) = matched(schema.clone(), greedy(), 999, &[blank; 999]);
        assert_eq!(finish, Finish::Stop);
        assert!(text.len() < 20, "{text:?}");
    }
    for text in ["{\"a\":1}", "{\"a\": 1}"] {
        assert_eq!(matched(schema.clone(), greedy(), 99, text.as_bytes()).0, text);
    }
}

#[test]
fn draws_in_a_grammar_are_the_keys() {
    let digits = Grammar::Regex("[0-9]{12}".to_owned());
    let hot = || Sampling { temperature: 2.0, ..Sampling::default() };
    let first = matched(digits.clone(), hot(), 99, b"");
    assert_eq!(first, matched(digits, hot(), 99, b""));
    assert_eq!((first.0.len(), first.1), (12, Finish::Stop));
}

#[test]
fn log_probabilities_are_the_models_own() {
    let rules = rules(Sampling { temperature: 2.0, bias: vec![(1, 100.0)], ..Sampling::default() }, 1);
    let mut generation = Generation::new(rules, &[], None);
    let mut logits = vec![0.0_f32; 256];
    logits[7] = 3.0;
    generation.step(&logits, &Bytes::new()).expect("a step");
    let taken = generation.done().taken.remove(0);
    let norm = (255.0 + 3.0_f64.exp()).ln();
    let chance = taken.chance.expect("a chance");
    assert_eq!(taken.token, 1);
    assert!((chance.logprob + norm).abs() < 1e-9 && chance.tops[0].0 == 7);
}
