//! Holds every line of an output against the sample: a lost, doubled, misplaced or wrong answer cannot hide.
use super::sample::{Prompt, Sample};
use crate::cli::{client::Client, error::Error, text};
use api::Route;
use domain::JobId;
use serde::Deserialize;

/// Named when something is wrong.
const NAMED: usize = 5;

#[derive(Default)]
pub struct Check {
    pub right: usize,
    /// Questions and answers, in input order.
    pub first: Vec<(String, String)>,
    total: usize,
    wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    custom_id: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

pub async fn read(client: &Client, id: JobId, sample: &Sample) -> Result<Check, Error> {
    let mut response = client.file(id, Route::Results).await?;
    let mut text = Vec::new();
    while let Some(piece) = client.piece(&mut response).await? {
        text.extend_from_slice(&piece);
    }
    Ok(check(&String::from_utf8_lossy(&text), &sample.prompts))
}

/// The output is in input order and complete exactly if its n-th line answers the n-th prompt and both end together.
fn check(output: &str, prompts: &[Prompt]) -> Check {
    let mut check = Check { total: prompts.len(), ..Check::default() };
    let mut lines = output.lines();
    for prompt in prompts {
        match lines.next().map(said) {
            Some(Ok((id, answer))) if id == prompt.custom_id => check.note(prompt, answer),
            Some(Ok((id, _))) => check.wrong.push(format!("'{id}' stands where '{}' belongs", prompt.custom_id)),
            Some(Err(why)) => check.wrong.push(format!("the line of '{}' is no answer: {why}", prompt.custom_id)),
            None => check.wrong.push(format!("'{}' has no answer", prompt.custom_id)),
        }
    }
    check.wrong.extend(lines.map(|line| format!("a line too many: {}", line.chars().take(80).collect::<String>())));
    check
}

fn said(line: &str) -> Result<(String, String), String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let choice = line.response.and_then(|response| response.body.choices.into_iter().next());
    let choice = choice.ok_or("it has no choice")?;
    Ok((line.custom_id, choice.message.content))
}

impl Check {
    fn note(&mut self, prompt: &Prompt, answer: String) {
        if answer == prompt.answer {
            self.right += 1;
        } else {
            self.wrong
                .push(format!("'{}' ({}) got '{answer}', not '{}'", prompt.custom_id, prompt.question, prompt.answer));
        }
        self.first.push((prompt.question.clone(), answer));
    }

    pub fn summary(&self) -> String {
        let (right, total) = (text::count(self.right as u64), text::count(self.total as u64));
        let tail = if self.wrong.is_empty() { ", each exactly once, in input order" } else { "" };
        format!("{right} of {total} answers are right{tail}")
    }

    pub fn verdict(&self) -> Result<(), Error> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let named = self.wrong.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        Err(Error::Failed(format!("{} wrong: {named}", text::plural(self.wrong.len() as u64, "answer"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts() -> Vec<Prompt> {
        let prompt = |id: &str| Prompt { custom_id: id.into(), question: format!("{id}?"), answer: format!("{id}!") };
        vec![prompt("a"), prompt("b")]
    }

    fn line(id: &str, answer: &str) -> String {
        format!(
            r#"{{"custom_id":"{id}","response":{{"status_code":200,"body":{{"choices":[{{"message":{{"content":"{answer}"}}}}]}}}}}}"#
        )
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (a, b) = (line("a", "a!"), line("b", "b!"));
        let good = check(&format!("{a}\n{b}\n"), &prompts());
        assert_eq!(good.summary(), "2 of 2 answers are right, each exactly once, in input order");
        assert!(good.verdict().is_ok());
        for (output, word) in [
            (a.clone(), "'b' has no answer"),
            (format!("{b}\n{a}"), "'b' stands where 'a' belongs"),
            (format!("{a}\n{a}\n{b}"), "a line too many"),
            (format!("{a}\n{}", line("b", "a!")), "got 'a!', not 'b!'"),
            (format!("{a}\n{{}}"), "is no answer"),
        ] {
            let error = check(&output, &prompts()).verdict().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
