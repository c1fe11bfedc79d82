//! `vv-eval score`: the scores of given texts, without a model.

use super::Failure;
use super::args::ScoreFormat;
use super::exit::Exit;
use super::output::print;
use super::settings;
use crate::metric::outputs::{self, Job, Said, Scored};
use crate::record::StopReason;
use crate::report::scores::{self, Sheet};
use crate::scene::given::{self, GivenOutput, GivenStop};

/// Scores the outputs and prints them in the format asked for.
pub(super) fn run(settings: &settings::Score) -> Result<Exit, Failure> {
    let scenes = &settings.scenes;
    let ids: Vec<&str> = scenes.iter().map(|scene| scene.id.as_str()).collect();
    let given = given::read(&settings.outputs, &ids).map_err(Failure::invalid)?;
    let jobs: Vec<Job<'_, 1>> = scenes
        .iter()
        .zip(&given)
        .map(|(scene, output)| Job {
            scene,
            said: [Some(said(output))],
        })
        .collect();
    let scored = outputs::score_all(&jobs, settings.lexicon);
    let scored: Vec<Scored> = scored.into_iter().filter_map(|[scored]| scored).collect();
    check(&scored)?;
    let sheet = Sheet {
        set: settings.set.clone(),
        explained: settings
            .explains
            .then(|| outputs::explain_all(&jobs, settings.lexicon)),
        scored,
    };
    match settings.format {
        ScoreFormat::Terminal => print(scores::terminal::render(&sheet).as_bytes())?,
        ScoreFormat::Json => print(&scores::json::render(&sheet))?,
        ScoreFormat::Csv => print(scores::csv::render(&sheet).as_bytes())?,
    }
    Ok(Exit::Pass)
}

fn said(output: &GivenOutput) -> Said<'_> {
    Said {
        text: &output.summary_text,
        keywords: output.keywords.as_deref(),
        stop: output.stop_reason.map(|stop| match stop {
            GivenStop::Eos => StopReason::Eos,
            GivenStop::MaxTokens => StopReason::MaxTokens,
            GivenStop::ContextFull => StopReason::ContextFull,
        }),
        n_tokens: None,
    }
}

/// A score outside its range is a bug of this program, and no number to print.
fn check(scored: &[Scored]) -> Result<(), Failure> {
    for scores in scored.iter().map(|scored| &scored.scores) {
        if let Some((id, value, fault)) = outputs::fault(scores) {
            let message = format!(
                "`{id}` of scene `{}` is {value}, which is {fault}",
                scores.scene
            );
            let hint = "this is a bug of vv-eval; please report it with the scene and its output";
            return Err(Failure::usage(message, hint).with_exit(Exit::Internal));
        }
    }
    Ok(())
}
