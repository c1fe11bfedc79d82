//! Refuses policies that contradict themselves or could never be met, and warns of weak ones.

use super::policy::{
    Check, Demand, LEAST_WORKER_MEMORY, Limit, MIN_LAUNCHES, MIN_SCENES, Margin, Method, Mode,
    Policy, PolicyError, SCHEMA_VERSION,
};
use super::rule::{Rule, rule};
use crate::hint::did_you_mean;
use crate::metric;
use crate::stats::betting::{Game, bet};
use crate::stats::bounded::draws_needed;
use crate::stats::paired_proportion::Discordant;

/// More statistical checks than this leave each too small a share of the false-fail rate.
const MOST_STATISTICAL: usize = 8;

/// More scenes than this are not asked for.
const MOST_SCENES: usize = 100_000;

impl Policy {
    /// Refuses a policy that contradicts itself or could never be met.
    ///
    /// # Errors
    /// [`PolicyError`] with the key and no file or line; [`Policy::parse`] adds those.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.schema_version != SCHEMA_VERSION {
            let found = self.schema_version;
            let problem = format!("version {found} is not known, this program reads 1");
            return Err(refuse("schema_version", problem));
        }
        let confidence = &self.confidence;
        for (key, rate) in [
            ("confidence.false_pass", confidence.false_pass),
            ("confidence.false_fail", confidence.false_fail),
            ("confidence.slice_fail", confidence.slice_fail),
        ] {
            if !(rate > 0.0 && rate < 0.5) {
                return Err(refuse(key, format!("{rate} is not between 0 and 0.5")));
            }
        }
        self.check_effort()?;
        self.check_looks()?;
        self.check_collapse()?;
        self.check_slices()?;
        self.check_sentinels()?;
        if let Some((key, problem)) = self.sources.problem() {
            return Err(refuse(&format!("sources.{key}"), problem));
        }
        if let Some((key, problem)) = self.archive.problem() {
            return Err(refuse(&format!("archive.{key}"), problem));
        }
        if self.checks.is_empty() {
            return Err(refuse(
                "check",
                "the list is empty; leave it out for the built-in checks",
            ));
        }
        for (i, check) in self.checks.iter().enumerate() {
            self.check_one(i, check)?;
        }
        if !self.checks.iter().any(|check| check.required) {
            return Err(refuse(
                "check",
                "no check is required, so nothing could fail",
            ));
        }
        self.check_waivers()
    }

    /// What is allowed and yet weakens the verdict, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let required = |wanted: fn(Rule) -> bool| {
            let mut checks = self.checks.iter().filter(|check| check.required);
            checks.any(|check| rule(&check.metric).is_some_and(wanted))
        };
        let mut warnings = Vec::new();
        let is_compared = self.mode != Mode::Bootstrap;
        let by_scene = |rule| matches!(rule, Rule::SceneMean | Rule::SceneRate);
        let is_plug_in = self.confidence.method == Method::PlugIn;
        if is_compared && is_plug_in && required(by_scene) && !required(|r| r == Rule::Collapse) {
            warnings.push(
                "`collapse_rate` is not required: the plug-in bounds do not see scenes that \
                 rarely fall apart"
                    .to_owned(),
            );
        }
        if self.n_statistical() > MOST_STATISTICAL {
            warnings.push(format!(
                "{} checks share the false-fail rate; above {MOST_STATISTICAL} each is left little \
                 power",
                self.n_statistical()
            ));
        }
        if self.mode == Mode::Promotion && self.scenes.digest.is_none() {
            warnings.push("`scenes.digest` is not pinned: another scene set would do".to_owned());
        }
        let may_veto = is_compared && required(by_scene);
        if !(self.slices.is_empty() || may_veto) {
            warnings.push(
                "no required check compares two models scene by scene: slices veto nothing".into(),
            );
        }
        warnings
    }

    fn check_effort(&self) -> Result<(), PolicyError> {
        if self.scenes.min_scenes < MIN_SCENES && self.mode != Mode::Bootstrap {
            let problem = format!("fewer than {MIN_SCENES} scenes never decide quality");
            return Err(refuse("scenes.min_scenes", problem));
        }
        let effort = &self.effort;
        let seconds = usize::try_from(effort.scene_timeout_s).unwrap_or(usize::MAX);
        for (key, value) in [
            ("effort.pairs", effort.pairs),
            ("effort.threads", effort.threads),
            ("effort.max_new_tokens", effort.max_new_tokens),
            ("effort.scene_timeout_s", seconds),
            ("effort.batch", effort.batch),
            ("effort.timed_scenes", effort.timed_scenes),
            ("effort.memory_runs", effort.memory_runs),
        ] {
            if value == 0 {
                return Err(refuse(key, "must be at least 1"));
            }
        }
        if effort
            .worker_memory_bytes
            .is_some_and(|most| most < LEAST_WORKER_MEMORY)
        {
            let problem = format!(
                "must be at least {} ({LEAST_WORKER_MEMORY})",
                LEAST_WORKER_MEMORY.0
            );
            return Err(refuse("effort.worker_memory_bytes", problem));
        }
        if self.decides_times() && effort.launches < MIN_LAUNCHES {
            let problem = format!("fewer than {MIN_LAUNCHES} launches never decide a time");
            return Err(refuse("effort.launches", problem));
        }
        Ok(())
    }

    fn decides_times(&self) -> bool {
        let times = |check: &Check| matches!(rule(&check.metric), Some(Rule::Launches(_)));
        let mut checks = self.checks.iter();
        checks.any(|check| check.required && times(check))
    }

    fn check_looks(&self) -> Result<(), PolicyError> {
        let effort = &self.effort;
        let (looks, shares) = (&effort.looks, &effort.shares);
        if looks.len() != shares.len() {
            let problem = format!(
                "{} shares belong to {} looks; each look takes one",
                shares.len(),
                looks.len()
            );
            return Err(refuse("effort.shares", problem));
        }
        if looks.is_empty() {
            return Ok(());
        }
        if looks[0] < MIN_LAUNCHES {
            let problem = format!("fewer than {MIN_LAUNCHES} launches never decide a time");
            return Err(refuse("effort.looks", problem));
        }
        if looks.windows(2).any(|pair| pair[1] <= pair[0]) {
            return Err(refuse("effort.looks", "the numbers of launches must grow"));
        }
        if looks.last() != Some(&effort.launches) {
            let problem = format!("the last look must be at all {} launches", effort.launches);
            return Err(refuse("effort.looks", problem));
        }
        let is_share = |share: &f64| *share > 0.0 && *share <= 1.0;
        if !shares.iter().all(is_share) || effort.looks_plan().is_none() {
            return Err(refuse(
                "effort.shares",
                "each share lies above 0, and together they are at most 1",
            ));
        }
        Ok(())
    }

    fn check_collapse(&self) -> Result<(), PolicyError> {
        let collapse = &self.collapse;
        let is_share = |value: f64| value > 0.0 && value <= 1.0;
        for (key, value) in [
            ("collapse.drop", collapse.drop),
            ("collapse.severe", collapse.severe),
        ] {
            if !is_share(value) {
                return Err(refuse(key, format!("{value} is not above 0 and at most 1")));
            }
        }
        if collapse.severe < collapse.drop {
            return Err(refuse("collapse.severe", "is smaller than collapse.drop"));
        }
        if !(collapse.normal > 0.0 && collapse.normal < 0.5) {
            let problem = format!("{} is not between 0 and 0.5", collapse.normal);
            return Err(refuse("collapse.normal", problem));
        }
        Ok(())
    }

    fn check_slices(&self) -> Result<(), PolicyError> {
        for (i, slice) in self.slices.iter().enumerate() {
            let key = |name: &str| format!("slice[{i}].{name}");
            if slice.name.is_empty() {
                return Err(refuse(&key("name"), "is empty"));
            }
            if self.slices[..i]
                .iter()
                .any(|other| other.name == slice.name)
            {
                return Err(refuse(
                    &key("name"),
                    format!("`{}` stands twice", slice.name),
                ));
            }
            if slice.min_scenes == 0 {
                return Err(refuse(&key("min_scenes"), "must be at least 1"));
            }
        }
        Ok(())
    }

    fn check_sentinels(&self) -> Result<(), PolicyError> {
        let Some(sentinels) = &self.sentinels else {
            return Ok(());
        };
        if sentinels.set.is_empty() {
            return Err(refuse("sentinels.set", "is empty"));
        }
        if self.mode == Mode::Bootstrap && sentinels.demand == Demand::Kept {
            let problem = "no baseline could have held any in bootstrap mode; demand `all`";
            return Err(refuse("sentinels.demand", problem));
        }
        for (i, exempt) in sentinels.exempt.iter().enumerate() {
            if exempt.reason.trim().is_empty() {
                let key = format!("sentinels.exempt[{i}].reason");
                return Err(refuse(&key, "is empty: say why the sentinel is let off"));
            }
        }
        Ok(())
    }

    fn check_one(&self, i: usize, check: &Check) -> Result<(), PolicyError> {
        let refuse = |key: &str, problem: String| refuse(&format!("check[{i}].{key}"), problem);
        let id = &check.metric;
        let Some(rule) = rule(id) else {
            let known = metric::METRICS.iter().map(|metric| metric.id);
            let advice = did_you_mean(id, known)
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(refuse("metric", format!("`{id}` is not a metric{advice}")));
        };
        if self.checks[..i].iter().any(|earlier| earlier.metric == *id) {
            return Err(refuse("metric", format!("`{id}` is checked twice")));
        }
        if check.required && !rule.decides() && check.limit.is_none() {
            let problem =
                format!("`{id}` has no decision rule, it can only be watched or given a limit");
            return Err(refuse("required", problem));
        }
        if let Some(lane) = check.lane.filter(|lane| rule.lane() != Some(*lane)) {
            let problem = format!("`{id}` is not measured on the {} lane", lane.name());
            return Err(refuse("lane", problem));
        }
        if check.method.is_some() && !matches!(rule, Rule::SceneMean | Rule::SceneRate) {
            let problem = format!("`{id}` is decided in one way only");
            return Err(refuse("method", problem));
        }
        if let Some(problem) = check.limit.and_then(|limit| bad_limit(id, rule, limit)) {
            return Err(refuse("limit", problem));
        }
        if self.mode == Mode::Bootstrap {
            return match (check.required, check.limit, check.margin) {
                (_, _, Some(_)) => Err(refuse(
                    "margin",
                    "there is no baseline in bootstrap mode to hold a margin against".to_owned(),
                )),
                (true, None, None) => Err(refuse(
                    "limit",
                    format!("is missing; bootstrap mode demands limits, e.g. `{id}` at_least"),
                )),
                _ => Ok(()),
            };
        }
        self.check_margin(check, rule)
            .map_err(|problem| refuse("margin", problem))
    }

    fn check_margin(&self, check: &Check, rule: Rule) -> Result<(), String> {
        let id = &check.metric;
        let wanted = match rule {
            Rule::SceneMean | Rule::SceneRate | Rule::Tripwire | Rule::Collapse => {
                "{ absolute = … }"
            }
            Rule::Launches(_) | Rule::SceneRatio => "{ relative = … }",
            Rule::Peak => "{ relative = …, floor_bytes = … }",
            _ if check.margin.is_some() => return Err(format!("`{id}` takes no margin")),
            _ => return Ok(()),
        };
        let share = match (rule, check.margin) {
            // A limit alone is a rule too.
            (_, None) if !check.required || check.limit.is_some() => return Ok(()),
            (
                Rule::SceneMean | Rule::SceneRate | Rule::Tripwire | Rule::Collapse,
                Some(Margin::Absolute(share)),
            )
            | (Rule::Launches(_) | Rule::SceneRatio, Some(Margin::Relative(share)))
            | (
                Rule::Peak,
                Some(Margin::Memory {
                    relative: share, ..
                }),
            ) => share,
            (_, None) => return Err(format!("is missing; `{id}` takes {wanted}")),
            (_, Some(_)) => return Err(format!("`{id}` takes {wanted}")),
        };
        if !share.is_finite() || share <= 0.0 {
            return Err(format!("{share} is not a finite number above 0"));
        }
        match rule {
            Rule::SceneMean | Rule::SceneRate | Rule::Collapse => {
                self.check_reachable(check, rule, share)?;
            }
            Rule::Tripwire if share >= 1.0 => return Err(any_loss(share)),
            _ => {}
        }
        Ok(())
    }

    /// A candidate that never loses a scene must be able to pass.
    fn check_reachable(&self, check: &Check, rule: Rule, margin: f64) -> Result<(), String> {
        if margin >= 1.0 {
            return Err(any_loss(margin));
        }
        let alpha = self.confidence.false_pass;
        let needed = match (rule, self.method_of(check)) {
            (Rule::Collapse, _) => draws_needed(margin, alpha),
            (_, Method::Guaranteed) => bets_needed(margin, alpha),
            (Rule::SceneRate, Method::PlugIn) => tango_needed(margin, alpha),
            (_, Method::PlugIn) => draws_needed(margin, alpha),
        };
        if self.scenes.min_scenes < needed {
            return Err(format!(
                "{margin} needs scenes.min_scenes of at least {needed}: with fewer, even a \
                 candidate that never loses could not be shown to stay within it"
            ));
        }
        Ok(())
    }
}

/// Fewest planned scenes with which bets on a candidate that never changes reach 1/alpha.
fn bets_needed(margin: f64, alpha: f64) -> usize {
    let reaches = |planned: usize| {
        let game = Game {
            planned,
            margin,
            alpha,
        };
        bet(&vec![0.0; planned], &game).is_ok_and(|bets| bets.crossed_at.is_some())
    };
    first(reaches)
}

/// Fewest scenes with which Tango's bound of roles that always agree lies within the margin.
fn tango_needed(margin: f64, alpha: f64) -> usize {
    first(|n| {
        let agreed = Discordant::new(0, 0, n as u64).and_then(|none| none.tango(alpha));
        agreed.is_ok_and(|bounds| bounds.high < margin)
    })
}

/// First number of scenes where `reaches` turns true; [`usize::MAX`] beyond what may be asked for.
fn first(reaches: impl Fn(usize) -> bool) -> usize {
    let mut high = 1;
    while !reaches(high) {
        high *= 2;
        if high > MOST_SCENES {
            return usize::MAX;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if reaches(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn bad_limit(id: &str, rule: Rule, limit: Limit) -> Option<String> {
    let (Limit::AtLeast(value) | Limit::AtMost(value)) = limit;
    if !value.is_finite() || value < 0.0 {
        return Some(format!("{value} is not a finite number of at least 0"));
    }
    let row = metric::find(id)?;
    if row.fault(value).is_some() {
        return Some(format!("{value} is not a possible value of `{id}`"));
    }
    let is_wrong_way = match limit {
        Limit::AtLeast(_) => row.better == metric::Better::Lower,
        Limit::AtMost(_) => row.better == metric::Better::Higher,
    };
    if is_wrong_way {
        let better = if row.better == metric::Better::Lower {
            "at_most"
        } else {
            "at_least"
        };
        return Some(format!("`{id}` takes {{ {better} = … }}"));
    }
    (rule == Rule::Collapse).then(|| format!("`{id}` takes a margin, not a limit"))
}

fn any_loss(margin: f64) -> String {
    format!("{margin} accepts any loss, scores lie between 0 and 1")
}

fn refuse(key: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        file: String::new(),
        line: None,
        key: key.to_owned(),
        problem: problem.into(),
    }
}
