//! A world in which jobs run on the real scheduler, and the real forecast is held against what happens. Time is counted, and
//! nobody sleeps. One seed is one world.
// The example and the tests each use a part.
#![allow(dead_code)]
pub mod chance;
pub mod engine;
mod fate;
pub mod head;
pub mod run;
pub mod score;
pub mod workload;
