//! What a Qwen3 model makes of a text, computed once more: in double precision, number by number, with nothing of candle.

use crate::embedder::{EPSILON, HEAD, HEADS, KV_HEADS, LAYERS, ROPE, Weights};

/// A row for each token.
type Rows = Vec<Vec<f64>>;

/// The last token's state, with the length 1.
pub fn vector(weights: &Weights, tokens: &[u32]) -> Vec<f64> {
    let of = |name: &str| weights[&format!("{name}.weight")].1.as_slice();
    let width = weights["norm.weight"].1.len();
    let row = |token: &u32| &of("embed_tokens")[*token as usize * width..][..width];
    let mut rows: Rows =
        tokens.iter().map(|token| row(token).iter().map(|value| f64::from(*value)).collect()).collect();
    for layer in 0..LAYERS {
        let of = |name: &str| of(&format!("layers.{layer}.{name}"));
        let seen = attention(&each(&rows, |row| norm(row, of("input_layernorm"))), of);
        rows = sum(&rows, &seen);
        let thought = each(&rows, |row| mlp(&norm(row, of("post_attention_layernorm")), of));
        rows = sum(&rows, &thought);
    }
    let last = norm(rows.last().expect("a token"), of("norm"));
    let length = last.iter().map(|value| value * value).sum::<f64>().sqrt();
    last.iter().map(|value| value / length).collect()
}

fn attention<'w>(rows: &Rows, of: impl Fn(&str) -> &'w [f32]) -> Rows {
    let heads = |matrix: &str, norms: &str| -> Vec<Rows> {
        let heads = |(place, row): (usize, &Vec<f64>)| {
            let row = times(of(matrix), row);
            row.chunks(HEAD).map(|head| turn(&norm(head, of(norms)), place)).collect()
        };
        rows.iter().enumerate().map(heads).collect()
    };
    let (queries, keys) =
        (heads("self_attn.q_proj", "self_attn.q_norm"), heads("self_attn.k_proj", "self_attn.k_norm"));
    let values = each(rows, |row| times(of("self_attn.v_proj"), row));
    let seen = (0..rows.len()).map(|at| {
        let heads = (0..HEADS).flat_map(|head| {
            let source = head / (HEADS / KV_HEADS);
            let weights =
                softmax((0..=at).map(|other| dot(&queries[at][head], &keys[other][source]) / (HEAD as f64).sqrt()));
            let values = &values;
            (0..HEAD).map(move |part| {
                weights.iter().zip(values).map(|(weight, row)| weight * row[source * HEAD + part]).sum()
            })
        });
        heads.collect::<Vec<f64>>()
    });
    each(&seen.collect(), |row| times(of("self_attn.o_proj"), row))
}

fn mlp<'w>(row: &[f64], of: impl Fn(&str) -> &'w [f32]) -> Vec<f64> {
    let (gate, up) = (times(of("mlp.gate_proj"), row), times(of("mlp.up_proj"), row));
    let inner: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    times(of("mlp.down_proj"), &inner)
}

/// Each half of a head turns with the other, by its token's place.
fn turn(head: &[f64], place: usize) -> Vec<f64> {
    let half = HEAD / 2;
    let turned = |at: usize| {
        let angle = place as f64 / ROPE.powf(2.0 * (at % half) as f64 / HEAD as f64);
        let other = if at < half { -head[at + half] } else { head[at - half] };
        head[at] * angle.cos() + other * angle.sin()
    };
    (0..HEAD).map(turned).collect()
}

fn norm(row: &[f64], weights: &[f32]) -> Vec<f64> {
    let scale = (dot(row, row) / row.len() as f64 + EPSILON).sqrt();
    row.iter().zip(weights).map(|(value, weight)| value / scale * f64::from(*weight)).collect()
}

fn softmax(scores: impl Iterator<Item = f64>) -> Vec<f64> {
    let weights: Vec<f64> = scores.map(f64::exp).collect();
    let all: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / all).collect()
}

/// A matrix by its rows, times a column.
fn times(matrix: &[f32], column: &[f64]) -> Vec<f64> {
    matrix
        .chunks(column.len())
        .map(|row| row.iter().zip(column).map(|(one, two)| f64::from(*one) * two).sum())
        .collect()
}

fn dot(one: &[f64], two: &[f64]) -> f64 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

fn sum(one: &Rows, two: &Rows) -> Rows {
    let add = |(one, two): (&Vec<f64>, &Vec<f64>)| one.iter().zip(two).map(|(one, two)| one + two).collect();
    one.iter().zip(two).map(add).collect()
}

fn each(rows: &Rows, make: impl Fn(&[f64]) -> Vec<f64>) -> Rows {
    rows.iter().map(|row| make(row)).collect()
}
