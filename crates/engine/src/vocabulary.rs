//! A model's tokens: what text becomes, and what bytes each stands for.

use std::{collections::HashMap, ops::Range, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use llguidance::toktrie::{TokEnv, TokTrie};
use tokenizers::Tokenizer;

pub struct Vocabulary {
    /// Takes special tokens in text for what they are.
    tokenizer: Arc<Tokenizer>,
    /// Takes them for the characters that they are written with.
    literal: Tokenizer,
    env: TokEnv,
    specials: Vec<Special>,
    /// Finds the specials, by their place in that list.
    finder: AhoCorasick,
    /// Tokens that end an answer.
    ends: Vec<u32>,
    /// Bytes that a converted tokenizer hides in special tokens.
    hidden: HashMap<u32, u8>,
    /// Its decoder drops a blank at the beginning of a text.
    drops_blank: bool,
}

/// A token that no text can hold: a turn's end, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Special {
    pub id: u32,
    pub text: String,
    /// It takes the blanks before and after it along.
    pub takes_before: bool,
    pub takes_after: bool,
}

impl Vocabulary {
    pub fn new(tokenizer: Arc<Tokenizer>, env: TokEnv, ends: &[u32]) -> Result<Self, String> {
        let mut literal = (*tokenizer).clone();
        literal.set_encode_special_tokens(true);
        let (specials, hidden) = specials(&tokenizer);
        let texts = specials.iter().map(|special| &special.text);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let finder = finder.map_err(|error| error.to_string())?;
        let drops_blank = drops_blank(&tokenizer, env.tok_trie());
        Ok(Self { literal, specials, finder, hidden, ends: ends.to_vec(), drops_blank, env, tokenizer })
    }

    pub fn env(&self) -> &TokEnv {
        &self.env
    }

    pub fn size(&self) -> usize {
        self.env.tok_trie().vocab_size()
    }

    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The first special token that is written in a text, and where; of several in one place the longest.
    pub fn find(&self, text: &str) -> Option<(Range<usize>, &Special)> {
        self.finder.find(text).map(|found| (found.range(), &self.specials[found.pattern().as_usize()]))
    }

    pub fn drops_blank(&self) -> bool {
        self.drops_blank
    }

    /// The tokens of a text, in which special tokens count. `framed` adds what the tokenizer puts around every text.
    pub fn encode(&self, text: &str, framed: bool) -> Result<Vec<u32>, String> {
        ids(&self.tokenizer, text, framed)
    }

    /// The tokens of a text that is text throughout.
    pub fn encode_literal(&self, text: &str, framed: bool) -> Result<Vec<u32>, String> {
        ids(&self.literal, text, framed)
    }

    /// What a token adds to the answer's text: its bytes, and nothing for a special one.
    pub fn bytes(&self, token: u32) -> &[u8] {
        match self.env.tok_trie().token(token) {
            [TokTrie::SPECIAL_TOKEN_MARKER, ..] => self.hidden.get(&token).map_or(&[], std::slice::from_ref),
            bytes => bytes,
        }
    }

    /// A token as it is written, special or not.
    pub fn written(&self, token: u32) -> &[u8] {
        match self.env.tok_trie().token(token) {
            [TokTrie::SPECIAL_TOKEN_MARKER, text @ ..] => self.hidden.get(&token).map_or(text, std::slice::from_ref),
            bytes => bytes,
        }
    }

    pub fn special(&self, text: &str) -> Option<u32> {
        self.specials.iter().find(|special| special.text == text).map(|special| special.id)
    }
}

fn ids(tokenizer: &Tokenizer, text: &str, framed: bool) -> Result<Vec<u32>, String> {
    let encoding = tokenizer.encode_fast(text, framed).map_err(|error| error.to_string())?;
    Ok(encoding.get_ids().to_vec())
}

fn specials(tokenizer: &Tokenizer) -> (Vec<Special>, HashMap<u32, u8>) {
    let (mut specials, mut hidden) = (Vec::new(), HashMap::new());
    for (id, token) in tokenizer.get_added_tokens_decoder() {
        if !token.special {
            continue;
        }
        if let Some(byte) = byte(&token.content) {
            hidden.insert(id, byte);
        }
        let (takes_before, takes_after) = (token.lstrip, token.rstrip);
        specials.push(Special { id, text: token.content, takes_before, takes_after });
    }
    specials.retain(|special| !special.text.is_empty());
    specials.sort_unstable_by_key(|special| special.id);
    (specials, hidden)
}

/// The byte that a token like `<0x0A>` stands for.
fn byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Asked with the first token that begins with a blank and goes on.
fn drops_blank(tokenizer: &Tokenizer, trie: &TokTrie) -> bool {
    let blank = (0..trie.vocab_size() as u32).find(|token| matches!(trie.token(*token), [b' ', b'a'..=b'z', ..]));
    let decoded = blank.and_then(|token| tokenizer.decode(&[token], false).ok());
    decoded.is_some_and(|text| !text.starts_with(' '))
}
