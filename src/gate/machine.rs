//! What the report says about the machine, as it is saved.

use serde::{Deserialize, Serialize};

use super::health::{self, Severity};
use crate::metric::cost::ForcedCost;
use crate::record::RunRecord;

/// How far the machine let times be judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFile {
    /// What spoke against it; empty on a quiet machine.
    pub flags: Vec<FlagFile>,
    /// What the baseline beside itself showed; empty without control launches.
    pub noise_floor: Vec<FloorFile>,
}

/// A flag as it is saved; fields as in [`health::Flag`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagFile {
    /// Short name.
    pub name: String,
    /// `design` or `noise`.
    pub severity: SeverityFile,
    /// The one metric it is about; absent for all times of launches.
    pub metric: Option<String>,
    /// One sentence with the figure and the allowance.
    pub text: String,
}

/// A severity as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeverityFile {
    /// As [`Severity::Design`].
    Design,
    /// As [`Severity::Noise`].
    Noise,
}

/// Ratio of a time where nothing differs, minus 1, with a 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorFile {
    /// Metric id.
    pub metric: String,
    /// The ratio seen, minus 1.
    pub change: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Control launches.
    pub n: usize,
}

impl MachineFile {
    /// What two records say of the machine.
    pub fn of(baseline: &RunRecord, candidate: &RunRecord) -> Self {
        let flags = health::flags(baseline, candidate).into_iter();
        let floor = |(cost, metric): (ForcedCost, &str)| {
            let floor = health::noise_floor(baseline, candidate, cost)?.map(f64::exp_m1);
            Some(FloorFile {
                metric: metric.to_owned(),
                change: floor.point,
                low: floor.low,
                high: floor.high,
                n: floor.n,
            })
        };
        Self {
            flags: flags
                .map(|flag| FlagFile {
                    name: flag.name.to_owned(),
                    severity: match flag.severity {
                        Severity::Design => SeverityFile::Design,
                        Severity::Noise => SeverityFile::Noise,
                    },
                    metric: flag.metric.map(str::to_owned),
                    text: flag.text,
                })
                .collect(),
            noise_floor: health::COSTS.into_iter().filter_map(floor).collect(),
        }
    }
}
