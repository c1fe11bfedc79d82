//! Objects in the world: what they are, when they are in view, and where.

use super::super::dice::{Dice, geometric};
use super::prior::{self, Kind, kind_of};
use super::{Plot, Profile};

/// Width and height of the picture in pixels.
pub(super) const PICTURE: (i64, i64) = (1280, 720);
/// Most labels in one world; prompts stay short enough for small models.
const MAX_LABELS: usize = 6;
/// New labels against repeated ones: the k-th track takes a new draw with 3 chances against
/// 2 (k - 1), else the label of an earlier track. Every track's own label follows the prior.
const NOVELTY: u32 = 3;

/// The camera: where the horizon is and how large things appear.
pub(super) struct Camera {
    horizon: i64,
    zoom: i64,
}

impl Camera {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            horizon: i64::from(dice.between(40, 220)),
            zoom: i64::from(dice.between(650, 1100)),
        }
    }

    /// Height in pixels of `kind` with its foot at line `foot`.
    fn height(&self, kind: &Kind, foot: i64) -> i64 {
        let reach = PICTURE.1 - self.horizon;
        i64::from(kind.height) * self.zoom * (foot - self.horizon) / (1000 * reach)
    }

    fn foot(&self, dice: &mut Dice) -> i64 {
        let reach = PICTURE.1 - self.horizon;
        self.horizon + reach * i64::from(dice.between(300, 1000)) / 1000
    }
}

/// A box in pixels, clipped to the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) w: i64,
    pub(super) h: i64,
    /// Line the object stands on before clipping; the larger, the nearer.
    pub(super) foot: i64,
}

/// One object while it is in the world.
pub(super) struct Track {
    /// Label the object truly has: a COCO name, or a name that the lexicon does not know.
    pub(super) label: &'static str,
    pub(super) enter_ms: i64,
    pub(super) leave_ms: i64,
    /// Middle of the foot line on entering and on leaving.
    from: (i64, i64),
    to: (i64, i64),
    /// Stands still in the middle third of its stay.
    pauses: bool,
    /// Shift against the track it goes with.
    offset: (i64, i64),
    /// Whether a face would be seen.
    pub(super) faces: bool,
}

impl Track {
    /// Where the object is at `at_ms`; `None` when it is out of view or too small to see.
    pub(super) fn place(&self, camera: &Camera, at_ms: i64) -> Option<Place> {
        if at_ms < self.enter_ms || at_ms > self.leave_ms {
            return None;
        }
        let stay = (self.leave_ms - self.enter_ms).max(1);
        let gone = at_ms - self.enter_ms;
        // With a pause, the way is walked in the first and in the last third.
        let pause = if self.pauses { stay / 3 } else { 0 };
        let walked = if gone > 2 * pause {
            gone - pause
        } else {
            gone.min(stay / 3)
        };
        let walked = if self.pauses { walked } else { gone };
        let way = walked * 1000 / (stay - pause).max(1);
        let x = self.from.0 + (self.to.0 - self.from.0) * way / 1000 + self.offset.0;
        let foot = self.from.1 + (self.to.1 - self.from.1) * way / 1000 + self.offset.1;
        let kind = kind_of(self.label);
        let h = camera.height(kind, foot);
        let w = h * i64::from(kind.width) / 1000;
        clip(x - w / 2, foot - h, w, h, foot)
    }
}

fn clip(x: i64, y: i64, w: i64, h: i64, foot: i64) -> Option<Place> {
    let (left, top) = (x.max(0), y.max(0));
    let (right, bottom) = ((x + w).min(PICTURE.0), (y + h).min(PICTURE.1));
    let (w, h) = (right - left, bottom - top);
    (w >= 8 && h >= 8).then_some(Place {
        x: left,
        y: top,
        w,
        h,
        foot,
    })
}

/// A drawn world.
pub(super) struct World {
    pub(super) camera: Camera,
    pub(super) duration_ms: i64,
    pub(super) tracks: Vec<Track>,
    /// Labels of the tracks drawn by the prior, without companions, further members of groups and
    /// background.
    pub(super) drawn: Vec<&'static str>,
}

/// Draws the world that `profile` asks for.
pub(super) fn world(dice: &mut Dice, profile: Profile) -> World {
    let u = dice.share();
    // Long videos hold more: three scenes in five take both from the same quantile.
    let v = if dice.chance(600) { u } else { dice.share() };
    let length = match profile.plot {
        Plot::Long => geometric(300.0, 1800.0, u),
        Plot::Sparse => geometric(10.0, 60.0, u),
        _ => prior::duration_s(u),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "half an hour and forty tracks fit"
    )]
    let (duration_ms, n_drawn) = (
        (length * 10.0).round() as i64 * 100,
        prior::tracks(v).round() as usize,
    );
    let n_drawn = match profile.plot {
        Plot::Empty => 0,
        Plot::Sparse => 1 + dice.weighted(&[3, 1]),
        Plot::People | Plot::Vehicles | Plot::Crowd => n_drawn.clamp(1, 8),
        Plot::Plain => n_drawn,
        Plot::Long | Plot::Noise => n_drawn.max(2),
    };
    let mut world = World {
        camera: Camera::draw(dice),
        duration_ms,
        tracks: Vec::new(),
        drawn: Vec::new(),
    };
    if matches!(profile.plot, Plot::Plain | Plot::Long | Plot::Noise) {
        world.add_background(dice);
    }
    for _ in 0..n_drawn {
        let label = next_label(dice, profile.plot, &world.drawn);
        world.drawn.push(label);
        world.add_track(dice, label, profile.plot);
    }
    if profile.plot == Plot::Crowd {
        let label = if dice.chance(700) { "person" } else { "car" };
        let n = dice.between(7, 10);
        world.add_crowd(dice, label, n as usize);
    }
    if profile.has_unknown {
        let label = dice.pick(&super::UNKNOWN).0;
        world.add_standing(dice, label);
    }
    world
}

fn next_label(dice: &mut Dice, plot: Plot, before: &[&'static str]) -> &'static str {
    const VEHICLES: [&str; 5] = ["car", "truck", "motorcycle", "bus", "bicycle"];
    match plot {
        Plot::People => return "person",
        Plot::Vehicles => {
            let weights = VEHICLES.map(|label| kind_of(label).weight);
            return VEHICLES[dice.weighted(&weights)];
        }
        _ => {}
    }
    let n = u32::try_from(before.len()).expect("worlds are small");
    let mut distinct = before.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let is_new = dice.below(NOVELTY + 2 * n) < NOVELTY;
    if n > 0 && (!is_new || distinct.len() >= MAX_LABELS) {
        return before[dice.below(n) as usize];
    }
    prior::any(dice)
}

impl World {
    /// Stay in the view: log-normal, median 12 s, deviation 1; short when little should be seen.
    fn stay_ms(&self, dice: &mut Dice, plot: Plot) -> i64 {
        let z = dice.bell();
        let stretch = geometric(1.0, 403.428_793_492_735_1, z.abs() / 6.0);
        let median = if plot == Plot::Sparse { 2.0 } else { 12.0 };
        let seconds: f64 = if z < 0.0 {
            median / stretch
        } else {
            median * stretch
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most two hours")]
        let stay = (seconds * 10.0).round() as i64 * 100;
        stay.clamp(500, self.duration_ms)
    }

    fn add_track(&mut self, dice: &mut Dice, label: &'static str, plot: Plot) {
        let stay = self.stay_ms(dice, plot);
        let enter = self.moment(dice, self.duration_ms);
        let track = self.track(dice, label, (enter, (enter + stay).min(self.duration_ms)));
        let (from, to, pauses) = (track.from, track.to, track.pauses);
        let (enter_ms, leave_ms) = (track.enter_ms, track.leave_ms);
        self.tracks.push(track);
        if label != "person" || plot == Plot::Vehicles {
            return;
        }
        let beside = |label, offset, faces| Track {
            label,
            enter_ms,
            leave_ms,
            from,
            to,
            pauses,
            offset,
            faces,
        };
        if dice.chance(200) {
            for i in 1..prior::group_size(dice) {
                let step = i64::try_from(i).expect("groups are small");
                let side = if i % 2 == 0 { 1 } else { -1 };
                let offset = (
                    side * (70 * ((step + 1) / 2) + i64::from(dice.below(40))),
                    i64::from(dice.below(24)) - 12,
                );
                self.tracks.push(beside("person", offset, dice.chance(500)));
            }
        } else if plot != Plot::People && dice.chance(250) {
            const COMPANIONS: [&str; 5] = ["backpack", "handbag", "umbrella", "bicycle", "dog"];
            let label = COMPANIONS[dice.weighted(&[30, 30, 12, 14, 14])];
            if self.has_room_for(label) {
                let offset = (i64::from(dice.below(60)) - 30, 2);
                self.tracks.push(beside(label, offset, false));
            }
        }
    }

    fn has_room_for(&self, label: &str) -> bool {
        let mut labels: Vec<&str> = self.tracks.iter().map(|track| track.label).collect();
        labels.sort_unstable();
        labels.dedup();
        labels.len() < MAX_LABELS || labels.contains(&label)
    }

    /// A moment in `0..=last_ms`, in tenths of a second.
    fn moment(&self, dice: &mut Dice, last_ms: i64) -> i64 {
        let tenths = u32::try_from(last_ms.min(self.duration_ms) / 100).unwrap_or(0);
        i64::from(dice.between(0, tenths)) * 100
    }

    fn track(&self, dice: &mut Dice, label: &'static str, times_ms: (i64, i64)) -> Track {
        let kind = kind_of(label);
        let foot = self.camera.foot(dice);
        let x = i64::from(dice.between(100, 1180));
        let (from, to) = if kind.is_mobile {
            // From one side to the other, or away from the camera on the same side.
            let is_leftward = dice.chance(500);
            let (start, end) = if is_leftward { (1250, 30) } else { (30, 1250) };
            let end = if dice.chance(300) { x } else { end };
            ((start, foot), (end, self.camera.foot(dice)))
        } else {
            ((x, foot), (x, foot))
        };
        Track {
            label,
            enter_ms: times_ms.0,
            leave_ms: times_ms.1,
            from,
            to,
            pauses: kind.is_mobile && dice.chance(300),
            offset: (0, 0),
            faces: label == "person" && dice.chance(500),
        }
    }

    /// Things that are there all along.
    fn add_background(&mut self, dice: &mut Dice) {
        const BACKGROUND: [&str; 3] = ["bench", "potted plant", "car"];
        let n = dice.weighted(&[65, 25, 10]);
        let first = dice.below(3) as usize;
        for i in 0..n {
            let label = BACKGROUND[(first + i) % 3];
            self.add_standing(dice, label);
        }
    }

    /// Something that stands in one place through the whole video.
    fn add_standing(&mut self, dice: &mut Dice, label: &'static str) {
        let foot = self.camera.foot(dice);
        let x = i64::from(dice.between(150, 1130));
        self.tracks.push(Track {
            label,
            enter_ms: 0,
            leave_ms: self.duration_ms,
            from: (x, foot),
            to: (x, foot),
            pauses: false,
            offset: (0, 0),
            faces: false,
        });
    }

    /// Many of a kind in view together, side by side.
    fn add_crowd(&mut self, dice: &mut Dice, label: &'static str, n: usize) {
        let stay = (self.duration_ms / 2)
            .clamp(6_000, 40_000)
            .min(self.duration_ms);
        let enter = self.moment(dice, self.duration_ms - stay);
        for i in 0..n {
            let step = i64::try_from(i).expect("crowds are counted in tens");
            let count = i64::try_from(n).expect("crowds are counted in tens");
            let foot = self.camera.horizon
                + (PICTURE.1 - self.camera.horizon) * 45 / 100
                + i64::from(dice.below(40));
            let x = 90 + 1100 * step / count + i64::from(dice.below(30));
            let late = i64::from(dice.below(10)) * 100;
            self.tracks.push(Track {
                label,
                enter_ms: enter + late,
                leave_ms: (enter + stay - late).max(enter + late + 500),
                from: (x, foot),
                to: (x, foot),
                pauses: false,
                offset: (0, 0),
                faces: dice.chance(300),
            });
        }
    }
}
