//! Times and memory as they were measured, sorted: what the tables and plots of them show.

use super::wording::Lang;
use crate::gate::file::{EvidenceFile, ReportFile};
use crate::metric::cost::ForcedCost;
use crate::record::{MemoryRun, NaturalTimes, RunRecord};
use crate::units::Bytes;

/// A time of one output in milliseconds, where it has one.
type OfTimes = fn(&NaturalTimes) -> Option<f64>;

const NS_PER_MS: f64 = 1e6;

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A time by its metric id, taken on the forced lane.
    Forced(&'static str),
    /// A time by its metric id, of an output written alone.
    Natural(&'static str),
    /// Resident memory in a phase, by its place in `load, peak, anonymous, file-backed`.
    Memory(usize),
}

/// One time or memory figure in both roles.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// What it is.
    pub measure: Measure,
    /// Unit of the values: `ms` or `bytes`.
    pub unit: &'static str,
    /// `[baseline, candidate]`, each sorted; empty where nothing was measured.
    pub values: [Vec<f64>; 2],
}

impl Cost {
    /// Its name: a metric id, or a phase of memory in words.
    pub fn name(&self, lang: Lang) -> String {
        match self.measure {
            Measure::Forced(id) | Measure::Natural(id) => id.to_owned(),
            Measure::Memory(phase) => lang.words().plots.phases[phase].to_owned(),
        }
    }

    /// Whether it is memory.
    pub fn is_memory(&self) -> bool {
        matches!(self.measure, Measure::Memory(_))
    }

    /// Smallest, median and largest value of a role, 0 being the baseline; `None` without any.
    ///
    /// Of an even number of values the median is the lower of the two in the middle: a value that
    /// was measured.
    pub fn ends(&self, role: usize) -> Option<[f64; 3]> {
        let values = &self.values[role];
        let (first, last) = (values.first()?, values.last()?);
        Some([*first, values[(values.len() - 1) / 2], *last])
    }
}

/// Every figure that at least one role has a value of; empty when nothing was run.
pub fn of(file: &ReportFile) -> Vec<Cost> {
    let Some(evidence) = &file.evidence else {
        return Vec::new();
    };
    let forced = [
        ("cpu_ms_per_token", ForcedCost::CpuPerToken),
        ("wall_ms_per_token", ForcedCost::WallPerToken),
        ("prefill_cpu_ms_per_token", ForcedCost::PrefillCpuPerToken),
    ];
    let forced = forced.map(|(id, cost)| {
        let values = roles(evidence, |record| {
            let segments = cost.segments(record).flatten();
            segments.filter_map(|it| cost.ms_per_token(it)).collect()
        });
        (Measure::Forced(id), "ms", values)
    });
    let natural: [(&str, OfTimes); 3] = [
        ("ttft_ms", |times| Some(times.ttft_ns as f64 / NS_PER_MS)),
        ("tpot_ms", |times| {
            let n = times.itl_ns.len();
            let total: u64 = times.itl_ns.iter().sum();
            (n > 0).then(|| total as f64 / NS_PER_MS / n as f64)
        }),
        ("e2e_ms", |times| Some(times.e2e_ns as f64 / NS_PER_MS)),
    ];
    let natural = natural.map(|(id, time)| {
        let values = roles(evidence, |record| {
            let times = record.outputs.iter().filter_map(|it| it.times.as_ref());
            times.filter_map(time).collect()
        });
        (Measure::Natural(id), "ms", values)
    });
    let load = roles(evidence, |record| {
        let runs = record.memory.iter();
        runs.map(|run| run.load_ns as f64 / NS_PER_MS).collect()
    });
    let memory: [fn(&MemoryRun) -> Bytes; 4] = [
        |run| run.load_peak_bytes,
        |run| run.peak_bytes,
        |run| run.anon_bytes,
        |run| run.file_bytes,
    ];
    let memory = memory.into_iter().enumerate().map(|(phase, bytes)| {
        let values = roles(evidence, |record| {
            record
                .memory
                .iter()
                .map(|run| bytes(run).0 as f64)
                .collect()
        });
        (Measure::Memory(phase), "bytes", values)
    });
    let load = [(Measure::Natural("load_ms"), "ms", load)];
    let all = forced.into_iter().chain(natural).chain(load).chain(memory);
    let costs = all.map(|(measure, unit, values)| Cost {
        measure,
        unit,
        values,
    });
    costs
        .filter(|cost| cost.values.iter().any(|values| !values.is_empty()))
        .collect()
}

fn roles(evidence: &EvidenceFile, of: impl Fn(&RunRecord) -> Vec<f64>) -> [Vec<f64>; 2] {
    [&evidence.baseline_record, &evidence.candidate_record].map(|record| {
        let mut values = of(record);
        values.sort_by(f64::total_cmp);
        values
    })
}
