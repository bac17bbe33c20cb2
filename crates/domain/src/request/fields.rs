//! Every field of a body that is known, and what becomes of it. docs/fields.md has the same as a table.
use super::{Endpoint, Refusal, message};
use serde_json::value::RawValue;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Honoured,
    /// It cannot change the answer.
    Harmless,
    /// It would change the answer. `but` is what is harmless about it, as JSON text.
    Refused {
        but: &'static [&'static str],
        why: &'static str,
    },
}

/// Every known field. Those of one endpoint are named with it; those of a message as `messages[].role`.
pub fn all() -> Vec<(String, Option<Endpoint>, Taken)> {
    let served = [(SERVED, None), (SERVED_CHAT, Some(Endpoint::Chat)), (SERVED_TEXT, Some(Endpoint::Completions))];
    let served = served.into_iter().flat_map(|(names, of)| names.iter().map(move |name| (*name, of, Taken::Honoured)));
    let harmless = HARMLESS.iter().map(|name| (*name, None, Taken::Harmless));
    let refused = REFUSED.iter().map(|(name, but, why)| (*name, None, Taken::Refused { but, why }));
    let vectors = [(SERVED_EMBEDDINGS, Taken::Honoured), (HARMLESS_EMBEDDINGS, Taken::Harmless)];
    let vectors = vectors
        .into_iter()
        .flat_map(|(names, taken)| names.iter().map(move |name| (*name, Some(Endpoint::Embeddings), taken)));
    let own = served.chain(harmless).chain(refused).chain(vectors);
    let own = own.map(|(name, of, taken)| (name.to_owned(), of, taken));
    let why = "chat templates do not take it";
    let messages = [
        (message::HONOURED, Taken::Honoured),
        (message::HARMLESS, Taken::Harmless),
        (message::REFUSED, Taken::Refused { but: &[], why }),
    ];
    let below = messages.into_iter().flat_map(|(names, taken)| {
        names.iter().map(move |name| (format!("messages[].{name}"), Some(Endpoint::Chat), taken))
    });
    own.chain(below).collect()
}

pub(super) const GUIDED: [&str; 4] = ["guided_json", "guided_regex", "guided_choice", "guided_grammar"];

const HARMLESS: &[&str] = &[
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "stream_options",
    "request_id",
    "priority",
    "guided_decoding_backend",
];

/// With what is harmless about them as JSON text.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("stream", &["false"], "a batch has one answer for each request"),
    ("functions", &["[]"], "use `tools`"),
    ("function_call", &["\"none\"", "\"auto\""], "use `tool_choice`"),
    ("modalities", &["[\"text\"]"], "answers are text"),
    ("audio", &[], "answers are text"),
    ("prediction", &[], "there is no predicted output"),
    ("verbosity", &["\"medium\""], "models do not take it"),
    ("web_search_options", &[], "there is no web search"),
    ("echo", &["false"], "the prompt is not repeated"),
    ("suffix", &["\"\""], "there is no insertion"),
    ("best_of", &["1"], "use `n`"),
    ("use_beam_search", &["false"], "there is no beam search"),
    ("skip_special_tokens", &["true"], "special tokens are no text"),
    ("spaces_between_special_tokens", &["true"], "special tokens are no text"),
    ("include_stop_str_in_output", &["false"], "a stop string is left out"),
    ("add_generation_prompt", &["true"], "an answer begins anew"),
    ("continue_final_message", &["false"], "an answer begins anew"),
];

const SERVED: &[&str] = &[
    "model",
    "n",
    "max_tokens",
    "response_format",
    "grammar",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "min_tokens",
    "ignore_eos",
    "stop",
    "stop_token_ids",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
];
const SERVED_CHAT: &[&str] = &[
    "messages",
    "enable_thinking",
    "chat_template_kwargs",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "top_logprobs",
];
const SERVED_TEXT: &[&str] = &["prompt"];
const SERVED_EMBEDDINGS: &[&str] = &["model", "input", "encoding_format", "dimensions"];
const HARMLESS_EMBEDDINGS: &[&str] =
    &["user", "store", "metadata", "service_tier", "safety_identifier", "request_id", "priority"];

pub(super) fn known(endpoint: Endpoint, name: &str) -> bool {
    let own = match endpoint {
        Endpoint::Chat => SERVED_CHAT,
        Endpoint::Completions => SERVED_TEXT,
        Endpoint::Embeddings => return SERVED_EMBEDDINGS.contains(&name) || HARMLESS_EMBEDDINGS.contains(&name),
    };
    own.contains(&name) || SERVED.contains(&name) || HARMLESS.contains(&name) || refused(name).is_some()
}

fn refused(name: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    REFUSED.iter().find(|(field, ..)| *field == name)
}

/// A field that is not honoured.
pub(super) fn otherwise(name: &str, raw: &RawValue) -> Result<(), Refusal> {
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    let Some((_, harmless, why)) = refused(name) else { return Err(Refusal::unknown(name)) };
    let value: String = raw.get().split_whitespace().collect();
    match harmless.contains(&value.as_str()) {
        true => Ok(()),
        false => Err(Refusal::unsupported(name, why)),
    }
}
