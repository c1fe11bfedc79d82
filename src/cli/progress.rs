//! Progress on stderr: a bar on a terminal, one line per phase elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::escape::lines;
use crate::run::Progress;

/// How progress is shown.
pub(super) enum Shown {
    /// Not at all.
    Quiet,
    /// One line when a phase begins.
    Lines {
        /// The phase last announced.
        phase: String,
    },
    /// A bar.
    Bar(ProgressBar),
}

impl Shown {
    /// Chooses by the kind of stderr; no bar under CI.
    pub(super) fn new(is_quiet: bool) -> Self {
        if is_quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{prefix:>8} {bar:30} {pos}/{len} {msg}")
                .expect("the template is well-formed");
            bar.set_style(style);
            // No ticker: nothing may be drawn while a segment is timed.
            bar.disable_steady_tick();
            Self::Bar(bar)
        } else {
            Self::Lines {
                phase: String::new(),
            }
        }
    }

    /// Removes what was drawn and says how long the run took.
    pub(super) fn finish(self, elapsed: Duration) {
        let line = format!("measured in {:.0} s", elapsed.as_secs_f64());
        match self {
            Self::Quiet => {}
            Self::Lines { .. } => say(&line),
            Self::Bar(bar) => {
                bar.finish_and_clear();
                say(&line);
            }
        }
    }
}

impl Progress for Shown {
    fn step(&mut self, phase: &str, done: usize, total: usize, detail: &str) {
        match self {
            Self::Quiet => {}
            Self::Lines { phase: last } => {
                if last != phase {
                    phase.clone_into(last);
                    say(&format!("{phase}: {total} steps"));
                }
            }
            Self::Bar(bar) => {
                bar.set_prefix(phase.to_owned());
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(detail.to_owned());
            }
        }
    }
}

/// Lines of talk, made safe for a terminal and a build log; a closed stderr is nobody's error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", lines(text));
}
