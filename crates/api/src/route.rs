//! What is where. The door's router is built from this list, its clients' addresses are, and so is the document.
use domain::{audit::What, command::CommandKind, health::Order, key::Role};
use std::fmt::Display;
use strum::{IntoStaticStr, VariantArray};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum Route {
    About,
    Jobs,
    Submit,
    Start,
    Job,
    Delete,
    Results,
    Errors,
    Events,
    Timeline,
    Cancel,
    Pause,
    Resume,
    Deadline,
    Priority,
    Retry,
    Keep,
    DeadList,
    Dead,
    DropDead,
    Replay,
    Live,
    Workers,
    Drain,
    Quarantine,
    Trust,
    Alive,
    Ready,
    Metrics,
    OpenApi,
    Files,
    CreateFile,
    File,
    DeleteFile,
    FileContent,
    Batches,
    CreateBatch,
    Batch,
    CancelBatch,
    Models,
    Model,
    Chat,
    Completions,
    Embeddings,
    CreateUpload,
    AddPart,
    CompleteUpload,
    CancelUpload,
    Keys,
    CreateKey,
    Key,
    RevokeKey,
    RotateKey,
    Limits,
    TenantLimits,
    SetLimits,
    Usage,
    Audit,
    Whoami,
    SignIn,
    SignOut,
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anybody.
    Open,
    /// Whoever has a key.
    Key,
    /// Whoever has a key that allows this.
    Role(Role),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE", const_into_str)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Route {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// With `{id}` where a job, an entry, a worker or a tenant is named.
    pub const fn path(self) -> &'static str {
        match self {
            Self::About => "/",
            Self::Jobs | Self::Submit => "/jobs",
            Self::Start => "/start",
            Self::Job | Self::Delete => "/jobs/{id}",
            Self::Results => "/jobs/{id}/results",
            Self::Errors => "/jobs/{id}/errors",
            Self::Events => "/jobs/{id}/events",
            Self::Timeline => "/jobs/{id}/timeline",
            Self::Cancel => "/jobs/{id}/cancel",
            Self::Pause => "/jobs/{id}/pause",
            Self::Resume => "/jobs/{id}/resume",
            Self::Deadline => "/jobs/{id}/deadline",
            Self::Priority => "/jobs/{id}/priority",
            Self::Retry => "/jobs/{id}/retry",
            Self::Keep => "/files",
            Self::DeadList => "/dead",
            Self::Dead | Self::DropDead => "/dead/{id}",
            Self::Replay => "/dead/{id}/replay",
            Self::Live => "/events",
            Self::Workers => "/workers",
            Self::Drain => "/workers/{id}/drain",
            Self::Quarantine => "/workers/{id}/quarantine",
            Self::Trust => "/workers/{id}/trust",
            Self::Alive => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Files | Self::CreateFile => "/v1/files",
            Self::File | Self::DeleteFile => "/v1/files/{id}",
            Self::FileContent => "/v1/files/{id}/content",
            Self::Batches | Self::CreateBatch => "/v1/batches",
            Self::Batch => "/v1/batches/{id}",
            Self::CancelBatch => "/v1/batches/{id}/cancel",
            Self::Models => "/v1/models",
            Self::Model => "/v1/models/{id}",
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::CreateUpload => "/v1/uploads",
            Self::AddPart => "/v1/uploads/{id}/parts",
            Self::CompleteUpload => "/v1/uploads/{id}/complete",
            Self::CancelUpload => "/v1/uploads/{id}/cancel",
            Self::Keys | Self::CreateKey => "/keys",
            Self::Key | Self::RevokeKey => "/keys/{id}",
            Self::RotateKey => "/keys/{id}/rotate",
            Self::Limits => "/limits",
            Self::TenantLimits | Self::SetLimits => "/limits/{id}",
            Self::Usage => "/usage",
            Self::Audit => "/audit",
            Self::Whoami => "/whoami",
            Self::SignIn | Self::SignOut => "/session",
        }
    }

    pub const fn method(self) -> Method {
        match self {
            Self::About
            | Self::Jobs
            | Self::Job
            | Self::Results
            | Self::Errors
            | Self::Events
            | Self::Timeline
            | Self::DeadList
            | Self::Dead
            | Self::Live
            | Self::Workers
            | Self::Alive
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Files
            | Self::File
            | Self::FileContent
            | Self::Batches
            | Self::Batch
            | Self::Models
            | Self::Model
            | Self::Keys
            | Self::Key
            | Self::Limits
            | Self::TenantLimits
            | Self::Usage
            | Self::Audit
            | Self::Whoami => Method::Get,
            Self::Submit
            | Self::Start
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Deadline
            | Self::Priority
            | Self::Retry
            | Self::Keep
            | Self::Replay
            | Self::Drain
            | Self::Quarantine
            | Self::Trust
            | Self::CreateFile
            | Self::CreateBatch
            | Self::CancelBatch
            | Self::Chat
            | Self::Completions
            | Self::Embeddings
            | Self::CreateUpload
            | Self::AddPart
            | Self::CompleteUpload
            | Self::CancelUpload
            | Self::CreateKey
            | Self::RotateKey
            | Self::SignIn => Method::Post,
            Self::SetLimits => Method::Put,
            Self::Delete | Self::DropDead | Self::DeleteFile | Self::RevokeKey | Self::SignOut => Method::Delete,
        }
    }

    /// Who is let in. Whose jobs he sees there is another question: those of his key's tenant, everywhere.
    pub const fn access(self) -> Access {
        match self {
            Self::About | Self::Alive | Self::Ready | Self::OpenApi | Self::SignIn | Self::SignOut => Access::Open,
            Self::Models | Self::Model | Self::Whoami => Access::Key,
            Self::Jobs
            | Self::Job
            | Self::Results
            | Self::Errors
            | Self::Events
            | Self::Timeline
            | Self::DeadList
            | Self::Dead
            | Self::Live
            | Self::Files
            | Self::File
            | Self::FileContent
            | Self::Batches
            | Self::Batch
            | Self::Usage => Access::Role(Role::Read),
            Self::Submit
            | Self::Start
            | Self::Delete
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Deadline
            | Self::Priority
            | Self::Retry
            | Self::Keep
            | Self::DropDead
            | Self::Replay
            | Self::CreateFile
            | Self::DeleteFile
            | Self::CreateBatch
            | Self::CancelBatch
            | Self::Chat
            | Self::Completions
            | Self::Embeddings
            | Self::CreateUpload
            | Self::AddPart
            | Self::CompleteUpload
            | Self::CancelUpload => Access::Role(Role::Submit),
            Self::Workers | Self::Drain | Self::Quarantine | Self::Trust | Self::Metrics => Access::Role(Role::Operate),
            Self::Keys
            | Self::CreateKey
            | Self::Key
            | Self::RevokeKey
            | Self::RotateKey
            | Self::Limits
            | Self::TenantLimits
            | Self::SetLimits
            | Self::Audit => Access::Role(Role::Admin),
        }
    }

    /// What is recorded of who uses it, where that did something.
    pub const fn audited(self) -> Option<What> {
        Some(match self {
            Self::Submit | Self::Start | Self::CreateBatch | Self::Chat | Self::Completions | Self::Embeddings => {
                What::Submit
            }
            Self::Cancel | Self::CancelBatch => What::Cancel,
            Self::Pause => What::Pause,
            Self::Resume => What::Resume,
            Self::Deadline => What::Deadline,
            Self::Priority => What::Priority,
            Self::Retry => What::Retry,
            Self::Delete => What::Delete,
            Self::Results | Self::Errors | Self::FileContent => What::Download,
            Self::Keep | Self::CreateFile | Self::CompleteUpload => What::Upload,
            Self::DeleteFile => What::DeleteFile,
            Self::Replay => What::ReplayDead,
            Self::DropDead => What::DropDead,
            Self::CreateKey => What::CreateKey,
            Self::RotateKey => What::RotateKey,
            Self::RevokeKey => What::RevokeKey,
            Self::SetLimits => What::SetLimits,
            Self::Drain => What::DrainWorker,
            Self::Quarantine => What::QuarantineWorker,
            Self::Trust => What::TrustWorker,
            Self::About
            | Self::Jobs
            | Self::Job
            | Self::Events
            | Self::Timeline
            | Self::DeadList
            | Self::Dead
            | Self::Live
            | Self::Workers
            | Self::Alive
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Files
            | Self::File
            | Self::Batches
            | Self::Batch
            | Self::Models
            | Self::Model
            | Self::CreateUpload
            | Self::AddPart
            | Self::CancelUpload
            | Self::Keys
            | Self::Key
            | Self::Limits
            | Self::TenantLimits
            | Self::Usage
            | Self::Audit
            | Self::Whoami
            | Self::SignIn
            | Self::SignOut => return None,
        })
    }

    pub const fn command(kind: CommandKind) -> Self {
        match kind {
            CommandKind::Cancel => Self::Cancel,
            CommandKind::Pause => Self::Pause,
            CommandKind::Resume => Self::Resume,
            CommandKind::Deadline => Self::Deadline,
            CommandKind::Priority => Self::Priority,
            CommandKind::Retry => Self::Retry,
            CommandKind::Delete => Self::Delete,
        }
    }

    pub const fn order(order: Order) -> Self {
        match order {
            Order::Drain => Self::Drain,
            Order::Quarantine => Self::Quarantine,
            Order::Trust => Self::Trust,
        }
    }

    /// Its path for one job, or one entry. What is not an id is to be escaped by the caller.
    pub fn of(self, id: impl Display) -> String {
        self.path().replace("{id}", &id.to_string())
    }

    pub fn has_id(self) -> bool {
        self.path().contains("{id}")
    }
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_route_is_there_once() {
        let seen: HashSet<_> = Route::ALL.iter().map(|route| (route.method(), route.path())).collect();
        assert_eq!(seen.len(), Route::ALL.len());
        for kind in CommandKind::ALL.iter().copied().filter(|kind| *kind != CommandKind::Delete) {
            let route = Route::command(kind);
            assert_eq!((route.method(), route.path()), (Method::Post, &*format!("/jobs/{{id}}/{}", kind.as_str())));
        }
        for order in Order::ALL.iter().copied() {
            let route = Route::order(order);
            assert_eq!((route.method(), route.path()), (Method::Post, &*format!("/workers/{{id}}/{}", order.as_str())));
        }
    }
}
