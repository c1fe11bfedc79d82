//! Mean of a bounded quantity by betting: exact at every sample size, for any distribution.
//!
//! A gambler bets, scene by scene, that the candidate loses less than the margin. Under the null the
//! game is fair or worse, so the capital multiplies twentyfold with probability at most one in
//! twenty; when it does, the null is refuted. Nothing is estimated, nothing is assumed of the shape
//! of the distribution, and one may look after every scene.

use super::error::{Error, check_count, check_level, check_range};
use super::rng::Seed;
use super::sum::exact_mean;
use super::{Estimate, Method};

/// Largest share of the capital that may be lost on one scene.
const MOST_AT_RISK: f64 = 0.95;

/// Halvings with which a certified bound is searched: to the last bit.
const HALVINGS: usize = 60;

/// What is bet against, and how boldly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Game {
    /// Number of scenes planned, at least 1; it tunes the bets, not their validity.
    pub planned: usize,
    /// Loss that is tolerated, in (−1, 1).
    pub margin: f64,
    /// Error rate, in (0, 0.5].
    pub alpha: f64,
}

/// How the game went.
#[derive(Debug, Clone, PartialEq)]
pub struct Bets {
    /// `[n]` logarithm of the capital after each scene; it starts at 0.
    pub log_capital: Vec<f64>,
    /// Largest logarithm reached, at least 0.
    pub log_max: f64,
    /// Scenes, from 1, after which the capital first reached 1/alpha; `None` if it never did.
    pub crossed_at: Option<usize>,
}

/// Test by betting of H0 "the mean difference is at most −margin".
///
/// * `differences`: `[n]` candidate − baseline in [−1, 1], in an order that was drawn uniformly
///   (see [`shuffled`]) or cluster means in such an order
///
/// H0 is rejected when the capital reaches 1/alpha at any time. Exact at every n, for any
/// distribution on [−1, 1] whose mean given the scenes before is at most −margin under H0; by
/// Ville's inequality the error rate holds however often one looks. With `x = (d + 1)/2` and
/// `m = (1 − margin)/2` the capital is multiplied by `1 + λ(x − m)`, where
/// `λ = min(sqrt(2 ln(1/alpha) / (planned · v)), 0.95/m)` and v is the variance seen so far, a prior
/// of one value with mean 1/2 and variance 1/4 included.
///
/// # Errors
/// [`Error::TooFew`] without scenes; [`Error::NotFinite`], [`Error::OutOfRange`], [`Error::Level`];
/// [`Error::Setting`] when `margin` is not in (−1, 1) or `planned` is 0.
///
/// Source: Waudby-Smith & Ramdas (2024), *JRSS B* 86(1), 1–27, section 4 and appendix B.
pub fn bet(differences: &[f64], game: &Game) -> Result<Bets, Error> {
    let &Game { margin, alpha, .. } = game;
    check(differences, game.planned, alpha)?;
    if !(margin > -1.0 && margin < 1.0) {
        return Err(Error::Setting {
            name: "margin",
            value: margin,
            demand: "between -1 and 1",
        });
    }
    let mut log_capital = Vec::with_capacity(differences.len());
    let mut crossed_at = None;
    let line = -alpha.ln();
    let log_max = play(differences, game, |log| {
        log_capital.push(log);
        if log >= line && crossed_at.is_none() {
            crossed_at = Some(log_capital.len());
        }
    });
    Ok(Bets {
        log_capital,
        log_max,
        crossed_at,
    })
}

/// Smallest margin that the bets certify: an upper bound of the mean loss at level `alpha`.
///
/// Arguments and assumptions as for [`bet`]. The bound may be negative: then a gain is certified.
/// With a small sample it can be 1, which certifies nothing.
///
/// # Errors
/// Those of [`bet`].
pub fn certified_loss(differences: &[f64], planned: usize, alpha: f64) -> Result<f64, Error> {
    check(differences, planned, alpha)?;
    Ok(certified(differences, planned, alpha))
}

/// Mean *difference* with one-sided bounds by betting on either side.
///
/// Arguments and assumptions as for [`bet`].
///
/// # Errors
/// Those of [`bet`]; [`Error::Unstable`] when the bounds exclude the mean, because early scenes
/// proved what later ones contradict.
pub fn estimate(differences: &[f64], planned: usize, alpha: f64) -> Result<Estimate, Error> {
    check(differences, planned, alpha)?;
    let mirrored: Vec<f64> = differences.iter().map(|value| -value).collect();
    let point = exact_mean(differences);
    let low = -certified(differences, planned, alpha);
    let high = certified(&mirrored, planned, alpha);
    if point < low || point > high {
        return Err(Error::Unstable);
    }
    Ok(Estimate {
        point,
        low,
        high,
        alpha,
        n: differences.len(),
        method: Method::Betting,
    })
}

/// `values` in the uniformly random order that [`bet`] demands.
///
/// The order depends on the seed and on the number of values, never on the values themselves: give
/// them sorted by scene id.
pub fn shuffled(values: &[f64], seed: &Seed) -> Vec<f64> {
    let mut values = values.to_vec();
    seed.derive("order").stream(0).shuffle(&mut values);
    values
}

/// Chance that the planned number of scenes like those seen lets [`bet`] certify the margin.
///
/// * `trials`: resamples to try, at least 1; 1,000 give ±3 points
/// * `seed`: from the digests of the records
///
/// Draws scenes with replacement. An order of magnitude for "what would settle it", not a promise.
///
/// # Errors
/// Those of [`bet`]; [`Error::Setting`] without trials or with more than 2^32 − 1 scenes.
pub fn chance_to_certify(
    differences: &[f64],
    game: &Game,
    trials: usize,
    seed: &Seed,
) -> Result<f64, Error> {
    bet(differences, game)?;
    let refused = |name, value| Error::Setting {
        name,
        value,
        demand: "at least 1 and at most 2^32 - 1",
    };
    if trials == 0 {
        return Err(refused("number of trials", 0.0));
    }
    let n = u32::try_from(differences.len())
        .map_err(|_| refused("number of scenes", differences.len() as f64))?;
    let seed = seed.derive("chance to certify");
    let certifies = |trial: usize| {
        let mut stream = seed.stream(trial as u64);
        let drawn: Vec<f64> = (0..game.planned)
            .map(|_| differences[stream.below(n) as usize])
            .collect();
        play(&drawn, game, |_| ()) >= -game.alpha.ln()
    };
    let n_certified = (0..trials).filter(|trial| certifies(*trial)).count();
    Ok(n_certified as f64 / trials as f64)
}

/// Plays the whole game; gives the largest logarithm of the capital.
fn play(differences: &[f64], game: &Game, mut after: impl FnMut(f64)) -> f64 {
    let null = f64::midpoint(1.0, -game.margin);
    let boldness = -2.0 * game.alpha.ln() / game.planned as f64;
    // One imagined value of mean 1/2 and variance 1/4 before the first.
    let (mut sum, mut squares, mut variance) = (0.5, 0.25, 0.25);
    let (mut log, mut log_max) = (0.0, 0.0f64);
    for (i, difference) in differences.iter().enumerate() {
        let x = f64::midpoint(*difference, 1.0);
        let stake = (boldness / variance).sqrt().min(MOST_AT_RISK / null);
        log += (stake * (x - null)).ln_1p();
        log_max = log_max.max(log);
        after(log);
        let count = (i + 2) as f64;
        sum += x;
        let mean = sum / count;
        squares += (x - mean) * (x - mean);
        variance = squares / count;
    }
    log_max
}

fn certified(differences: &[f64], planned: usize, alpha: f64) -> f64 {
    let line = -alpha.ln();
    // The capital grows with the margin, so the certified margins are those from some point on.
    let (mut refused, mut granted) = (-1.0, 1.0);
    for _ in 0..HALVINGS {
        let margin = f64::midpoint(refused, granted);
        let game = Game {
            planned,
            margin,
            alpha,
        };
        if play(differences, &game, |_| ()) >= line {
            granted = margin;
        } else {
            refused = margin;
        }
    }
    granted
}

fn check(differences: &[f64], planned: usize, alpha: f64) -> Result<(), Error> {
    check_level(alpha)?;
    check_count(differences.len(), 1)?;
    check_range(differences, -1.0, 1.0)?;
    if planned == 0 {
        return Err(Error::Setting {
            name: "planned number of scenes",
            value: 0.0,
            demand: "at least 1",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    fn game(planned: usize, margin: f64, alpha: f64) -> Game {
        Game {
            planned,
            margin,
            alpha,
        }
    }

    #[test]
    fn capital_agrees_with_numpy() {
        for case in cases("betting_") {
            let (input, output) = (&case["input"], &case["output"]);
            let values = numbers(&input["d"]);
            let planned = usize::try_from(input["planned"].as_u64().unwrap()).unwrap();
            let (margin, alpha) = (number(&input["delta"]), number(&input["alpha"]));
            let found = bet(&values, &game(planned, margin, alpha)).unwrap();
            let expected = numbers(&output["k"]);
            assert_eq!(found.log_capital.len(), expected.len());
            for (found, expected) in found.log_capital.iter().zip(expected) {
                assert_close(*found, expected, 1e-10);
            }
            let crossed = output["crossed_at"]
                .as_u64()
                .map(|at| usize::try_from(at).unwrap());
            assert_eq!(found.crossed_at, crossed, "{}", case["name"]);
            let certified = certified_loss(&values, planned, alpha).unwrap();
            assert!((certified - number(&output["certified"])).abs() < 1e-10);
        }
    }

    #[test]
    fn vectors_of_the_procedure() {
        let d = [0.0, -0.05, 0.10, 0.0, -0.20, 0.0, 0.05, 0.0, 0.0, -0.10];
        let found = bet(&d, &game(10, 0.05, 0.05)).unwrap();
        assert!((found.log_capital[9] - 0.254_392_677_0).abs() < 1e-10);
        assert_eq!(found.crossed_at, None);
        let still = bet(&[0.0; 300], &game(300, 0.02, 0.05)).unwrap();
        assert_close(still.log_max.exp(), 237.450_851_520_378_4, 1e-10);
        assert_eq!(still.crossed_at, Some(172));
        let certified = certified_loss(&[0.0; 300], 300, 0.05).unwrap();
        assert_close(certified, 0.010_996_355_124_701_486, 1e-10);
        // 150 scenes never prove 2 points, even when nothing changed.
        assert_eq!(
            bet(&[0.0; 150], &game(150, 0.02, 0.05)).unwrap().crossed_at,
            None
        );
    }

    #[test]
    fn the_test_and_the_certified_bound_agree() {
        let values: Vec<f64> = (0..300).map(|i| f64::from(i * 7 % 11 - 5) / 50.0).collect();
        let bound = certified_loss(&values, 300, 0.05).unwrap();
        let crosses = |margin| {
            bet(&values, &game(300, margin, 0.05))
                .unwrap()
                .crossed_at
                .is_some()
        };
        assert!(crosses(bound) && !crosses(bound - 1e-9));
        assert_eq!(certified_loss(&[-1.0; 50], 50, 0.05), Ok(1.0));
    }

    #[test]
    fn swapping_roles_mirrors() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 7 % 13 - 5) / 60.0).collect();
        let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
        let there = estimate(&values, 200, 0.05).unwrap();
        let back = estimate(&mirrored, 200, 0.05).unwrap().negated();
        assert_eq!(there, back);
        assert!(there.low < there.point && there.point < there.high);
    }

    #[test]
    fn drifting_values_are_said_to_be_odd() {
        let mut values = vec![0.5; 400];
        values.extend([-1.0; 400]);
        assert_eq!(estimate(&values, 800, 0.05), Err(Error::Unstable));
    }

    #[test]
    fn the_chance_to_certify_grows_with_scenes_and_margin() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * 7 % 13 - 6) / 80.0).collect();
        let seed = Seed::of_digest([1; 32]);
        let chance = |planned, margin| {
            chance_to_certify(&values, &game(planned, margin, 0.05), 200, &seed).unwrap()
        };
        let found = [chance(100, 0.03), chance(200, 0.03), chance(400, 0.03)];
        assert!(found[0] < found[1] && found[1] <= found[2], "{found:?}");
        assert!(chance(200, 0.05) > chance(200, 0.02));
        assert!(chance_to_certify(&values, &game(10, 0.05, 0.05), 0, &seed).is_err());
    }

    #[test]
    fn shuffling_depends_on_the_seed_only() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        let (one, two) = (Seed::of_digest([1; 32]), Seed::of_digest([2; 32]));
        assert_eq!(shuffled(&values, &one), shuffled(&values, &one));
        assert_ne!(shuffled(&values, &one), shuffled(&values, &two));
    }

    #[test]
    fn odd_input_is_refused() {
        assert_eq!(
            bet(&[], &game(9, 0.1, 0.05)),
            Err(Error::TooFew {
                found: 0,
                needed: 1
            })
        );
        assert_eq!(
            bet(&[f64::NAN], &game(9, 0.1, 0.05)),
            Err(Error::NotFinite { index: 0 })
        );
        assert!(matches!(
            certified_loss(&[0.0, 1.5], 9, 0.05),
            Err(Error::OutOfRange { index: 1, .. })
        ));
        for margin in [-1.0, 1.0, f64::NAN] {
            assert!(matches!(
                bet(&[0.0], &game(9, margin, 0.05)),
                Err(Error::Setting { .. })
            ));
        }
        assert!(matches!(
            bet(&[0.0], &game(0, 0.1, 0.05)),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(
            bet(&[0.0], &game(9, 0.1, 0.0)),
            Err(Error::Level { .. })
        ));
    }
}
