//! A second bucket beside one, for as long as somebody needs it.
use super::{ApplyError, Bucket, Bus};
use address::BucketName;

/// The stream of a bucket that no file describes.
pub(super) fn stream_of(subject: &str) -> Option<String> {
    let (bucket, _) = subject.strip_prefix("$KV.")?.split_once('.')?;
    Some(format!("KV_{bucket}"))
}

impl Bus {
    /// Makes an empty bucket with the settings of another one, in the place of what had its name.
    pub async fn copy_bucket(&self, of: BucketName, name: BucketName) -> Result<Bucket, ApplyError> {
        let failed = |reason: String| ApplyError::Create { what: format!("KV_{name}"), code: 0, reason };
        self.drop_bucket(name).await.map_err(&failed)?;
        let model = self.js().get_stream(format!("KV_{of}")).await.map_err(|error| failed(error.to_string()))?;
        let mut config = model.cached_info().config.clone();
        config.name = format!("KV_{name}");
        config.subjects = vec![format!("$KV.{name}.>")];
        config.description = Some(format!("A copy of the bucket '{of}' that may be deleted."));
        self.js().create_stream(config).await.map_err(|error| failed(error.to_string()))?;
        Ok(self.bucket(name))
    }

    /// Deletes a bucket; one that is absent already is fine. The reason if it stays.
    pub async fn drop_bucket(&self, name: BucketName) -> Result<(), String> {
        use async_nats::jetstream::{ErrorCode, context::DeleteStreamErrorKind as Kind};
        match self.js().delete_stream(format!("KV_{name}")).await {
            Err(error) => match error.kind() {
                Kind::JetStream(refusal) if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(()),
                _ => Err(error.to_string()),
            },
            Ok(_) => Ok(()),
        }
    }
}
