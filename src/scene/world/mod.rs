//! Generator 1: a seeded world, its detections as a noisy detector reports them, and what is
//! known about them because the world is known.
//!
//! In: a seed, a purpose, an index and a [`Profile`]. Out: a [`Staged`] scene without texts.
//! Scene `i` does not depend on how many are made, and equal arguments give equal bytes on every
//! machine: everything is drawn and placed in integers (see [`super::dice`]).

mod detector;
mod known;
pub mod prior;
mod track;

use super::analytic::Analytic;
use super::dice::Dice;
use super::facts::{KnownFacts, TimeBase};
use super::lexicon::BUILT_IN;
use crate::units::Sha256;

/// Things a detector may report that the lexicon does not know: in English and in Portuguese.
const UNKNOWN: [(&str, &str); 6] = [
    ("traffic cone", "cone de trânsito"),
    ("forklift", "empilhadeira"),
    ("drone", "drone"),
    ("wheelbarrow", "carriola"),
    ("ladder", "escada"),
    ("road barrier", "cavalete"),
];

/// What a scene is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plot {
    /// As the prior has it.
    Plain,
    /// Nothing happens; ghosts at most.
    Empty,
    /// People alone.
    People,
    /// Vehicles alone.
    Vehicles,
    /// Seven to ten of a kind at once, among others.
    Crowd,
    /// Five minutes to half an hour.
    Long,
    /// One or two short visits.
    Sparse,
    /// A detector with four times the errors.
    Noise,
}

/// What a scene is asked to be, so that every slice fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each trait is independent of the others"
)]
pub struct Profile {
    /// What it is about.
    pub plot: Plot,
    /// Times of day instead of times from the start.
    pub is_wallclock: bool,
    /// Labels in Portuguese.
    pub is_portuguese: bool,
    /// Events in no order.
    pub is_shuffled: bool,
    /// Holds a label that the lexicon does not know.
    pub has_unknown: bool,
    /// Filmed at night; the detections do not show it.
    pub is_night: bool,
}

impl Profile {
    /// A scene as the prior has it, sorted, with English labels and times from the start.
    pub const PLAIN: Self = Self {
        plot: Plot::Plain,
        is_wallclock: false,
        is_portuguese: false,
        is_shuffled: false,
        has_unknown: false,
        is_night: false,
    };

    /// Profile of scene `index`: plots in a fixed round of twenty, the rest drawn.
    ///
    /// # Panics
    /// Never: a remainder of twenty is an index.
    pub fn scheduled(seed: u64, purpose: &str, index: u64) -> Self {
        const ROUND: [Plot; 20] = [
            Plot::Empty,
            Plot::People,
            Plot::Vehicles,
            Plot::Crowd,
            Plot::Plain,
            Plot::Sparse,
            Plot::People,
            Plot::Noise,
            Plot::Plain,
            Plot::Long,
            Plot::Empty,
            Plot::Vehicles,
            Plot::Plain,
            Plot::Crowd,
            Plot::People,
            Plot::Sparse,
            Plot::Vehicles,
            Plot::Plain,
            Plot::Noise,
            Plot::Sparse,
        ];
        let at = usize::try_from(index % 20).expect("below 20");
        let mut dice = stream(seed, purpose, index, "profile");
        let plot = ROUND[at];
        Self {
            plot,
            is_wallclock: dice.chance(100),
            is_portuguese: dice.chance(100),
            is_shuffled: dice.chance(100),
            has_unknown: plot != Plot::Empty && dice.chance(70),
            is_night: dice.chance(150),
        }
    }

    fn is_noisy(self) -> bool {
        self.plot == Plot::Noise
    }

    /// Whether the detector reports nothing with confidence that is not there.
    fn is_calm(self) -> bool {
        matches!(self.plot, Plot::Empty | Plot::People | Plot::Vehicles)
    }
}

/// A scene of the world, without texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// What the detector reports.
    pub analytic: Analytic,
    /// How times in a text are meant.
    pub time_base: TimeBase,
    /// What is known beyond the detections.
    pub facts: KnownFacts,
    /// Labels of the tracks drawn by the prior: without companions, groups' further members and
    /// background.
    pub drawn: Vec<&'static str>,
}

/// The stream of one part of a scene.
pub fn stream(seed: u64, purpose: &str, index: u64, part: &str) -> Dice {
    Dice::stream(seed, &format!("{purpose}|{index}|{part}"))
}

/// Stages scene `index` of `purpose`.
///
/// Gives `None` when the detector's noise contradicts the world: more of a label reported at once
/// than there ever were. Such scenes are left out and counted; they are few.
///
/// # Panics
/// Never: a video of half an hour has fewer than 2^32 events.
pub fn stage(seed: u64, purpose: &str, index: u64, profile: Profile) -> Option<Staged> {
    let mut dice = stream(seed, purpose, index, "world");
    let world = track::world(&mut dice, profile);
    let mut dice = stream(seed, purpose, index, "detector");
    let watched = detector::watch(&mut dice, &world, profile);
    let facts = known::facts(&world, &watched)?;
    let mut dice = stream(seed, purpose, index, "file");
    let mut events: Vec<_> = watched
        .reports
        .into_iter()
        .map(|report| report.event)
        .collect();
    if profile.is_shuffled {
        for i in (1..events.len()).rev() {
            let j = dice.below(u32::try_from(i + 1).expect("videos have few events"));
            events.swap(i, j as usize);
        }
    }
    if profile.is_portuguese {
        for label in events.iter_mut().filter_map(|event| event.label.as_mut()) {
            *label = in_portuguese(label);
        }
    }
    let time_base = if profile.is_wallclock {
        let start_s = dice.below(24 * 60) * 60 + dice.below(60);
        TimeBase::WallClock { start_s }
    } else {
        TimeBase::Offset
    };
    let video = Sha256::of(format!("{seed}|{purpose}|{index}").as_bytes());
    let analytic = Analytic {
        source_video_path: format!("/videos/{purpose}-{index:05}.mp4"),
        source_video_hash_sha256: video.to_string(),
        processing_timestamp_utc: "2026-11-01T12:00:00Z".to_owned(),
        duration_seconds: world.duration_ms as f64 / 1000.0,
        frames_analyzed: Some(watched.n_frames),
        events,
    };
    Some(Staged {
        analytic,
        time_base,
        facts,
        drawn: world.drawn,
    })
}

fn in_portuguese(label: &str) -> String {
    let known = BUILT_IN.label(label).map(|label| label.canon[0].as_str());
    let unknown = || {
        UNKNOWN
            .iter()
            .find(|(english, _)| *english == label)
            .map(|pair| pair.1)
    };
    known.or_else(unknown).unwrap_or(label).to_owned()
}

#[cfg(test)]
mod tests;
