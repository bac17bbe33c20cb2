//! The check finds mistral.rs's mixed batches on a CPU, and nothing where each sequence has a copy of its own.

use std::path::PathBuf;

use engine::{
    Device, LoadError, Mistralrs,
    check::{self, Manner, TOLERANCE, kept_apart},
};

fn tiny(slots: usize) -> Mistralrs {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    Mistralrs { slots: Some(slots), device: Device::Cpu, ..Mistralrs::folder(folder.to_string_lossy()) }
}

async fn mixed(manner: Manner) -> check::Error {
    let engine = engine::load_mixing(&tiny(8)).await.expect("the bundled model loads");
    kept_apart(&*engine, manner).await.expect_err("mistral.rs mixes up what decodes in one batch on a CPU")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_batch_is_found_by_its_tokens() {
    let told = mixed(Manner::Exact).await.to_string();
    assert!(told.starts_with("sequences are mixed up: prompt ") && told.contains("together"), "{told}");
}

/// As on a GPU, where the last bits of right answers differ.
#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_batch_is_found_by_its_log_probabilities() {
    let told = mixed(Manner::Within(TOLERANCE)).await.to_string();
    assert!(told.starts_with("sequences are mixed up: prompt ") && told.contains("log probability"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_keep_sequences_apart() -> Result<(), LoadError> {
    let engine = engine::load(&tiny(2).into()).await?;
    assert_eq!(Manner::of(&engine.about()), Manner::Exact);
    for manner in [Manner::Exact, Manner::Within(1e-4)] {
        let report = kept_apart(&*engine, manner).await.unwrap_or_else(|error| panic!("{manner:?}: {error:?}"));
        assert!(report.prompts == 64 && report.tokens > 64 * 20, "{report:?}");
    }
    Ok(())
}
