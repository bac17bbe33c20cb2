//! From a finished generation to a choice.

use mistralrs::core::reasoning_parsers::{HarmonyContext, ReasoningParser, TagReasoningContext, harmony, tag_based};

use super::kit::{Kit, Task};
use crate::{
    calls::{self, Call},
    generation::{Done, Finish, Taken},
    openai::{Choice, Token, ToolCall, Top},
    prompt::Ready,
    template::Template,
    vocabulary::Vocabulary,
};
use domain::request::Input;

pub fn choice(kit: &Kit, task: &Task, prompt: &Ready, done: Done, index: usize) -> Choice {
    let logprobs = task.body.logprobs.map(|_| tokens(&kit.vocabulary, &done));
    let mut finish = match done.finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    };
    let text = String::from_utf8_lossy(&done.text).into_owned();
    let Input::Chat(chat) = &task.body.input else {
        return Choice { text, reasoning: None, calls: Vec::new(), finish, logprobs };
    };
    let (reasoning, mut text) = split(kit, &prompt.tail, &done, text);
    if kit.vocabulary.drops_blank() && text.starts_with(' ') {
        text.remove(0);
    }
    let mut calls = Vec::new();
    if let Some(form) = task.form
        && let Some((said, found)) = form.read(&shown(kit, &done, &text, reasoning.is_some()), &chat.tools)
    {
        text = said;
        calls = named(found, chat.parallel, task, index);
        finish = "tool_calls";
    }
    Choice { text, reasoning, calls, finish, logprobs }
}

/// The answer with its special tokens, which may mark calls; after a thought, only the rest of it.
fn shown(kit: &Kit, done: &Done, text: &str, is_rest: bool) -> String {
    if is_rest {
        return text.to_owned();
    }
    let ends = kit.vocabulary.ends();
    let written = done.taken.iter().filter(|taken| !ends.contains(&taken.token));
    let bytes: Vec<u8> = written.flat_map(|taken| kit.vocabulary.written(taken.token)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn named(found: Vec<Call>, several: bool, task: &Task, index: usize) -> Vec<ToolCall> {
    let most = if several { usize::MAX } else { 1 };
    let key = task.key.choice(index);
    let named = found.into_iter().take(most).enumerate().map(|(at, calls::Call { name, arguments })| ToolCall {
        id: format!("call_{}", key.name(at)),
        name,
        arguments,
    });
    named.collect()
}

/// What the model thought, where it is one that thinks, and what it said.
fn split(kit: &Kit, tail: &str, done: &Done, text: String) -> (Option<String>, String) {
    let Some(mut parser) = kit.template.as_ref().and_then(|template| parser(template, tail)) else {
        return (None, text);
    };
    if kit.template.as_ref().is_some_and(is_harmony) {
        done.taken.iter().for_each(|taken| parser.process_token(taken.token));
    } else {
        parser.process_bytes(shown(kit, done, &text, false).as_bytes());
    }
    parser.finalize();
    match parser.reasoning_content() {
        None => (None, text),
        Some(thought) => {
            let said = parser.content().unwrap_or_default();
            (Some(thought.trim().to_owned()), said.trim_start().to_owned())
        }
    }
}

fn is_harmony(template: &Template) -> bool {
    template.holds("<|channel|>") && harmony::is_harmony_encoding_ready()
}

fn parser(template: &Template, tail: &str) -> Option<Box<dyn ReasoningParser>> {
    let thinks = template.holds(tag_based::THINK_OPEN_TAG) || template.holds(tag_based::THINK_CLOSE_TAG);
    match () {
        () if is_harmony(template) => HarmonyContext::new().ok().map(|harmony| Box::new(harmony) as _),
        () if template.holds(tag_based::CHANNEL_CLOSE_TOKEN) => {
            Some(Box::new(TagReasoningContext::new_gemma_channel()))
        }
        () if thinks && tail.trim_end().ends_with(tag_based::THINK_OPEN_TAG) => {
            Some(Box::new(TagReasoningContext::new_in_think_block()))
        }
        () if thinks => Some(Box::new(TagReasoningContext::new_think_tags())),
        () => None,
    }
}

/// The tokens of the answer: none that ended it, and none beyond its text.
fn tokens(vocabulary: &Vocabulary, done: &Done) -> Vec<Token> {
    let is_part = |taken: &&Taken| {
        let bytes = vocabulary.bytes(taken.token);
        !bytes.is_empty() && taken.start < done.text.len()
    };
    let before = |taken: &Taken| String::from_utf8_lossy(&done.text[..taken.start]).chars().count();
    done.taken.iter().filter(is_part).map(|taken| token(vocabulary, taken, before(taken))).collect()
}

fn token(vocabulary: &Vocabulary, taken: &Taken, offset: usize) -> Token {
    let (bytes, chance) = (vocabulary.written(taken.token).to_vec(), taken.chance.as_ref());
    let tops = chance.map_or(&[][..], |chance| &chance.tops);
    let tops = tops.iter().map(|(token, logprob)| {
        let bytes = vocabulary.written(*token).to_vec();
        Top { text: name(&bytes), logprob: *logprob, bytes }
    });
    Token {
        text: name(&bytes),
        logprob: chance.map_or(0.0, |chance| chance.logprob),
        bytes,
        offset,
        tops: tops.collect(),
    }
}

/// A token's text; of one that is no text by itself its bytes, as OpenAI writes them.
fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |name, byte| format!("{name}\\x{byte:02x}")),
    }
}
