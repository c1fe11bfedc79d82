//! Mathematics of the gate: estimates with honest bounds from paired samples.
//!
//! In: plain numbers. Out: an [`Estimate`], a bound, or the named reason why there is none.
//! Knows nothing of models, scenes or clocks, and imports nothing of the crate.
//!
//! Every bound here is one-sided: it misses the truth with probability at most its `alpha`. Too
//! little data is an error, never an interval of width zero.

pub mod betting;
pub mod bounded;
pub mod changepoint;
pub mod cluster;
pub mod distribution;
mod error;
pub mod mean;
pub mod multiplicity;
pub mod paired_proportion;
pub mod power;
pub mod proportion;
pub mod quantile;
pub mod rank;
pub mod resample;
pub mod rng;
pub mod sample;
pub mod sequential;
pub mod signed_rank;
mod sum;

pub use error::Error;
pub use sample::{PairedSample, SampleError};

/// How an [`Estimate`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Mean with Student's t bounds; see [`mean`].
    StudentT,
    /// Mean with bounds that need no spread; see [`bounded`].
    LargestSeen,
    /// Mean of a sample without any loss: the loss side as for [`Method::LargestSeen`], the gain
    /// side as for [`Method::StudentT`].
    NoLoss,
    /// Share of successes with exact bounds; see [`proportion`].
    ClopperPearson,
    /// Mean with the wider of Student's t and studentised bootstrap bounds; see
    /// [`bounded::cautious_loss`].
    TOrBootstrap,
    /// Mean of clustered values with Student's t bounds over clusters; see [`cluster`].
    ClusteredT,
    /// Mean with studentised bootstrap bounds; see [`resample::studentised`].
    StudentisedBootstrap,
    /// Mean with BCa bootstrap bounds; see [`resample::bca`].
    Bca,
    /// Mean with percentile bootstrap bounds; see [`resample::percentile`].
    Percentile,
    /// Mean with bounds by betting; see [`betting`].
    Betting,
    /// Hodges–Lehmann estimate with exact bounds; see [`rank::walsh_estimate`].
    WalshAverages,
    /// Difference of paired proportions with score bounds; see [`paired_proportion`].
    Tango,
    /// Sample quantile with order statistics as bounds; see [`quantile::estimate`].
    OrderStatistic,
}

impl Method {
    /// Stable name, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::StudentT => "student-t",
            Self::LargestSeen => "largest-seen",
            Self::NoLoss => "no-loss",
            Self::ClopperPearson => "clopper-pearson",
            Self::TOrBootstrap => "student-t-or-bootstrap",
            Self::ClusteredT => "clustered-t",
            Self::StudentisedBootstrap => "studentised-bootstrap",
            Self::Bca => "bca-bootstrap",
            Self::Percentile => "percentile-bootstrap",
            Self::Betting => "betting",
            Self::WalshAverages => "walsh-averages",
            Self::Tango => "tango",
            Self::OrderStatistic => "order-statistic",
        }
    }
}

/// A point and its two one-sided bounds, all from the same estimator.
///
/// `low <= point <= high` always holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimated value, in the unit of the sample.
    pub point: f64,
    /// One-sided lower bound: above the truth with probability at most `alpha`.
    pub low: f64,
    /// One-sided upper bound: below the truth with probability at most `alpha`.
    pub high: f64,
    /// Error rate of each bound by itself, in (0, 1). Together they cover 1 − 2·`alpha`.
    pub alpha: f64,
    /// Units of inference behind it: scenes for outputs, launches for times.
    pub n: usize,
    /// How it was made.
    pub method: Method,
}

impl Estimate {
    /// The same estimate after an increasing map of its scale, e.g. from log ratios to percent.
    #[must_use]
    pub fn map(self, increasing: impl Fn(f64) -> f64) -> Self {
        Self {
            point: increasing(self.point),
            low: increasing(self.low),
            high: increasing(self.high),
            ..self
        }
    }

    /// The estimate of the negated quantity: the bounds change places.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            point: -self.point,
            low: -self.high,
            high: -self.low,
            ..self
        }
    }
}

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod properties;
