//! The four passes of a run, each a method of `Run`.

mod calibrate;
mod latency;
mod likelihood;
mod memory;
mod outputs;

pub(super) use calibrate::SegmentSizes;
