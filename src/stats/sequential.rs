//! Looking at the data several times: the level is split over the looks.

use super::error::{Error, check_level};
use super::quantile::units_needed;

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

impl Looks {
    /// A plan of looks, the first first; a reserved continuation is simply the last one.
    ///
    /// # Errors
    /// [`Error::TooFew`] without looks; [`Error::Setting`] when units do not grow, a share is not in
    /// (0, 1], or the shares exceed 1 together.
    pub fn new(looks: Vec<Look>) -> Result<Self, Error> {
        super::error::check_count(looks.len(), 1)?;
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
