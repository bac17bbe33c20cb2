use super::*;
use crate::plan::Door;
use serde_json::json;

fn job() -> Job {
    Job {
        number: 3,
        at_ms: 0,
        requests: 200,
        door: Door::Upload,
        fate: Fate::Answered,
        twice: false,
        large: false,
        refused: true,
        poison: true,
        deadly: false,
        seed: 9,
    }
}

fn good(job: &Job, n: u32) -> String {
    let body = json!({"choices": [{"message": {"role": "assistant", "content": Oracle::Echo.answer(job, n)}}]});
    json!({"id": "x", "custom_id": format!("r{n}"), "response": {"status_code": 200, "body": body}, "error": null})
        .to_string()
}

fn bad(n: u32, code: &str) -> String {
    json!({"custom_id": format!("r{n}"), "response": null, "error": {"code": code, "message": ""}}).to_string()
}

/// The two files of a job as they must be.
fn files(job: &Job) -> (Vec<String>, Vec<String>) {
    let refused =
        |n| json!({"custom_id": format!("r{n}"), "response": {"status_code": 400, "body": {}}, "error": null});
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    for n in 0..job.requests {
        match job.manner(n) {
            Manner::Plain | Manner::Large => output.push(good(job, n)),
            Manner::Refused => errors.push(refused(n).to_string()),
            Manner::Poison | Manner::Deadly => errors.push(bad(n, FAILED)),
        }
    }
    (output, errors)
}

fn check(job: &Job, state: State, output: &[String], errors: &[String]) -> Tally {
    let mut lines = Lines::new(job, &Oracle::Echo, state, u64::from(job.requests));
    output.iter().for_each(|line| lines.output(line.as_bytes()));
    errors.iter().for_each(|line| lines.error(line.as_bytes()));
    lines.end()
}

fn counts(tally: &Tally) -> [u64; 3] {
    [tally.lost, tally.doubled, tally.wrong]
}

#[test]
fn what_is_right_is_right() {
    let job = job();
    let (output, errors) = files(&job);
    let tally = check(&job, State::Completed, &output, &errors);
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!(tally.answered + tally.refused + tally.failed, 200);
    assert!(tally.refused > 0 && tally.failed > 0);
}

#[test]
fn a_lost_line_is_found() {
    let job = job();
    let (mut output, errors) = files(&job);
    output.remove(50);
    assert_eq!(counts(&check(&job, State::Completed, &output, &errors)), [1, 0, 0]);
    assert_eq!(counts(&check(&job, State::Completed, &output, &[])), [1 + errors.len() as u64, 0, 0]);
}

#[test]
fn a_doubled_line_is_found_in_either_file() {
    let job = job();
    let (mut output, mut errors) = files(&job);
    output.insert(51, output[50].clone());
    assert_eq!(counts(&check(&job, State::Completed, &output, &errors)), [0, 1, 0]);
    output.remove(51);
    errors.push(bad(0, FAILED));
    assert_eq!(counts(&check(&job, State::Completed, &output, &errors)), [0, 1, 0]);
}

#[test]
fn lines_out_of_order_are_found() {
    let job = job();
    let (mut output, errors) = files(&job);
    output.swap(10, 11);
    assert_eq!(counts(&check(&job, State::Completed, &output, &errors)), [0, 0, 1]);
}

#[test]
fn a_wrong_answer_is_found() {
    let job = job();
    let (output, errors) = files(&job);
    let spoil = |n: usize, line: String| {
        let mut output = output.clone();
        output[n] = line;
        check(&job, State::Completed, &output, &errors)
    };
    let plain: Vec<u32> = (0..200).filter(|n| job.manner(*n) == Manner::Plain).collect();
    let other = good(&job, plain[7]).replace(&format!("r{}", plain[7]), &format!("r{}", plain[8]));
    assert_eq!(counts(&spoil(8, other)), [0, 0, 1]);
    assert_eq!(counts(&spoil(8, "{\"custom".to_owned())), [1, 0, 1]);
    assert_eq!(counts(&spoil(8, good(&job, plain[8]).replace("200", "500"))), [0, 0, 1]);
    assert_eq!(counts(&spoil(8, bad(plain[8], FAILED))), [0, 0, 1]);
}

#[test]
fn an_error_needs_its_reason() {
    let job = job();
    let (output, mut errors) = files(&job);
    let first = crate::oracle::number(
        serde_json::from_str::<serde_json::Value>(&errors[0]).unwrap()["custom_id"].as_str().unwrap(),
    );
    errors[0] = bad(first.unwrap(), CANCELLED);
    assert_eq!(counts(&check(&job, State::Completed, &output, &errors)), [0, 0, 1]);
    assert_eq!(counts(&check(&job, State::Cancelled, &output, &errors)), [0, 0, 0]);
    let (mut output, mut errors) = files(&job);
    output.remove(0);
    let plain = (0..200).find(|n| job.manner(*n) == Manner::Plain).unwrap();
    errors.insert(0, bad(plain, FAILED));
    let tally = check(&job, State::Completed, &output, &errors);
    assert!(tally.wrong >= 1, "a request that does not fail was given up: {tally:?}");
}

#[test]
fn a_job_that_never_was_has_no_lines() {
    let job = job();
    let lines = Lines::new(&job, &Oracle::Echo, State::Cancelled, 0);
    assert!(lines.end().is_clean());
    let mut lines = Lines::new(&job, &Oracle::Echo, State::Failed, 0);
    lines.output(good(&job, 0).as_bytes());
    assert_eq!(lines.end().wrong, 1);
}
