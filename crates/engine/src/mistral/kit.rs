//! What a loaded model brings along beside its weights, and what one request makes of it.

use std::sync::Arc;

use domain::request::{Body, Chat, Constraint, Grammar, Input, Refusal};
use llguidance::Matcher;
use mistralrs::core::{ChatTemplate, Pipeline};

use super::{Miss, param};
use crate::{
    Fault, Key,
    calls::{self, Form},
    generation::{Generation, Rules, Tokens},
    grammar::Grammars,
    prompt::{Prompts, Ready},
    template::{Marks, Template},
    vocabulary::Vocabulary,
};

pub struct Kit {
    pub vocabulary: Vocabulary,
    pub template: Option<Template>,
    pub grammars: Grammars,
    /// Special tokens in messages count.
    pub allow: bool,
    /// Tokens of prompt and answer together.
    pub context: usize,
}

impl Tokens for Vocabulary {
    fn bytes(&self, token: u32) -> &[u8] {
        self.bytes(token)
    }

    fn ends(&self) -> &[u32] {
        self.ends()
    }
}

impl Kit {
    /// What a pipeline knows beside its weights.
    pub fn of(pipeline: &dyn Pipeline) -> Result<Self, String> {
        let metadata = pipeline.get_metadata();
        let tokenizer = pipeline.tokenizer().ok_or("the model has no tokenizer")?;
        let env = metadata.tok_env().ok_or("the model has no tokens")?;
        let vocabulary = Vocabulary::new(tokenizer, env, &metadata.eos_tok)?;
        let grammars = Grammars::new(vocabulary.env(), vocabulary.ends())?;
        let template = pipeline.get_chat_template().and_then(|found| template(&found)).transpose();
        let template = template.map_err(|why| format!("its chat template: {why}"))?;
        Ok(Self { vocabulary, template, grammars, allow: false, context: metadata.max_seq_len })
    }

    pub fn prompts(&self, body: &Body) -> Result<Vec<Ready>, Refusal> {
        let prompts = Prompts { vocabulary: &self.vocabulary, template: self.template.as_ref(), allow: self.allow };
        match &body.input {
            Input::Chat(chat) => Ok(vec![prompts.chat(chat)?]),
            Input::Prompts(texts) => texts.iter().map(|text| prompts.plain(text)).collect(),
        }
    }

    /// How many tokens may be generated. A sequence that outgrows the model fails every sequence that runs beside it.
    pub fn room(&self, prompt: &Ready, task: &Task) -> Result<usize, Refusal> {
        let tokens = prompt.tokens.len();
        if tokens == 0 {
            return Err(Refusal::invalid(param(&task.body.input), "it has no token"));
        }
        if tokens >= self.context {
            return Err(Refusal::too_long(param(&task.body.input), tokens, self.context));
        }
        let room = self.context - tokens;
        Ok(task.body.sampling.max_tokens.map_or(room, |wanted| wanted.min(room)))
    }

    /// A token beyond the vocabulary is a mistake, and would change nothing without a word.
    fn check(&self, body: &Body) -> Result<(), Refusal> {
        let bias = body.sampling.bias.iter().map(|(token, _)| ("logit_bias", *token));
        let stops = body.sampling.stop_token_ids.iter().map(|token| ("stop_token_ids", *token));
        let size = self.vocabulary.size();
        match bias.chain(stops).find(|(_, token)| *token as usize >= size) {
            Some((name, token)) => Err(Refusal::invalid(name, format!("{token} is no token; the model has {size}"))),
            None => Ok(()),
        }
    }

    /// How the model writes calls, where the request wants some.
    fn form(&self, chat: &Chat) -> Result<Option<Form>, Refusal> {
        if chat.tools.is_empty() || chat.choice == domain::request::Choice::None {
            return Ok(None);
        }
        let form = self.template.as_ref().and_then(Form::of);
        let unknown = || Refusal::unsupported("tools", "the form in which this model writes calls is not known");
        form.map(Some).ok_or_else(unknown)
    }
}

fn template(found: &ChatTemplate) -> Option<Result<Template, String>> {
    let marks = Marks { bos: found.bos_tok(), eos: found.eos_tok(), unk: found.unk_tok() };
    let sources = match &found.chat_template.as_ref()?.0 {
        either::Either::Left(source) => vec![("default".to_owned(), source.clone())],
        either::Either::Right(named) => named.iter().flat_map(named_templates).collect(),
    };
    Some(Template::new(sources, marks))
}

/// `{"name": ..., "template": ...}`, or a name and its template.
fn named_templates(named: &std::collections::HashMap<String, String>) -> Vec<(String, String)> {
    match (named.get("name"), named.get("template")) {
        (Some(name), Some(source)) => vec![(name.clone(), source.clone())],
        _ => named.iter().map(|(name, source)| (name.clone(), source.clone())).collect(),
    }
}

/// One request, ready to run.
pub struct Task {
    pub body: Body,
    pub form: Option<Form>,
    /// Of the request's seed, or of its place.
    pub key: Key,
    constraint: Option<Constraint>,
}

impl Task {
    pub async fn new(kit: &Arc<Kit>, mut body: Body, place: Key) -> Result<Self, Miss> {
        kit.check(&body)?;
        // No text holds a special token, so its name as a stop string means the token.
        let specials = body.sampling.stop.iter().filter_map(|stop| kit.vocabulary.special(stop));
        body.sampling.stop_token_ids.extend(specials.collect::<Vec<_>>());
        let key = body.sampling.seed.map_or(place, Key::seeded);
        let (form, forced) = match &body.input {
            Input::Chat(chat) => (kit.form(chat)?, force(kit, chat)?),
            Input::Prompts(_) => (None, None),
        };
        if forced.is_some() && body.constraint.is_some() {
            return Err(Refusal::invalid("tool_choice", "an answer that must be a call has no other form").into());
        }
        let task = Self { form, key, constraint: forced.or_else(|| body.constraint.clone()), body };
        task.compile(kit).await?;
        Ok(task)
    }

    /// Compiling can take a second, in which others are to go on. What is compiled is kept.
    async fn compile(&self, kit: &Arc<Kit>) -> Result<(), Miss> {
        let Some(constraint) = self.constraint.clone() else { return Ok(()) };
        let kit = kit.clone();
        let compiled = tokio::task::spawn_blocking(move || kit.grammars.matcher(&constraint).map(drop)).await;
        Ok(compiled.map_err(|error| Fault::Internal { message: error.to_string() })??)
    }

    pub fn generation(&self, kit: &Kit, prompt: &Ready, cap: usize, index: usize) -> Result<Generation, Refusal> {
        let matcher: Option<Matcher> =
            self.constraint.as_ref().map(|constraint| kit.grammars.matcher(constraint)).transpose()?;
        let (sampling, logprobs) = (self.body.sampling.clone(), self.body.logprobs);
        let rules = Rules { sampling, cap, logprobs, key: self.key.choice(index) };
        Ok(Generation::new(rules, &prompt.tokens, matcher))
    }

    /// The field that a grammar came from.
    pub fn constrained_by(&self) -> &'static str {
        self.constraint.as_ref().map_or("response_format", |constraint| constraint.param)
    }
}

/// What an answer must match so that it calls what it is told to.
fn force(kit: &Kit, chat: &Chat) -> Result<Option<Constraint>, Refusal> {
    let Some(form) = kit.form(chat)? else { return Ok(None) };
    let Some(tools) = calls::forced(&chat.tools, &chat.choice) else { return Ok(None) };
    let several = chat.parallel && chat.choice == domain::request::Choice::Required;
    let grammar = Grammar::Lark(form.grammar(&tools, several, &kit.vocabulary)?);
    Ok(Some(Constraint { param: "tools", grammar }))
}
