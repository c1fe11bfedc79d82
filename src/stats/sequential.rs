//! Looking at the data several times: the level is split over the looks.

use super::distribution::{normal_quantile, t_upper};
use super::error::{Error, check_count, check_level};
use super::quantile::units_needed;
use super::rng::Seed;

/// When a growing sample is judged, and with which share of the level.
///
/// Bonferroni over looks: valid for any test and any dependence between looks, keeps exact tests
/// exact and needs no boundary integration. What was passed at one look stays passed. Only
/// [`Looks::new`] builds one.
///
/// Source: Bonferroni's inequality; compare Lan & DeMets (1983), *Biometrika* 70(3), 659–663, whose
/// spending gains a little final power at the price of later stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    looks: Vec<Look>,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Units (launches or scenes) that must be there.
    pub units: usize,
    /// Share of the level spent here, in (0, 1].
    pub share: f64,
}

/// What a look asks of a mean: pass below `margin` for certain, else fail above 0 for certain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanTest {
    /// Largest mean accepted, in the unit of the sample.
    pub margin: f64,
    /// One-sided level of all passes together, in (0, 0.5].
    pub pass: f64,
    /// One-sided level of all fails together, in (0, 0.5].
    pub fail: f64,
}

/// With which chances a growing sample is decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances {
    /// Share of the drawn samples that passed at one of the looks.
    pub pass: f64,
    /// Share that failed.
    pub fail: f64,
}

impl Looks {
    /// A plan of looks, the first first; a reserved continuation is simply the last one.
    ///
    /// # Errors
    /// [`Error::TooFew`] without looks; [`Error::Setting`] when units do not grow, a share is not in
    /// (0, 1], or the shares exceed 1 together.
    pub fn new(looks: Vec<Look>) -> Result<Self, Error> {
        check_count(looks.len(), 1)?;
        if let Some(pair) = looks.windows(2).find(|pair| pair[1].units <= pair[0].units) {
            return Err(Error::Setting {
                name: "units of a look",
                value: pair[1].units as f64,
                demand: "more than at the look before",
            });
        }
        if let Some(look) = looks
            .iter()
            .find(|look| !(look.share > 0.0 && look.share <= 1.0))
        {
            return Err(Error::Setting {
                name: "share of a look",
                value: look.share,
                demand: "above 0 and at most 1",
            });
        }
        // Shares are written as decimals: 0.08 + 0.17 + 0.25 + 0.25 + 0.25 may round above 1.
        let total: f64 = looks.iter().map(|look| look.share).sum();
        if total > 1.0 + 1e-9 {
            return Err(Error::Setting {
                name: "sum of the shares",
                value: total,
                demand: "at most 1",
            });
        }
        Ok(Self { looks })
    }

    /// Looks after 6, 10, 15 and 20 launches, with a quarter kept for one continuation at 40.
    pub fn with_continuation() -> Self {
        let looks = [(6, 0.08), (10, 0.17), (15, 0.25), (20, 0.25), (40, 0.25)];
        Self::of(&looks)
    }

    /// Looks after 6, 10, 15 and 20 launches, nothing reserved.
    pub fn without_continuation() -> Self {
        Self::of(&[(6, 0.08), (10, 0.17), (15, 0.25), (20, 0.50)])
    }

    /// A single look at the full level.
    ///
    /// # Panics
    /// Never: one look at share 1 is a plan.
    pub fn once(units: usize) -> Self {
        Self::of(&[(units, 1.0)])
    }

    fn of(looks: &[(usize, f64)]) -> Self {
        let looks = looks.iter().map(|&(units, share)| Look { units, share });
        Self::new(looks.collect()).expect("the plans above are valid")
    }

    /// The looks, the first first.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// The looks of a run of at most `units` units: those it reaches, or, for a run longer than the
    /// plan, looks with the same shares after the same parts of it. `None` before the first look.
    pub fn within(&self, units: usize) -> Option<Self> {
        let last = self.looks.last()?.units;
        let looks = self.looks.iter().map(|look| Look {
            units: (look.units * units.max(last)).div_ceil(last),
            ..*look
        });
        let looks: Vec<Look> = looks.filter(|look| look.units <= units).collect();
        (!looks.is_empty()).then_some(Self { looks })
    }

    /// Chances that normal units with the true `mean` and `sd` pass and fail at one of these looks,
    /// the first that decides, by Student's t.
    ///
    /// * `mean`, `sd`: of one unit, in the unit of the margin; `sd` above 0
    /// * `trials`: samples drawn; the chances miss by about `0.5/√trials`
    ///
    /// The same seed draws the same units for every plan: chances of two plans differ by less than
    /// chance alone would make them.
    ///
    /// Assumes independent normal units and a known `sd`; a few units far off make the chances smaller.
    ///
    /// # Errors
    /// [`Error::TooFew`] for a look at fewer than two units or no trials; [`Error::Level`];
    /// [`Error::Setting`] for an `sd` that is not above 0 and finite.
    ///
    /// Source: simulation of the rule itself; compare Jennison & Turnbull (2000), *Group Sequential
    /// Methods*, chapter 19.
    pub fn chances(
        &self,
        test: &MeanTest,
        (mean, sd): (f64, f64),
        trials: usize,
        seed: &Seed,
    ) -> Result<Chances, Error> {
        check_count(trials, 1)?;
        check_count(self.looks[0].units, 2)?;
        if !(sd > 0.0 && sd.is_finite()) {
            return Err(Error::Setting {
                name: "standard deviation",
                value: sd,
                demand: "above 0 and finite",
            });
        }
        let mut lines = Vec::with_capacity(self.looks.len());
        for index in 0..self.looks.len() {
            let freedom = self.looks[index].units as f64 - 1.0;
            let pass = t_upper(self.level(index, test.pass)?, freedom);
            let fail = t_upper(self.level(index, test.fail)?, freedom);
            lines.push((self.looks[index].units, pass, fail));
        }
        let (mut passed, mut failed) = (0, 0);
        for trial in 0..trials {
            let mut stream = seed.stream(trial as u64);
            let (mut n, mut sum, mut squares) = (0, 0.0, 0.0);
            for (units, pass, fail) in &lines {
                while n < *units {
                    // Standardised, so that sums of squares do not cancel.
                    let unit = normal_quantile(stream.share().max(f64::EPSILON));
                    (n, sum, squares) = (n + 1, sum + unit, squares + unit * unit);
                }
                let count = n as f64;
                let centre = mean + sd * sum / count;
                let spread = (squares - sum * sum / count) / (count - 1.0);
                let error = sd * (spread.max(0.0) / count).sqrt();
                if centre + pass * error < test.margin {
                    passed += 1;
                    break;
                } else if centre - fail * error > 0.0 {
                    failed += 1;
                    break;
                }
            }
        }
        let share = |hits: usize| hits as f64 / trials as f64;
        Ok(Chances {
            pass: share(passed),
            fail: share(failed),
        })
    }

    /// Level at look `index`, from 0: `alpha` times its share.
    ///
    /// # Errors
    /// [`Error::Level`]; [`Error::Setting`] for a look that is not planned.
    pub fn level(&self, index: usize, alpha: f64) -> Result<f64, Error> {
        check_level(alpha)?;
        let look = self.looks.get(index).ok_or(Error::Setting {
            name: "look",
            value: index as f64,
            demand: "one of the plan",
        })?;
        let level = alpha * look.share;
        check_level(level)?;
        Ok(level)
    }

    /// The look that `units` units allow: the last one whose units are all there.
    pub fn at(&self, units: usize) -> Option<usize> {
        self.looks.iter().rposition(|look| look.units <= units)
    }

    /// First look at which a rate can be shown to stay below `limit` when nothing was counted.
    ///
    /// * `limit`: largest accepted rate, in (0, 1)
    /// * `cases_per_unit`: independent cases each unit adds, e.g. scenes per launch
    ///
    /// Gives `None` when no look has enough cases: such a plan can never pass that check.
    ///
    /// # Errors
    /// [`Error::Level`]; [`Error::Setting`] when `limit` is not in (0, 1).
    pub fn first_that_can_pass(
        &self,
        limit: f64,
        cases_per_unit: f64,
        alpha: f64,
    ) -> Result<Option<usize>, Error> {
        for (index, look) in self.looks.iter().enumerate() {
            let needed = units_needed(1.0 - limit, self.level(index, alpha)?)?;
            if look.units as f64 * cases_per_unit >= needed as f64 {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::assert_close;

    #[test]
    fn the_level_is_never_overspent() {
        for plan in [
            Looks::with_continuation(),
            Looks::without_continuation(),
            Looks::once(20),
        ] {
            let levels = (0..plan.looks().len()).map(|i| plan.level(i, 0.05).unwrap());
            assert_close(levels.sum(), 0.05, 1e-12);
        }
    }

    #[test]
    fn levels_are_those_of_the_table() {
        let plan = Looks::with_continuation();
        for (index, level) in [0.004, 0.0085, 0.0125, 0.0125, 0.0125]
            .into_iter()
            .enumerate()
        {
            assert_close(plan.level(index, 0.05).unwrap(), level, 1e-12);
        }
        let last = Looks::without_continuation().level(3, 0.05).unwrap();
        assert_close(last, 0.025, 1e-12);
    }

    /// Of simulations made elsewhere: launches with sd 2.2 % and 3 %, a margin of 3 %.
    #[test]
    fn chances_are_those_of_the_table() {
        let test = MeanTest {
            margin: 1.03_f64.ln(),
            pass: 0.05,
            fail: 0.002,
        };
        let seed = Seed::of_digest([5; 32]);
        for (plan, change, sd, pass, fail) in [
            (Looks::once(20), 0.03, 0.022, 0.052, 0.945),
            (Looks::without_continuation(), 0.0, 0.022, 1.0, 0.0),
            (Looks::without_continuation(), 0.015, 0.022, 0.78, 0.18),
            (Looks::without_continuation(), 0.03, 0.022, 0.027, 0.963),
            (Looks::with_continuation(), 0.03, 0.022, 0.024, 0.976),
            (Looks::without_continuation(), 0.03, 0.03, 0.03, 0.777),
        ] {
            let truth = (f64::ln_1p(change), sd);
            let found = plan.chances(&test, truth, 4_000, &seed).unwrap();
            for (found, expected) in [(found.pass, pass), (found.fail, fail)] {
                // Three standard errors, and half of the last digit given there.
                let most = 3.0 * f64::sqrt(expected * (1.0 - expected) / 4_000.0) + 0.005;
                assert!(
                    (found - expected).abs() < most,
                    "{plan:?}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn one_look_has_the_chances_of_the_noncentral_t() {
        use crate::stats::power::power;

        let test = MeanTest {
            margin: 0.04,
            pass: 0.05,
            fail: 0.01,
        };
        let (truth, seed) = ((0.02, 0.05), Seed::of_digest([6; 32]));
        let found = Looks::once(25).chances(&test, truth, 8_000, &seed).unwrap();
        assert!((found.pass - power(0.4, 25, 0.05).unwrap()).abs() < 0.015);
        // A certain loss that stays within the margin for certain passes: fewer fail than could.
        assert!(found.fail < power(0.4, 25, 0.01).unwrap());
    }

    #[test]
    fn odd_samples_are_refused() {
        let test = MeanTest {
            margin: 0.04,
            pass: 0.05,
            fail: 0.01,
        };
        let seed = Seed::of_digest([6; 32]);
        let chances = |looks: Looks, sd, n| looks.chances(&test, (0.0, sd), n, &seed);
        for sd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let found = chances(Looks::once(20), sd, 10);
            assert!(matches!(found, Err(Error::Setting { .. })), "{sd}");
        }
        for found in [
            chances(Looks::once(1), 0.1, 10),
            chances(Looks::once(20), 0.1, 0),
        ] {
            assert!(matches!(found, Err(Error::TooFew { .. })));
        }
    }

    #[test]
    fn longer_and_shorter_runs_have_looks_of_the_same_shares() {
        let units = |n| {
            let looks = Looks::without_continuation().within(n)?;
            Some(looks.looks().iter().map(|it| it.units).collect::<Vec<_>>())
        };
        assert_eq!(units(5), None);
        assert_eq!(units(14), Some(vec![6, 10]));
        assert_eq!(units(20), Some(vec![6, 10, 15, 20]));
        assert_eq!(units(30), Some(vec![9, 15, 23, 30]));
    }

    #[test]
    fn units_choose_the_look() {
        let plan = Looks::with_continuation();
        let found = [5, 6, 9, 10, 20, 39, 40, 99].map(|units| plan.at(units));
        let expected = [
            None,
            Some(0),
            Some(0),
            Some(1),
            Some(3),
            Some(3),
            Some(4),
            Some(4),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_rate_passes_first_where_its_scenes_suffice() {
        // 20 scenes per launch, three repetitions of each: 6.67 new scenes per launch.
        let plan = Looks::with_continuation();
        let per_launch = 20.0 / 3.0;
        assert_eq!(
            plan.first_that_can_pass(0.10, per_launch, 0.05),
            Ok(Some(1))
        );
        assert_eq!(plan.first_that_can_pass(0.001, per_launch, 0.05), Ok(None));
        for (alpha, n) in [
            (0.05, 29),
            (0.025, 36),
            (0.0125, 42),
            (0.0085, 46),
            (0.004, 53),
        ] {
            assert_eq!(units_needed(0.9, alpha), Ok(n));
        }
        for (alpha, n) in [
            (0.05, 59),
            (0.025, 72),
            (0.0125, 86),
            (0.0085, 93),
            (0.004, 108),
        ] {
            assert_eq!(units_needed(0.95, alpha), Ok(n));
        }
    }

    #[test]
    fn contradictory_plans_are_refused() {
        let plan = |looks: &[(usize, f64)]| {
            Looks::new(
                looks
                    .iter()
                    .map(|&(units, share)| Look { units, share })
                    .collect(),
            )
        };
        assert!(matches!(plan(&[]), Err(Error::TooFew { .. })));
        for looks in [
            &[(6, 0.5), (6, 0.5)][..],
            &[(6, 0.5), (5, 0.5)],
            &[(6, 0.0)],
            &[(6, f64::NAN)],
            &[(6, 0.6), (10, 0.6)],
        ] {
            assert!(
                matches!(plan(looks), Err(Error::Setting { .. })),
                "{looks:?}"
            );
        }
        assert!(Looks::once(20).level(1, 0.05).is_err());
        assert!(Looks::once(20).level(0, 0.0).is_err());
    }
}
