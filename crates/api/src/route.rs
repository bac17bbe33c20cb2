//! What is where. The door's router is built from this list, its clients' addresses are, and so is the document.
use domain::submission::Order;
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
    Alive,
    Ready,
    Metrics,
    OpenApi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE", const_into_str)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl Route {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// With `{id}` where a job or an entry is named.
    pub const fn path(self) -> &'static str {
        match self {
            Self::About => "/",
            Self::Jobs | Self::Submit => "/jobs",
            Self::Start => "/start",
            Self::Job | Self::Delete => "/jobs/{id}",
            Self::Results => "/jobs/{id}/results",
            Self::Errors => "/jobs/{id}/errors",
            Self::Events => "/jobs/{id}/events",
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
            Self::Alive => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
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
            | Self::DeadList
            | Self::Dead
            | Self::Alive
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi => Method::Get,
            Self::Submit
            | Self::Start
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Deadline
            | Self::Priority
            | Self::Retry
            | Self::Keep
            | Self::Replay => Method::Post,
            Self::Delete | Self::DropDead => Method::Delete,
        }
    }

    pub const fn order(order: Order) -> Self {
        match order {
            Order::Cancel => Self::Cancel,
            Order::Pause => Self::Pause,
            Order::Resume => Self::Resume,
            Order::Deadline => Self::Deadline,
            Order::Priority => Self::Priority,
            Order::Retry => Self::Retry,
            Order::Delete => Self::Delete,
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
        for order in Order::ALL.iter().copied().filter(|order| *order != Order::Delete) {
            let route = Route::order(order);
            assert_eq!((route.method(), route.path()), (Method::Post, &*format!("/jobs/{{id}}/{}", order.as_str())));
        }
    }
}
