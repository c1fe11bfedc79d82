//! Scores of texts: 1,000 scenes by two systems with every metric, as a comparison needs them.
//!
//! Scenes and references are those of the repository's set, repeated; the outputs are references of
//! the same and of other scenes, so that both good and bad texts are scored.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use vv_eval::metric::outputs::{Job, Said, score_all};
use vv_eval::record::StopReason;
use vv_eval::scene::SceneSet;

const SCENES: usize = 1000;

fn said(text: &str) -> Said<'_> {
    Said {
        text,
        keywords: None,
        stop: Some(StopReason::Eos),
        n_tokens: None,
    }
}

fn metrics(c: &mut Criterion) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval-sets/cenas-pt/1.0.0");
    let set = SceneSet::load(&directory).expect("the repository's set");
    let n = set.scenes.len();
    let jobs: Vec<Job<'_, 2>> = (0..SCENES)
        .map(|i| {
            let (scene, other) = (&set.scenes[i % n], &set.scenes[(i + 1) % n]);
            let last = scene.references.last().expect("a reference");
            Job {
                scene,
                said: [Some(said(last)), Some(said(&other.references[0]))],
            }
        })
        .collect();
    let mut group = c.benchmark_group("metrics");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.measurement_time(Duration::from_secs(10));
    group.bench_function(format!("{SCENES} scenes by two systems"), |b| {
        b.iter(|| black_box(score_all(black_box(&jobs), set.lexicon)));
    });
    group.finish();
}

criterion_group!(benches, metrics);
criterion_main!(benches);
