//! A real engine with a known harm, so that the gate can be shown to notice.
//!
//! The harm is physical: memory is touched, work is done, the process really dies. Records made
//! with one are marked by the caller and never earn a verdict that counts.

use std::fmt;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use super::{Engine, Error, Rewind};
use crate::model::Numerics;

/// Memory is touched once per this many bytes: the smallest page size of the platforms supported.
const PAGE_BYTES: usize = 4096;
const MIB: usize = 1 << 20;
/// Calls before a transient: behind the first steps of an engine, well before the end of an output.
const CALM_CALLS: u64 = 12;

/// What is wrong with a planted engine. Calls are those of `feed` and `feed_all` together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// `panic@N`: panics in the call after N good ones.
    PanicAfter(u64),
    /// `hang@N`: never returns from the call after N good ones.
    HangAfter(u64),
    /// `abort@N`: ends the process in the call after N good ones.
    AbortAfter(u64),
    /// `nan@N`: the first logit is NaN in every call after N good ones.
    NanAfter(u64),
    /// `slow:P`: computes P percent of all tokens a second time.
    Slow {
        /// Extra work, in percent of the tokens fed.
        percent: u32,
    },
    /// `ballast:M`: holds M MiB of touched memory.
    Ballast {
        /// Its size.
        mib: u32,
    },
    /// `transient:M`: touches M MiB for a millisecond, once, after some calm calls.
    Transient {
        /// Its size.
        mib: u32,
    },
}

/// A name that is no harm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a harm, expected panic@N, hang@N, abort@N, nan@N, slow:PERCENT, ballast:MIB or transient:MIB"
)]
pub struct UnknownHarm {
    /// The text given.
    pub found: String,
}

/// A harm that an engine cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "harm `{harm}` computes tokens again, which this model's engine cannot: it takes none back"
)]
pub struct NotPlantable {
    /// The harm.
    pub harm: Harm,
}

impl FromStr for Harm {
    type Err = UnknownHarm;

    fn from_str(text: &str) -> Result<Self, UnknownHarm> {
        let unknown = || UnknownHarm {
            found: text.to_owned(),
        };
        let (name, number) = text.split_once(['@', ':']).ok_or_else(unknown)?;
        let mark = &text[name.len()..=name.len()];
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(unknown());
        }
        let calls = || number.parse().map_err(|_| unknown());
        let amount = || number.parse().map_err(|_| unknown());
        match (name, mark) {
            ("panic", "@") => calls().map(Self::PanicAfter),
            ("hang", "@") => calls().map(Self::HangAfter),
            ("abort", "@") => calls().map(Self::AbortAfter),
            ("nan", "@") => calls().map(Self::NanAfter),
            ("slow", ":") => amount().map(|percent| Self::Slow { percent }),
            ("ballast", ":") => amount().map(|mib| Self::Ballast { mib }),
            ("transient", ":") => amount().map(|mib| Self::Transient { mib }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PanicAfter(n) => write!(f, "panic@{n}"),
            Self::HangAfter(n) => write!(f, "hang@{n}"),
            Self::AbortAfter(n) => write!(f, "abort@{n}"),
            Self::NanAfter(n) => write!(f, "nan@{n}"),
            Self::Slow { percent } => write!(f, "slow:{percent}"),
            Self::Ballast { mib } => write!(f, "ballast:{mib}"),
            Self::Transient { mib } => write!(f, "transient:{mib}"),
        }
    }
}

/// An engine with a harm added to it.
pub struct Planted {
    inner: Box<dyn Engine>,
    harm: Harm,
    /// Calls that began.
    calls: u64,
    /// Extra work owed, in hundredths of a token.
    debt: u64,
    /// Logits with a NaN, where the harm needs them.
    spoilt: Vec<f32>,
    ballast: Vec<u8>,
}

impl Planted {
    /// Plants `harm` in `inner`.
    ///
    /// # Errors
    /// [`NotPlantable`] for [`Harm::Slow`] in an engine that cannot take tokens back.
    pub fn new(mut inner: Box<dyn Engine>, harm: Harm) -> Result<Self, NotPlantable> {
        if matches!(harm, Harm::Slow { .. }) && inner.as_rewind().is_none() {
            return Err(NotPlantable { harm });
        }
        let spoilt = match harm {
            Harm::NanAfter(_) => vec![0.0; inner.vocab_size()],
            _ => Vec::new(),
        };
        let ballast = match harm {
            Harm::Ballast { mib } => touched(mib as usize * MIB),
            _ => Vec::new(),
        };
        Ok(Self {
            inner,
            harm,
            calls: 0,
            debt: 0,
            spoilt,
            ballast,
        })
    }

    /// Memory held for nothing, in bytes.
    pub fn ballast_bytes(&self) -> usize {
        self.ballast.len()
    }

    /// Counts a call and does the harm that comes before it.
    ///
    /// # Panics
    /// When that is the harm.
    fn before(&mut self) {
        let n_good = self.calls;
        self.calls += 1;
        match self.harm {
            Harm::PanicAfter(n) => assert!(n_good < n, "planted panic after {n} calls"),
            Harm::HangAfter(n) if n_good >= n => loop {
                thread::sleep(Duration::from_secs(3600));
            },
            Harm::AbortAfter(n) if n_good >= n => std::process::abort(),
            Harm::Transient { mib } if n_good == CALM_CALLS => {
                let memory = touched(mib as usize * MIB);
                thread::sleep(Duration::from_millis(1));
                drop(memory);
            }
            Harm::HangAfter(_)
            | Harm::AbortAfter(_)
            | Harm::NanAfter(_)
            | Harm::Slow { .. }
            | Harm::Ballast { .. }
            | Harm::Transient { .. } => {}
        }
    }

    /// Takes back the last tokens.
    fn rewind(&mut self, tokens: usize) {
        let inner: Option<&mut dyn Rewind> = self.inner.as_rewind();
        inner.expect("only such engines owe tokens").rewind(tokens);
    }

    /// Whole tokens to compute again after `n` tokens, now taken from the debt.
    fn owed(&mut self, n: usize) -> usize {
        let Harm::Slow { percent } = self.harm else {
            return 0;
        };
        self.debt += n as u64 * u64::from(percent);
        let tokens = self.debt / 100;
        self.debt %= 100;
        usize::try_from(tokens).expect("less than the context times a share")
    }

    fn is_spoilt(&self) -> bool {
        matches!(self.harm, Harm::NanAfter(n) if self.calls > n)
    }
}

impl Engine for Planted {
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    fn context_limit(&self) -> usize {
        self.inner.context_limit()
    }

    fn numerics(&self) -> Numerics {
        self.inner.numerics()
    }

    fn position(&self) -> usize {
        self.inner.position()
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
        self.inner.reserve(tokens)
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.before();
        let mut owed = self.owed(ids.len());
        let mut piece = ids;
        while owed > 0 {
            self.inner.feed(piece)?;
            piece = &ids[ids.len() - owed.min(ids.len())..];
            self.rewind(piece.len());
            owed -= piece.len();
        }
        let is_spoilt = self.is_spoilt();
        let logits = self.inner.feed(piece)?;
        if !is_spoilt {
            return Ok(logits);
        }
        self.spoilt.copy_from_slice(logits);
        self.spoilt[0] = f32::NAN;
        Ok(&self.spoilt)
    }

    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.before();
        self.inner.feed_all(ids, logits)?;
        let mut owed = self.owed(ids.len());
        while owed > 0 {
            let piece = &ids[ids.len() - owed.min(ids.len())..];
            self.rewind(piece.len());
            self.inner.feed(piece)?;
            owed -= piece.len();
        }
        if self.is_spoilt() {
            logits[0] = f32::NAN;
        }
        Ok(())
    }
}

/// Memory whose pages are all in use.
fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0; bytes];
    for page in memory.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    // Without this the optimiser may see that nobody reads the memory.
    std::hint::black_box(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BitNet, check_finite, conformance};
    use crate::model::synthetic::{Spec, synthetic};

    fn planted(harm: &str) -> Planted {
        let spec = Spec {
            n_layers: 1,
            vocab_size: 64,
            max_positions: 100,
            ..Spec::SMALL
        };
        let (config, weights) = synthetic(spec, 3);
        Planted::new(
            Box::new(BitNet::new(&config, weights)),
            harm.parse().unwrap(),
        )
        .unwrap()
    }

    /// Counts the tokens that reach the engine inside.
    struct Counting(BitNet, std::rc::Rc<std::cell::Cell<usize>>);

    impl Engine for Counting {
        fn vocab_size(&self) -> usize {
            self.0.vocab_size()
        }
        fn context_limit(&self) -> usize {
            self.0.context_limit()
        }
        fn position(&self) -> usize {
            self.0.position()
        }
        fn reset(&mut self) {
            self.0.reset();
        }
        fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
            self.0.reserve(tokens)
        }
        fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
            self.1.set(self.1.get() + ids.len());
            self.0.feed(ids)
        }
        fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
            self.1.set(self.1.get() + ids.len());
            self.0.feed_all(ids, logits)
        }
        fn as_rewind(&mut self) -> Option<&mut dyn Rewind> {
            Some(self)
        }
    }

    impl Rewind for Counting {
        fn rewind(&mut self, tokens: usize) {
            self.0.rewind(tokens);
        }
    }

    #[test]
    fn names_are_read_back_as_printed() {
        for name in [
            "panic@40",
            "hang@0",
            "abort@1",
            "nan@7",
            "slow:30",
            "ballast:64",
            "transient:64",
        ] {
            assert_eq!(name.parse::<Harm>().unwrap().to_string(), name);
        }
        for name in [
            "panic",
            "panic:40",
            "slow@30",
            "slow:-3",
            "slow:+3",
            "slow:",
            "ballast:x",
            "",
        ] {
            let error = name.parse::<Harm>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is not a harm, expected panic@N")));
        }
    }

    #[test]
    fn a_harm_far_away_or_beside_the_results_conforms() {
        for harm in [
            "panic@100000",
            "nan@100000",
            "slow:0",
            "slow:30",
            "slow:250",
            "ballast:1",
            "transient:1",
        ] {
            conformance::check_all(&mut planted(harm));
        }
    }

    #[test]
    fn a_slow_engine_does_the_extra_work() {
        for (percent, expected) in [(0, 20), (30, 26), (250, 70)] {
            let (config, weights) = synthetic(
                Spec {
                    n_layers: 1,
                    ..Spec::SMALL
                },
                3,
            );
            let count = std::rc::Rc::default();
            let inner = Counting(BitNet::new(&config, weights), std::rc::Rc::clone(&count));
            let mut engine = Planted::new(Box::new(inner), Harm::Slow { percent }).unwrap();
            engine.feed(&[1; 10]).unwrap();
            (0..10).for_each(|id| assert!(engine.feed(&[id]).is_ok()));
            assert_eq!((count.get(), engine.position()), (expected, 20));
        }
    }

    #[test]
    #[should_panic(expected = "planted panic after 2 calls")]
    fn a_panicking_engine_panics_after_its_good_calls() {
        let mut engine = planted("panic@2");
        for id in 0..3 {
            engine.feed(&[id]).unwrap();
            assert!(id < 2);
        }
    }

    #[test]
    fn a_nan_is_planted_after_the_good_calls() {
        let mut engine = planted("nan@1");
        assert!(check_finite(engine.feed(&[1]).unwrap(), 0).is_ok());
        let error = check_finite(engine.feed(&[1]).unwrap(), 1).unwrap_err();
        assert!(matches!(
            error,
            Error::NotFinite {
                position: 1,
                index: 0,
                ..
            }
        ));
    }

    #[test]
    fn ballast_is_held() {
        assert_eq!(planted("ballast:2").ballast_bytes(), 2 << 20);
    }
}
