//! What an answer must match, compiled: before anything runs, and within bounds of size and time.
//!
//! llguidance does the work. What it does not take is the request's fault, and is told with the field it came from.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use domain::request::{Constraint, Grammar, Refusal};
use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
    toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokEnvWithTrie, TokTrie, TokenId},
};
use serde_json::{Value, json};

use crate::limits::{GRAMMAR_BYTES_MAX, GRAMMAR_WORDS_MAX, GRAMMARS_KEPT};

/// Compiles for one vocabulary.
pub struct Grammars {
    factory: ParserFactory,
    /// Compiled ones, to be cloned: most inputs ask for one form, a million times.
    kept: Mutex<HashMap<Grammar, Matcher>>,
}

impl Grammars {
    /// `ends` are the tokens that end an answer.
    pub fn new(env: &TokEnv, ends: &[TokenId]) -> Result<Self, String> {
        let trie = env.tok_trie();
        let env = match ends.is_empty() {
            true => env.clone(),
            false => Arc::new(TokEnvWithTrie::new(env.clone(), trie.with_eos_tokens(ends))),
        };
        let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices(trie));
        let mut factory = factory.map_err(|error| error.to_string())?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, kept: Mutex::default() })
    }

    pub fn matcher(&self, constraint: &Constraint) -> Result<Matcher, Refusal> {
        if let Some(matcher) = self.kept().get(&constraint.grammar) {
            return Ok(matcher.deep_clone());
        }
        let compiled = catch_unwind(AssertUnwindSafe(|| self.compile(&constraint.grammar)));
        let compiled = compiled.unwrap_or_else(|_| Err("it cannot be compiled".to_owned()));
        let matcher = compiled.map_err(|why| Refusal::invalid(constraint.param, short(&why)))?;
        let mut kept = self.kept();
        if kept.len() >= GRAMMARS_KEPT {
            kept.clear();
        }
        kept.insert(constraint.grammar.clone(), matcher.deep_clone());
        Ok(matcher)
    }

    fn compile(&self, grammar: &Grammar) -> Result<Matcher, String> {
        let parser = self.factory.create_parser(top(grammar)?).map_err(|error| error.to_string())?;
        let mut matcher = Matcher::new(Ok(parser));
        // What can never be begun nor ended fails here, and not at the first token.
        matcher.compute_mask_or_eos().map_err(|error| error.to_string())?;
        Ok(matcher)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Grammar, Matcher>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a constraint compiles, whatever the model. Grammars that may name a model's special tokens pass.
pub fn check(constraint: &Constraint) -> Result<(), Refusal> {
    if matches!(&constraint.grammar, Grammar::Lark(text) if text.contains('<')) {
        return Ok(());
    }
    static BYTES: LazyLock<Grammars> = LazyLock::new(|| {
        let env = ApproximateTokEnv::single_byte_env();
        Grammars::new(&env, &[]).expect("a vocabulary of bytes is one")
    });
    BYTES.matcher(constraint).map(drop)
}

fn limits() -> ParserLimits {
    ParserLimits { verbose_errors: false, precompute_large_lexemes: false, ..ParserLimits::default() }
}

/// Sets of tokens whose masks are made once; for a vocabulary of some hundred they are not worth it.
fn slices(trie: &TokTrie) -> Vec<String> {
    match trie.vocab_size() > 1_000 {
        true => llguidance::earley::SlicedBiasComputer::general_slices(),
        false => Vec::new(),
    }
}

fn top(grammar: &Grammar) -> Result<TopLevelGrammar, String> {
    match grammar {
        Grammar::Object => Ok(TopLevelGrammar::from_json_schema(spaced(json!({ "type": "object" })))),
        Grammar::Schema(text) => schema(text).map(spaced).map(TopLevelGrammar::from_json_schema),
        Grammar::Regex(text) => bounded(text).map(TopLevelGrammar::from_regex),
        Grammar::Lark(text) if text.contains("::=") => Err("GBNF is not served; write the grammar in Lark".to_owned()),
        Grammar::Lark(text) => bounded(text).map(|text| TopLevelGrammar::from_lark(text.to_owned())),
        Grammar::Choice(texts) => Ok(TopLevelGrammar::from_lark(choice(texts))),
    }
}

fn schema(text: &str) -> Result<Value, String> {
    serde_json::from_str(bounded(text)?).map_err(|error| error.to_string())
}

/// Between the parts of a JSON answer stands a blank or none. Where any number of them may stand, a model that has lost
/// its way writes blanks up to its cap.
pub fn spaced(mut schema: Value) -> Value {
    const OPTIONS: &str = "x-guidance";
    if let Some(schema) = schema.as_object_mut().filter(|schema| !schema.contains_key(OPTIONS)) {
        schema.insert(OPTIONS.to_owned(), json!({ "whitespace_pattern": " " }));
    }
    schema
}

fn bounded(text: &str) -> Result<&str, String> {
    match text.len() > GRAMMAR_BYTES_MAX {
        true => Err(format!("it has {} bytes; at most {GRAMMAR_BYTES_MAX} are taken", text.len())),
        false => Ok(text),
    }
}

fn choice(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
    format!("start: {}", texts.join(" | "))
}

/// Its own words, without what it quotes of the grammar: the first line, and what a parser of patterns says in its last.
pub fn short(why: &str) -> String {
    if why.contains("NoExtensionBias") {
        return "nothing can match it".to_owned();
    }
    let mut lines = why.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("it cannot be compiled").trim_end_matches(':').to_owned();
    let last = lines.rfind(|line| line.starts_with("error:"));
    let words = last.map_or(first.clone(), |last| format!("{first}: {}", last.trim_start_matches("error:").trim()));
    words.chars().take(GRAMMAR_WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use nix::sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    };

    use super::*;

    /// What this thread has computed; who else wants the processor has no part in it.
    fn cpu_ms() -> i64 {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        (usage.user_time() + usage.system_time()).num_milliseconds()
    }

    fn told(grammar: Grammar) -> Result<(), String> {
        let begun = cpu_ms();
        let checked = check(&Constraint { param: "grammar", grammar });
        let spent = cpu_ms() - begun;
        assert!(spent < 2_000, "{spent} ms");
        checked.map_err(|refusal| {
            assert_eq!(refusal.param.as_deref(), Some("grammar"));
            refusal.message
        })
    }

    fn schema(schema: Value) -> Result<(), String> {
        told(Grammar::Schema(schema.to_string()))
    }

    #[test]
    fn what_compiles_is_taken() {
        assert_eq!(schema(json!({"type": "object", "properties": {"a": {"type": "integer"}}})), Ok(()));
        assert_eq!(told(Grammar::Regex("[0-9]{12}".to_owned())), Ok(()));
        assert_eq!(told(Grammar::Choice(vec!["Paris".to_owned(), "a \"b\"\n".to_owned()])), Ok(()));
        assert_eq!(told(Grammar::Object), Ok(()));
        let node =
            json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}});
        assert_eq!(schema(json!({"$ref": "#/$defs/n", "$defs": {"n": node}})), Ok(()));
    }

    #[test]
    fn what_does_not_is_refused_in_words() {
        for wrong in [
            schema(json!({"$ref": "#"})),
            schema(json!({"type": "nothing"})),
            schema(json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true})),
            told(Grammar::Regex("(".to_owned())),
            told(Grammar::Regex("a(?=b)".to_owned())),
            told(Grammar::Lark("start: nothing".to_owned())),
            told(Grammar::Lark("start: start".to_owned())),
            told(Grammar::Lark("root ::= \"a\"".to_owned())),
            told(Grammar::Regex("x".repeat(GRAMMAR_BYTES_MAX + 1))),
        ] {
            assert!(wrong.is_err());
        }
        assert!(told(Grammar::Regex("(".to_owned())).is_err_and(|why| why.contains("unclosed group")));
    }

    #[test]
    fn a_pattern_that_explodes_costs_no_second() {
        drop(told(Grammar::Regex("((a{1,200}){1,200}){1,200}b".to_owned())));
        drop(told(Grammar::Regex("(.*a.*){40}(b|c.{500}){500}".to_owned())));
        let deep = (0..8).fold(json!({"type": "integer"}), |inner, _| {
            let field = |name: &str| {
                json!({"type": "object", "properties": {name: inner}, "required": [name],
                "additionalProperties": false})
            };
            json!({"oneOf": [field("a"), field("b")]})
        });
        drop(schema(deep));
    }

    #[test]
    fn a_keyword_that_is_not_served_is_named() {
        let why = schema(json!({"type": "array", "uniqueItems": true})).expect_err("not served");
        assert!(why.contains("uniqueItems"), "{why}");
    }
}
