//! The three passes of a run, each a method of `Run`.

mod calibrate;
mod latency;
mod memory;
mod outputs;

pub(super) use calibrate::SegmentSizes;
