//! Reads an output as it streams by and holds each line against the request it must answer.
use super::input;
use crate::cli::{client::Client, error::Error};
use api::Route;
use domain::JobId;
use serde::Deserialize;
use std::{borrow::Cow, ops::Range};

/// The n-th line must answer the n-th request. So nothing is kept, whatever the size, and a line that is lost,
/// doubled or misplaced is found where it happens.
#[derive(Default)]
struct Verify {
    next: u64,
    /// The line that has not ended yet.
    rest: Vec<u8>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: Body<'a>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// Fails unless the job's output is the right lines of these requests in input order.
pub async fn verify(client: &Client, id: JobId, requests: Range<u64>) -> Result<(), Error> {
    let mut response = client.file(id, Route::Results).await?;
    let mut verify = Verify { next: requests.start, ..Verify::default() };
    while let Some(piece) = client.piece(&mut response).await? {
        verify.push(&piece).map_err(Error::Failed)?;
    }
    verify.end(requests.end).map_err(Error::Failed)
}

impl Verify {
    fn push(&mut self, mut piece: &[u8]) -> Result<(), String> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = (&piece[..end], &piece[end + 1..]);
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                self.rest.extend_from_slice(line);
                let line = std::mem::take(&mut self.rest);
                self.line(&line)?;
            }
            piece = tail;
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (number, want) = (self.next + 1, input::custom_id(self.next));
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| format!("output line {number}: {error}"))?;
        if line.custom_id != want {
            return Err(format!("output line {number} is '{}', not '{want}'", line.custom_id));
        }
        let words = input::words(self.next);
        let is_right = line.response.is_some_and(|response| response.says(&words));
        self.next += 1;
        if is_right { Ok(()) } else { Err(format!("output line {number} has not the answer of '{want}'")) }
    }

    fn end(self, end: u64) -> Result<(), String> {
        match (self.next == end, self.rest.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("the output goes up to request {} and not to {end}", self.next)),
            (true, false) => Err("the output goes on after its last line".to_owned()),
        }
    }
}

impl Response<'_> {
    fn says(&self, words: &str) -> bool {
        let content = self.body.choices.first().map(|choice| choice.message.content.as_ref());
        self.status_code == 200 && content.is_some_and(|content| content.starts_with(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, words: u64) -> String {
        let (id, words) = (input::custom_id(number), input::words(words));
        format!(
            r#"{{"custom_id":"{id}","response":{{"status_code":200,"body":{{"choices":[{{"message":{{"content":"{words}x"}}}}]}}}}}}"#
        ) + "\n"
    }

    fn outcome(output: &str, requests: u64, piece: usize) -> Result<(), String> {
        let mut verify = Verify::default();
        output.as_bytes().chunks(piece).try_for_each(|piece| verify.push(piece))?;
        verify.end(requests)
    }

    #[test]
    fn only_the_whole_output_in_order_passes() {
        let (a, b) = (line(0, 0), line(1, 1));
        for piece in [1, 7, 1_000] {
            assert_eq!(outcome(&format!("{a}{b}"), 2, piece), Ok(()));
            assert!(outcome(&a, 2, piece).is_err());
            assert!(outcome(&format!("{a}{b}{b}"), 2, piece).is_err());
            assert!(outcome(&format!("{b}{a}"), 2, piece).is_err());
            assert!(outcome(&format!("{a}{}", line(1, 0)), 2, piece).is_err());
            assert!(outcome(&format!("{a}{b}x"), 2, piece).is_err());
        }
    }
}
