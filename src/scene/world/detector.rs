//! A noisy detector watches the world: misses, wrong labels, ghosts, flashes, faces.
//!
//! The rates are proposals; a real detector's errors replace them when they are known.

use super::super::analytic::Event;
use super::super::dice::{Dice, geometric};
use super::Profile;
use super::prior;
use super::track::{PICTURE, Place, Track, World};

/// Height in pixels below which confidence is poor.
const SMALL: i64 = 40;
/// Labels that are taken for one another, and for how many tracks in a thousand.
const CONFUSED: [(&str, &str, u32); 5] = [
    ("car", "truck", 60),
    ("bus", "truck", 40),
    ("bicycle", "motorcycle", 30),
    ("handbag", "backpack", 50),
    ("dog", "cat", 20),
];

/// A reported detection and the track behind it; none for ghosts and flashes.
pub(super) struct Report {
    pub(super) event: Event,
    pub(super) track: Option<usize>,
}

/// What was in view and what was reported of it.
pub(super) struct Watched {
    pub(super) n_frames: u64,
    pub(super) reports: Vec<Report>,
    /// For each track, the frames in which it was in view, hidden or not.
    pub(super) in_view: Vec<Vec<i64>>,
}

/// Milliseconds between two frames: 1 s up to five minutes, 2 s up to a quarter of an hour, else 5 s.
fn step_ms(duration_ms: i64) -> i64 {
    match duration_ms {
        ..=300_000 => 1000,
        300_001..=900_000 => 2000,
        _ => 5000,
    }
}

/// How a track is mistaken: the other label and the share of its frames, in per mille.
type Mistake = Option<(&'static str, u32)>;

fn mistake(dice: &mut Dice, track: &Track, factor: u32) -> Mistake {
    let others: Vec<(&'static str, u32)> = CONFUSED
        .iter()
        .filter_map(|&(a, b, rate)| match track.label {
            label if label == a => Some((b, rate)),
            label if label == b => Some((a, rate)),
            _ => None,
        })
        .collect();
    others
        .into_iter()
        .find(|&(_, rate)| dice.chance(rate * factor))
        .map(|(label, _)| (label, dice.between(100, 500)))
}

/// Watches `world` frame by frame.
pub(super) fn watch(dice: &mut Dice, world: &World, profile: Profile) -> Watched {
    let factor = if profile.is_noisy() { 4 } else { 1 };
    let mistakes: Vec<Mistake> = world
        .tracks
        .iter()
        .map(|track| mistake(dice, track, factor))
        .collect();
    let mut watched = Watched {
        n_frames: 0,
        reports: Vec::new(),
        in_view: vec![Vec::new(); world.tracks.len()],
    };
    let mut at_ms = 0;
    while at_ms <= world.duration_ms {
        watched.n_frames += 1;
        let mut places: Vec<(usize, Place)> = Vec::new();
        for (i, track) in world.tracks.iter().enumerate() {
            if let Some(place) = track.place(&world.camera, at_ms) {
                watched.in_view[i].push(at_ms);
                places.push((i, place));
            }
        }
        for &(i, place) in &places {
            let is_hidden = places
                .iter()
                .any(|&(j, other)| j != i && other.foot > place.foot && hides(other, place));
            if !is_hidden {
                let track = &world.tracks[i];
                look(
                    dice,
                    &mut watched.reports,
                    at_ms,
                    (i, track, place),
                    mistakes[i],
                );
            }
        }
        imagine(dice, &mut watched.reports, at_ms, factor, profile);
        at_ms += step_ms(world.duration_ms);
    }
    watched
}

/// Whether the nearer box covers more than 60 % of the farther one.
fn hides(near: Place, far: Place) -> bool {
    let w = (near.x + near.w).min(far.x + far.w) - near.x.max(far.x);
    let h = (near.y + near.h).min(far.y + far.h) - near.y.max(far.y);
    w > 0 && h > 0 && 10 * w * h > 6 * far.w * far.h
}

/// One look at one object: perhaps a detection, perhaps a face.
fn look(
    dice: &mut Dice,
    reports: &mut Vec<Report>,
    at_ms: i64,
    (i, track, place): (usize, &Track, Place),
    mistake: Mistake,
) {
    // 0.02 + 0.5 exp(-height / 40 px), in per mille; exp(-18) ends the curve at the full picture.
    let depth = geometric(1.0, 1.522_997_974_471_263e-8, place.h as f64 / 720.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 20 and 520"
    )]
    let missed = (20.0 + 500.0 * depth).round() as u32;
    if dice.chance(missed) {
        return;
    }
    let confidence = if place.h < SMALL {
        dice.beta(4, 4)
    } else {
        dice.beta(9, 2)
    };
    let label = match mistake {
        Some((other, share)) if dice.chance(share) => other,
        _ => track.label,
    };
    let shaken = shake(dice, place);
    reports.push(Report {
        event: event(at_ms, Some(label), confidence, shaken),
        track: Some(i),
    });
    if track.faces && 4 * place.h > PICTURE.1 && dice.chance(500) {
        let head = Place {
            x: place.x + place.w * 3 / 8,
            y: place.y + 2,
            w: place.w / 4,
            h: place.h / 8,
            foot: 0,
        };
        reports.push(Report {
            event: event(at_ms, None, dice.beta(7, 3), head),
            track: Some(i),
        });
    }
}

/// Ghosts the detector hardly believes in, and one-frame flashes that it does.
fn imagine(dice: &mut Dice, reports: &mut Vec<Report>, at_ms: i64, factor: u32, profile: Profile) {
    let mut seen = |dice: &mut Dice, confidence: u32| {
        let (w, h) = (
            i64::from(dice.between(20, 160)),
            i64::from(dice.between(20, 200)),
        );
        let place = Place {
            x: i64::from(dice.below(1100)),
            y: i64::from(dice.below(500)),
            w,
            h,
            foot: 0,
        };
        reports.push(Report {
            event: event(at_ms, Some(prior::any(dice)), confidence, place),
            track: None,
        });
    };
    if dice.chance(20 * factor) {
        let confidence = dice.beta(2, 8);
        if confidence < 5000 || !profile.is_calm() {
            seen(dice, confidence);
        }
    }
    if !profile.is_calm() && dice.chance(2 * factor) {
        let confidence = dice.between(5000, 7000);
        seen(dice, confidence);
    }
}

fn shake(dice: &mut Dice, place: Place) -> Place {
    let mut jitter = || i64::from(dice.below(5)) - 2;
    Place {
        x: (place.x + jitter()).max(0),
        y: (place.y + jitter()).max(0),
        ..place
    }
}

fn event(at_ms: i64, label: Option<&str>, confidence: u32, place: Place) -> Event {
    let kind = if label.is_some() {
        "object_detection"
    } else {
        "face_detection"
    };
    Event {
        frame_timestamp_seconds: at_ms as f64 / 1000.0,
        event_type: kind.to_owned(),
        label: label.map(str::to_owned),
        confidence: f64::from(confidence) / 10_000.0,
        bounding_box: Some([place.x, place.y, place.w, place.h].map(|n| n as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_box_hides_only_when_it_covers_most() {
        let place = |x, w| Place {
            x,
            y: 100,
            w,
            h: 100,
            foot: 0,
        };
        assert!(hides(place(0, 100), place(30, 100)));
        assert!(!hides(place(0, 100), place(45, 100)));
        assert!(!hides(place(0, 100), place(100, 100)));
    }

    #[test]
    fn long_videos_are_looked_at_less_often() {
        assert_eq!(
            [300_000, 300_100, 900_000, 900_100].map(step_ms),
            [1000, 2000, 2000, 5000]
        );
    }
}
